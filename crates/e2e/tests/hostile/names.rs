//! Ids of vehicles and keys of messages.

use super::case::Expected::{self, Accepted, Refused};
use super::case::{BATCH, Case, GOOD, SIGNALS, line};

fn to(what: &'static str, id: &str, expected: Expected) -> Case {
    Case::post(what, &format!("/api/v1/diagnosis-stream/vehicles/{id}/data"), GOOD, expected)
}

fn key(what: &'static str, key: &str, expected: Expected) -> Case {
    Case::message(what, GOOD, expected)
        .headers(format!("content-type: application/json\r\nidempotency-key: {key}\r\n"))
}

pub fn cases() -> Vec<Case> {
    let id = || Refused(400, "invalid_vehicle_id");
    let bad_key = || Refused(400, "invalid_idempotency_key");
    let absent = || Refused(404, "not_found");
    let mut cases = vec![
        to("an empty id", "", id()),
        to("a blank id", "%20%09", id()),
        to("an id of 10 kB", &"a".repeat(10_000), id()),
        to("an id of 43 characters and 129 bytes", &"%E7%B2%A4".repeat(43), id()),
        to("the directory above", "..", id()),
        to("the directory above, encoded", "%2e%2e", id()),
        to("this directory", "%2E", id()),
        to("two directories above", "../..", absent()),
        to("a slash", "a%2Fb", id()),
        to("a backslash", "a%5Cb", id()),
        to("NUL", "a%00b", id()),
        to("a line feed", "a%0Ab", id()),
        to("CR LF and a header", "a%0d%0ax-evil:%201", id()),
        to("DEL", "a%7F", id()),
        to("not UTF-8", "%ff%fe", id()),
        to("half an escape", "%e7%b2", id()),
        to("no escape", "100%", Accepted),
        to("escaped twice", "%252e%252e", Accepted),
        to("right to left", "a%E2%80%AEb", id()),
        to("right to left, isolated", "a%E2%81%A7b", id()),
        to("no width", "a%E2%80%8Bb", id()),
        to("no width, no break", "a%E2%81%A0b", id()),
        to("a soft hyphen", "a%C2%ADb", id()),
        to("a byte-order mark", "%EF%BB%BFa", id()),
        to("the character for what is none", "%EF%BF%BD", id()),
        to("an emoji", "%F0%9F%9A%97", Accepted),
        to("a hash tag of Redis", "%7Bvtox-0%7D", Accepted),
        to("the key of another stream", "motor_raw_data:%7Bx%7D:0", Accepted),
        to("a pattern of Redis", "*%5Ba-z%5D%3F", Accepted),
        to("a command of Redis", "x%20FLUSHALL", Accepted),
        to("a template", "$%7Bjndi:ldap:x%7D%7B%7B7*7%7D%7D", Accepted),
        key("an empty key", "", bad_key()),
        key("a blank key", "   ", bad_key()),
        key("a key of 256 bytes", &"k".repeat(256), bad_key()),
        key("a key of 10 kB", &"k".repeat(10_000), bad_key()),
        key("a key that is not ASCII", "粤B", bad_key()),
        key("a key with a tab", "a\tb", bad_key()),
        key("a hash tag of Redis for a key", "{vtox-0}", Accepted),
        key("a pattern of Redis for a key", "*:seen:*", Accepted),
        key("the directory above for a key", "../..", Accepted),
        key("two keys", "a\r\nidempotency-key: b", bad_key()),
    ];
    for (what, id) in [
        ("a line feed in a batch", "a\\nb"),
        ("NUL in a batch", "\\u0000"),
        ("a name of 100 kB in a batch", &"x".repeat(100_000)),
        ("dots in a batch", ".."),
        ("right to left in a batch", "\u{202e}"),
    ] {
        let expected = Expected::Items(&["invalid_vehicle_id"]);
        cases.push(Case::post(what, BATCH, line(id, SIGNALS), expected).kind("application/x-ndjson"));
    }
    cases
}
