//! Broken bars and eccentricity on signals with known content, at several supply frequencies.

use proptest::prelude::*;

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

        // Side bands of 0.012 and 0.008: amplitude, and the phase that a rippling speed adds.
        (currents.load, currents.swing) = ((0.04 * f0, 0.02), (0.04 * f0, -0.004));
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
        (currents.load, currents.swing) = ((0.06 * f0, 0.02), (0.06 * f0, -0.004));
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
        let rpm = Some(60.0 * shaft_hz);
        // (1 - 2s) f0 = 2 fr - f0 rotates forward, f0 - 2 fr backward.
        for (line_hz, expected) in
            [(2.0 * shaft_hz - f0, Status::Fault), (f0 - 2.0 * shaft_hz, Status::Normal)]
        {
            let mut currents = Currents::healthy(f0, 2000.0, 4.0);
            currents.lines.push((line_hz, 0.007));
            let v = verdict(&currents.block(rpm), &profile, FaultType::BrokenBar);
            assert_eq!(v.status, expected, "{f0} Hz, {line_hz}: {v:?}");
            // Without the phases' relation the line f0 + 2 fr must tell.
            currents.lines.push((2.0 * shaft_hz + f0, 0.007));
            let mut block = currents.block(rpm);
            block.synchronous = false;
            let v = verdict(&block, &profile, FaultType::BrokenBar);
            assert_eq!(v.status, Status::Normal, "{f0} Hz: {v:?}");
        }
    }
}

/// Drives and mains, none of them on a bin.
const DRIVE_HZ: [f64; 8] = [12.3, 23.7, 43.7, 50.0, 60.0, 87.0, 120.0, 133.0];

/// 20 dB of noise, harmonics of an inverter, 1 % of unbalance.
fn driven(f0: f64, seed: u64) -> Currents {
    let mut currents = Currents::healthy(f0, 2000.0, 8.0);
    currents.noise = 0.1;
    currents.seed = seed;
    currents.negative = (0.05, 2.0);
    currents.lines = vec![(-5.0 * f0, 0.06), (7.0 * f0, 0.04), (-11.0 * f0, 0.02), (13.0 * f0, 0.015)];
    currents
}

#[test]
fn faults_of_the_rotor_are_told_apart_at_any_speed_in_noise() {
    for (seed, f0) in DRIVE_HZ.into_iter().enumerate() {
        // A slip of 1.2 Hz: side bands 2.4 Hz away.
        let shaft_hz = (f0 - 1.2) / 2.0;
        let alarms = |lines: &[(f64, f64)]| {
            let mut currents = driven(f0, seed as u64);
            currents.lines.extend_from_slice(lines);
            let block = currents.block(Some(60.0 * shaft_hz));
            [FaultType::BrokenBar, FaultType::Eccentricity].map(|fault| {
                let v = verdict(&block, &profile(), fault);
                assert!(v.status.is_evidence(), "{f0} Hz: {v:?}");
                v.status != Status::Normal
            })
        };
        assert_eq!(alarms(&[]), [false, false], "{f0} Hz");
        assert_eq!(alarms(&[(f0 - 2.4, 0.006), (f0 + 2.4, 0.004)]), [true, false], "{f0} Hz");
        let eccentric = [(f0 - shaft_hz, 0.006), (f0 + shaft_hz, 0.005)];
        assert_eq!(alarms(&eccentric), [false, true], "{f0} Hz");
    }
}

#[test]
fn counterfeits_of_rotor_faults_stay_quiet() {
    for seed in 0..60u64 {
        let f0 = 20.0 + 1.93 * seed as f64;
        let slip_hz = 1.2;
        let shaft_hz = (f0 - slip_hz) / 2.0;
        let mut currents = driven(f0, seed);
        // A sound rotor that is out of balance: -57 dB.
        currents.lines.extend([(f0 - shaft_hz, 1.4e-3), (f0 + shaft_hz, 1.4e-3)]);
        // Loads that swing at any rate but the two that faults have, by what the speed may be off and a resolution.
        let apart_hz = 0.004 * f0 + 0.2;
        let swing_hz = 0.6 + 0.37 * seed as f64;
        let clear = [2.0 * slip_hz, shaft_hz].iter().all(|hz| (swing_hz - hz).abs() > apart_hz);
        if clear && seed % 2 == 0 {
            currents.load = (swing_hz, 0.03);
        } else if clear {
            currents.swing = (swing_hz, 0.03);
        }
        let mut block = currents.block(Some(60.0 * shaft_hz));
        if seed % 3 == 0 {
            // A sensor turned round.
            block.channels[(seed % 2) as usize].samples.iter_mut().for_each(|x| *x = -*x);
        }
        for fault in [FaultType::Eccentricity, FaultType::BrokenBar] {
            let v = verdict(&block, &profile(), fault);
            assert!(!matches!(v.status, Status::Warning | Status::Fault), "{f0} Hz, {swing_hz} Hz: {v:?}");
        }
    }
}

#[test]
fn lines_beside_harmonics_confirm_eccentricity() {
    let f0 = 50.3;
    let shaft_hz = 0.98 * f0 / 2.0;
    let mut currents = Currents::healthy(f0, 4000.0, 2.0);
    currents.lines.extend([(f0 - shaft_hz, 0.003), (f0 + shaft_hz, 0.003)]);
    let alone = verdict(&currents.block(rpm(f0)), &profile(), FaultType::Eccentricity);
    assert_eq!(alone.features["agreeing_families"], 0.0, "{alone:?}");
    assert!(alone.reason.unwrap().contains("load that oscillates"));
    currents.lines.extend([(3.0 * f0 + shaft_hz, 0.002), (-5.0 * f0 + shaft_hz, 0.002)]);
    let confirmed = verdict(&currents.block(rpm(f0)), &profile(), FaultType::Eccentricity);
    assert_eq!(confirmed.features["agreeing_families"], 2.0, "{confirmed:?}");
    assert!(confirmed.score > alone.score + 0.2 && confirmed.reason.is_none(), "{confirmed:?}");
}

#[test]
fn where_both_faults_have_their_lines_neither_is_guessed() {
    // fr = 2 s f0 = 3.2 Hz with four pole pairs.
    let (f0, shaft_hz) = (14.4, 3.2);
    let profile = MotorProfile { pole_pairs: Some(4), ..profile() };
    let mut currents = Currents::healthy(f0, 2000.0, 4.0);
    currents.lines.extend([(f0 - shaft_hz, 0.01), (f0 + shaft_hz, 0.008)]);
    for fault in [FaultType::Eccentricity, FaultType::BrokenBar] {
        let v = verdict(&currents.block(Some(60.0 * shaft_hz)), &profile, fault);
        assert_eq!(v.status, Status::InsufficientData, "{v:?}");
        assert!(v.reason.unwrap().contains("another load"));
    }
}

#[test]
fn a_speed_that_contradicts_the_supply_is_said() {
    let block = Currents::healthy(50.0, 2000.0, 4.0).block(Some(900.0));
    for fault in [FaultType::Eccentricity, FaultType::BrokenBar] {
        let v = verdict(&block, &profile(), fault);
        assert_eq!(v.status, Status::InsufficientData, "{v:?}");
        assert!(v.reason.unwrap().contains("do not go together"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn order_of_the_phases_time_and_scale_change_no_verdict(
        f0 in 20.0..130.0f64,
        depth in 0.0..0.02f64,
        order in 0usize..6,
        shift in 0usize..40,
        scale in 1e-3..1e3f32,
        pole_pairs in 1u8..4,
    ) {
        let shaft_hz = 0.97 * f0 / f64::from(pole_pairs);
        let profile = MotorProfile { pole_pairs: Some(pole_pairs), ..profile() };
        let mut currents = Currents::healthy(f0, 2000.0, 4.0);
        currents.lines.extend([(0.94 * f0, depth), (1.06 * f0, 0.7 * depth), (f0 + shaft_hz, depth)]);
        let block = currents.block(Some(60.0 * shaft_hz));
        let mut changed = block.clone();
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for (to, from) in orders[order].into_iter().enumerate() {
            let samples = &block.channels[from].samples;
            changed.channels[to].samples = samples[shift..].iter().map(|x| scale * x).collect();
        }
        for fault in [FaultType::Eccentricity, FaultType::BrokenBar] {
            let (one, other) = (verdict(&block, &profile, fault), verdict(&changed, &profile, fault));
            prop_assert!((one.score - other.score).abs() < 0.04, "{one:?} against {other:?}");
        }
    }
}
