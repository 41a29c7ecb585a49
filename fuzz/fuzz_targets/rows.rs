//! Row-oriented JSON: whatever is read can be written and read again as the same block.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vtox_protocol::codec::{decode_binary, decode_json, encode_binary};

fuzz_target!(|data: &[u8]| {
    if let Ok(block) = decode_json(data) {
        assert!(block.channels.iter().all(|c| c.samples.iter().all(|s| s.is_finite())));
        assert_eq!(decode_binary(&encode_binary(&block)).as_ref(), Ok(&block));
    }
});
