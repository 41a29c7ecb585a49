//! Bearing defects on synthetic vibration.

use std::f64::consts::TAU;

use crate::common::{Noise, Vibration, bearing, profile};
use vtox_diagnosis::{Prepared, diagnose};
use vtox_protocol::{FaultType, MotorProfile, Quantity, SignalBlock, Status, Verdict};

fn verdict(block: &SignalBlock, profile: &MotorProfile) -> Verdict {
    diagnose(&Prepared::new(block, profile), FaultType::Bearing)
}

/// A block with a waveform of our own, as a function of time (s) and of a normal random number.
fn wave(
    seed: u64,
    rate_hz: f64,
    seconds: f64,
    shaft_hz: f64,
    mut x: impl FnMut(f64, f64) -> f64,
) -> SignalBlock {
    let mut block = Vibration::healthy(rate_hz, seconds, shaft_hz).block();
    let mut noise = Noise::new(seed);
    for (i, sample) in block.channels[0].samples.iter_mut().enumerate() {
        *sample = x(i as f64 / rate_hz, noise.normal()) as f32;
    }
    block
}

/// Impacts of a ball defect: both races are struck, harder in the load, once a turn of the cage.
fn ball(mut vibration: Vibration, peak: f64) -> Vibration {
    let (rate_hz, cage_hz) =
        (2.0 * bearing().bsf_per_rev() * vibration.shaft_hz, bearing().ftf_per_rev() * vibration.shaft_hz);
    let mut noise = Noise::new(vibration.seed + 7);
    let mut t = 0.002;
    while t < vibration.seconds {
        vibration.impacts.push((t, peak * (0.15 + 0.85 * (TAU * cage_hz * t).cos().max(0.0))));
        t += (1.0 + 0.01 * noise.normal()) / rate_hz;
    }
    vibration
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
        let v = verdict(&ball(Vibration::healthy(16_000.0, 2.0, shaft_hz), 12.0).block(), &profile());
        assert_eq!(v.status, Status::Fault, "ball at {shaft_hz} Hz: {v:?}");
        assert!(v.evidence[0].line.starts_with("2 BSF"), "{:?}", v.evidence);
    }
}

#[test]
fn sampling_rate_and_a_nominal_speed_one_percent_off_do_not_matter() {
    for rate_hz in [7_680.0, 25_600.0, 48_000.0, 51_200.0, 64_000.0] {
        for off in [0.99, 1.0, 1.01] {
            let per_rev = bearing().bpfo_per_rev();
            let mut block =
                Vibration::healthy(rate_hz, 1.0, 24.3).with_defect(per_rev * 24.3, 10.0, 0.0).block();
            block.readings.insert(Quantity::Speed, 60.0 * 24.3 * off);
            let v = verdict(&block, &profile());
            assert!(v.score >= 0.3, "{rate_hz} Hz, speed times {off}: {v:?}");
            assert!(v.evidence[0].line.starts_with("BPFO"), "{:?}", v.evidence);
        }
    }
}

#[test]
fn short_blocks_of_a_few_turns_suffice() {
    for seed in 0..20 {
        let shaft_hz = 41.0 + 0.5 * seed as f64;
        let mut vibration = Vibration::healthy(8000.0, 0.128, shaft_hz);
        vibration.seed = seed;
        let block = vibration.with_defect(bearing().bpfo_per_rev() * shaft_hz, 12.0, 0.0).block();
        let v = verdict(&block, &profile());
        assert!(v.score >= 0.3, "{seed}: {v:?}");
    }
}

#[test]
fn the_score_grows_with_the_defect() {
    let score = |peak: f64| {
        let vibration = Vibration::healthy(16_000.0, 2.0, 29.0);
        verdict(&vibration.with_defect(104.0, peak, 0.0).block(), &profile()).score
    };
    let scores: Vec<f64> = [0.0, 2.0, 4.0, 6.0, 10.0, 16.0].into_iter().map(score).collect();
    assert!(scores.windows(2).all(|w| w[1] >= w[0] - 0.02), "{scores:?}");
    assert!(scores[0] == 0.0 && scores[5] > 0.9, "{scores:?}");
}

#[test]
fn noise_and_random_knocks_stay_quiet() {
    for (rate_hz, seconds, shaft_hz) in [(8000.0, 1.0, 24.7), (8000.0, 0.128, 41.0), (25_600.0, 0.5, 29.3)] {
        let mut alarms = 0;
        for seed in 0..60 {
            let mut vibration = Vibration::healthy(rate_hz, seconds, shaft_hz);
            vibration.seed = seed;
            let v = verdict(&vibration.block(), &profile());
            assert_eq!(v.status, Status::Normal, "noise {seed}: {v:?}");

            let mut noise = Noise::new(1000 + seed);
            let knocks = 5 + (seed % 16) as usize;
            vibration.impacts = (0..knocks).map(|_| (seconds * noise.uniform(), 15.0)).collect();
            alarms += u32::from(verdict(&vibration.block(), &profile()).score >= 0.3);
        }
        assert!(alarms <= 1, "{alarms} of 60 blocks of {seconds} s with random knocks");
    }
}

#[test]
fn elements_that_pass_under_the_load_are_no_damage() {
    let bpfo_hz = bearing().bpfo_per_rev() * 29.0;
    for seed in 0..20 {
        for depth in [0.2, 0.4, 0.6] {
            let block = wave(seed, 12_000.0, 2.0, 29.0, |t, n| n * (1.0 + depth * (TAU * bpfo_hz * t).cos()));
            let v = verdict(&block, &profile());
            assert_eq!(v.status, Status::Normal, "{seed}, {depth}: {v:?}");
        }
    }
}

#[test]
fn tones_beats_pulse_width_modulation_and_changes_of_load_stay_quiet() {
    let shaft_hz = 29.0;
    let bpfi_hz = bearing().bpfi_per_rev() * shaft_hz;
    let tone = |hz: f64, t: f64| (TAU * hz * t).cos();
    for seed in 0..20 {
        let carrier_hz = 2_900.0 + 37.0 * seed as f64;
        let quiet = |name: &str, x: &dyn Fn(f64, f64) -> f64| {
            let v = verdict(&wave(seed, 12_000.0, 2.0, shaft_hz, x), &profile());
            assert_eq!(v.status, Status::Normal, "{name} {seed}: {v:?}");
        };
        quiet("tone", &|t, n| tone(carrier_hz, t) + 0.05 * n);
        quiet("beat at BPFI", &|t, n| tone(carrier_hz, t) + tone(carrier_hz + bpfi_hz, t) + 0.05 * n);
        quiet("beat of three", &|t, n| (1.0 + tone(bpfi_hz, t)) * tone(carrier_hz, t) + 0.1 * n);
        let ripple = |t: f64| {
            let side = |k: f64| tone(4_000.0 + k * 59.1, t) + tone(4_000.0 - k * 59.1, t);
            tone(4_000.0, t) + 0.8 * side(2.0) + 0.5 * side(4.0)
        };
        quiet("pulse-width modulation", &|t, n| ripple(t) + 0.1 * n);
        quiet("step of the load", &|t, n| if t < 0.9 { n } else { 2.5 * n });
        quiet("swing of the load", &|t, n| n * (1.0 + 0.5 * tone(1.7, t)));
    }
}

#[test]
fn the_axis_that_shows_it_decides() {
    let mut block = Vibration::healthy(16_000.0, 1.0, 29.0).block();
    let faulty = Vibration::healthy(16_000.0, 1.0, 29.0).with_defect(104.0, 12.0, 0.0).block();
    let mut second = faulty.channels[0].clone();
    second.quantity = Quantity::VibrationY;
    block.channels.push(second);
    let v = verdict(&block, &profile());
    assert_eq!(v.status, Status::Fault, "{v:?}");
    assert!(v.evidence[0].line.contains(Quantity::VibrationY.name()), "{:?}", v.evidence);
}

#[test]
fn without_geometry_impacts_at_a_steady_rate_warn_and_say_so() {
    let vibration = Vibration::healthy(16_000.0, 1.0, 29.0).with_defect(104.0, 20.0, 0.0);
    let v = verdict(&vibration.block(), &MotorProfile::default());
    assert_eq!(v.status, Status::Warning, "{v:?}");
    assert!(v.reason.unwrap().contains("geometry unknown"));
    assert!(!v.features.contains_key("bearing_characteristic_frequency"));

    let mut noise = Noise::new(5);
    let mut vibration = Vibration::healthy(16_000.0, 1.0, 29.0);
    vibration.impacts = (0..100).map(|_| (noise.uniform(), 20.0)).collect();
    let v = verdict(&vibration.block(), &MotorProfile::default());
    assert_eq!(v.status, Status::Normal, "irregular: {v:?}");
}

#[test]
fn a_block_of_less_than_two_turns_says_so() {
    let v = verdict(&Vibration::healthy(8000.0, 0.1, 12.0).block(), &profile());
    assert_eq!(v.status, Status::Normal);
    assert!(v.reason.unwrap().contains("too short"));
}

#[test]
fn without_vibration_there_is_no_verdict() {
    let v = verdict(&SignalBlock::default(), &profile());
    assert_eq!((v.status, v.score), (Status::InsufficientData, 0.0));
}
