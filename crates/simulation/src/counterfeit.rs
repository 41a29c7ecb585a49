//! What looks like a fault and is none: disturbances of the machine's surroundings and of the measurement.

use vtox_protocol::{Quantity, SignalBlock};

use crate::synthesis::scatter;

/// A disturbance that must raise no alarm. Those of the machine ([`Self::LoadOscillation`], [`Self::MassUnbalance`],
/// [`Self::RandomImpacts`]) are part of the signal and go on from block to block; the others are done to each block on its
/// way from the sensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Counterfeit {
    /// The torque swings: side bands of the currents at f0 +- `frequency_hz`.
    LoadOscillation {
        /// Frequency of the swing, Hz.
        frequency_hz: f64,
        /// Amplitude of the swing over the mean torque, 0-1.
        depth: f64,
    },
    /// The rotor is out of balance: vibration once a turn, and the little eccentricity its whirl makes.
    MassUnbalance {
        /// Balance quality grade G of ISO 21940-11, mm/s: 2.5 is what electric motors are balanced to, 16 and more is poor.
        grade_mm_per_s: f64,
    },
    /// Knocks at random instants (stones, couplings, a neighbouring machine).
    RandomImpacts {
        /// Their mean rate, Hz.
        rate_hz: f64,
        /// Their peak over the RMS of the broadband vibration.
        peak: f64,
    },
    /// The sampling instants are off the even grid, each by its own amount.
    ClockJitter {
        /// Largest deviation, in sampling periods.
        periods: f64,
        /// Whether the block says so.
        told: bool,
    },
    /// Channel k is sampled k times `skew_s` later than the first.
    NonSimultaneous {
        /// Delay from one channel to the next, s.
        skew_s: f64,
        /// Whether the block says so.
        told: bool,
    },
    /// A current sensor is turned round.
    FlippedChannel {
        /// 0, 1, 2 for A, B, C.
        phase: usize,
    },
    /// A current sensor shows too much or too little.
    SensorGain {
        /// 0, 1, 2 for A, B, C.
        phase: usize,
        /// Shown over true; 1 is right.
        gain: f64,
    },
    /// A current is beyond the range of its converter.
    ClippedChannel {
        /// 0, 1, 2 for A, B, C.
        phase: usize,
        /// Limit of the range over the channel's own peak.
        level: f64,
    },
    /// A current stands still for a while: lost samples.
    Dropout {
        /// 0, 1, 2 for A, B, C.
        phase: usize,
        /// Length over that of the block.
        share: f64,
    },
    /// A current is not there.
    MissingChannel {
        /// 0, 1, 2 for A, B, C.
        phase: usize,
    },
    /// The sensors of phases B and C are exchanged: the currents seem to rotate backward.
    SwappedPhases,
}

impl Counterfeit {
    /// Where the clock jitters: when each sample is taken, in sampling periods. `seed` tells one block from the next.
    pub(crate) fn instants(&self, samples: usize, seed: u64) -> Option<Vec<f64>> {
        let Self::ClockJitter { periods, .. } = *self else { return None };
        Some((0..samples).map(|k| k as f64 + periods * (2.0 * scatter(seed, k as u64) - 1.0)).collect())
    }

    /// Delay from one channel to the next, s.
    pub(crate) fn skew_s(&self) -> f64 {
        if let Self::NonSimultaneous { skew_s, .. } = self { *skew_s } else { 0.0 }
    }

    /// What happens between the sensor and the block. `random` is a number in 0..1 of the block's own.
    pub(crate) fn disturb(&self, block: &mut SignalBlock, random: f64) {
        match *self {
            Self::LoadOscillation { .. } | Self::MassUnbalance { .. } | Self::RandomImpacts { .. } => {}
            Self::ClockJitter { periods, told } => block.clock_jitter = told.then_some(periods),
            Self::NonSimultaneous { told, .. } => block.synchronous = !told,
            Self::FlippedChannel { phase } => each_sample(block, phase, |x| -x),
            Self::SensorGain { phase, gain } => each_sample(block, phase, |x| gain as f32 * x),
            Self::ClippedChannel { phase, level } => {
                let peak = current(block, phase).iter().fold(0.0f32, |peak, x| peak.max(x.abs()));
                let limit = peak * level.clamp(0.0, 1.0) as f32;
                each_sample(block, phase, |x| x.clamp(-limit, limit));
            }
            Self::Dropout { phase, share } => {
                let samples = current(block, phase);
                let length = (share.clamp(0.0, 1.0) * samples.len() as f64) as usize;
                let start = (random * (samples.len() - length) as f64) as usize;
                if let Some(held) = samples.get(start).copied() {
                    samples[start..start + length].fill(held);
                }
            }
            Self::MissingChannel { phase } => {
                block.channels.retain(|c| c.quantity != Quantity::CURRENTS[phase % 3]);
            }
            Self::SwappedPhases => {
                let [_, b, c] = Quantity::CURRENTS;
                for channel in &mut block.channels {
                    channel.quantity = match channel.quantity {
                        q if q == b => c,
                        q if q == c => b,
                        q => q,
                    };
                }
            }
        }
    }
}

fn current(block: &mut SignalBlock, phase: usize) -> &mut [f32] {
    let quantity = Quantity::CURRENTS[phase % 3];
    block.channels.iter_mut().find(|c| c.quantity == quantity).map_or(&mut [], |c| &mut c.samples)
}

fn each_sample(block: &mut SignalBlock, phase: usize, change: impl Fn(f32) -> f32) {
    current(block, phase).iter_mut().for_each(|x| *x = change(*x));
}
