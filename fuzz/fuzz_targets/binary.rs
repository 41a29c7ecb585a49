//! The binary form: what is read can be written and read again as the same block.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vtox_protocol::codec::{decode_binary, encode_binary};

fuzz_target!(|data: &[u8]| {
    if let Ok(block) = decode_binary(data) {
        assert!(block.channels.iter().all(|c| c.rate_hz > 0.0 && !c.samples.is_empty()));
        assert_eq!(decode_binary(&encode_binary(&block)).as_ref(), Ok(&block));
    }
});
