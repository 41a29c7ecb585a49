//! The forms of a signal block: literal bytes, refusals, round trips.

use std::collections::HashMap;

use proptest::prelude::*;
use vtox_protocol::codec::{
    BlockError, MAX_SAMPLES, decode_binary, decode_csv, decode_json, encode_binary, encode_json,
};
use vtox_protocol::{Channel, EntryId, MotorProfile, Quantity, SignalBlock, decode_entry};

fn content(json: &str) -> String {
    match decode_json(json.as_bytes()) {
        Err(BlockError::Content(reason)) => reason,
        other => panic!("{json}: {other:?}"),
    }
}

#[test]
fn the_seeds_rows_are_read_into_columns() {
    let json = r#"{"data": [
        {"时间": 10.0, "Ia": 1.5, "Ib": -0.5, "温度": 60, "note": "x", "fault_type": "bearing"},
        {"\u65f6\u95f4": 10.000125, "Ia": 2, "\u6e29\u5ea6": 61, "Ib": 0.5, "note": {"any": [1]}}
    ], "sampling_rate": 8000, "rpm": 1480, "fault_severity": 0.8}"#;
    let block = decode_json(json.as_bytes()).unwrap();
    assert_eq!(block.channel(Quantity::CurrentA).unwrap().samples, [1.5, 2.0]);
    assert_eq!(block.channel(Quantity::CurrentB).unwrap().samples, [-0.5, 0.5]);
    assert_eq!(block.channel(Quantity::CurrentA).unwrap().rate_hz, 8000.0);
    assert_eq!(block.value(Quantity::Temperature), Some(60.5));
    assert_eq!(block.value(Quantity::Speed), Some(1480.0));
    assert_eq!(block.start_s, Some(10.0));
    assert_eq!(block.channels.len(), 3);
}

#[test]
fn the_seeds_rows_are_these_bytes() {
    assert_eq!(
        encode_json(&small_block()),
        r#"{"data":[{"时间":0.000000,"Ia":1},{"时间":0.000125,"Ia":-2.5}],"sampling_rate":8000,"temperature":65,"synchronous":true}"#
    );
}

#[test]
fn the_rate_comes_from_the_time_column_when_it_is_not_given() {
    let json = r#"{"data": [{"time": 0.0, "Ia": 1}, {"time": 0.01, "Ia": 1}, {"time": 0.025, "Ia": 1}]}"#;
    let block = decode_json(json.as_bytes()).unwrap();
    assert!((block.channels[0].rate_hz - 80.0).abs() < 1e-9);
    assert!((block.clock_jitter.unwrap() - 0.2).abs() < 1e-9);
}

#[test]
fn times_that_contradict_the_rate_are_noted() {
    let json = |rate: u32| {
        let rows: Vec<String> =
            (0..100).map(|i| format!(r#"{{"time": {:.4}, "Ia": {i}}}"#, f64::from(i) / 4e3)).collect();
        format!(r#"{{"data": [{}], "sampling_rate": {rate}}}"#, rows.join(","))
    };
    assert_eq!(decode_json(json(4000).as_bytes()).unwrap().contradicting_rate_hz, None);
    let block = decode_json(json(8000).as_bytes()).unwrap();
    assert!((block.contradicting_rate_hz.unwrap() / 4000.0 - 1.0).abs() < 0.02);
    assert_eq!(block.channels[0].rate_hz, 8000.0);
    assert_eq!(decode_binary(&encode_binary(&block)).unwrap(), block);
}

#[test]
fn columns_may_have_their_own_rate_and_a_profile() {
    let json = r#"{"columns": {"Ia": [1, 2, 3], "vibration": {"sampling_rate": 25600, "values": [0.5]}},
        "sampling_rate": 8000, "start": 3.5, "synchronous": false, "motor": {"pole_pairs": 2}}"#;
    let block = decode_json(json.as_bytes()).unwrap();
    assert_eq!(block.channel(Quantity::VibrationX).unwrap().rate_hz, 25600.0);
    assert_eq!(block.channel(Quantity::CurrentA).unwrap().samples, [1.0, 2.0, 3.0]);
    assert_eq!(block.profile, Some(MotorProfile { pole_pairs: Some(2), ..MotorProfile::default() }));
    assert!(!block.synchronous);
}

#[test]
fn what_cannot_be_diagnosed_says_why() {
    assert!(content(r#"{"sampling_rate": 8000}"#).contains("data is missing"));
    assert!(content(r#"{"data": [], "sampling_rate": 8000}"#).contains("no rows"));
    assert!(content(r#"{"data": [{"foo": 1}], "sampling_rate": 8000}"#).contains("no known column"));
    assert!(content(r#"{"data": [{"Ia": 1}, {"Ib": 1}], "sampling_rate": 8000}"#).contains("row 2"));
    assert!(content(r#"{"data": [{"Ia": 1}], "sampling_rate": 0}"#).contains("sampling_rate"));
    assert!(content(r#"{"data": [{"Ia": 1}, {"Ia": 2}]}"#).contains("sampling_rate is missing"));
    assert!(content(r#"{"columns": {"Ia": []}, "sampling_rate": 1}"#).contains("no values"));
}

#[test]
fn more_than_a_block_may_have_is_not_read() {
    let named = |name: &str, count: usize| -> String {
        let cells: Vec<String> = (0..count).map(|n| format!("\"{name}{n}\":1")).collect();
        cells.join(",")
    };
    let rows = |rows: &str| format!(r#"{{"data": [{rows}], "sampling_rate": 1}}"#);
    assert!(content(&rows(&format!("{{{}}}", named("c", 2_000)))).contains("more than 1024 columns"));
    let one_by_one = named("c", 2_000).replace(',', "},{");
    assert!(content(&rows(&format!("{{{one_by_one}}}"))).contains("more than 1024 columns"));
    // The names a block may have, in another order in each row.
    let cells = format!("\"Ia\":1,{}", named("c", 1_000));
    let turned: Vec<&str> = cells.split(',').rev().collect();
    let both = decode_json(rows(&format!("{{{cells}}},{{{}}}", turned.join(","))).as_bytes()).unwrap();
    assert_eq!(both.channels[0].samples, [1.0, 1.0]);
    let many = "1,".repeat(MAX_SAMPLES / 2 + 1) + "1";
    let columns = format!(r#"{{"columns": {{"Ia": [{many}], "Ib": [{many}]}}, "sampling_rate": 1}}"#);
    assert!(content(&columns).contains("more than 4000000 samples"));

    // {"v": 1, "channels": [{}, ...]} and {"v": 1, "channels": [], "readings": {"a": 1, ...}}, of 1,025 each.
    let channels =
        [&b"\x82\xa1v\x01\xa8channels\xdc\x04\x01"[..], &b"\x93\xa0\x01\xc4\x00".repeat(1_025)].concat();
    let mut readings = b"\x83\xa1v\x01\xa8channels\x90\xa8readings\xde\x04\x01".to_vec();
    for n in 0..1_025 {
        readings.push(0xa4);
        readings.extend(format!("{n:04}").bytes());
        readings.push(1);
    }
    for bytes in [channels, readings] {
        let refusal = decode_binary(&bytes).unwrap_err().to_string();
        assert!(refusal.contains("more than 1024"), "{refusal}");
    }
}

#[test]
fn a_time_may_be_anything() {
    for time in ["null", "true", "-1", "1e300", "[1,[2]]", r#"{"a":{"b":[]}}"#, "\"08:00\""] {
        let json =
            format!(r#"{{"data": [{{"time":{time},"Ia":1}},{{"time":{time},"Ia":2}}], "sampling_rate": 8}}"#);
        assert_eq!(decode_json(json.as_bytes()).unwrap().channels[0].samples, [1.0, 2.0], "{time}");
    }
}

#[test]
fn what_is_no_block_is_a_syntax_error() {
    for json in [
        "",
        "[]",
        "{",
        "nonsense",
        r#"{"data": 5}"#,
        r#"{"data": [5], "sampling_rate": 1}"#,
        r#"{"data": [{"Ia": "high"}], "sampling_rate": 1}"#,
        r#"{"data": [{"Ia": NaN}], "sampling_rate": 1}"#,
        r#"{"data": [{"Ia": 1e300}], "sampling_rate": 1}"#,
        r#"{"data": [{"Ia": null}], "sampling_rate": 1}"#,
        r#"{"data": [{"Ia": 1}], "sampling_rate": "fast"}"#,
    ] {
        assert!(matches!(decode_json(json.as_bytes()), Err(BlockError::Syntax(_))), "{json}");
    }
}

fn small_block() -> SignalBlock {
    SignalBlock {
        channels: vec![Channel { quantity: Quantity::CurrentA, rate_hz: 8000.0, samples: vec![1.0, -2.5] }],
        readings: [(Quantity::Temperature, 65.0)].into(),
        ..SignalBlock::default()
    }
}

/// Written down once: another layout would make blocks in the streams unreadable after an upgrade.
const SMALL_BLOCK: &[u8] = &[
    0x87, 0xa1, b'v', 0x01, 0xa7, b's', b't', b'a', b'r', b't', b'_', b's', 0xc0, 0xab, b's', b'y', b'n',
    b'c', b'h', b'r', b'o', b'n', b'o', b'u', b's', 0xc3, 0xac, b'c', b'l', b'o', b'c', b'k', b'_', b'j',
    b'i', b't', b't', b'e', b'r', 0xc0, 0xa8, b'r', b'e', b'a', b'd', b'i', b'n', b'g', b's', 0x81, 0xab,
    b't', b'e', b'm', b'p', b'e', b'r', b'a', b't', b'u', b'r', b'e', 0xcb, 0x40, 0x50, 0x40, 0, 0, 0, 0, 0,
    0xa7, b'p', b'r', b'o', b'f', b'i', b'l', b'e', 0xc0, 0xa8, b'c', b'h', b'a', b'n', b'n', b'e', b'l',
    b's', 0x91, 0x83, 0xa4, b'n', b'a', b'm', b'e', 0xa2, b'I', b'a', 0xa7, b'r', b'a', b't', b'e', b'_',
    b'h', b'z', 0xcb, 0x40, 0xbf, 0x40, 0, 0, 0, 0, 0, 0xa5, b'f', b'3', b'2', b'l', b'e', 0xc4, 0x08, 0, 0,
    0x80, 0x3f, 0, 0, 0x20, 0xc0,
];

#[test]
fn the_binary_form_is_these_bytes() {
    assert_eq!(encode_binary(&small_block()), SMALL_BLOCK);
    assert_eq!(decode_binary(SMALL_BLOCK), Ok(small_block()));
}

#[test]
fn broken_binary_is_refused() {
    for end in 0..SMALL_BLOCK.len() {
        assert!(decode_binary(&SMALL_BLOCK[..end]).is_err(), "cut at {end}");
    }
    let mut newer = SMALL_BLOCK.to_vec();
    newer[3] = 2;
    assert!(matches!(decode_binary(&newer), Err(BlockError::Syntax(reason)) if reason.contains("version 2")));
    let mut nan = SMALL_BLOCK.to_vec();
    let at = nan.len() - 4;
    nan[at..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(matches!(decode_binary(&nan), Err(BlockError::Content(_))));
}

#[test]
fn entries_by_hand_get_an_identity_and_poison_names_its_vehicle() {
    let id: EntryId = "7-1".parse().unwrap();
    let entry = |pairs: &[(&str, &str)]| -> HashMap<String, Vec<u8>> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec())).collect()
    };
    let good = entry(&[("vehicle_id", "V1"), ("sensor_data", r#"{"data":[{"Ia":1}],"sampling_rate":1}"#)]);
    let message = decode_entry("motor_raw_data", id, &good).unwrap();
    assert_eq!(message.message_id.as_str(), "motor_raw_data/7-1");
    assert!(message.block.is_ok());

    let empty = entry(&[("vehicle_id", "V1"), ("sensor_data", "{}")]);
    assert!(
        decode_entry("motor_raw_data", id, &empty).unwrap().block.unwrap_err().contains("data is missing")
    );

    let poison = entry(&[("vehicle_id", "V1"), ("sensor_data", "not json")]);
    let undecodable = decode_entry("motor_raw_data", id, &poison).unwrap_err();
    assert_eq!(undecodable.vehicle_id.unwrap().as_str(), "V1");

    assert_eq!(decode_entry("motor_raw_data", id, &entry(&[])).unwrap_err().vehicle_id, None);
}

fn any_block() -> impl Strategy<Value = SignalBlock> {
    let quantities = prop::sample::subsequence(
        vec![Quantity::CurrentA, Quantity::CurrentB, Quantity::DcBusVoltage, Quantity::VibrationX],
        1..4,
    );
    let samples = prop::collection::vec(-1e6_f32..1e6, 1..40);
    (quantities, samples, 1.0..1e6_f64, prop::option::of(0.0..1e9_f64), any::<bool>()).prop_map(
        |(quantities, samples, rate_hz, start_s, synchronous)| SignalBlock {
            start_s,
            synchronous,
            channels: quantities
                .into_iter()
                .map(|quantity| Channel { quantity, rate_hz, samples: samples.clone() })
                .collect(),
            readings: [(Quantity::Speed, 1480.0)].into(),
            ..SignalBlock::default()
        },
    )
}

proptest! {
    #[test]
    fn binary_round_trips(block in any_block()) {
        prop_assert_eq!(decode_binary(&encode_binary(&block)), Ok(block));
    }

    #[test]
    fn columns_round_trip(block in any_block()) {
        let columns: serde_json::Map<String, serde_json::Value> = block
            .channels
            .iter()
            .map(|c| {
                let values: Vec<f64> = c.samples.iter().map(|s| f64::from(*s)).collect();
                (c.quantity.name().to_owned(), serde_json::json!({"sampling_rate": c.rate_hz, "values": values}))
            })
            .collect();
        let json = serde_json::json!({
            "columns": columns, "start": block.start_s, "synchronous": block.synchronous, "rpm": 1480.0,
        });
        let mut back = decode_json(json.to_string().as_bytes()).unwrap();
        back.channels.sort_by_key(|c| c.quantity);
        prop_assert_eq!(back, block);
    }

    #[test]
    fn csv_round_trips(block in any_block(), separator in prop::sample::select(&[",", ";", "\t"][..])) {
        let rows = block.channels.iter().map(|c| c.samples.len()).min().unwrap();
        let cells = |row: usize| block.channels.iter().map(move |c| c.samples[row].to_string());
        let names = block.channels.iter().map(|c| format!("\"{}\"", c.quantity.name()));
        let mut text = format!("\u{feff}{}\r\n", names.collect::<Vec<_>>().join(separator));
        for row in 0..rows {
            text.push_str(&(cells(row).collect::<Vec<_>>().join(separator) + "\r\n"));
        }
        let back = decode_csv(text.as_bytes(), Some(8000.0)).unwrap();
        prop_assert_eq!(back.channels.len(), block.channels.len());
        for (channel, back) in block.channels.iter().zip(&back.channels) {
            prop_assert_eq!(channel.quantity, back.quantity);
            prop_assert_eq!(&channel.samples[..rows], &back.samples[..]);
        }
    }

    #[test]
    fn any_bytes_are_a_table_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        cells in prop::collection::vec(prop::sample::select(&["Ia", "rpm", "time", ",", ";", "\n", "\"", "1.5", "-2e9", "nan", "\t", ""][..]), 0..80),
    ) {
        for text in [bytes, cells.concat().into_bytes()] {
            if let Ok(block) = decode_csv(&text, Some(1.0)) {
                prop_assert!(block.channels.iter().all(|c| c.samples.iter().all(|s| s.is_finite())));
                prop_assert!(!block.channels.is_empty() || !block.readings.is_empty());
                prop_assert!(decode_binary(&encode_binary(&block)).is_ok());
            }
        }
    }

    #[test]
    fn json_round_trips(block in any_block(), cut in any::<bool>()) {
        let mut block = block;
        if cut && block.channels.len() > 1 {
            // Unlike lengths cannot be rows.
            block.channels[0].samples.push(1.0);
        }
        let mut back = decode_json(encode_json(&block).as_bytes()).unwrap();
        back.channels.sort_by_key(|c| c.quantity);
        let near = |a: Option<f64>, b: Option<f64>| (a.unwrap_or(0.0) - b.unwrap_or(0.0)).abs() < 1e-5;
        prop_assert!(near(back.start_s, block.start_s));
        back.start_s = block.start_s;
        (back.clock_jitter, back.contradicting_rate_hz) = (None, None);
        prop_assert_eq!(back, block);
    }

    #[test]
    fn no_bytes_panic_a_decoder(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode_binary(&bytes);
        let _ = decode_json(&bytes);
    }
}
