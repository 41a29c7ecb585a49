//! A block of measured signals: what a vehicle sends and a detector reads.

use std::collections::BTreeMap;

use crate::{MotorProfile, Quantity};

/// One sampled channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// What is measured; fixes the unit.
    pub quantity: Quantity,
    /// Sampling rate, Hz; > 0 and finite.
    pub rate_hz: f64,
    /// Samples in the unit of the quantity; finite, at least one.
    pub samples: Vec<f32>,
}

impl Channel {
    /// Length in seconds.
    pub fn duration_s(&self) -> f64 {
        self.samples.len() as f64 / self.rate_hz
    }
}

/// A block of signals of one motor.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalBlock {
    /// Time of the first sample on the sender's clock, s; any epoch.
    pub start_s: Option<f64>,
    /// Sampled channels, at most one per quantity.
    pub channels: Vec<Channel>,
    /// Scalar readings in the unit of the quantity; finite.
    pub readings: BTreeMap<Quantity, f64>,
    /// False when the channels were not sampled at the same instants, so that phase
    /// relations between them mean nothing.
    pub synchronous: bool,
    /// Largest deviation of a sampling instant from the even grid, in sampling periods, where
    /// the sender gave times.
    pub clock_jitter: Option<f64>,
    /// Sampling rate that the sender's times show, Hz, where it is not the one given: one of the two is wrong.
    pub contradicting_rate_hz: Option<f64>,
    /// What is known of the motor, where the sender says it with the block.
    pub profile: Option<MotorProfile>,
}

impl Default for SignalBlock {
    fn default() -> Self {
        Self {
            start_s: None,
            channels: Vec::new(),
            readings: BTreeMap::new(),
            synchronous: true,
            clock_jitter: None,
            contradicting_rate_hz: None,
            profile: None,
        }
    }
}

impl SignalBlock {
    /// The channel of a quantity.
    pub fn channel(&self, quantity: Quantity) -> Option<&Channel> {
        self.channels.iter().find(|c| c.quantity == quantity)
    }

    /// One value for a slow quantity: the reading, else the mean of its channel.
    pub fn value(&self, quantity: Quantity) -> Option<f64> {
        self.readings.get(&quantity).copied().or_else(|| {
            let samples = &self.channel(quantity)?.samples;
            Some(samples.iter().map(|s| f64::from(*s)).sum::<f64>() / samples.len() as f64)
        })
    }

    /// Number of samples over all channels.
    pub fn sample_count(&self) -> usize {
        self.channels.iter().map(|c| c.samples.len()).sum()
    }
}
