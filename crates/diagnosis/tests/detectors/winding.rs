//! Turn faults on signals with known content, at several supply frequencies.

use crate::common::{Currents, SUPPLY_HZ, profile};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vtox_diagnosis::{FoldedState, Prepared, diagnose, follow};
use vtox_protocol::{Channel, FaultType, MotorProfile, Quantity, SignalBlock, Status, Verdict};
use vtox_simulation::{Condition, Counterfeit, Motor, OperatingPoint, Sampling, Vehicle, generate};

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
    // I2 lags V2 by 65 degrees.
    let unbalanced = Currents { negative: (0.02, 65f64.to_radians()), ..currents };
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
    missing.channels.truncate(1);
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

/// A machine anywhere in the operating range: load 10-100 %, speed 20-100 %, 0.5 % supply unbalance, with or without inverter.
fn anywhere(rng: &mut StdRng) -> (Motor, OperatingPoint) {
    let motor = match rng.random_range(0..4) {
        0 => Motor::induction_4kw(),
        1 => Motor::induction_2kw(),
        2 => Motor::induction_traction(),
        _ => Motor::permanent_magnet(),
    };
    let point = OperatingPoint {
        supply_frequency_hz: rng.random_range(0.25..1.0) * motor.rated_frequency_hz,
        load_fraction: rng.random_range(0.1..1.0),
        supply_unbalance: 0.005,
        inverter: rng.random_bool(0.5),
        ..OperatingPoint::default()
    };
    (Motor { individual: rng.random(), ..motor }, point)
}

fn simulated(
    motor: &Motor,
    point: &OperatingPoint,
    condition: &Condition,
    sampling: &Sampling,
    seed: u64,
) -> Verdict {
    let block = generate(motor, point, condition, sampling, 3.0, &mut StdRng::seed_from_u64(seed));
    verdict(&block, &MotorProfile::default(), FaultType::TurnFault)
}

fn alarm(v: &Verdict) -> bool {
    matches!(v.status, Status::Warning | Status::Fault)
}

#[test]
fn counterfeits_stay_quiet() {
    let mut rng = StdRng::seed_from_u64(1);
    for seed in 0..400 {
        let (motor, point) = anywhere(&mut rng);
        let phase = rng.random_range(0..3);
        let skew_s = rng.random_range(0.0..2e-4);
        let counterfeit = match seed % 13 {
            0 => Counterfeit::LoadOscillation { frequency_hz: rng.random_range(0.5..30.0), depth: 0.3 },
            1 => Counterfeit::MassUnbalance { grade_mm_per_s: 40.0 },
            2 => Counterfeit::RandomImpacts { rate_hz: 20.0, peak: 20.0 },
            3 => Counterfeit::ClockJitter { periods: 0.4, told: false },
            4 => Counterfeit::NonSimultaneous { skew_s, told: false },
            5 => Counterfeit::NonSimultaneous { skew_s: 3e-3, told: true },
            6 => Counterfeit::FlippedChannel { phase },
            7 => Counterfeit::SensorGain { phase, gain: rng.random_range(0.9..1.1) },
            8 => Counterfeit::ClippedChannel { phase, level: rng.random_range(0.6..1.0) },
            9 => Counterfeit::Dropout { phase, share: rng.random_range(0.0..0.3) },
            10 => Counterfeit::MissingChannel { phase },
            11 => Counterfeit::SwappedPhases,
            _ => Counterfeit::SensorGain { phase, gain: 0.01 },
        };
        let sampling = [Sampling::new(8_000.0, 2_048), Sampling::LONG][seed % 2];
        for voltages in [false, true] {
            let sampling = Sampling { voltages, snr_db: 30.0, ..sampling };
            let v = simulated(&motor, &point, &Condition::HEALTHY.with(counterfeit), &sampling, seed as u64);
            assert!(!alarm(&v), "{counterfeit:?} {voltages} {point:?} {sampling:?}: {v:?}");
            let said = v.reason.unwrap_or_default();
            match counterfeit {
                Counterfeit::FlippedChannel { phase } => {
                    assert!(
                        said.contains(&format!("phase {} is turned round", ["A", "B", "C"][phase])),
                        "{said}"
                    );
                }
                Counterfeit::MissingChannel { .. } => assert!(said.contains("worked out"), "{said}"),
                Counterfeit::SwappedPhases => assert!(said.contains("A, C, B"), "{said}"),
                Counterfeit::NonSimultaneous { told: true, .. } => {
                    assert!(said.contains("same instants"), "{said}");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn an_unbalanced_supply_is_seen_through_where_voltages_are_measured() {
    let mut rng = StdRng::seed_from_u64(2);
    for seed in 0..200 {
        let (motor, point) = anywhere(&mut rng);
        let point = OperatingPoint { supply_unbalance: rng.random_range(0.0..0.03), ..point };
        for snr_db in [30.0, 45.0] {
            let sampling = Sampling { snr_db, ..Sampling::LONG.with_voltages() };
            let v = simulated(&motor, &point, &Condition::HEALTHY, &sampling, seed);
            assert!(!alarm(&v), "{point:?}: {v:?}");
        }
    }
}

#[test]
fn voltages_may_be_line_to_line() {
    let mut rng = StdRng::seed_from_u64(3);
    for seed in 0..60 {
        let (motor, point) = anywhere(&mut rng);
        let phase = rng.random_range(0..3);
        let sampling = Sampling::LONG.with_voltages();
        for severity in [0.0, 0.8] {
            let condition = Condition { phase, ..Condition::faulty(FaultType::TurnFault, severity) };
            let point = OperatingPoint { supply_unbalance: 0.02 * (1.0 - severity), ..point };
            let mut block =
                generate(&motor, &point, &condition, &sampling, 3.0, &mut StdRng::seed_from_u64(seed));
            let phases: Vec<Vec<f32>> =
                Quantity::VOLTAGES.map(|q| block.channel(q).unwrap().samples.clone()).into();
            for (k, quantity) in Quantity::VOLTAGES.into_iter().enumerate() {
                let line = phases[k].iter().zip(&phases[(k + 1) % 3]).map(|(a, b)| a - b).collect();
                block.channels.iter_mut().find(|c| c.quantity == quantity).unwrap().samples = line;
            }
            let v = verdict(&block, &MotorProfile::default(), FaultType::TurnFault);
            assert_eq!(alarm(&v), severity > 0.0, "{point:?}: {v:?}");
            assert!(v.reason.as_ref().unwrap().contains("line-to-line"), "{v:?}");
            assert!(severity == 0.0 || v.features["faulted_phase"] as usize == phase, "{v:?}");
        }
    }
}

#[test]
fn a_fault_is_found_with_two_sensors_and_with_the_motor_running_backward() {
    let mut rng = StdRng::seed_from_u64(4);
    for seed in 0..60 {
        let (motor, point) = anywhere(&mut rng);
        // At a tenth of the load a permanent-magnet motor draws less than the fault does.
        let point = OperatingPoint { load_fraction: point.load_fraction.max(0.5), ..point };
        let phase = rng.random_range(0..3);
        let faulty = Condition { phase, ..Condition::faulty(FaultType::TurnFault, 0.9) };
        let missing = faulty.with(Counterfeit::MissingChannel { phase: (phase + seed as usize) % 3 });
        let v = simulated(&motor, &point, &missing, &Sampling::LONG, seed);
        assert!(alarm(&v) && v.features["faulted_phase"] as usize == phase, "{point:?}: {v:?}");
        let v = simulated(&motor, &point, &faulty.with(Counterfeit::SwappedPhases), &Sampling::LONG, seed);
        // What was B is now called C.
        assert!(alarm(&v) && v.features["faulted_phase"] as usize == [0, 2, 1][phase], "{point:?}: {v:?}");
    }
}

#[test]
fn the_score_grows_with_the_shorted_turns() {
    let mut rng = StdRng::seed_from_u64(5);
    for seed in 0..40 {
        let (motor, point) = anywhere(&mut rng);
        for voltages in [false, true] {
            let sampling = Sampling { voltages, ..Sampling::LONG };
            let scores: Vec<f64> = [0.0, 0.4, 0.6, 0.8, 1.0]
                .map(|severity| {
                    let condition = Condition::faulty(FaultType::TurnFault, severity);
                    simulated(&motor, &point, &condition, &sampling, seed).score
                })
                .into();
            // A small fault may at first take the supply's unbalance off.
            assert!(scores[1..].windows(2).all(|w| w[1] >= w[0]), "{point:?}: {scores:?}");
            assert!(scores[0] < 0.3 && scores[4] >= 0.6, "{point:?} {voltages}: {scores:?}");
        }
    }
}

#[test]
fn a_small_fault_shows_as_growth_out_of_the_vehicles_own_unbalance() {
    let mut found = 0;
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (motor, point) = anywhere(&mut rng);
        let point = OperatingPoint { supply_frequency_hz: 0.9 * motor.rated_frequency_hz, ..point };
        let condition = Condition { phase: 1, ..Condition::faulty(FaultType::TurnFault, 0.0) };
        let mut vehicle = Vehicle::new("v".to_owned(), motor, point, condition, seed);
        let mut state = FoldedState::default();
        let mut run = |vehicle: &mut Vehicle, block: u32| {
            let block = vehicle.next_block(&Sampling::SHORT, f64::from(block));
            let (v, next) =
                follow(&Prepared::new(&block, &MotorProfile::default()), FaultType::TurnFault, &state);
            state = next;
            v
        };
        for block in 0..30 {
            let v = run(&mut vehicle, block);
            assert!(!alarm(&v), "{point:?}: {v:?}");
        }
        // 2.5 % of the turns.
        let grown = vtox_simulation::Development::Linear { begins_s: 0.0, ends_s: 1.0, severity: 0.25 };
        let mut vehicle = vehicle.developing(grown);
        let v = (30..45).map(|block| run(&mut vehicle, block)).last().unwrap();
        found += u32::from(alarm(&v));
        if alarm(&v) {
            assert_eq!(v.features["faulted_phase"], 1.0, "{v:?}");
        }
        let text = serde_json::to_string(&state).unwrap();
        assert!(text.len() < 400, "{text}");
    }
    assert!(found >= 15, "{found} of 20");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn scale_of_currents_and_of_voltages_does_not_matter(power in -12i32..12, volts in -6i32..6, severity in 0.0..1.0f64, seed in any::<u64>()) {
        let mut rng = StdRng::seed_from_u64(seed);
        let (motor, point) = anywhere(&mut rng);
        let condition = Condition::faulty(FaultType::TurnFault, severity);
        let mut block = generate(&motor, &point, &condition, &Sampling::SHORT.with_voltages(), 3.0, &mut rng);
        // Without rated values nothing but ratios is left.
        block.profile = None;
        let judge = |block: &SignalBlock| verdict(block, &MotorProfile::default(), FaultType::TurnFault);
        let before = judge(&block);
        for channel in &mut block.channels {
            let factor = match channel.quantity {
                q if Quantity::CURRENTS.contains(&q) => 2f32.powi(power),
                q if Quantity::VOLTAGES.contains(&q) => 2f32.powi(volts),
                _ => 1.0,
            };
            channel.samples.iter_mut().for_each(|x| *x *= factor);
        }
        let after = judge(&block);
        prop_assert_eq!(before.status, after.status);
        prop_assert!((before.score - after.score).abs() < 1e-9);
    }
}
