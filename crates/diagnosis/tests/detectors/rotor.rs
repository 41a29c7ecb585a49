//! Broken bars and eccentricity on signals with known content, at several supply frequencies.

use crate::common::{Currents, SUPPLY_HZ, profile};
use vtox_diagnosis::{Prepared, diagnose};
use vtox_protocol::{FaultType, MotorProfile, MotorType, SignalBlock, Status, Verdict};

fn verdict(block: &SignalBlock, profile: &MotorProfile, fault: FaultType) -> Verdict {
    diagnose(&Prepared::new(block, profile), fault)
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
fn what_noise_hides_is_not_called_normal() {
    let mut currents = Currents::healthy(50.0, 2000.0, 1.0);
    currents.noise = 0.3;
    for fault in [FaultType::Eccentricity, FaultType::BrokenBar] {
        let v = verdict(&currents.block(rpm(50.0)), &profile(), fault);
        assert_eq!(v.status, Status::InsufficientData, "{v:?}");
        assert!(v.reason.unwrap().contains("noise hides lines"));
    }
}

#[test]
fn a_nominal_speed_is_refined_by_the_lines_of_the_shaft() {
    for f0 in SUPPLY_HZ {
        let shaft_hz = 0.97 * f0 / 2.0;
        let mut currents = Currents::healthy(f0, 2000.0, 12.0);
        // A rotor as good as any, and an oscillating load where a nominal speed would put the side bands.
        currents.lines.extend([(f0 - shaft_hz, 6e-4), (f0 + shaft_hz, 6e-4)]);
        let nominal_hz = 0.995 * shaft_hz;
        let slip_hz = f0 - 2.0 * nominal_hz;
        currents.load = (2.0 * slip_hz, 0.02);
        let v = verdict(&currents.block(Some(60.0 * nominal_hz)), &profile(), FaultType::BrokenBar);
        assert_eq!(v.status, Status::Normal, "{f0} Hz: {v:?}");
        assert!((v.features["slip"] - 0.03).abs() < 5e-4, "{f0} Hz: {v:?}");
        // Broken bars are where the true slip is.
        currents.load.1 = 0.0;
        currents.lines.extend([(0.94 * f0, 0.012), (1.06 * f0, 0.008)]);
        for rpm in [Some(60.0 * nominal_hz), None] {
            let v = verdict(&currents.block(rpm), &profile(), FaultType::BrokenBar);
            assert_eq!(v.status, Status::Fault, "{f0} Hz, {rpm:?}: {v:?}");
        }
    }
}

#[test]
fn phase_modulation_at_the_slip_is_more_likely_a_load() {
    let f0 = 50.3;
    let mut currents = Currents::healthy(f0, 2000.0, 4.0);
    let found = |currents: &Currents| {
        let v = verdict(&currents.block(rpm(f0)), &profile(), FaultType::BrokenBar);
        (v.status, v.features["amplitude_modulation_share"])
    };
    // 2 s f0 = 2.012 Hz.
    currents.load = (0.04 * f0, 0.02);
    let (status, share) = found(&currents);
    assert_eq!(status, Status::Fault);
    assert!(share > 0.95, "{share}");
    currents.load.1 = 0.0;
    currents.swing = (0.04 * f0, 0.02);
    let (status, share) = found(&currents);
    assert_eq!(status, Status::Warning);
    assert!(share < 0.05, "{share}");
}

#[test]
fn rated_data_alone_need_a_second_family() {
    let rated = MotorProfile { rated_frequency_hz: Some(50.0), rated_speed_rpm: Some(1450.0), ..profile() };
    let mut currents = Currents::healthy(47.3, 2000.0, 4.0);
    currents.load = (2.0, 0.03);
    let v = verdict(&currents.block(None), &rated, FaultType::BrokenBar);
    assert_eq!(v.status, Status::InsufficientData, "{v:?}");
    assert!(v.reason.unwrap().contains("r/min"));
    currents.load.1 = 0.0;
    currents.lines.extend([(45.3, 0.012), (49.3, 0.008), (43.3, 0.003)]);
    let v = verdict(&currents.block(None), &rated, FaultType::BrokenBar);
    assert_eq!(v.status, Status::Warning, "{v:?}");
}

#[test]
fn off_bin_fundamentals_and_noise_light_nothing() {
    for step in 0..40 {
        let f0 = 40.0 + 0.37 * f64::from(step);
        let mut currents = Currents::healthy(f0, 4000.0, 6.0);
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
