//! Turn faults on signals with known content, at several supply frequencies.

use crate::common::{Currents, SUPPLY_HZ, profile};
use vtox_diagnosis::{Prepared, diagnose};
use vtox_protocol::{Channel, FaultType, MotorProfile, Quantity, SignalBlock, Status, Verdict};

fn verdict(block: &SignalBlock, profile: &MotorProfile, fault: FaultType) -> Verdict {
    diagnose(&Prepared::new(block, profile), fault)
}

#[test]
fn a_healthy_drive_is_no_turn_fault_at_any_frequency() {
    for f0 in SUPPLY_HZ {
        let mut currents = Currents::healthy(f0, 8000.0, 0.1);
        currents.noise = 0.1;
        for seed in 0..20 {
            currents.seed = 10 * seed;
            let v = verdict(&currents.block(None), &profile(), FaultType::TurnFault);
            assert_eq!(v.status, Status::Normal, "{f0} Hz: {v:?}");
        }
    }
}

#[test]
fn a_turn_fault_is_found_and_its_phase_named() {
    for f0 in SUPPLY_HZ {
        for phase in 0..3 {
            let mut currents = Currents::healthy(f0, 8000.0, 0.1);
            let angle = 50f64.to_radians() + std::f64::consts::TAU / 3.0 * f64::from(phase);
            currents.negative = (0.12, angle);
            let v = verdict(&currents.block(None), &profile(), FaultType::TurnFault);
            assert_eq!(v.status, Status::Fault, "{f0} Hz: {v:?}");
            assert_eq!(v.features["faulted_phase"], f64::from(phase), "{f0} Hz: {v:?}");
            assert!((v.features["negative_sequence_ratio"] - 0.12).abs() < 0.01);
            assert!(!v.evidence.is_empty() && v.advice.is_some());
        }
    }
}

#[test]
fn what_the_supply_explains_is_no_fault() {
    let mut currents = Currents::healthy(50.0, 8000.0, 0.1);
    currents.negative = (0.10, 0.0);
    let mut block = currents.block(None);
    let unbalanced = Currents { negative: (0.02, 0.0), ..currents };
    for (phase, quantity) in Quantity::VOLTAGES.into_iter().enumerate() {
        block.channels.push(Channel { quantity, rate_hz: 8000.0, samples: unbalanced.samples(phase) });
    }
    let v = verdict(&block, &profile(), FaultType::TurnFault);
    assert_eq!(v.status, Status::Normal, "{v:?}");
    assert!((v.features["supply_unbalance"] - 0.02).abs() < 0.002);
}

#[test]
fn sensor_faults_and_unsynchronous_channels_are_not_judged() {
    let mut flipped = Currents::healthy(50.0, 8000.0, 0.1).block(None);
    for x in &mut flipped.channels[1].samples {
        *x = -*x;
    }
    let mut apart = Currents::healthy(50.0, 8000.0, 0.1).block(None);
    apart.synchronous = false;
    let mut missing = Currents::healthy(50.0, 8000.0, 0.1).block(None);
    missing.channels.pop();
    let short = Currents::healthy(15.0, 8000.0, 0.1).block(None);
    for block in [flipped, apart, missing, short] {
        let v = verdict(&block, &profile(), FaultType::TurnFault);
        assert_eq!(v.status, Status::InsufficientData, "{v:?}");
        assert!(v.reason.is_some());
    }
}

#[test]
fn at_light_load_the_supply_explains_more() {
    let mut currents = Currents::healthy(50.0, 8000.0, 0.1);
    currents.negative = (0.075, 0.5);
    let block = currents.block(None);
    assert_eq!(verdict(&block, &profile(), FaultType::TurnFault).status, Status::Warning);
    // 28 A of 141 A.
    let light = MotorProfile { rated_current_a: Some(141.0), ..profile() };
    assert_eq!(verdict(&block, &light, FaultType::TurnFault).status, Status::Normal);
    let full = MotorProfile { rated_current_a: Some(28.0), ..profile() };
    assert_eq!(verdict(&block, &full, FaultType::TurnFault).status, Status::Warning);
}
