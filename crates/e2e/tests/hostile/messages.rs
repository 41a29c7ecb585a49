//! Bodies of single messages.

use super::case::Expected::{Accepted, Refused};
use super::case::{Case, GOOD, MESSAGE, SIGNALS, sensor};

const SIMULATED: &str = "/api/v1/diagnosis-stream/simulator/vehicles/V/data";
const MSGPACK: &str = "application/msgpack";
const JSON: Expected = Refused(400, "invalid_json");

use super::case::Expected;

fn message(what: &'static str, body: impl AsRef<[u8]>, expected: Expected) -> Case {
    Case::message(what, body, expected)
}

fn beside(fields: &str) -> Vec<u8> {
    format!("{{\"sensor_data\":{SIGNALS},{fields}}}").into_bytes()
}

fn utf16(text: &[u8]) -> Vec<u8> {
    b"\xff\xfe".iter().copied().chain(text.iter().flat_map(|b| [*b, 0])).collect()
}

/// As many objects with a column as fit into `bytes`; `column` numbers them.
fn distinct(bytes: usize) -> String {
    let cells: Vec<String> = (0..bytes / 12).map(|n| format!("\"c{n:06}\":1")).collect();
    cells.join(",")
}

pub fn cases() -> Vec<Case> {
    let block = || Refused(422, "invalid_block");
    let syntax = || Refused(400, "undecodable_block");
    let metadata = || Refused(422, "invalid_metadata");
    let deep = "[".repeat(100_000);
    let objects = "{\"a\":".repeat(100_000);
    let balanced = format!("{deep}{}", "]".repeat(100_000));
    let ones = |count: usize| vec!["1"; count].join(",");
    let own = |values: &str| sensor(&format!(r#"{{"columns":{{"Ia":{values}}},"sampling_rate":1000}}"#));
    let rows = |rows: &str| sensor(&format!(r#"{{"data":[{rows}],"sampling_rate":1000}}"#));
    let number = |n: &str| rows(&format!(r#"{{"Ia":{n}}}"#));
    vec![
        // Nesting.
        message("10^5 lists, open", deep.clone(), JSON),
        message("10^5 objects, open", objects.clone(), JSON),
        message("10^5 lists for sensor_data", sensor(&balanced), JSON),
        message("10^5 lists for data", sensor(&format!(r#"{{"data":{balanced}}}"#)), JSON),
        message("10^5 lists in a cell", number(&balanced), JSON),
        message("10^5 lists for the time", rows(&format!(r#"{{"Ia":1,"time":{balanced}}}"#)), JSON),
        message("10^5 lists in a column", own(&balanced), JSON),
        message("10^5 lists for what nobody reads", rows(&format!(r#"{{"Ia":1,"x":{balanced}}}"#)), JSON),
        message("10^5 lists for a motor", sensor(&format!(r#"{{"data":[{{"Ia":1}}],"sampling_rate":1,"motor":{balanced}}}"#)), JSON),
        message("8,000 lists in metadata", beside(&format!("\"metadata\":{{\"a\":{}{}}}", "[".repeat(8_000), "]".repeat(8_000))), JSON),
        // Much.
        message("10^7 numbers", own(&format!("[{}]", ones(10_000_000))), Refused(413, "body_too_large")),
        message("4 x 10^6 numbers and a few", own(&format!("[{}]", ones(4_000_010))), block()),
        message("4 x 10^6 numbers for the time", rows(&format!(r#"{{"Ia":1,"time":[{}]}}"#, ones(4_000_000))), Accepted),
        message("4 x 10^6 numbers in a column nobody knows", sensor(&format!(r#"{{"columns":{{"x":[{}],"Ia":[1]}},"sampling_rate":1}}"#, ones(4_000_000))), Accepted),
        message("10^6 empty rows", rows(&vec!["{}"; 2_000_000].join(",")), block()),
        message("600,000 columns in a row", rows(&format!("{{{}}}", distinct(7_800_000))), block()),
        message("600,000 rows with a column each", rows(&distinct(7_000_000).split(',').map(|c| format!("{{{c}}}")).collect::<Vec<_>>().join(",")), block()),
        message("a word of 8 MB for a number", number(&format!("\"{}\"", "x".repeat(8_000_000))), syntax()),
        message("a name of 8 MB for a column", rows(&format!(r#"{{"{}":1}}"#, "x".repeat(8_000_000))), block()),
        message("a name of 8 MB beside sensor_data", beside(&format!("\"{}\":1", "x".repeat(8_000_000))), Accepted),
        message("a number of 10^6 digits", number(&"9".repeat(1_000_000)), syntax()),
        message("a fraction of 10^6 digits", number(&format!("0.{}", "9".repeat(1_000_000))), Accepted),
        message("metadata of 1 MB", beside(&format!("\"metadata\":{{\"a\":\"{}\"}}", "x".repeat(1 << 20))), metadata()),
        message("location of 1 MB", beside(&format!("\"location\":\"{}\"", "x".repeat(1 << 20))), metadata()),
        // Keys twice.
        message("sensor_data twice", beside(&format!("\"sensor_data\":{SIGNALS}")), JSON),
        message("data twice", sensor(r#"{"data":[{"Ia":1}],"data":[{"Ia":2}],"sampling_rate":1}"#), Accepted),
        message("a column twice in a row", rows(r#"{"Ia":1,"Ia":2}"#), Accepted),
        // Numbers.
        message("NaN", number("NaN"), JSON),
        message("Infinity", number("-Infinity"), JSON),
        message("1e999", number("1e999"), syntax()),
        message("1e999 for the rate", sensor(r#"{"data":[{"Ia":1}],"sampling_rate":1e999}"#), syntax()),
        message("a rate of 0", sensor(r#"{"data":[{"Ia":1}],"sampling_rate":0}"#), block()),
        message("a rate below 0", sensor(r#"{"data":[{"Ia":1}],"sampling_rate":-8000}"#), block()),
        message("beyond f32", number("1e39"), syntax()),
        message("-0", number("-0"), Accepted),
        message("denormal", number("1e-320"), Accepted),
        message("past 2^63", number("9223372036854775809"), Accepted),
        message("past 2^64", number("-36893488147419103232"), Accepted),
        message("a sequence past 2^64", beside(r#""metadata":{"boot_id":"b","sequence":36893488147419103232}"#), metadata()),
        message("hexadecimal", number("0x10"), JSON),
        message("a plus sign", number("+1"), JSON),
        message("true for a number", number("true"), syntax()),
        message("null for a number", number("null"), syntax()),
        // Text.
        message("nothing", "", JSON),
        message("white space", " \r\n\t", JSON),
        message("cut off", &GOOD[..GOOD.len() - 1], JSON),
        message("something behind", [GOOD, b"x"].concat(), JSON),
        message("two messages", [GOOD, GOOD].concat(), JSON),
        message("not UTF-8", sensor("{\"x\":\"\u{1}\"}").iter().map(|b| if *b == 1 { 0xff } else { *b }).collect::<Vec<u8>>(), JSON),
        message("an overlong slash", [&b"{\"sensor_data\":\"\xc0\xaf"[..], b"\"}"].concat(), JSON),
        message("a byte-order mark", [b"\xef\xbb\xbf", GOOD].concat(), JSON),
        message("a byte-order mark in the middle", sensor("\u{feff}{}"), JSON),
        message("NUL first", [b"\0", GOOD].concat(), JSON),
        message("NUL inside", sensor("{\"x\":\"\0\"}"), JSON),
        message("UTF-16", utf16(GOOD), JSON),
        message("half a surrogate pair in a name", rows(r#"{"\ud800":1,"Ia":1}"#), syntax()),
        message("half a surrogate pair in metadata", beside(r#""metadata":{"a":"\udc00"}"#), metadata()),
        message("half a surrogate pair in location", beside(r#""location":"\ud800""#), JSON),
        // Shapes.
        message("null", "null", JSON),
        message("a number", "1", JSON),
        message("a list", "[1]", JSON),
        message("null for sensor_data", sensor("null"), syntax()),
        message("null for data", sensor(r#"{"data":null}"#), block()),
        message("metadata that is a list", beside("\"metadata\":[]"), metadata()),
        message("rows and columns", sensor(r#"{"data":[{"Ia":1}],"columns":{"Ia":[1]},"sampling_rate":1}"#), block()),
        message("a column of objects", own(r#"[{"a":1}]"#), syntax()),
        message("a column that is a word", own("\"x\""), syntax()),
        message("a column beyond f32", own("[1,1e39]"), block()),
        Case::post("the same to the simulator's path", SIMULATED, deep, JSON),
        Case::post("NaN to the simulator's path", SIMULATED, number("NaN"), JSON),
        // MessagePack.
        message("a list of 2^32-1", b"\xdd\xff\xff\xff\xff", syntax()).kind(MSGPACK),
        message("a map of 2^32-1", b"\xdf\xff\xff\xff\xff", syntax()).kind(MSGPACK),
        message("bytes of 2^32-1", b"\xc6\xff\xff\xff\xff", syntax()).kind(MSGPACK),
        message("text of 2^32-1", b"\xdb\xff\xff\xff\xffabc", syntax()).kind(MSGPACK),
        message("2^32-1 channels", b"\x82\xa1v\x01\xa8channels\xdd\xff\xff\xff\xff", syntax()).kind(MSGPACK),
        message("2^32-1 readings", b"\x82\xa1v\x01\xa8readings\xdf\xff\xff\xff\xff", syntax()).kind(MSGPACK),
        message("2^32-1 bytes of samples", b"\x82\xa1v\x01\xa8channels\x91\x83\xa4name\xa2Ia\xa7rate_hz\x08\xa5f32le\xc6\xff\xff\xff\xff", syntax()).kind(MSGPACK),
        message("10^5 lists, MessagePack", vec![0x91; 100_000], syntax()).kind(MSGPACK),
        message("10^5 lists that nobody reads", [&b"\x83\xa1v\x01\xa1x"[..], &vec![0x91; 100_000], b"\xa8channels\x90"].concat(), syntax()).kind(MSGPACK),
        message("1.6 x 10^6 channels", [&b"\x82\xa1v\x01\xa8channels\xdd\x00\x18\x00\x00"[..], &b"\x93\xa0\x01\xc4\x00".repeat(0x18_0000)].concat(), syntax()).kind(MSGPACK),
        message("a million readings", readings(), syntax()).kind(MSGPACK),
        message("samples that are NaN", b"\x82\xa1v\x01\xa8channels\x91\x83\xa4name\xa2Ia\xa7rate_hz\x08\xa5f32le\xc4\x04\x00\x00\xc0\x7f", block()).kind(MSGPACK),
        message("half a sample", b"\x82\xa1v\x01\xa8channels\x91\x83\xa4name\xa2Ia\xa7rate_hz\x08\xa5f32le\xc4\x03\x00\x00\x80", block()).kind(MSGPACK),
        message("version 255", b"\x82\xa1v\xcc\xff\xa8channels\x90", syntax()).kind(MSGPACK),
        message("JSON that says it is MessagePack", GOOD, syntax()).kind(MSGPACK),
        message("MessagePack that says it is JSON", b"\x82\xa1v\x01\xa8channels\x90", JSON),
        Case::post("bytes that are reserved", MESSAGE, b"\xc1\xc1\xc1\xc1", syntax()).kind(MSGPACK),
    ]
}

/// {"v": 1, "channels": [], "readings": {a million names: 0}}
fn readings() -> Vec<u8> {
    let mut bytes = b"\x83\xa1v\x01\xa8channels\x90\xa8readings\xdf\x00\x0f\x42\x40".to_vec();
    for n in 0..1_000_000_u32 {
        bytes.extend_from_slice(b"\xa5");
        bytes.extend(format!("{n:05x}").bytes());
        bytes.push(0);
    }
    bytes
}
