//! CSV: reading never panics, and holds only finite samples.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vtox_protocol::codec::decode_csv;

fuzz_target!(|data: &[u8]| {
    if let Ok(block) = decode_csv(data, Some(1_000.0)) {
        assert!(block.channels.iter().all(|c| c.samples.iter().all(|s| s.is_finite())));
    }
});
