//! Entries of the raw streams that somebody appended by hand: field name and value by turns, divided by NUL.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use vtox_protocol::{EntryId, Replay, decode_entry};

fuzz_target!(|data: &[u8]| {
    let parts: Vec<&[u8]> = data.split(|b| *b == 0).collect();
    let fields: HashMap<String, Vec<u8>> = parts
        .chunks_exact(2)
        .map(|pair| (String::from_utf8_lossy(pair[0]).into_owned(), pair[1].to_vec()))
        .collect();
    drop(decode_entry("motor_raw_data", EntryId { ms: 1, seq: 0 }, &fields));
    drop(Replay::from_fields(&fields));
});
