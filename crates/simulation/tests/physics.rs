//! The signals have what the physics says, where it says.

use std::f64::consts::TAU;

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use vtox_protocol::{FaultType, Quantity, SignalBlock};
use vtox_simulation::{
    BearingDefect, Condition, Counterfeit, Development, Motor, OperatingPoint, Sampling, SignalModel,
    Vehicle, generate,
};

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

/// Negative-sequence phasor of currents or voltages: (A + a^2 B + a C) / 3.
fn negative_sequence(block: &SignalBlock, quantities: [Quantity; 3], frequency_hz: f64) -> Complex {
    sequence(block, quantities, frequency_hz, 2.0)
}

/// (A + a^n B + a^2n C) / 3: positive sequence for n = 1, negative for n = 2.
fn sequence(block: &SignalBlock, quantities: [Quantity; 3], frequency_hz: f64, n: f64) -> Complex {
    let mut sum = (0.0, 0.0);
    for (k, quantity) in quantities.into_iter().enumerate() {
        let (re, im) = phasor(block, quantity, frequency_hz);
        let (sin, cos) = (n * k as f64 * TAU / 3.0).sin_cos();
        sum.0 += (re * cos - im * sin) / 3.0;
        sum.1 += (re * sin + im * cos) / 3.0;
    }
    sum
}

/// Angle of `a` against `b`, within half a turn to either side.
fn angle_between(a: Complex, b: Complex) -> f64 {
    (a.1.atan2(a.0) - b.1.atan2(b.0) + TAU / 2.0).rem_euclid(TAU) - TAU / 2.0
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
    let sampling = Sampling { snr_db: 20.0, ..Sampling::new(8_000.0, 8_000) };
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
    assert!(magnitude(negative_sequence(&b, Quantity::CURRENTS, 50.0)) < 0.01 * f0);
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
    let sampling = Sampling::LONG.with_voltages();
    for phase in 0..3 {
        let at = |severity: f64| {
            let condition = Condition { phase, ..Condition::faulty(FaultType::TurnFault, severity) };
            block(condition, &sampling)
        };
        let negative = |b: &SignalBlock| negative_sequence(b, Quantity::CURRENTS, 50.0);
        let sizes: Vec<f64> = [0.0, 0.3, 0.6, 1.0].map(|s| magnitude(negative(&at(s)))).to_vec();
        assert!(sizes.windows(2).all(|w| w[1] > 1.3 * w[0]), "{sizes:?}");
        let rated_a = 8.5 * 2f64.sqrt();
        assert!(sizes[1] > 0.04 * rated_a && sizes[3] > 0.15 * rated_a);
        // It lags the positive sequence of the voltage by the angle of the shorted loop, 60 degrees, and moves by a third
        // of a turn from one phase to the next.
        let b = at(1.0);
        let angle = angle_between(negative(&b), sequence(&b, Quantity::VOLTAGES, 50.0, 1.0));
        let expected = -TAU / 6.0 + phase as f64 * TAU / 3.0;
        let off = (angle - expected + TAU / 2.0).rem_euclid(TAU) - TAU / 2.0;
        assert!(off.abs() < 0.1, "phase {phase}: {angle} against {expected}");
    }
}

#[test]
fn a_shorted_turn_draws_less_at_low_speed() {
    let at = |supply_frequency_hz: f64| {
        let point =
            OperatingPoint { supply_frequency_hz, supply_unbalance: 0.0, ..OperatingPoint::default() };
        let b = block_at(&point, Condition::faulty(FaultType::TurnFault, 1.0), &Sampling::LONG);
        magnitude(negative_sequence(&b, Quantity::CURRENTS, supply_frequency_hz))
    };
    // 0.2 of the voltage over |cos 60 + j 0.2 sin 60| of the impedance.
    let expected = 0.2 / 0.5f64.hypot(0.2 * 0.75f64.sqrt());
    assert!((at(10.0) / at(50.0) / expected - 1.0).abs() < 0.02, "{} {}", at(10.0), at(50.0));
}

#[test]
fn an_unbalanced_supply_drives_its_current_through_the_negative_sequence_impedance() {
    for supply_frequency_hz in [20.0, 50.0] {
        let point =
            OperatingPoint { supply_frequency_hz, supply_unbalance: 0.02, ..OperatingPoint::default() };
        let b = block_at(&point, Condition::HEALTHY, &Sampling::LONG.with_voltages());
        let v1 = sequence(&b, Quantity::VOLTAGES, supply_frequency_hz, 1.0);
        let v2 = negative_sequence(&b, Quantity::VOLTAGES, supply_frequency_hz);
        let i2 = negative_sequence(&b, Quantity::CURRENTS, supply_frequency_hz);
        assert!((magnitude(v2) / magnitude(v1) - 0.02).abs() < 2e-4);
        let v1_expected = 400.0 * (2.0 / 3.0f64).sqrt() * supply_frequency_hz / 50.0;
        assert!((magnitude(v1) / v1_expected - 1.0).abs() < 0.01);
        // Five times the rated current at rated voltage and frequency, at 70 degrees.
        let (r, x) = (0.342f64, 0.940 * supply_frequency_hz / 50.0);
        let expected_a = 8.5 * 2f64.sqrt() * 5.0 * 0.02 * supply_frequency_hz / 50.0 / r.hypot(x);
        assert!((magnitude(i2) / expected_a - 1.0).abs() < 0.02, "{} {expected_a}", magnitude(i2));
        assert!((angle_between(v2, i2) - x.atan2(r)).abs() < 0.03);
        let i1 = sequence(&b, Quantity::CURRENTS, supply_frequency_hz, 1.0);
        let expected = Motor::induction_4kw().power_factor_angle(point.load_fraction);
        assert!((angle_between(v1, i1) - expected).abs() < 0.03);
    }
}

#[test]
fn an_oscillating_load_makes_side_bands_of_its_depth() {
    let quiet = Sampling { snr_db: 300.0, ..Sampling::LONG };
    let swinging = Condition::HEALTHY.with(Counterfeit::LoadOscillation { frequency_hz: 7.0, depth: 0.2 });
    let b = block(swinging, &quiet);
    let torque_a = 8.5 * 2f64.sqrt() * Motor::induction_4kw().load_current_ratio(0.75);
    for f in [43.0, 57.0] {
        assert!((line_a(&b, f) / (0.1 * torque_a) - 1.0).abs() < 0.02, "{f} Hz: {}", line_a(&b, f));
    }
    assert!(line_a(&block(Condition::HEALTHY, &quiet), 43.0) < 1e-3 * torque_a);
}

#[test]
fn an_unbalanced_rotor_shakes_more_than_it_whirls() {
    let shaft_hz = (50.0 - 1.5 * 0.75) / 2.0;
    let at = |grade_mm_per_s| {
        let condition = Condition::HEALTHY.with(Counterfeit::MassUnbalance { grade_mm_per_s });
        let b = block(condition, &Sampling { snr_db: 300.0, ..Sampling::LONG });
        (
            magnitude(phasor(&b, Quantity::VibrationX, shaft_hz)),
            line_a(&b, 50.0 - shaft_hz) / line_a(&b, 50.0),
        )
    };
    let (sound, poor) = (at(2.5), at(40.0));
    assert!((poor.0 / sound.0 - 16.0).abs() < 2.0, "{poor:?} {sound:?}");
    assert!(poor.1 > sound.1 && poor.1 < 2e-3, "{poor:?} {sound:?}");
}

#[test]
fn random_knocks_are_impulsive_and_have_no_rate() {
    let condition = Condition::HEALTHY.with(Counterfeit::RandomImpacts { rate_hz: 40.0, peak: 20.0 });
    let sampling = Sampling::new(8_000.0, 32_768);
    let b = block(condition, &sampling);
    assert!(kurtosis(&b) > 6.0, "{}", kurtosis(&b));
    assert!(envelope_line(&b, 40.0) < 0.25, "{}", envelope_line(&b, 40.0));
}

#[test]
fn measurement_errors_are_what_they_say() {
    let quiet = Sampling { snr_db: 300.0, ..Sampling::SEEDS };
    let clean = block(Condition::HEALTHY, &quiet);
    let disturbed = |c| block(Condition::HEALTHY.with(c), &quiet);
    let b_of = |b: &SignalBlock| b.channel(Quantity::CurrentB).unwrap().samples.clone();
    let flipped = disturbed(Counterfeit::FlippedChannel { phase: 1 });
    assert!(b_of(&flipped).iter().zip(b_of(&clean)).all(|(a, b)| (a + b).abs() < 1e-5));
    assert!(disturbed(Counterfeit::MissingChannel { phase: 1 }).channel(Quantity::CurrentB).is_none());
    let swapped = disturbed(Counterfeit::SwappedPhases);
    assert_eq!(swapped.channel(Quantity::CurrentC).unwrap().samples, b_of(&clean));
    let peak = |b: &SignalBlock| b_of(b).iter().fold(0.0f32, |p, x| p.max(x.abs()));
    let clipped = disturbed(Counterfeit::ClippedChannel { phase: 1, level: 0.7 });
    assert!((peak(&clipped) / peak(&clean) - 0.7).abs() < 1e-3);
    let held = b_of(&disturbed(Counterfeit::Dropout { phase: 1, share: 0.1 }));
    assert!(held.windows(2).filter(|w| w[0] == w[1]).count() >= 79);
    let gained = b_of(&disturbed(Counterfeit::SensorGain { phase: 1, gain: 1.1 }));
    assert!(gained.iter().zip(b_of(&clean)).all(|(a, b)| (a - 1.1 * b).abs() < 1e-4));
}

#[test]
fn jitter_is_noise_that_grows_with_frequency_and_skew_turns_the_phases() {
    let quiet = Sampling { snr_db: 300.0, ..Sampling::LONG };
    let jittered =
        block(Condition::HEALTHY.with(Counterfeit::ClockJitter { periods: 0.3, told: true }), &quiet);
    assert_eq!(jittered.clock_jitter, Some(0.3));
    let clean = block(Condition::HEALTHY, &quiet);
    let samples = |b: &SignalBlock| b.channel(Quantity::CurrentA).unwrap().samples.clone();
    let pairs = samples(&jittered).into_iter().zip(samples(&clean));
    let off: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / 8192.0;
    // Time error, uniform over +-0.3 of 250 us, times the slope of the fundamental.
    let expected = line_a(&clean, 50.0) / 2f64.sqrt() * TAU * 50.0 * 0.3 * 250e-6 / 3f64.sqrt();
    assert!((off.sqrt() / expected - 1.0).abs() < 0.15, "{} {expected}", off.sqrt());

    let skew_s = 1e-3;
    let skewed = block(Condition::HEALTHY.with(Counterfeit::NonSimultaneous { skew_s, told: false }), &quiet);
    let of = |b: &SignalBlock, q| phasor(b, q, 50.0);
    let turned = angle_between(of(&skewed, Quantity::CurrentC), of(&clean, Quantity::CurrentC));
    assert!((turned - TAU * 50.0 * 2.0 * skew_s).abs() < 1e-3);
    assert!(skewed.synchronous);
}

#[test]
fn leakage_is_sampled_with_the_voltages() {
    let b = block(Condition::faulty(FaultType::Insulation, 0.6), &Sampling::LONG.with_voltages());
    let leakage = phasor(&b, Quantity::LeakageCurrent, 50.0);
    let lead = angle_between(leakage, phasor(&b, Quantity::VoltageA, 50.0));
    let ohm = 1e6 * b.value(Quantity::InsulationResistance).unwrap();
    let expected = (TAU * 50.0 * 3e-9 * ohm).atan();
    assert!((lead - expected).abs() < 0.04, "{lead} {expected}");
}

#[test]
fn a_fault_that_develops_grows_from_block_to_block() {
    let ageing = Development::ThermalAgeing {
        begins_s: 0.0,
        temperature_c: 155.0,
        class_c: 155.0,
        life_at_class_h: 20_000.0,
    };
    let condition = Condition::faulty(FaultType::Insulation, 0.0);
    let point = OperatingPoint { temperature_c: 40.0, ..OperatingPoint::default() };
    let mut vehicle =
        Vehicle::new("v".to_owned(), Motor::induction_4kw(), point, condition, 1).developing(ageing);
    let mut resistance = |hours: f64| {
        let block = vehicle.next_block(&Sampling::SEEDS, hours * 3600.0);
        block.value(Quantity::InsulationResistance).unwrap()
    };
    // Five decades over 20,000 h: one in 4,000 h.
    let (new, later) = (resistance(0.0), resistance(8_000.0));
    assert!((new / later / 100.0 - 1.0).abs() < 0.1, "{new} {later}");
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
    let quiet = |samples| Sampling { snr_db: 300.0, ..Sampling::new(8_000.0, samples) };
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
        counterfeit in 0..12usize,
        voltages: bool,
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
        let counterfeit = [
            Counterfeit::LoadOscillation { frequency_hz: 3.0, depth: 0.5 },
            Counterfeit::MassUnbalance { grade_mm_per_s: 40.0 },
            Counterfeit::RandomImpacts { rate_hz: 30.0, peak: 20.0 },
            Counterfeit::ClockJitter { periods: 0.4, told: false },
            Counterfeit::NonSimultaneous { skew_s: 1e-3, told: true },
            Counterfeit::FlippedChannel { phase: 0 },
            Counterfeit::SensorGain { phase: 2, gain: 0.9 },
            Counterfeit::ClippedChannel { phase: 1, level: 0.8 },
            Counterfeit::Dropout { phase: 1, share: 1.0 },
            Counterfeit::SwappedPhases,
        ].get(counterfeit).copied();
        let condition = Condition { counterfeit, ..condition };
        let sampling = Sampling { voltages, ..Sampling::new(rate_hz, samples) };
        let b = generate(&motor, &point, &condition, &sampling, start_s, &mut StdRng::seed_from_u64(9));
        prop_assert_eq!(b.channels.len(), if voltages { 8 } else { 4 });
        for channel in &b.channels {
            prop_assert_eq!(channel.samples.len(), samples);
            prop_assert!(channel.samples.iter().all(|x| x.is_finite()));
        }
        prop_assert_eq!(b.readings.len(), if voltages { 4 } else { 5 });
        prop_assert!(b.readings.values().all(|x| x.is_finite()));
        let peak_a = 3.0 * motor.rated_current_a * 2f64.sqrt();
        for quantity in Quantity::CURRENTS {
            prop_assert!(b.channel(quantity).unwrap().samples.iter().all(|x| f64::from(x.abs()) < peak_a));
        }
    }
}
