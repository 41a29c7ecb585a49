//! What must hold of every detector whatever the input.

use crate::common::{Currents, Vibration, bearing, profile};
use proptest::prelude::*;
use vtox_diagnosis::{FoldedState, Prepared, charts, diagnose, follow};
use vtox_protocol::{Channel, FaultType, MotorProfile, Quantity, SignalBlock, Status, Verdict};

const SAMPLED: [Quantity; 8] = [
    Quantity::CurrentA,
    Quantity::CurrentB,
    Quantity::CurrentC,
    Quantity::VoltageA,
    Quantity::VibrationX,
    Quantity::VibrationY,
    Quantity::LeakageCurrent,
    Quantity::InsulationResistance,
];

fn all(block: &SignalBlock, profile: &MotorProfile) -> Vec<Verdict> {
    let prepared = Prepared::new(block, profile);
    FaultType::ALL.map(|fault| diagnose(&prepared, fault)).into()
}

fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -10.0..10.0f32,
        1 => Just(0.0f32),
        1 => prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::MAX), Just(f32::MIN_POSITIVE)],
    ]
}

fn samples() -> impl Strategy<Value = Vec<f32>> {
    prop_oneof![
        prop::collection::vec(-1.0..1.0f32, 1..300),
        prop::collection::vec(value(), 1..100),
        (value(), 1usize..400).prop_map(|(x, n)| vec![x; n]),
        (64usize..900, 0.001..3.0f64, -30i32..38).prop_map(|(n, step, power)| {
            (0..n).map(|i| ((i as f64 * step).sin() * 10f64.powi(power)) as f32).collect()
        }),
    ]
}

fn block() -> impl Strategy<Value = SignalBlock> {
    let channel = (samples(), prop_oneof![Just(8000.0), 0.001..1e6f64]);
    let readings = prop::collection::btree_map(
        prop::sample::select(vec![
            Quantity::Speed,
            Quantity::Temperature,
            Quantity::LeakageCurrent,
            Quantity::DcBusVoltage,
            Quantity::InsulationResistance,
        ]),
        prop_oneof![-1e3..1e5f64, Just(f64::NAN), Just(f64::MAX), Just(0.0)],
        0..4,
    );
    (prop::collection::vec(channel, 0..=SAMPLED.len()), readings, any::<bool>()).prop_map(
        |(channels, readings, synchronous)| SignalBlock {
            channels: SAMPLED
                .into_iter()
                .zip(channels)
                .map(|(quantity, (samples, rate_hz))| Channel { quantity, rate_hz, samples })
                .collect(),
            readings,
            synchronous,
            ..SignalBlock::default()
        },
    )
}

proptest! {
    #[test]
    fn scores_and_features_are_always_finite(block in block(), pairs in prop::option::of(0u8..9), geometry in any::<bool>()) {
        let profile = MotorProfile {
            pole_pairs: pairs,
            rotor_bars: Some(28),
            bearing: geometry.then(bearing),
            ..MotorProfile::default()
        };
        let mut state = FoldedState::default();
        let prepared = Prepared::new(&block, &profile);
        for fault in FaultType::ALL {
            let (verdict, next) = follow(&prepared, fault, &state);
            prop_assert!((0.0..=1.0).contains(&verdict.score), "{verdict:?}");
            prop_assert!(verdict.features.values().all(|v| v.is_finite()), "{verdict:?}");
            prop_assert!(verdict.status.is_evidence() || (verdict.score == 0.0 && verdict.reason.is_some()));
            state = next;
        }
        for fault in FaultType::ALL {
            let charts = charts(&prepared, fault);
            for curve in charts.time_series.values().chain(charts.frequency_spectrum.values()) {
                prop_assert!(curve.len() <= 200 && curve.iter().all(|v| v.is_finite()));
            }
        }
    }

    #[test]
    fn scale_changes_nothing(power in -15i32..15, defect in any::<bool>()) {
        // Powers of two are exact in f32, so the verdicts must be the same to the last bits of f64.
        let factor = 2f32.powi(power);
        let healthy = Vibration::healthy(8000.0, 0.5, 29.0);
        let vibration = if defect { healthy.with_defect(104.0, 10.0, 0.0) } else { healthy };
        let mut currents = Currents::healthy(60.3, 2000.0, 1.5);
        currents.negative = (0.07, 1.0);
        currents.lines.push((60.3 + 29.0, 0.003));
        for mut block in [vibration.block(), currents.block(Some(1740.0))] {
            let before = all(&block, &profile());
            for channel in &mut block.channels {
                channel.samples.iter_mut().for_each(|x| *x *= factor);
            }
            for (before, after) in before.iter().zip(all(&block, &profile())) {
                prop_assert_eq!(before.status, after.status);
                prop_assert!((before.score - after.score).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn permuting_the_phases_permutes_the_named_phase(f0 in 30.0..200.0f64, angle in 0.0..6.2f64) {
        let mut currents = Currents::healthy(f0, 8000.0, 0.128);
        currents.negative = (0.15, angle);
        // Close to the border of a sector the noise decides.
        let to_border = ((angle.to_degrees() - 50.0).rem_euclid(120.0) - 60.0).abs();
        prop_assume!(to_border > 3.0);
        let mut block = currents.block(None);
        let named = |block: &SignalBlock| {
            let verdict = diagnose(&Prepared::new(block, &profile()), FaultType::TurnFault);
            assert_eq!(verdict.status, Status::Fault, "{verdict:?}");
            (verdict.features["faulted_phase"] as usize, verdict.score)
        };
        let (first, score) = named(&block);
        for shift in 1..3 {
            // What was phase k is now phase k + shift.
            for (k, channel) in block.channels.iter_mut().enumerate() {
                channel.quantity = Quantity::CURRENTS[(k + shift) % 3];
            }
            let (now, permuted_score) = named(&block);
            prop_assert_eq!(now, (first + shift) % 3);
            prop_assert!((score - permuted_score).abs() < 1e-6);
        }
    }

    #[test]
    fn a_shift_in_time_changes_no_verdict(cut in 0usize..400) {
        let mut currents = Currents::healthy(47.3, 2000.0, 3.2);
        let shaft_hz = 0.97 * 47.3 / 2.0;
        currents.lines.extend([(0.94 * 47.3, 0.012), (47.3 - shaft_hz, 0.01), (47.3 + shaft_hz, 0.008)]);
        let block = currents.block(Some(60.0 * shaft_hz));
        let part = |from: usize| {
            let mut block = block.clone();
            for channel in &mut block.channels {
                channel.samples = channel.samples[from..from + 6000].to_vec();
            }
            all(&block, &profile()).iter().map(|v| v.status).collect::<Vec<_>>()
        };
        prop_assert_eq!(part(cut), part(0));
    }
}

#[test]
fn two_faults_at_once_are_both_named() {
    let shaft_hz = 0.97 * 47.3 / 2.0;
    let mut currents = Currents::healthy(47.3, 2000.0, 3.2);
    currents.negative = (0.12, 1.0);
    currents.lines.extend([(0.94 * 47.3, 0.012), (1.06 * 47.3, 0.008)]);
    let mut block = currents.block(Some(60.0 * shaft_hz));
    let outer_race_hz = bearing().bpfo_per_rev() * shaft_hz;
    let vibration = Vibration::healthy(8000.0, 3.2, shaft_hz).with_defect(outer_race_hz, 8.0, 0.0);
    block.channels.extend(vibration.block().channels);
    let status: Vec<Status> = all(&block, &profile()).iter().map(|v| v.status).collect();
    let [turn, insulation, bearing, eccentricity, bar] = status[..] else { panic!("{status:?}") };
    assert_eq!((turn, bearing, bar), (Status::Fault, Status::Fault, Status::Fault));
    assert_eq!((insulation, eccentricity), (Status::InsufficientData, Status::Normal));
}
