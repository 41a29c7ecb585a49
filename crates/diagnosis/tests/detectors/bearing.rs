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
    for seed in 0..100 {
        let mut vibration = Vibration::healthy(8000.0, 1.0, 24.7);
        vibration.seed = seed;
        assert_eq!(verdict(&vibration.block(), &profile()).status, Status::Normal, "noise {seed}");

        let mut noise = Noise::new(1000 + seed);
        vibration.impacts = (0..5 + seed % 36).map(|_| (noise.uniform(), 15.0)).collect();
        let v = verdict(&vibration.block(), &profile());
        assert_eq!(v.status, Status::Normal, "knocks {seed}: {v:?}");
    }
}

/// Elements that pass under the load modulate the noise at BPFO in a sound bearing, too; damage of the same depth strikes.
#[test]
fn smooth_modulation_at_bpfo_is_no_damage_and_weak_impacts_are() {
    let shaft_hz = 29.0;
    let outer_race_hz = bearing().bpfo_per_rev() * shaft_hz;
    for seed in 0..10 {
        let mut vibration = Vibration::healthy(16_000.0, 2.0, shaft_hz);
        vibration.seed = seed;
        let mut block = vibration.block();
        for (i, x) in block.channels[0].samples.iter_mut().enumerate() {
            let angle = std::f64::consts::TAU * outer_race_hz * i as f64 / 16_000.0;
            *x *= (1.0 + 0.7 * angle.cos()) as f32;
        }
        let v = verdict(&block, &profile());
        assert_eq!(v.status, Status::Normal, "{seed}: {v:?}");

        let v = verdict(&vibration.with_defect(outer_race_hz, 6.0, 0.0).block(), &profile());
        assert!(v.score >= 0.3, "{seed}: {v:?}");
        assert!(v.evidence[0].line.starts_with("BPFO"), "{seed}: {:?}", v.evidence);
    }
}

#[test]
fn tones_and_their_beats_stay_quiet() {
    let tau = std::f64::consts::TAU;
    let outer_race_hz = bearing().bpfo_per_rev() * 29.0;
    for seed in 0..10 {
        let mut noise = Noise::new(500 + seed);
        let mut vibration = Vibration::healthy(8000.0, 1.0, 29.0);
        vibration.seed = seed;
        let mut block = vibration.block();
        // A pair of tones that beat at BPFO, a mesh with side bands of the shaft, and a slow change of load.
        let (tone_hz, mesh_hz) =
            (700.0 + 2000.0 * noise.uniform(), 29.0 * (20.0 + 30.0 * noise.uniform()).round());
        for (i, x) in block.channels[0].samples.iter_mut().enumerate() {
            let t = i as f64 / 8000.0;
            let beat = (tau * tone_hz * t).sin() + (tau * (tone_hz + outer_race_hz) * t).sin();
            let mesh = (1.0 + 0.5 * (tau * 29.0 * t).cos()) * (tau * mesh_hz * t).sin();
            let load = 1.0 + 0.3 * (tau * 1.7 * t).cos();
            *x = (load * (f64::from(*x) + 0.3 * beat + 0.3 * mesh)) as f32;
        }
        let v = verdict(&block, &profile());
        assert_eq!(v.status, Status::Normal, "{seed}: {v:?}");
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
