//! Vehicles whose blocks are too short for side bands: blocks that meet are joined, blocks with gaps compared.

use std::f64::consts::TAU;

use proptest::prelude::*;

use crate::common::Noise;
use vtox_diagnosis::{FoldedState, Prepared, follow};
use vtox_protocol::codec::{decode_json, encode_json};
use vtox_protocol::{Channel, FaultType, MotorProfile, Quantity, SignalBlock, Status, Verdict};

const RATE_HZ: f64 = 8000.0;
/// Samples of a block of a vehicle that streams.
const STREAMED: usize = 1024;
const STREAMED_S: f64 = STREAMED as f64 / RATE_HZ;
/// Samples of a block as existing vehicles send it, about every 1.2 s.
const SPARSE: usize = 800;
const PERIOD_S: f64 = 1.2;
const SUPPLY_HZ: [f64; 5] = [23.7, 43.7, 50.0, 87.0, 120.0];
/// Phase of the fundamental at time 0.
const CARRIER_PHASE: f64 = 0.3;
/// Runs per supply frequency.
const RUNS: u64 = 16;

/// A three-phase motor that runs on from block to block, with 20 dB of signal over noise.
struct Machine {
    f0_hz: f64,
    slip_hz: f64,
    pairs: u8,
    /// Distance from the fundamental, Hz, height over it, phase.
    side_bands: Vec<[f64; 3]>,
    /// Swing of the load: frequency, depth of the amplitude's modulation.
    load: (f64, f64),
    /// RMS over that of the fundamental.
    noise: f64,
    amplitude: f64,
    phases: usize,
    random: Noise,
}

impl Machine {
    fn healthy(f0_hz: f64, seed: u64) -> Self {
        let mut random = Noise::new(seed + 1);
        let slip_hz = 1.0 + random.uniform();
        let (side_bands, load) = (Vec::new(), (1.0, 0.0));
        Self { f0_hz, slip_hz, pairs: 2, side_bands, load, noise: 0.1, amplitude: 40.0, phases: 3, random }
    }

    /// Side bands that add up to 5 %: two of 28 bars broken, at most of the load.
    fn broken_bar(f0_hz: f64, seed: u64) -> Self {
        let mut machine = Self::healthy(f0_hz, seed);
        machine.add_pair(2.0 * machine.slip_hz, 0.03, 0.02);
        machine
    }

    fn eccentric(f0_hz: f64, level: f64, seed: u64) -> Self {
        let mut machine = Self::healthy(f0_hz, seed);
        machine.add_pair(machine.shaft_hz(), level, 0.7 * level);
        machine
    }

    /// Side bands that modulate the amplitude more than the phase, as an asymmetric rotor does.
    fn add_pair(&mut self, distance_hz: f64, lower: f64, upper: f64) {
        let phase = TAU * self.random.uniform();
        let mirrored = 2.0 * CARRIER_PHASE - phase + self.random.uniform() - 0.5;
        self.side_bands.extend([[-distance_hz, lower, phase], [distance_hz, upper, mirrored]]);
    }

    fn shaft_hz(&self) -> f64 {
        (self.f0_hz - self.slip_hz) / f64::from(self.pairs)
    }

    fn profile(&self) -> MotorProfile {
        MotorProfile { pole_pairs: Some(self.pairs), rotor_bars: Some(28), ..MotorProfile::default() }
    }

    /// Frequency, height over the fundamental, direction of rotation, phase.
    fn lines(&self) -> Vec<[f64; 4]> {
        let f0 = self.f0_hz;
        let mut lines = vec![
            [f0, 1.0, 1.0, CARRIER_PHASE],
            [f0, 0.005, -1.0, 1.0],
            [5.0 * f0, 0.02, -1.0, 2.0],
            [7.0 * f0, 0.01, 1.0, 3.0],
        ];
        lines.extend(
            self.side_bands.iter().map(|[offset_hz, level, phase]| [f0 + offset_hz, *level, 1.0, *phase]),
        );
        lines
    }

    /// The block of `length` samples from `start_s` on.
    fn block(&mut self, start_s: f64, length: usize) -> SignalBlock {
        let mut currents = vec![vec![0.0f64; length]; self.phases];
        for [hz, level, direction, phase] in self.lines() {
            let (mut sin, mut cos) = (TAU * hz * start_s + phase).sin_cos();
            let (step_sin, step_cos) = (TAU * hz / RATE_HZ).sin_cos();
            for i in 0..length {
                for (k, current) in currents.iter_mut().enumerate() {
                    let (s, c) = TURNS[k];
                    current[i] += level * (cos * c + direction * sin * s);
                }
                (sin, cos) = (sin * step_cos + cos * step_sin, cos * step_cos - sin * step_sin);
            }
        }
        let channels = currents
            .into_iter()
            .zip(Quantity::CURRENTS)
            .map(|(current, quantity)| {
                let samples = current.into_iter().enumerate().map(|(i, x)| {
                    let t = start_s + i as f64 / RATE_HZ;
                    let swing = 1.0 + self.load.1 * (TAU * self.load.0 * t).cos();
                    let x = swing * x + self.noise / 2f64.sqrt() * self.random.normal() + 0.003;
                    (self.amplitude * x) as f32
                });
                Channel { quantity, rate_hz: RATE_HZ, samples: samples.collect() }
            })
            .collect();
        SignalBlock {
            start_s: Some(start_s),
            channels,
            readings: [(Quantity::Speed, 60.0 * self.shaft_hz())].into(),
            ..SignalBlock::default()
        }
    }

    /// Blocks back to back.
    fn stream(&mut self, start_s: f64, blocks: usize) -> Vec<SignalBlock> {
        (0..blocks).map(|k| self.block(start_s + k as f64 * STREAMED_S, STREAMED)).collect()
    }

    /// Short blocks at even intervals, give or take `jitter_s`.
    fn sparse(&mut self, blocks: usize, jitter_s: f64) -> Vec<SignalBlock> {
        (0..blocks)
            .map(|k| {
                let late_s = jitter_s * (2.0 * self.random.uniform() - 1.0);
                self.block(100.0 + PERIOD_S * k as f64 + late_s, SPARSE)
            })
            .collect()
    }
}

/// Sine and cosine of the phases' angles.
const TURNS: [(f64, f64); 3] =
    [(0.0, 1.0), (0.866_025_403_784_438_6, -0.5), (-0.866_025_403_784_438_6, -0.5)];

/// What is published block by block, and what is kept in the end.
fn published(
    blocks: &[SignalBlock],
    profile: &MotorProfile,
    fault: FaultType,
) -> (Vec<Verdict>, FoldedState) {
    let mut state = FoldedState::default();
    let verdicts = blocks
        .iter()
        .map(|block| {
            let (verdict, next) = follow(&Prepared::new(block, profile), fault, &state);
            state = next;
            verdict
        })
        .collect();
    (verdicts, state)
}

fn run(blocks: &[SignalBlock], machine: &Machine, fault: FaultType) -> Vec<Verdict> {
    published(blocks, &machine.profile(), fault).0
}

/// First letters, block by block.
fn statuses(verdicts: &[Verdict]) -> String {
    verdicts.iter().filter_map(|v| format!("{:?}", v.status).chars().next()).collect()
}

fn alarms(verdicts: &[Verdict]) -> usize {
    verdicts.iter().filter(|v| matches!(v.status, Status::Warning | Status::Fault)).count()
}

fn reason(verdict: &Verdict) -> &str {
    verdict.reason.as_deref().unwrap_or_default()
}

#[test]
fn broken_bars_are_found_in_joined_blocks_and_sound_ones_are_not() {
    for f0 in SUPPLY_HZ {
        let mut normal = 0;
        for seed in 0..RUNS {
            let mut machine = Machine::broken_bar(f0, seed);
            let verdicts = run(&machine.stream(1e5, 40), &machine, FaultType::BrokenBar);
            // 4 resolutions of 2 s f0, between 2 and 4 Hz.
            let first = verdicts.iter().position(|v| v.status != Status::InsufficientData).unwrap_or(40);
            assert!((7..=19).contains(&first), "{f0} Hz, {seed}: {} {:?}", statuses(&verdicts), verdicts[39]);
            assert!(verdicts[1..first].iter().all(|v| reason(v).contains("of contiguous blocks")));
            assert!(reason(&verdicts[0]).contains("this one has 0.13 s"), "{:?}", verdicts[0]);
            assert!(
                verdicts[first..].iter().all(|v| v.status == Status::Fault),
                "{f0} Hz, {seed}: {}",
                statuses(&verdicts)
            );
            assert!(
                (verdicts[39].features["normalized_fault_index"] / 0.05 - 1.0).abs() < 0.1,
                "{:?}",
                verdicts[39]
            );

            let mut machine = Machine::healthy(f0, seed);
            let verdicts = run(&machine.stream(1e5, 40), &machine, FaultType::BrokenBar);
            assert_eq!(alarms(&verdicts), 0, "{f0} Hz, {seed}: {}", statuses(&verdicts));
            normal += u64::from(verdicts[39].status == Status::Normal);
        }
        assert!(normal > RUNS * 9 / 10, "{f0} Hz: {normal} of {RUNS}");
    }
}

#[test]
fn eccentricity_is_found_in_joined_blocks() {
    for f0 in [23.7, 43.7, 50.0] {
        for seed in 0..RUNS / 2 {
            let mut machine = Machine::eccentric(f0, 0.01, seed);
            let verdicts = run(&machine.stream(7.25, 12), &machine, FaultType::Eccentricity);
            assert_eq!(verdicts[11].status, Status::Fault, "{f0} Hz, {seed}: {:?}", verdicts[11]);
            let mut machine = Machine::healthy(f0, seed);
            machine.noise = 0.03;
            let verdicts = run(&machine.stream(7.25, 12), &machine, FaultType::Eccentricity);
            assert_eq!(alarms(&verdicts), 0, "{f0} Hz, {seed}: {}", statuses(&verdicts));
            assert_eq!(verdicts[11].status, Status::Normal, "{f0} Hz, {seed}: {:?}", verdicts[11]);
        }
    }
}

#[test]
fn with_one_pole_pair_eccentricity_is_told_from_the_second_harmonic() {
    for f0 in SUPPLY_HZ {
        for synchronous in [true, false] {
            for (level, expected) in [(0.0, Status::Normal), (0.01, Status::Fault)] {
                let mut machine = Machine::healthy(f0, 9);
                (machine.pairs, machine.slip_hz, machine.noise) = (1, 0.05 * f0, 0.01);
                machine.add_pair(machine.shaft_hz(), 0.1 * level, level);
                let mut blocks = machine.stream(2.0, 40);
                blocks.iter_mut().for_each(|b| b.synchronous = synchronous);
                let verdicts = run(&blocks, &machine, FaultType::Eccentricity);
                assert!(reason(&verdicts[1]).contains("of contiguous blocks"), "{:?}", verdicts[1]);
                assert_eq!(verdicts[39].status, expected, "{f0} Hz, {level}: {:?}", verdicts[39]);
            }
        }
    }
}

#[test]
fn one_phase_is_enough_unless_there_is_but_one_pole_pair() {
    for f0 in SUPPLY_HZ {
        for (pairs, expected) in [(2, Status::Fault), (1, Status::InsufficientData)] {
            let mut machine = Machine::broken_bar(f0, 5);
            (machine.phases, machine.pairs, machine.noise) = (1, pairs, 0.03);
            let verdicts = run(&machine.stream(0.0, 25), &machine, FaultType::BrokenBar);
            assert_eq!(verdicts[24].status, expected, "{f0} Hz: {:?}", verdicts[24]);
        }
        // Channels that were not sampled at the same instants are one phase each.
        let mut machine = Machine::broken_bar(f0, 5);
        let mut blocks = machine.stream(0.0, 25);
        blocks.iter_mut().for_each(|b| b.synchronous = false);
        let verdicts = run(&blocks, &machine, FaultType::BrokenBar);
        assert_eq!(verdicts[24].status, Status::Fault, "{f0} Hz: {:?}", verdicts[24]);
    }
}

#[test]
fn a_swinging_load_is_no_broken_bar() {
    for f0 in SUPPLY_HZ {
        for seed in 0..RUNS / 4 {
            let mut machine = Machine::healthy(f0, seed);
            // Away from 2 s f0 by more than the speed may be off.
            machine.load = (2.0 * machine.slip_hz + 2.5, 0.05);
            let verdicts = run(&machine.stream(3.0, 40), &machine, FaultType::BrokenBar);
            assert_eq!(alarms(&verdicts), 0, "{f0} Hz, {seed}: {}", statuses(&verdicts));
            let verdicts = run(&machine.sparse(50, 0.1), &machine, FaultType::BrokenBar);
            assert_eq!(alarms(&verdicts), 0, "{f0} Hz, {seed}: {}", statuses(&verdicts));
        }
    }
}

#[test]
fn another_operating_point_begins_anew_and_raises_no_alarm() {
    for f0 in SUPPLY_HZ {
        for seed in 0..RUNS / 4 {
            let mut machine = Machine::healthy(f0, seed);
            let mut blocks = Vec::new();
            // Load, slip and, in the end, supply frequency step while the track is being built.
            for (amplitude, slip_hz, shift_hz) in [
                (40.0, 1.0, 0.0),
                (62.0, 1.8, 0.0),
                (68.0, 1.8, 0.0),
                (48.0, 1.2, 0.0),
                (48.0, 1.2, 0.3),
                (48.0, 1.2, 2.0),
            ] {
                (machine.amplitude, machine.slip_hz, machine.f0_hz) = (amplitude, slip_hz, f0 + shift_hz);
                blocks.extend(machine.stream(50.0 + blocks.len() as f64 * STREAMED_S, 33));
            }
            let verdicts = run(&blocks, &machine, FaultType::BrokenBar);
            assert_eq!(alarms(&verdicts), 0, "{f0} Hz, {seed}: {}", statuses(&verdicts));
            assert_eq!(verdicts[32].status, Status::Normal, "{f0} Hz, {seed}: {:?}", verdicts[32]);
            assert_eq!(verdicts[34].status, Status::InsufficientData, "{f0} Hz, {seed}: {:?}", verdicts[34]);
            assert_eq!(verdicts[197].status, Status::Normal, "{f0} Hz, {seed}: {:?}", verdicts[197]);
        }
    }
}

#[test]
fn a_missing_repeated_or_late_block_begins_anew() {
    let mut machine = Machine::broken_bar(50.0, 1);
    let whole = machine.stream(1.7e9, 24);
    assert_eq!(run(&whole, &machine, FaultType::BrokenBar)[23].status, Status::Fault);
    let missing = [&whole[..9], &whole[10..]].concat();
    let repeated = [&whole[..9], &whole[8..]].concat();
    let swapped = [&whole[..8], &whole[9..10], &whole[8..9], &whole[10..]].concat();
    for blocks in [missing, repeated, swapped] {
        let verdicts = run(&blocks, &machine, FaultType::BrokenBar);
        assert!(
            verdicts[..15].iter().all(|v| v.status == Status::InsufficientData),
            "{}",
            statuses(&verdicts)
        );
        assert!(reason(&verdicts[13]).contains("has collected 0."), "{:?}", verdicts[13]);
    }
    // Times that begin at zero in each block.
    let mut restarted = whole.clone();
    restarted.iter_mut().for_each(|b| b.start_s = Some(0.0));
    let verdicts = run(&restarted, &machine, FaultType::BrokenBar);
    assert_eq!(statuses(&verdicts), "I".repeat(24));
    assert!(reason(&verdicts[23]).contains("before the end of the last block"), "{:?}", verdicts[23]);
    let mut timeless = whole;
    timeless.iter_mut().for_each(|b| b.start_s = None);
    let (verdicts, state) = published(&timeless, &machine.profile(), FaultType::BrokenBar);
    assert_eq!(statuses(&verdicts), "I".repeat(24));
    assert!(reason(&verdicts[23]).contains("without a start time"), "{:?}", verdicts[23]);
    assert!(serde_json::to_string(&state).unwrap().len() < 100);
}

#[test]
fn rows_with_a_column_of_times_are_joined_as_well() {
    let mut machine = Machine::broken_bar(43.7, 3);
    let through_json = |block: &SignalBlock| decode_json(encode_json(block).as_bytes()).unwrap();
    let blocks: Vec<SignalBlock> = machine.stream(1234.5, 20).iter().map(through_json).collect();
    assert_eq!(run(&blocks, &machine, FaultType::BrokenBar)[19].status, Status::Fault);
}

#[test]
fn a_restart_changes_nothing_and_the_state_is_small() {
    for (f0, gaps) in [(23.7, false), (50.0, false), (120.0, false), (23.7, true), (50.0, true)] {
        for fault in [FaultType::BrokenBar, FaultType::Eccentricity] {
            let mut machine = Machine::broken_bar(f0, 11);
            machine.noise = 0.02;
            let blocks = if gaps { machine.sparse(90, 0.1) } else { machine.stream(1.7e9, 90) };
            let profile = machine.profile();
            let (verdicts, state) = published(&blocks, &profile, fault);
            assert_eq!(
                (&verdicts, &state),
                (&published(&blocks, &profile, fault).0, &published(&blocks, &profile, fault).1)
            );
            let mut stored = "{}".to_owned();
            for (block, expected) in blocks.iter().zip(&verdicts) {
                let read: FoldedState = serde_json::from_str(&stored).unwrap();
                let (verdict, next) = follow(&Prepared::new(block, &profile), fault, &read);
                assert_eq!(&verdict, expected);
                stored = serde_json::to_string(&next).unwrap();
                assert!(stored.len() < 2500, "{f0} Hz {fault}: {} bytes", stored.len());
            }
            assert_eq!(serde_json::from_str::<FoldedState>(&stored).unwrap(), state);
        }
    }
}

#[test]
fn who_sends_long_blocks_has_nothing_kept() {
    let mut machine = Machine::healthy(50.0, 1);
    let blocks: Vec<SignalBlock> = (0..3).map(|k| machine.block(4.0 * f64::from(k), 32_000)).collect();
    for fault in FaultType::ALL {
        let (_, state) = published(&blocks, &machine.profile(), fault);
        assert!(serde_json::to_string(&state).unwrap().len() < 200, "{fault}: {state:?}");
    }
}

#[test]
fn blocks_with_gaps_warn_of_broken_bars_and_no_more() {
    for f0 in SUPPLY_HZ {
        let mut found = 0;
        for seed in 0..RUNS / 2 {
            let mut machine = Machine::broken_bar(f0, seed);
            machine.noise = 0.03;
            let verdicts = run(&machine.sparse(40, 0.12), &machine, FaultType::BrokenBar);
            assert!(verdicts.iter().all(|v| v.score <= 0.5 && v.status != Status::Normal));
            found += u64::from(verdicts[39].status == Status::Warning);
            // Evenly spaced, hardly anything follows.
            let verdicts = run(&machine.sparse(40, 0.0), &machine, FaultType::BrokenBar);
            assert!(verdicts.iter().all(|v| v.score <= 0.5 && v.status != Status::Normal));
        }
        assert!(found * 10 >= RUNS / 2 * 8, "{f0} Hz: {found} of {}", RUNS / 2);
    }
}

#[test]
fn blocks_with_gaps_of_a_sound_cage_raise_no_alarm() {
    for f0 in SUPPLY_HZ {
        for seed in 0..RUNS {
            let mut machine = Machine::healthy(f0, seed);
            let jitter_s = 0.12 * (seed % 2) as f64;
            let verdicts = run(&machine.sparse(40, jitter_s), &machine, FaultType::BrokenBar);
            assert_eq!(statuses(&verdicts), "I".repeat(40), "{f0} Hz, {seed}: {:?}", verdicts[39]);
            assert!(reason(&verdicts[39]).contains("without a gap"), "{:?}", verdicts[39]);
        }
    }
}

#[test]
fn a_modulation_that_even_spacing_folds_onto_broken_bars_is_no_alarm() {
    for f0 in SUPPLY_HZ {
        for seed in 0..RUNS / 4 {
            for fold in [-1.0, 1.0, 2.0] {
                let mut machine = Machine::healthy(f0, seed);
                machine.load = (2.0 * machine.slip_hz + fold / PERIOD_S, 0.03);
                let verdicts = run(&machine.sparse(40, 0.0), &machine, FaultType::BrokenBar);
                assert_eq!(alarms(&verdicts), 0, "{f0} Hz, {seed}, {fold}: {:?}", verdicts[39]);
            }
        }
    }
}

#[test]
fn eccentricity_is_averaged_over_blocks_with_gaps() {
    for f0 in [43.7, 50.0, 60.0] {
        for seed in 0..RUNS / 4 {
            let mut machine = Machine::eccentric(f0, 0.01, seed);
            let verdicts = run(&machine.sparse(20, 0.1), &machine, FaultType::Eccentricity);
            assert_eq!(verdicts[19].status, Status::Warning, "{f0} Hz, {seed}: {:?}", verdicts[19]);
            assert!(
                (verdicts[19].features["dynamic_ecc_ratio"] / 0.01 - 1.0).abs() < 0.2,
                "{:?}",
                verdicts[19]
            );
            for load in [(1.0, 0.0), (3.0, 0.05)] {
                let mut machine = Machine::healthy(f0, seed);
                (machine.noise, machine.load) = (0.05, load);
                let verdicts = run(&machine.sparse(40, 0.1), &machine, FaultType::Eccentricity);
                assert_eq!(alarms(&verdicts), 0, "{f0} Hz, {seed}, {load:?}: {:?}", verdicts[39]);
                let known = load.1 > 0.0 || verdicts[39].status == Status::Normal;
                assert!(known, "{f0} Hz, {seed}: {:?}", verdicts[39]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_stored_state_is_survived(at in 0..1000usize, with in prop::sample::select(vec!["9e307", "-1", "0", "\"x\"", "null", "1e-300", "65535"]), gaps in any::<bool>()) {
        let mut machine = Machine::broken_bar(50.0, 1);
        let blocks = if gaps { machine.sparse(6, 0.1) } else { machine.stream(10.0, 6) };
        let (_, state) = published(&blocks[..5], &machine.profile(), FaultType::BrokenBar);
        let text = serde_json::to_string(&state).unwrap();
        // One number of the stored text becomes another.
        let numbers: Vec<usize> = text.match_indices([':', '[', ',']).map(|(i, _)| i + 1).collect();
        let from = numbers[at % numbers.len()];
        let to = text[from..].find([',', ']', '}']).map_or(text.len(), |n| from + n);
        let damaged = format!("{}{with}{}", &text[..from], &text[to..]);
        let read: FoldedState = serde_json::from_str(&damaged).unwrap_or_default();
        let (verdict, next) = follow(&Prepared::new(&blocks[5], &machine.profile()), FaultType::BrokenBar, &read);
        prop_assert!((0.0..=1.0).contains(&verdict.score));
        prop_assert!(verdict.features.values().all(|v| v.is_finite()));
        let again = serde_json::to_string(&next).unwrap();
        prop_assert!(again.len() < 2500 && serde_json::from_str::<FoldedState>(&again).is_ok());
    }
}
