//! Column-oriented JSON: the fuzzed text is the object of columns.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vtox_protocol::codec::{decode_json, encode_json};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(block) = decode_json(format!("{{\"columns\":{text},\"sampling_rate\":1000}}").as_bytes()) {
        let again = decode_json(encode_json(&block).as_bytes()).expect("what was written is read");
        assert_eq!(again.channels, block.channels);
    }
});
