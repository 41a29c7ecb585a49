//! Turn faults, broken bars and eccentricity on signals with known content, at several supply frequencies.

use crate::common::{Currents, SUPPLY_HZ, profile};
use vtox_diagnosis::{Prepared, diagnose};
use vtox_protocol::{Channel, FaultType, MotorProfile, MotorType, Quantity, SignalBlock, Status, Verdict};

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

/// 2 % slip of a motor with two pole pairs.
fn rpm(f0: f64) -> Option<f64> {
    Some(0.98 * f0 / 2.0 * 60.0)
}

#[test]
fn broken_bars_are_found_where_the_slip_says() {
    for f0 in SUPPLY_HZ {
        let mut currents = Currents::healthy(f0, 2000.0, 4.0);
        let healthy = verdict(&currents.block(rpm(f0)), &profile(), FaultType::BrokenBar);
        assert_eq!(healthy.status, Status::Normal, "{f0} Hz: {healthy:?}");

        currents.lines.extend([(0.96 * f0, 0.012), (1.04 * f0, 0.008)]);
        let v = verdict(&currents.block(rpm(f0)), &profile(), FaultType::BrokenBar);
        assert_eq!(v.status, Status::Fault, "{f0} Hz: {v:?}");
        assert!((v.features["sideband_ratio"] / 0.012 - 1.0).abs() < 0.15, "{v:?}");
    }
}

#[test]
fn an_oscillating_load_is_no_broken_bar() {
    for f0 in SUPPLY_HZ {
        let mut currents = Currents::healthy(f0, 2000.0, 4.0);
        // Away from 2 s f0 by more than the speed may be off.
        currents.load = (0.04 * f0 + 3.0, 0.05);
        let v = verdict(&currents.block(rpm(f0)), &profile(), FaultType::BrokenBar);
        assert_eq!(v.status, Status::Normal, "{f0} Hz: {v:?}");
    }
}

#[test]
fn a_short_block_says_how_long_it_should_be() {
    let block = Currents::healthy(50.0, 8000.0, 0.1).block(rpm(50.0));
    let v = verdict(&block, &profile(), FaultType::BrokenBar);
    assert_eq!(v.status, Status::InsufficientData);
    assert!(v.reason.unwrap().contains("at least 1.00 s"));
    let v = verdict(&block, &profile(), FaultType::Eccentricity);
    assert_eq!(v.status, Status::InsufficientData);
    assert!(v.reason.unwrap().contains("at least 0.16 s"));
}

#[test]
fn a_permanent_magnet_motor_has_no_bars() {
    let profile = MotorProfile { motor_type: MotorType::PermanentMagnet, ..profile() };
    let block = Currents::healthy(50.0, 2000.0, 1.0).block(None);
    assert_eq!(verdict(&block, &profile, FaultType::BrokenBar).status, Status::NotApplicable);
    // Its speed follows from the supply.
    assert_eq!(verdict(&block, &profile, FaultType::Eccentricity).status, Status::Normal);
}

#[test]
fn eccentricity_is_found_by_its_level() {
    for f0 in SUPPLY_HZ {
        let shaft_hz = rpm(f0).unwrap() / 60.0;
        for (level, expected) in [(0.001, Status::Normal), (0.003, Status::Warning), (0.008, Status::Fault)] {
            let mut currents = Currents::healthy(f0, 4000.0, 1.0);
            currents.lines.extend([(f0 - shaft_hz, level), (f0 + shaft_hz, 0.8 * level)]);
            for synchronous in [true, false] {
                let mut block = currents.block(rpm(f0));
                block.synchronous = synchronous;
                let v = verdict(&block, &profile(), FaultType::Eccentricity);
                assert_eq!(v.status, expected, "{f0} Hz, {level}: {v:?}");
            }
        }
    }
}

#[test]
fn off_bin_fundamentals_and_noise_light_nothing() {
    for step in 0..40 {
        let f0 = 40.0 + 0.37 * f64::from(step);
        let mut currents = Currents::healthy(f0, 4000.0, 2.0);
        currents.noise = 0.1;
        currents.seed = step as u64 * 3;
        let block = currents.block(rpm(f0));
        for fault in [FaultType::TurnFault, FaultType::Eccentricity, FaultType::BrokenBar] {
            let v = verdict(&block, &profile(), fault);
            assert_eq!(v.status, Status::Normal, "{f0} Hz {fault}: {v:?}");
        }
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

#[test]
fn with_one_pole_pair_the_second_eccentricity_line_is_no_broken_bar() {
    let profile = MotorProfile { pole_pairs: Some(1), ..profile() };
    for f0 in SUPPLY_HZ {
        let shaft_hz = 0.98 * f0;
        let mut currents = Currents::healthy(f0, 2000.0, 4.0);
        currents.lines.push((2.0 * shaft_hz - f0, 0.007));
        let alone = verdict(&currents.block(Some(60.0 * shaft_hz)), &profile, FaultType::BrokenBar);
        assert_eq!(alone.status, Status::Fault, "{f0} Hz: {alone:?}");
        currents.lines.push((2.0 * shaft_hz + f0, 0.007));
        let sisters = verdict(&currents.block(Some(60.0 * shaft_hz)), &profile, FaultType::BrokenBar);
        assert_eq!(sisters.status, Status::Normal, "{f0} Hz: {sisters:?}");
    }
}
