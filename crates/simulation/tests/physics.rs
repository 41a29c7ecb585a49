//! The signals have what the physics says, where it says.

use std::f64::consts::TAU;

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use vtox_protocol::{FaultType, Quantity, SignalBlock};
use vtox_simulation::{BearingDefect, Condition, Motor, OperatingPoint, Sampling, SignalModel, generate};

/// Complex numbers as pairs, enough for phasors.
type Complex = (f64, f64);

fn magnitude((re, im): Complex) -> f64 {
    re.hypot(im)
}

/// Peak phasor of a line of a channel, through a Hann window.
fn phasor(block: &SignalBlock, quantity: Quantity, frequency_hz: f64) -> Complex {
    let channel = block.channel(quantity).unwrap();
    let n = channel.samples.len() as f64;
    let (mut re, mut im, mut sum) = (0.0, 0.0, 0.0);
    for (i, x) in channel.samples.iter().enumerate() {
        let window = 0.5 - 0.5 * (TAU * i as f64 / n).cos();
        let (sin, cos) = (TAU * frequency_hz * i as f64 / channel.rate_hz).sin_cos();
        re += window * f64::from(*x) * cos;
        im -= window * f64::from(*x) * sin;
        sum += window;
    }
    (2.0 * re / sum, 2.0 * im / sum)
}

fn line_a(block: &SignalBlock, frequency_hz: f64) -> f64 {
    magnitude(phasor(block, Quantity::CurrentA, frequency_hz))
}

/// Negative-sequence phasor: (A + a^2 B + a C) / 3.
fn negative_sequence(block: &SignalBlock, frequency_hz: f64) -> Complex {
    let mut sum = (0.0, 0.0);
    for (k, quantity) in Quantity::CURRENTS.into_iter().enumerate() {
        let (re, im) = phasor(block, quantity, frequency_hz);
        let (sin, cos) = (2.0 * k as f64 * TAU / 3.0).sin_cos();
        sum.0 += (re * cos - im * sin) / 3.0;
        sum.1 += (re * sin + im * cos) / 3.0;
    }
    sum
}

fn block(condition: Condition, sampling: &Sampling) -> SignalBlock {
    block_at(&OperatingPoint::default(), condition, sampling)
}

fn block_at(point: &OperatingPoint, condition: Condition, sampling: &Sampling) -> SignalBlock {
    generate(&Motor::induction_4kw(), point, &condition, sampling, 12.5, &mut StdRng::seed_from_u64(3))
}

#[test]
fn the_fundamental_is_where_and_as_large_as_it_should_be() {
    for load_fraction in [0.0, 0.5, 1.0] {
        let point = OperatingPoint { load_fraction, ..OperatingPoint::default() };
        let b = block_at(&point, Condition::HEALTHY, &Sampling::LONG);
        let expected_a = 8.5 * 2f64.sqrt() * Motor::induction_4kw().current_ratio(load_fraction);
        assert!((line_a(&b, 50.0) / expected_a - 1.0).abs() < 0.03);
        let largest = (100..2000)
            .map(|f| f64::from(f) / 10.0)
            .max_by(|a, b_| line_a(&b, *a).total_cmp(&line_a(&b, *b_)));
        assert_eq!(largest, Some(50.0));
        assert!((b.value(Quantity::Speed).unwrap() - (1500.0 - 45.0 * load_fraction)).abs() < 1.0);
    }
}

#[test]
fn noise_has_the_given_ratio_to_the_signal() {
    let sampling = Sampling { rate_hz: 8000.0, samples: 8000, snr_db: 20.0 };
    let quiet = Sampling { snr_db: 300.0, ..sampling };
    let (noisy, clean) = (block(Condition::HEALTHY, &sampling), block(Condition::HEALTHY, &quiet));
    let samples = |b: &SignalBlock| b.channel(Quantity::CurrentB).unwrap().samples.clone();
    let power: f64 =
        samples(&noisy).iter().zip(samples(&clean)).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
            / 8000.0;
    let snr_db = 10.0 * (line_a(&clean, 50.0).powi(2) / 2.0 / power).log10();
    assert!((snr_db - 20.0).abs() < 0.3, "{snr_db}");
}

#[test]
fn a_healthy_motor_shows_no_fault() {
    // Eight seconds, or the window's own side lobes hide what is to be seen.
    let b = block(Condition::HEALTHY, &Sampling::new(4_000.0, 32_768));
    let f0 = line_a(&b, 50.0);
    let db = |f: f64| 20.0 * (line_a(&b, f) / f0).log10();
    assert!(magnitude(negative_sequence(&b, 50.0)) < 0.01 * f0);
    let slip_hz = 1.5 * 0.75;
    assert!(db(50.0 - 2.0 * slip_hz) < -54.0, "{}", db(50.0 - 2.0 * slip_hz));
    let shaft_hz = (50.0 - slip_hz) / 2.0;
    assert!(db(50.0 - shaft_hz) < -54.0 && db(50.0 + shaft_hz) < -54.0);
    let kurtosis = kurtosis(&b);
    assert!((2.5..3.5).contains(&kurtosis), "{kurtosis}");
    assert!(b.value(Quantity::InsulationResistance).unwrap() > 100.0);
}

#[test]
fn negative_sequence_grows_with_a_turn_fault_and_tells_the_phase() {
    for phase in 0..3 {
        let at = |severity: f64| {
            let condition = Condition { phase, ..Condition::faulty(FaultType::TurnFault, severity) };
            negative_sequence(&block(condition, &Sampling::LONG), 50.0)
        };
        let sizes: Vec<f64> = [0.0, 0.3, 0.6, 1.0].map(|s| magnitude(at(s))).to_vec();
        assert!(sizes.windows(2).all(|w| w[1] > 1.3 * w[0]), "{sizes:?}");
        let rated_a = 8.5 * 2f64.sqrt();
        assert!(sizes[1] > 0.04 * rated_a && sizes[3] > 0.15 * rated_a);
        // The fundamental of phase A is at an angle known from the time; the fault turns with it.
        let (re, im) = at(1.0);
        let (re0, im0) = phasor(&block(Condition::HEALTHY, &Sampling::LONG), Quantity::CurrentA, 50.0);
        let angle = (im.atan2(re) - im0.atan2(re0)).rem_euclid(TAU);
        let expected = (-2.0 * phase as f64 * TAU / 3.0).rem_euclid(TAU);
        let off = (angle - expected + TAU / 2.0).rem_euclid(TAU) - TAU / 2.0;
        assert!(off.abs() < 0.1, "phase {phase}: {angle} against {expected}");
    }
}

#[test]
fn side_bands_of_broken_bars_are_at_twice_the_slip_and_follow_the_count() {
    let slip_hz = 1.5 * 0.75;
    for severity in [0.3, 1.0] {
        let b = block(Condition::faulty(FaultType::BrokenBar, severity), &Sampling::LONG);
        let sum = line_a(&b, 50.0 - 2.0 * slip_hz) + line_a(&b, 50.0 + 2.0 * slip_hz);
        let bars = 4.0 * severity / 28.0;
        let ratio = sum / line_a(&b, 50.0);
        assert!((0.8 * bars..1.05 * bars).contains(&ratio), "{ratio} for {bars}");
        assert!(line_a(&b, 50.0 - 4.0 * slip_hz) < 0.3 * line_a(&b, 50.0 - 2.0 * slip_hz));
    }
}

#[test]
fn eccentricity_lines_are_a_turn_off_the_fundamental_and_beside_the_slots() {
    let shaft_hz = (50.0 - 1.5 * 0.75) / 2.0;
    let (healthy, faulty) = (
        block(Condition::HEALTHY, &Sampling::LONG),
        block(Condition::faulty(FaultType::Eccentricity, 0.3), &Sampling::LONG),
    );
    for f in [50.0 - shaft_hz, 50.0 + shaft_hz, 29.0 * shaft_hz - 50.0, 27.0 * shaft_hz + 50.0] {
        assert!(line_a(&faulty, f) > 3.0 * line_a(&healthy, f), "{f} Hz");
    }
}

fn kurtosis(block: &SignalBlock) -> f64 {
    let samples = &block.channel(Quantity::VibrationX).unwrap().samples;
    let moment = |k| samples.iter().map(|x| f64::from(*x).powi(k)).sum::<f64>() / samples.len() as f64;
    moment(4) / moment(2).powi(2)
}

/// Peak of the envelope's line at a frequency over its mean: the signal is squared after its slow part
/// has been taken off by a difference.
fn envelope_line(block: &SignalBlock, frequency_hz: f64) -> f64 {
    let channel = block.channel(Quantity::VibrationX).unwrap();
    let squares: Vec<f32> = channel.samples.windows(2).map(|w| (w[1] - w[0]).powi(2)).collect();
    let mean = squares.iter().map(|x| f64::from(*x)).sum::<f64>() / squares.len() as f64;
    let mut envelope = SignalBlock::default();
    envelope.channels.push(vtox_protocol::Channel {
        quantity: Quantity::VibrationX,
        rate_hz: channel.rate_hz,
        samples: squares,
    });
    magnitude(phasor(&envelope, Quantity::VibrationX, frequency_hz)) / mean
}

#[test]
fn bearing_impacts_repeat_at_the_rate_of_the_damaged_part() {
    let shaft_hz = (50.0 - 1.5 * 0.75) / 2.0;
    let bearing = Motor::induction_4kw().bearing;
    for (defect, per_rev) in [
        (BearingDefect::OuterRace, bearing.bpfo_per_rev()),
        (BearingDefect::InnerRace, bearing.bpfi_per_rev()),
        (BearingDefect::Ball, 2.0 * bearing.bsf_per_rev()),
    ] {
        let make = |severity: f64, sampling: &Sampling| {
            let condition =
                Condition { bearing_defect: defect, ..Condition::faulty(FaultType::Bearing, severity) };
            block(condition, sampling)
        };
        let model = SignalModel::new(
            &Motor::induction_4kw(),
            &OperatingPoint::default(),
            &Condition { bearing_defect: defect, ..Condition::faulty(FaultType::Bearing, 1.0) },
        );
        let rate_hz = model.impact_rate_hz();
        assert!((rate_hz / (per_rev * shaft_hz) - 1.0).abs() < 0.006);
        for sampling in [Sampling::LONG, Sampling::new(8_000.0, 8_192)] {
            let healthy = envelope_line(&make(0.0, &sampling), rate_hz);
            let visible = envelope_line(&make(0.3, &sampling), rate_hz);
            let strong = envelope_line(&make(1.0, &sampling), rate_hz);
            assert!(visible > 3.0 * healthy && strong > visible, "{healthy} {visible} {strong}");
            // At 4 kHz only the lower resonance is left, and a tail of each impact reaches the next.
            let least = if sampling.rate_hz < 8_000.0 { 3.8 } else { 7.0 };
            assert!(kurtosis(&make(1.0, &sampling)) > least);
        }
    }
}

#[test]
fn insulation_resistance_falls_and_leakage_rises() {
    let read = |severity: f64, q: Quantity| {
        block(Condition::faulty(FaultType::Insulation, severity), &Sampling::SEEDS).value(q).unwrap()
    };
    let resistance: Vec<f64> = [0.0, 0.3, 0.6, 1.0].map(|s| read(s, Quantity::InsulationResistance)).to_vec();
    assert!(resistance.windows(2).all(|w| w[1] < 0.2 * w[0]), "{resistance:?}");
    assert!(read(1.0, Quantity::LeakageCurrent) > 5.0 * read(0.0, Quantity::LeakageCurrent));
}

#[test]
fn blocks_back_to_back_join() {
    let quiet = |samples| Sampling { rate_hz: 8000.0, samples, snr_db: 300.0 };
    for start_s in [0.0, 1_000.0, 1_700_000_000.0] {
        let point = OperatingPoint { inverter: true, ..OperatingPoint::default() };
        let condition = Condition::faulty(FaultType::Eccentricity, 0.5);
        let make = |start_s: f64, samples| {
            let mut rng = StdRng::seed_from_u64(1);
            generate(&Motor::induction_4kw(), &point, &condition, &quiet(samples), start_s, &mut rng)
        };
        let (whole, first, second) = (make(start_s, 1600), make(start_s, 800), make(start_s + 0.1, 800));
        for quantity in Quantity::CURRENTS {
            let samples = |b: &SignalBlock| b.channel(quantity).unwrap().samples.clone();
            let joined = samples(&first).into_iter().chain(samples(&second));
            for (a, b) in samples(&whole).into_iter().zip(joined) {
                assert!((a - b).abs() < 2e-3, "{a} {b} from {start_s} s");
            }
        }
    }
}

#[test]
fn a_seed_gives_the_same_block() {
    let make = |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let (motor, point) = (Motor::permanent_magnet(), OperatingPoint::default());
        generate(&motor, &point, &Condition::HEALTHY, &Sampling::SEEDS, 1.0, &mut rng)
    };
    assert_eq!(make(5), make(5));
    assert_ne!(make(5), make(6));
}

#[test]
fn a_synchronous_motor_has_no_bars_to_break() {
    let motor = Motor::permanent_magnet();
    let of = |condition| {
        let mut rng = StdRng::seed_from_u64(2);
        generate(&motor, &OperatingPoint::default(), &condition, &Sampling::LONG, 0.0, &mut rng)
    };
    assert_eq!(of(Condition::HEALTHY), of(Condition::faulty(FaultType::BrokenBar, 1.0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn everything_is_finite_and_there(
        motor in 0..4usize,
        supply_frequency_hz in 20.0..120.0f64,
        load_fraction in 0.0..1.2f64,
        supply_unbalance in 0.0..0.05f64,
        inverter: bool,
        temperature_c in -40.0..180.0f64,
        fault in prop::option::of(0..5usize),
        severity in 0.0..=1.0f64,
        start_s in 0.0..2e9f64,
        rate_hz in 500.0..50_000.0f64,
        samples in 1..3_000usize,
    ) {
        let motor = [
            Motor::induction_4kw(),
            Motor::induction_2kw(),
            Motor::induction_traction(),
            Motor::permanent_magnet(),
        ][motor].clone();
        let point =
            OperatingPoint { supply_frequency_hz, load_fraction, supply_unbalance, inverter, temperature_c };
        let condition =
            fault.map_or(Condition::HEALTHY, |f| Condition::faulty(FaultType::ALL[f], severity));
        let sampling = Sampling::new(rate_hz, samples);
        let b = generate(&motor, &point, &condition, &sampling, start_s, &mut StdRng::seed_from_u64(9));
        prop_assert_eq!(b.channels.len(), 4);
        for channel in &b.channels {
            prop_assert_eq!(channel.samples.len(), samples);
            prop_assert!(channel.samples.iter().all(|x| x.is_finite()));
        }
        prop_assert!(b.readings.len() == 5 && b.readings.values().all(|x| x.is_finite()));
        let peak_a = 3.0 * motor.rated_current_a * 2f64.sqrt();
        for quantity in Quantity::CURRENTS {
            prop_assert!(b.channel(quantity).unwrap().samples.iter().all(|x| f64::from(x.abs()) < peak_a));
        }
    }
}
