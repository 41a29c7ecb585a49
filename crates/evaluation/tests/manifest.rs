//! Reading a small manifest written by the test, and counting.

use std::f64::consts::TAU;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use vtox_diagnosis::Thresholds;
use vtox_evaluation::{Evaluation, Label, ManifestError, evaluate, records};
use vtox_protocol::{FaultType, Quantity, SignalBlock, Status};

const SAMPLES: usize = 2000;

fn npy(element_type: &str, fortran: &str, shape: &str, data: Vec<u8>) -> Vec<u8> {
    let header = format!("{{'descr': '{element_type}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// Two seconds of three currents at 1 kHz and 43.7 Hz; phase A with `excess` more than the others, in raw units of 0.001 A.
fn currents(excess: f64) -> Vec<[i16; 3]> {
    (0..SAMPLES)
        .map(|i| {
            [0.0, 1.0, 2.0].map(|k: f64| {
                let angle = TAU * (43.7 * i as f64 / 1000.0 - k / 3.0);
                // In the direction of the voltage, which leads the current.
                let fault = if k == 0.0 {
                    excess * (angle + 0.9).cos()
                } else {
                    -excess / 2.0 * (angle + 0.9 + k * TAU / 3.0).cos()
                };
                (10_000.0 * (angle.cos() + fault)).round() as i16
            })
        })
        .collect()
}

fn int16(rows: &[[i16; 3]]) -> Vec<u8> {
    rows.as_flattened().iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn record(file: &str, label: &str) -> Map<String, Value> {
    let value = json!({
        "id": file, "file": format!("{file}.npy"), "dataset": "d", "fault_label": label, "label_confidence": "high",
        "score": true, "machine_id": file, "sampling_rate_hz": 1000.0, "rpm": 1290.0, "pole_pairs": 2, "bearing": null,
        "channels_synchronous": true, "severity": null, "notes": "x",
        "channels": [{"name": "current_1", "unit": "A", "scale": 0.001}, {"name": "current_2", "unit": "A", "scale": 0.001},
            {"name": "current_3", "unit": "A", "scale": 0.001}],
    });
    let Value::Object(fields) = value else { unreachable!() };
    fields
}

fn write(directory: &Path, records: &[Map<String, Value>]) {
    let text = json!({"format": "npy", "records": records}).to_string();
    std::fs::write(directory.join("manifest.json"), text).unwrap();
}

fn evaluated(directory: &Path) -> Evaluation {
    evaluate(&directory.join("manifest.json"), &Thresholds::default()).unwrap()
}

#[test]
fn recordings_are_read_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("well.npy"), npy("<i2", "False", "(2000, 3)", int16(&currents(0.0)))).unwrap();
    std::fs::write(at("ill.npy"), npy("<i2", "False", "(2000, 3)", int16(&currents(0.3)))).unwrap();
    std::fs::write(at("run.npy"), npy("<i2", "False", "(2, 1000, 3)", int16(&currents(0.0)))).unwrap();
    let mut unread = record("absent", "healthy");
    unread.insert("extra".to_owned(), json!({"unknown": [1, 2]}));
    write(
        directory.path(),
        &[record("well", "healthy"), unread, record("ill", "turn_fault"), record("run", "other")],
    );

    let recording = records(&at("manifest.json")).unwrap()[0].load().unwrap();
    let block = &recording.measurement.blocks[0];
    assert_eq!(block.channels.iter().map(|c| c.quantity).collect::<Vec<_>>(), Quantity::CURRENTS);
    assert!((block.channels[0].samples[0] - 10.0).abs() < 1e-6);
    assert_eq!(block.value(Quantity::Speed), Some(1290.0));

    let evaluation = evaluated(directory.path());
    assert_eq!(evaluation.errors.len(), 1);
    assert_eq!(evaluation.errors[0].id, "absent");
    assert!(evaluation.errors[0].error.contains("absent.npy"), "{}", evaluation.errors[0].error);
    assert_eq!(evaluation.records.len(), 3);
    let turn_fault = &evaluation.per_fault[&FaultType::TurnFault];
    assert_eq!((turn_fault.counts.found, turn_fault.counts.without_fault), (1, 2), "{evaluation:?}");
    assert_eq!((turn_fault.f1, evaluation.means.f1), (Some(1.0), 1.0));
    // No vibration: abstaining is right and counts for nothing.
    let bearing = &evaluation.per_fault[&FaultType::Bearing];
    assert_eq!((bearing.counts.abstained_rightly, bearing.counts.without_fault, bearing.f1), (3, 0, None));
    assert_eq!(evaluation.records[2].verdicts[&FaultType::TurnFault].alarms_in_first_half, Some(0));
    assert_eq!(evaluation.records[1].verdicts[&FaultType::TurnFault].status, Status::Fault);
    let confused = &evaluation.confusion[&Label::TurnFault];
    assert_eq!(confused.taken_for.get(&FaultType::TurnFault), Some(&1));
    assert_eq!(evaluation.confusion[&Label::Healthy].quiet, 1);
    assert_eq!(evaluation.per_machine["ill"][&FaultType::TurnFault].counts.found, 1);

    let text = serde_json::to_value(&evaluation).unwrap();
    for key in ["precision", "recall", "f1"] {
        assert!(text[key].is_number() && text["macro"][key].is_number(), "{key}");
    }
    assert_eq!(text["records"][1]["verdicts"]["turn_fault"]["status"], "fault");
    assert_eq!(text["false_alarms_per_1000_healthy"], 0.0);
}

#[test]
fn an_abstention_where_the_data_suffice_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let mut rows = currents(0.3);
    // A dead sensor: three currents are there, but one says nothing.
    rows.iter_mut().for_each(|row| (row[1], row[2]) = (0, 0));
    std::fs::write(directory.path().join("dead.npy"), npy("<i2", "False", "(2000, 3)", int16(&rows)))
        .unwrap();
    write(directory.path(), &[record("dead", "turn_fault")]);
    let evaluation = evaluated(directory.path());
    let counts = evaluation.per_fault[&FaultType::TurnFault].counts;
    assert_eq!((counts.with_fault, counts.found, counts.missed_by_abstaining), (1, 0, 1), "{evaluation:?}");
    assert_eq!(evaluation.means.recall, 0.0);
    assert!(evaluation.abstained_wrongly >= 1);
}

/// What is measured in a manifest of one record.
fn measured(record: &Map<String, Value>, data: Vec<u8>) -> vtox_evaluation::Measurement {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("x.npy"), data).unwrap();
    write(directory.path(), std::slice::from_ref(record));
    records(&directory.path().join("manifest.json")).unwrap()[0].load().unwrap().measurement
}

fn channels(block: &SignalBlock) -> Vec<(Quantity, &[f32])> {
    block.channels.iter().map(|c| (c.quantity, c.samples.as_slice())).collect()
}

#[test]
fn manifests_of_other_people_are_read() {
    let Value::Object(least) = json!({
        "file": "x.npy", "fault_label": "healthy", "sampling_rate_hz": 5000, "channels": ["ia", "acc_x"],
        "surprise": {"a": null}, "rpm": null,
    }) else {
        unreachable!()
    };
    let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let six = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let expected: [(Quantity, &[f32]); 2] =
        [(Quantity::CurrentA, &[1.0, 3.0, 5.0]), (Quantity::VibrationX, &[2.0, 4.0, 6.0])];
    let rows = measured(&least, npy("<f4", "False", "(3, 2)", floats(&six)));
    assert_eq!(channels(&rows.blocks[0]), expected);
    assert_eq!(rows.blocks[0].value(Quantity::Speed), None);
    let fortran = measured(&least, npy("<f4", "True", "(3, 2)", floats(&[1.0, 3.0, 5.0, 2.0, 4.0, 6.0])));
    assert_eq!(channels(&fortran.blocks[0]), expected);
    let turned = measured(&least, npy("<f4", "False", "(2, 3)", floats(&[1.0, 3.0, 5.0, 2.0, 4.0, 6.0])));
    assert_eq!(channels(&turned.blocks[0]), expected);

    let mut one = least.clone();
    one.insert("channels".to_owned(), json!([{"name": "Leakage Current", "unit": "mA", "scale": null}]));
    one.insert("bearing".to_owned(), json!({"designation": "?", "bpfo_x_fr": 3.5848, "bpfi_x_fr": 5.4152}));
    one.insert(
        "readings".to_owned(),
        json!({"insulation_resistance": {"value": 500, "unit": "kohm"}, "temperature_k": 300.0}),
    );
    one.insert("motor_type".to_owned(), json!("pmsm"));
    let one = measured(
        &one,
        npy("<f8", "False", "(2,)", [1.5f64, 2.5].iter().flat_map(|v| v.to_le_bytes()).collect()),
    );
    assert_eq!(channels(&one.blocks[0]), [(Quantity::LeakageCurrent, &[1.5e-3f32, 2.5e-3][..])]);
    assert_eq!(one.blocks[0].value(Quantity::InsulationResistance), Some(0.5));
    assert!((one.blocks[0].value(Quantity::Temperature).unwrap() - 26.85).abs() < 1e-9);
    assert_eq!(one.profile.bearing.unwrap().elements, 9);
}

#[test]
fn insulation_may_be_readings_alone() {
    let directory = tempfile::tempdir().unwrap();
    let text = r#"{"records": [
        {"id": "worn", "fault_label": "insulation", "rpm": NaN, "notes": "NaN \" Infinity", "readings": {"insulation_resistance_mohm": 0.3,
            "temperature_c": 40, "leakage_current": {"value": 4, "unit": "mA"}}},
        {"id": "sound", "fault_label": "healthy", "readings": {"insulation_resistance_mohm": [900, 800, 850], "temperature_c": 40}},
        {"id": "nothing", "fault_label": "insulation"}]}"#;
    std::fs::write(directory.path().join("manifest.json"), text).unwrap();
    let evaluation = evaluated(directory.path());
    let counts = evaluation.per_fault[&FaultType::Insulation].counts;
    assert_eq!(
        (counts.with_fault, counts.found, counts.without_fault, counts.false_alarms),
        (1, 1, 1, 0),
        "{evaluation:?}"
    );
    assert_eq!(evaluation.records[1].verdicts[&FaultType::Insulation].verdicts_in_first_half, Some(1));
    assert!(evaluation.errors[0].error.contains("no file"), "{:?}", evaluation.errors);
}

/// All fields of a record that may give its label away.
const TELLTALE: [&str; 12] = [
    "id",
    "dataset",
    "fault_label",
    "label_confidence",
    "machine_id",
    "severity",
    "severity_value",
    "fault_detail",
    "faulty_phase",
    "notes",
    "secondary_labels",
    "source",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_label_reaches_a_detector(label in 0usize..7, text in "[a-z_ ]{0,12}", number in -5.0..5.0f64, drop in any::<u16>(), name in "[a-z_]{1,9}") {
        let directory = tempfile::tempdir().unwrap();
        let data = npy("<i2", "False", "(2000, 3)", int16(&currents(0.1)));
        std::fs::write(directory.path().join("plain.npy"), &data).unwrap();
        let disguised_file = format!("broken_bar_{name}.npy");
        std::fs::write(directory.path().join(&disguised_file), &data).unwrap();
        let plain = record("plain", "turn_fault");
        let mut disguised = plain.clone();
        for (i, field) in TELLTALE.iter().enumerate() {
            let value = match i % 3 {
                0 => json!(text),
                1 => json!(number),
                _ => json!([text]),
            };
            if drop >> i & 1 == 1 {
                disguised.remove(*field);
            } else {
                disguised.insert((*field).to_owned(), value);
            }
        }
        disguised.insert("fault_label".to_owned(), json!(Label::ALL[label].name()));
        disguised.insert("file".to_owned(), json!(disguised_file));
        write(directory.path(), &[plain, disguised]);
        let evaluation = evaluated(directory.path());
        prop_assert!(evaluation.errors.is_empty(), "{:?}", evaluation.errors);
        prop_assert_eq!(&evaluation.records[0].verdicts, &evaluation.records[1].verdicts);
        prop_assert_eq!(evaluation.records[1].label, Label::ALL[label]);
    }
}

#[test]
fn what_is_wrong_with_a_manifest_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = directory.path().join("manifest.json");
    assert!(matches!(records(&manifest), Err(ManifestError::Io { .. })));
    std::fs::write(&manifest, "{}").unwrap();
    let no_records = records(&manifest).err().unwrap();
    assert!(no_records.to_string().contains("records"), "{no_records}");
    let mut unnamed = record("cut", "healthy");
    unnamed.remove("channels");
    write(directory.path(), &[record("cut", "healthy"), record("cut", "haunted"), unnamed]);
    std::fs::write(directory.path().join("cut.npy"), npy("<i2", "False", "(2, 2)", vec![0; 8])).unwrap();
    let errors = evaluated(directory.path()).errors;
    for (error, part) in errors.iter().zip(["does not fit 3 channels", "haunted", "channels"]) {
        assert!(error.error.contains(part), "{}", error.error);
    }
    assert_eq!(errors.len(), 3);
}
