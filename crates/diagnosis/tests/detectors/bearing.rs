//! Bearing defects on synthetic vibration.

use crate::common::{Noise, Vibration, bearing, profile};
use vtox_diagnosis::{Prepared, diagnose};
use vtox_protocol::{FaultType, MotorProfile, SignalBlock, Status, Verdict};

fn verdict(block: &SignalBlock, profile: &MotorProfile) -> Verdict {
    diagnose(&Prepared::new(block, profile), FaultType::Bearing)
}

#[test]
fn defects_are_found_and_named() {
    for shaft_hz in [12.3, 29.0, 55.0] {
        for (per_rev, modulation, symbol) in
            [(bearing().bpfo_per_rev(), 0.0, "BPFO"), (bearing().bpfi_per_rev(), 0.8, "BPFI")]
        {
            let vibration = Vibration::healthy(16_000.0, 2.0, shaft_hz);
            let block = vibration.with_defect(per_rev * shaft_hz, 12.0, modulation).block();
            let v = verdict(&block, &profile());
            assert_eq!(v.status, Status::Fault, "{symbol} at {shaft_hz} Hz: {v:?}");
            assert!(v.evidence[0].line.starts_with(symbol), "{:?}", v.evidence);
            let found = v.features["bearing_characteristic_frequency"];
            assert!((found / (per_rev * shaft_hz) - 1.0).abs() < 0.01, "{found}");
        }
    }
}

#[test]
fn noise_and_random_knocks_stay_quiet() {
    for seed in 0..30 {
        let mut vibration = Vibration::healthy(8000.0, 1.0, 24.7);
        vibration.seed = seed;
        assert_eq!(verdict(&vibration.block(), &profile()).status, Status::Normal, "noise {seed}");

        let mut noise = Noise::new(1000 + seed);
        vibration.impacts = (0..12).map(|_| (noise.uniform(), 15.0)).collect();
        let v = verdict(&vibration.block(), &profile());
        assert_eq!(v.status, Status::Normal, "knocks {seed}: {v:?}");
    }
}

#[test]
fn without_geometry_impulsiveness_warns_and_says_so() {
    let vibration = Vibration::healthy(16_000.0, 1.0, 29.0).with_defect(104.0, 20.0, 0.0);
    let v = verdict(&vibration.block(), &MotorProfile::default());
    assert_eq!(v.status, Status::Warning, "{v:?}");
    assert!(v.reason.unwrap().contains("geometry unknown"));
    assert!(!v.features.contains_key("bearing_characteristic_frequency"));
}

#[test]
fn a_block_of_less_than_two_turns_is_judged_by_impulsiveness_alone() {
    let v = verdict(&Vibration::healthy(8000.0, 0.1, 12.0).block(), &profile());
    assert_eq!(v.status, Status::Normal);
    assert!(v.reason.unwrap().contains("too short"));
}

#[test]
fn without_vibration_there_is_no_verdict() {
    let v = verdict(&SignalBlock::default(), &profile());
    assert_eq!((v.status, v.score), (Status::InsufficientData, 0.0));
}
