//! Bodies of batches.

use super::case::Expected::{Items, Refused};
use super::case::{BATCH, Case, Expected, SIGNALS, line};

const LINES: &str = "application/x-ndjson";
const PACKED: &str = "application/msgpack";

/// Literal MessagePack of a message of V: one sample of phase A.
const ITEM: &[u8] = b"\x82\xaavehicle_id\xa1V\xa5block\xc4\x2c\x82\xa1v\x01\xa8channels\x91\x83\xa4name\xa2Ia\xa7rate_hz\x08\xa5f32le\xc4\x04\x00\x00\x80\x3f";

pub fn cases() -> Vec<Case> {
    let lines = |what, body: Vec<String>, expected: Expected| {
        Case::post(what, BATCH, body.join("\n"), expected).kind(LINES)
    };
    let packed = |what, body: Vec<u8>, expected| Case::post(what, BATCH, body, expected).kind(PACKED);
    let good = || line("V", SIGNALS);
    let undecodable = || Refused(400, "undecodable_block");
    let numbers =
        |count| format!(r#"{{"columns":{{"Ia":[{}]}},"sampling_rate":1}}"#, vec!["1"; count].join(","));
    vec![
        lines(
            "bad lines amid good ones",
            vec![
                good(),
                "{".into(),
                good(),
                "\0".into(),
                "[]".into(),
                "[".repeat(100_000),
                good(),
                line("..", SIGNALS),
                line("V", "{\"data\":[]}"),
                "\u{feff}{}".into(),
                good(),
            ],
            Items(&[
                "accepted",
                "invalid_json",
                "accepted",
                "invalid_json",
                "invalid_json",
                "invalid_json",
                "accepted",
                "invalid_vehicle_id",
                "invalid_block",
                "invalid_json",
                "accepted",
            ]),
        ),
        lines(
            "a key of 10 kB, an empty one, one with a line feed",
            ["k".repeat(10_000).as_str(), "", "a\\nb"]
                .iter()
                .map(|k| good().replacen('{', &format!("{{\"key\":\"{k}\","), 1))
                .collect(),
            Items(&["invalid_idempotency_key"; 3]),
        ),
        lines(
            "lines that end in CR LF, and empty ones",
            vec![format!("{}\r", good()), "\r".into(), String::new(), good()],
            Items(&["accepted", "accepted"]),
        ),
        lines(
            "one line of 10^7 numbers",
            vec![good(), line("V", &numbers(10_000_000)), good()],
            Items(&["accepted", "invalid_block", "accepted"]),
        ),
        lines("10^5 lines", vec![good(); 100_000], Refused(422, "too_many_items")),
        lines("10^7 empty lines", vec![String::new(); 10_000_000], Refused(400, "invalid_json")),
        lines("10^7 lines of a bracket", vec!["{".to_owned(); 10_000_000], Refused(422, "too_many_items")),
        lines("nothing", Vec::new(), Refused(400, "invalid_json")),
        lines(
            "a vehicle twice in a line",
            vec![good().replacen('{', "{\"vehicle_id\":\"W\",", 1)],
            Items(&["invalid_json"]),
        ),
        lines("over 32 MiB", vec!["x".repeat((32 << 20) + 1)], Refused(413, "body_too_large")),
        Case::post("a batch as a list", BATCH, format!("[{},{}]", good(), good()), Items(&["invalid_json"])),
        Case::post("a batch that says it is text", BATCH, good(), Refused(415, "unsupported_media_type"))
            .kind("text/plain"),
        packed("messages in MessagePack", [ITEM, ITEM].concat(), Items(&["accepted", "accepted"])),
        packed("a message cut off", [ITEM, &ITEM[..30]].concat(), undecodable()),
        packed("an item of 2^32-1 entries", b"\xdf\xff\xff\xff\xff".to_vec(), undecodable()),
        packed(
            "a vehicle of 2^32-1 bytes",
            b"\x82\xaavehicle_id\xdb\xff\xff\xff\xffV".to_vec(),
            undecodable(),
        ),
        packed(
            "a block of 2^32-1 bytes",
            b"\x82\xaavehicle_id\xa1V\xa5block\xc6\xff\xff\xff\xff".to_vec(),
            undecodable(),
        ),
        packed(
            "a list of 2^32-1 for the block",
            b"\x82\xaavehicle_id\xa1V\xa5block\xdd\xff\xff\xff\xff\x01".to_vec(),
            undecodable(),
        ),
        packed("10^5 lists", vec![0x91; 100_000], undecodable()),
        packed("10^6 of nothing", vec![0xc0; 1_000_000], undecodable()),
        packed("10^5 messages", ITEM.repeat(100_000), Refused(422, "too_many_items")),
    ]
}
