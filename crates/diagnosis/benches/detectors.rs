//! Cost of each detector on one block of three currents and one vibration, 1,024 and 8,192 samples each.
//!
//! `cargo bench -p vtox-diagnosis`. A detector's own figure includes the preparation it needs; `all` shares it.

use std::f64::consts::TAU;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use vtox_diagnosis::{FoldedState, Prepared, diagnose, follow};
use vtox_protocol::{BearingGeometry, Channel, FaultType, MotorProfile, MotorType, Quantity, SignalBlock};

const RATE_HZ: f64 = 8000.0;
const SUPPLY_HZ: f64 = 87.3;
const SHAFT_HZ: f64 = 42.6;

/// A healthy motor with harmonics and noise.
fn block(samples: usize) -> SignalBlock {
    let mut state = 1u64;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5
    };
    let mut channel = |quantity, wave: &dyn Fn(f64) -> f64, spread: f64| Channel {
        quantity,
        rate_hz: RATE_HZ,
        samples: (0..samples).map(|i| (wave(i as f64 / RATE_HZ) + spread * noise()) as f32).collect(),
    };
    let mut channels: Vec<Channel> = Quantity::CURRENTS
        .into_iter()
        .enumerate()
        .map(|(phase, quantity)| {
            let turn = TAU / 3.0 * phase as f64;
            let wave = |t: f64| {
                let angle = TAU * SUPPLY_HZ * t - turn;
                40.0 * angle.cos()
                    + 0.8 * (5.0 * angle).cos()
                    + 0.1 * (TAU * (SUPPLY_HZ + SHAFT_HZ) * t).cos()
            };
            channel(quantity, &wave, 1.0)
        })
        .collect();
    channels.push(channel(Quantity::VibrationX, &|t| 0.1 * (TAU * SHAFT_HZ * t).sin(), 0.5));
    SignalBlock {
        channels,
        readings: [
            (Quantity::Speed, 60.0 * SHAFT_HZ),
            (Quantity::InsulationResistance, 250.0),
            (Quantity::Temperature, 70.0),
        ]
        .into(),
        ..SignalBlock::default()
    }
}

fn profile() -> MotorProfile {
    MotorProfile {
        motor_type: MotorType::Induction,
        pole_pairs: Some(2),
        bearing: Some(BearingGeometry {
            elements: 9,
            element_diameter_mm: 7.94,
            pitch_diameter_mm: 39.04,
            contact_angle_deg: 0.0,
        }),
        ..MotorProfile::default()
    }
}

fn detectors(criterion: &mut Criterion) {
    let profile = profile();
    for samples in [1_024, 8_192] {
        let block = block(samples);
        let mut group = criterion.benchmark_group("block");
        for fault in FaultType::ALL {
            group.bench_with_input(BenchmarkId::new(fault.name(), samples), &block, |bencher, block| {
                bencher.iter(|| diagnose(&Prepared::new(black_box(block), &profile), fault));
            });
        }
        group.bench_with_input(BenchmarkId::new("all", samples), &block, |bencher, block| {
            let states = FaultType::ALL.map(|_| FoldedState::default());
            bencher.iter(|| {
                let prepared = Prepared::new(black_box(block), &profile);
                let mut alarms = 0;
                for (fault, state) in FaultType::ALL.into_iter().zip(&states) {
                    alarms += usize::from(follow(&prepared, fault, state).0.score > 0.3);
                }
                alarms
            });
        });
        group.finish();
    }
}

criterion_group!(benches, detectors);
criterion_main!(benches);
