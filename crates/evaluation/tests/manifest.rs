//! Reading a small manifest written by the test, and counting.

use std::fs;
use std::path::PathBuf;

use vtox_evaluation::{ManifestError, evaluate, recordings};
use vtox_protocol::{FaultType, Quantity, Status};

/// A directory that is removed again.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vtox-evaluation-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn npy(shape: &str, values: &[i16]) -> Vec<u8> {
    let header = format!("{{'descr': '<i2', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

/// Two seconds of three currents at 1 kHz and 43.7 Hz; phase A with `excess` more than the others, in raw units of 0.001 A.
fn currents(excess: f64) -> Vec<i16> {
    (0..2000)
        .flat_map(|i| {
            [0.0, 1.0, 2.0].map(|k: f64| {
                let angle = std::f64::consts::TAU * (43.7 * f64::from(i) / 1000.0 - k / 3.0);
                // In the direction of the voltage, which leads the current.
                let fault = if k == 0.0 {
                    excess * (angle + 0.9).cos()
                } else {
                    -excess / 2.0 * (angle + 0.9 + k * std::f64::consts::TAU / 3.0).cos()
                };
                (10_000.0 * (angle.cos() + fault)).round() as i16
            })
        })
        .collect()
}

fn record(id: &str, label: &str, shape: &str) -> String {
    format!(
        r#"{{"id":"{id}","file":"{id}.npy","dataset":"d","fault_label":"{label}","label_confidence":"high","score":true,
        "machine_id":"m","shape":{shape},"channels":[{{"name":"current_1","unit":"A","scale":0.001}},
        {{"name":"current_2","unit":"A","scale":0.001}},{{"name":"current_3","unit":"A","scale":0.001}}],
        "sampling_rate_hz":1000.0,"rpm":1290.0,"pole_pairs":2,"bearing":null,"channels_synchronous":true,"notes":"x"}}"#
    )
}

#[test]
fn recordings_are_read_and_counted() {
    let scratch = Scratch::new("counted");
    scratch.write("well.npy", &npy("(2000, 3)", &currents(0.0)));
    scratch.write("ill.npy", &npy("(2000, 3)", &currents(0.3)));
    scratch.write("run.npy", &npy("(2, 1000, 3)", &currents(0.0)));
    let records = [
        record("well", "healthy", "[2000,3]"),
        record("ill", "turn_fault", "[2000,3]"),
        record("run", "other", "[2,1000,3]"),
    ];
    let manifest =
        scratch.write("manifest.json", format!(r#"{{"records":[{}]}}"#, records.join(",")).as_bytes());
    let all: Vec<_> = recordings(&manifest).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(all[2].blocks.len(), 2);
    let block = &all[0].blocks[0].1;
    assert_eq!(block.channels.iter().map(|c| c.quantity).collect::<Vec<_>>(), Quantity::CURRENTS);
    assert!((block.channels[0].samples[0] - 10.0).abs() < 1e-6);
    assert_eq!(block.value(Quantity::Speed), Some(1290.0));

    let evaluation = evaluate(all);
    let turn_fault = &evaluation.per_fault[&FaultType::TurnFault];
    assert_eq!((turn_fault.counts.found, turn_fault.counts.without_fault), (1, 2), "{evaluation:?}");
    assert_eq!(turn_fault.f1, Some(1.0));
    assert_eq!(evaluation.per_fault[&FaultType::Bearing].counts.abstained, 3);
    assert_eq!(evaluation.per_fault[&FaultType::Bearing].f1, None);
    assert_eq!(evaluation.records[2].verdicts[&FaultType::TurnFault].alarms_in_first_half, Some(0));
    assert_eq!(evaluation.records[1].verdicts[&FaultType::TurnFault].status, Status::Fault);
}

#[test]
fn what_is_wrong_with_a_manifest_is_said() {
    let scratch = Scratch::new("wrong");
    let missing = recordings(&scratch.0.join("manifest.json")).err().unwrap();
    assert!(matches!(missing, ManifestError::Io { .. }), "{missing}");
    let manifest = scratch.write("manifest.json", b"{}");
    let no_records = recordings(&manifest).err().unwrap();
    assert!(no_records.to_string().contains("records"), "{no_records}");
    let text = format!(r#"{{"records":[{}]}}"#, record("cut", "healthy", "[2,3]"));
    let manifest = scratch.write("manifest.json", text.as_bytes());
    scratch.write("cut.npy", &npy("(2, 2)", &[1, 2, 3, 4]));
    let shape = recordings(&manifest).unwrap().next().unwrap().unwrap_err();
    assert!(matches!(shape, ManifestError::Shape { .. }), "{shape}");
}
