//! Sound machines that look like faulty ones.

use rand::Rng;
use rand::rngs::StdRng;
use vtox_simulation::{Condition, Counterfeit, Sampling};

use super::draw::{Window, healthy};

/// Names of the counterfeits, in the order of [`window`].
pub(super) const NAMES: [&str; 15] = [
    "fundamental between bins, without noise",
    "load oscillation, 5 to 30 % at 0.5 to 30 Hz",
    "mass unbalance, grade G 16 to 40",
    "random impacts, 5 to 30 times the vibration",
    "clock jitter up to 0.3 periods, not told",
    "clock jitter of 0.6 to 2 periods, told",
    "unbalanced supply 1 %, currents only",
    "unbalanced supply 2 %, voltages measured",
    "one current sensor turned round",
    "sensor gain off by up to 2 %",
    "one channel clipped at 70 to 95 %",
    "current stands still for 0.5 to 3 %",
    "one current missing",
    "channels sampled 10 to 100 us apart",
    "phases swapped",
];

/// A sound machine anywhere in the operating range with counterfeit number `kind`.
pub(super) fn window(kind: usize, rng: &mut StdRng) -> Window {
    let mut window = healthy(rng);
    let phase = rng.random_range(0..3);
    let counterfeit = match kind {
        0 => {
            window.sampling = Sampling { snr_db: 80.0, ..window.sampling };
            None
        }
        1 => Some(Counterfeit::LoadOscillation {
            frequency_hz: rng.random_range(0.5..30.0),
            depth: rng.random_range(0.05..0.3),
        }),
        2 => Some(Counterfeit::MassUnbalance { grade_mm_per_s: rng.random_range(16.0..40.0) }),
        3 => Some(Counterfeit::RandomImpacts {
            rate_hz: rng.random_range(1.0..20.0),
            peak: rng.random_range(5.0..30.0),
        }),
        4 => Some(Counterfeit::ClockJitter { periods: rng.random_range(0.05..0.3), told: false }),
        5 => Some(Counterfeit::ClockJitter { periods: rng.random_range(0.6..2.0), told: true }),
        6 => {
            window.point.supply_unbalance = 0.01;
            window.sampling = Sampling { voltages: false, ..window.sampling };
            None
        }
        7 => {
            window.point.supply_unbalance = 0.02;
            window.sampling = window.sampling.with_voltages();
            None
        }
        8 => Some(Counterfeit::FlippedChannel { phase }),
        9 => Some(Counterfeit::SensorGain { phase, gain: rng.random_range(0.98..1.02) }),
        10 => Some(Counterfeit::ClippedChannel { phase, level: rng.random_range(0.7..0.95) }),
        11 => Some(Counterfeit::Dropout { phase, share: rng.random_range(0.005..0.03) }),
        12 => Some(Counterfeit::MissingChannel { phase }),
        13 => Some(Counterfeit::NonSimultaneous { skew_s: rng.random_range(1e-5..1e-4), told: false }),
        _ => Some(Counterfeit::SwappedPhases),
    };
    window.condition = Condition { counterfeit, ..Condition::HEALTHY };
    window
}
