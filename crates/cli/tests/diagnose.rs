//! `vtox diagnose` and `vtox evaluate` as their users run them.

use std::f64::consts::TAU;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn vtox(arguments: &[&str], directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vtox")).args(arguments).current_dir(directory).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&text(output)).unwrap()
}

/// Two seconds of three balanced currents at 50 Hz and 2 kHz, as a table.
fn table(directory: &Path) {
    let mut csv = "时间,Ia,Ib,Ic\n".to_owned();
    for i in 0..4_000 {
        let t = f64::from(i) / 2_000.0;
        let current = |k: f64| 10.0 * (TAU * (50.0 * t - k / 3.0)).cos();
        writeln!(csv, "{t:.6},{:.5},{:.5},{:.5}", current(0.0), current(1.0), current(2.0)).unwrap();
    }
    std::fs::write(directory.join("motor.csv"), csv).unwrap();
}

#[test]
fn it_asks_for_what_it_lacks_and_takes_what_it_is_given() {
    let directory = tempfile::tempdir().unwrap();
    table(directory.path());
    let asked = text(&vtox(&["diagnose", "motor.csv"], directory.path()));
    for flag in ["--rpm", "--pole-pairs", "--reading insulation_resistance=", "--bearing", "--motor-type"] {
        assert!(asked.contains(flag), "{flag}: {asked}");
    }
    let given = [
        "diagnose",
        "motor.csv",
        "--json",
        "--rpm",
        "1450",
        "--pole-pairs",
        "2",
        "--motor-type",
        "induction",
        "--rotor-bars",
        "28",
        "--reading",
        "insulation_resistance=0.4",
        "--reading",
        "temperature_c=40",
        "--insulation-class",
        "F",
        "--rated-voltage",
        "400",
        "--rated-current",
        "8",
        "--bearing",
        "6205",
    ];
    let answer = json(&vtox(&given, directory.path()));
    assert_eq!(answer["verdicts"]["insulation"]["status"], "fault", "{answer}");
    assert_eq!(answer["verdicts"]["turn_fault"]["status"], "normal");
    assert_eq!(answer["verdicts"]["broken_bar"]["status"], "normal");
    let lacking = &answer["lacking"]["bearing"];
    assert_eq!(lacking.as_array().unwrap().len(), 1, "{lacking}");
    assert!(lacking[0].as_str().unwrap().contains("vibration"));
    assert_eq!(answer["lacking"].as_object().unwrap().len(), 1, "{answer}");
}

#[test]
fn a_profile_and_thresholds_are_read_from_files() {
    let directory = tempfile::tempdir().unwrap();
    table(directory.path());
    std::fs::write(
        directory.path().join("motor.json"),
        r#"{"motor_type":"permanent_magnet","pole_pairs":3}"#,
    )
    .unwrap();
    let answer =
        json(&vtox(&["diagnose", "motor.csv", "--json", "--profile", "motor.json"], directory.path()));
    assert_eq!(answer["verdicts"]["broken_bar"]["status"], "not_applicable");
    let settings = "[diagnosis.insulation]\nlg_resistance = { healthy = 5, warning = 4, fault = 3 }\n";
    std::fs::write(directory.path().join("vtox.toml"), settings).unwrap();
    let command = [
        "diagnose",
        "motor.csv",
        "--json",
        "--reading",
        "insulation_resistance=500",
        "--reading",
        "temperature=40",
    ];
    let shipped = json(&vtox(&command, directory.path()));
    assert_eq!(shipped["verdicts"]["insulation"]["status"], "normal");
    let stricter: Vec<&str> = ["--config", "vtox.toml"].into_iter().chain(command).collect();
    let answer = json(&vtox(&stricter, directory.path()));
    assert_eq!(answer["verdicts"]["insulation"]["status"], "fault", "{answer}");
}

#[test]
fn an_array_without_a_manifest_needs_its_columns() {
    let directory = tempfile::tempdir().unwrap();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2000, 1), }\n";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend((0..2_000).flat_map(|i| ((TAU * 50.0 * f64::from(i) / 1_000.0).sin() as f32).to_le_bytes()));
    std::fs::write(directory.path().join("a.npy"), bytes).unwrap();
    let refused = vtox(&["diagnose", "a.npy"], directory.path());
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--channels"), "{refused:?}");
    let command = [
        "diagnose",
        "a.npy",
        "--rate",
        "1000",
        "--channels",
        "i_a",
        "--rpm",
        "1440",
        "--pole-pairs",
        "2",
        "--json",
    ];
    let answer = json(&vtox(&command, directory.path()));
    assert_eq!(answer["verdicts"]["broken_bar"]["status"], "normal", "{answer}");
}

#[test]
fn a_report_is_one_page() {
    let directory = tempfile::tempdir().unwrap();
    table(directory.path());
    let command = ["diagnose", "motor.csv", "--rpm", "1450", "--pole-pairs", "2", "--report", "out.html"];
    text(&vtox(&command, directory.path()));
    let page = std::fs::read_to_string(directory.path().join("out.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("(1 - 2s) f0") && page.contains("f0 + fr"));
    assert!(!page.contains("http"), "a reference outside");
}

#[test]
fn simulated_windows_are_evaluated_and_written_down() {
    let directory = tempfile::tempdir().unwrap();
    let command = ["evaluate", "--simulated", "--windows", "20", "--json", "--markdown", "accuracy.md"];
    let answer = json(&vtox(&command, directory.path()));
    assert_eq!(answer["simulated"]["options"]["windows"], 20);
    let page = std::fs::read_to_string(directory.path().join("accuracy.md")).unwrap();
    assert!(
        page.contains("# Accuracy") && page.contains("probability of detection") && page.contains(" 0.1 |")
    );
    let nothing = vtox(&["evaluate"], directory.path());
    assert!(!nothing.status.success(), "neither a manifest nor --simulated");
}
