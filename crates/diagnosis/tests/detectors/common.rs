//! Small synthetic signals with known content.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use vtox_protocol::{BearingGeometry, Channel, MotorProfile, Quantity, SignalBlock};

/// Supply frequencies of a drive, none of them on a bin.
pub const SUPPLY_HZ: [f64; 4] = [23.7, 50.0, 87.0, 133.0];

/// Deterministic noise.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Uniform in 0..1 (xorshift64*).
    pub fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Normal with unit variance (sum of twelve).
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// Three phase currents.
#[derive(Clone)]
pub struct Currents {
    pub f0: f64,
    pub rate_hz: f64,
    pub seconds: f64,
    /// RMS of the noise over that of the fundamental.
    pub noise: f64,
    /// Negative sequence: ratio and angle against the positive one, radians.
    pub negative: (f64, f64),
    /// Further lines of each phase: frequency, amplitude over the fundamental. A negative frequency rotates backward.
    pub lines: Vec<(f64, f64)>,
    /// Slow modulation of the amplitude: frequency, depth.
    pub load: (f64, f64),
    /// Slow modulation of the phase: frequency, radians.
    pub swing: (f64, f64),
    pub seed: u64,
}

impl Currents {
    pub fn healthy(f0: f64, rate_hz: f64, seconds: f64) -> Self {
        let lines = vec![(-5.0 * f0, 0.02), (7.0 * f0, 0.01)];
        Self {
            f0,
            rate_hz,
            seconds,
            noise: 0.01,
            negative: (0.005, 1.0),
            lines,
            load: (1.0, 0.0),
            swing: (1.0, 0.0),
            seed: 7,
        }
    }

    pub fn samples(&self, phase: usize) -> Vec<f32> {
        let mut noise = Noise::new(self.seed + phase as u64);
        let turn = TAU / 3.0 * phase as f64;
        (0..(self.rate_hz * self.seconds) as usize)
            .map(|i| {
                let t = i as f64 / self.rate_hz;
                let angle = TAU * self.f0 * t + 0.3 + self.swing.1 * (TAU * self.swing.0 * t).sin();
                let mut x = (angle - turn).cos() + self.negative.0 * (angle + turn + self.negative.1).cos();
                for (hz, amplitude) in &self.lines {
                    x += amplitude * (TAU * hz * t - turn + hz).cos();
                }
                x *= 1.0 + self.load.1 * (TAU * self.load.0 * t).cos();
                (40.0 * (x + self.noise / 2f64.sqrt() * noise.normal())) as f32
            })
            .collect()
    }

    pub fn block(&self, rpm: Option<f64>) -> SignalBlock {
        let channels = Quantity::CURRENTS
            .into_iter()
            .enumerate()
            .map(|(phase, q)| Channel { quantity: q, rate_hz: self.rate_hz, samples: self.samples(phase) })
            .collect();
        SignalBlock { channels, readings: speed(rpm), ..SignalBlock::default() }
    }
}

fn speed(rpm: Option<f64>) -> BTreeMap<Quantity, f64> {
    rpm.map(|rpm| (Quantity::Speed, rpm)).into_iter().collect()
}

/// A 6205.
pub fn bearing() -> BearingGeometry {
    BearingGeometry {
        elements: 9,
        element_diameter_mm: 7.94,
        pitch_diameter_mm: 39.04,
        contact_angle_deg: 0.0,
    }
}

/// What is known of the motor in these tests.
pub fn profile() -> MotorProfile {
    MotorProfile { pole_pairs: Some(2), bearing: Some(bearing()), ..MotorProfile::default() }
}

/// Vibration: noise, a line at shaft speed, and impacts that ring at `ring_hz`.
pub struct Vibration {
    pub rate_hz: f64,
    pub seconds: f64,
    pub shaft_hz: f64,
    /// Times of the impacts, s, and their peaks over the RMS of the noise.
    pub impacts: Vec<(f64, f64)>,
    pub ring_hz: f64,
    pub seed: u64,
}

impl Vibration {
    pub fn healthy(rate_hz: f64, seconds: f64, shaft_hz: f64) -> Self {
        Self { rate_hz, seconds, shaft_hz, impacts: Vec::new(), ring_hz: 0.3 * rate_hz, seed: 3 }
    }

    /// Impacts at a rate with 1 % of slip, modulated by the shaft for the inner race.
    pub fn with_defect(mut self, rate_hz: f64, peak: f64, modulation: f64) -> Self {
        let mut noise = Noise::new(self.seed + 99);
        let mut t = 0.001;
        while t < self.seconds {
            let load = 1.0 + modulation * (TAU * self.shaft_hz * t).cos();
            self.impacts.push((t, peak * load));
            t += (1.0 + 0.01 * noise.normal()) / rate_hz;
        }
        self
    }

    pub fn block(&self) -> SignalBlock {
        let mut noise = Noise::new(self.seed);
        let n = (self.rate_hz * self.seconds) as usize;
        let mut x: Vec<f64> =
            (0..n).map(|i| noise.normal() + (TAU * self.shaft_hz * i as f64 / self.rate_hz).sin()).collect();
        for (at, peak) in &self.impacts {
            let first = (at * self.rate_hz).ceil() as usize;
            for (i, x) in x.iter_mut().enumerate().skip(first).take((0.01 * self.rate_hz) as usize) {
                let t = i as f64 / self.rate_hz - at;
                *x += peak * (-t * 1500.0).exp() * (TAU * self.ring_hz * t).sin();
            }
        }
        let samples = x.into_iter().map(|x| (0.1 * x) as f32).collect();
        let channel = Channel { quantity: Quantity::VibrationX, rate_hz: self.rate_hz, samples };
        SignalBlock {
            channels: vec![channel],
            readings: speed(Some(60.0 * self.shaft_hz)),
            ..SignalBlock::default()
        }
    }
}
