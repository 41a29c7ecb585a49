//! The operating point at which blocks are collected.

use serde::{Deserialize, Serialize};

use super::current::{Current, Source};

/// Change of the current at which it is another operating point. Broken bars modulate by up to a seventh.
const MAGNITUDE_CHANGE_MAX: f64 = 1.25;
/// Relative change of speed at which it is another operating point: at a slip of 2 % that is a fifth of it.
const SPEED_CHANGE_MAX: f64 = 0.004;
/// Relative change of the supply frequency, beside what a short block leaves open, at which it is another operating point.
const FREQUENCY_CHANGE_MAX: f64 = 0.01;
/// Error of a short block's frequency in units of 1 / length.
const FREQUENCY_ERROR: f64 = 0.1;

/// Operating point and sampling, as they were when the collection began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Running {
    pub(super) source: Source,
    pub(super) rate_hz: f64,
    /// Fundamental of the first block, A.
    pub(super) magnitude: f64,
    /// Mean over the blocks.
    pub(super) f0_hz: f64,
    /// Mean over the blocks.
    pub(super) shaft_hz: Option<f64>,
    pub(super) blocks: u32,
}

impl Running {
    pub(super) fn new(current: &Current<'_>, shaft_hz: Option<f64>) -> Self {
        Self {
            source: current.source,
            rate_hz: current.rate_hz,
            magnitude: current.magnitude,
            f0_hz: current.f0_hz,
            shaft_hz,
            blocks: 1,
        }
    }

    /// Whether it can be gone on with, whatever it was read from.
    pub(super) fn usable(&self) -> bool {
        [self.magnitude, self.f0_hz, self.shaft_hz.unwrap_or(1.0)].iter().all(|v| v.is_finite() && *v > 0.0)
    }

    /// Whether a block was sampled the same way at the same operating point.
    pub(super) fn same(&self, current: &Current<'_>, shaft_hz: Option<f64>) -> bool {
        let near = |a: f64, b: f64, relative: f64, absolute: f64| (a - b).abs() <= relative * b + absolute;
        let turning = match (self.shaft_hz, shaft_hz) {
            (Some(before), Some(now)) => near(now, before, SPEED_CHANGE_MAX, 0.0),
            (before, now) => before.is_none() && now.is_none(),
        };
        let ratio = current.magnitude / self.magnitude;
        self.source == current.source
            && self.rate_hz == current.rate_hz
            && near(current.f0_hz, self.f0_hz, FREQUENCY_CHANGE_MAX, FREQUENCY_ERROR / current.duration_s())
            && (1.0 / MAGNITUDE_CHANGE_MAX..=MAGNITUDE_CHANGE_MAX).contains(&ratio)
            && turning
    }

    /// Takes a block into the means.
    pub(super) fn add(&mut self, current: &Current<'_>, shaft_hz: Option<f64>) {
        self.blocks = self.blocks.saturating_add(1).min(32);
        let share = 1.0 / f64::from(self.blocks);
        self.f0_hz += share * (current.f0_hz - self.f0_hz);
        if let (Some(mean), Some(now)) = (&mut self.shaft_hz, shaft_hz) {
            *mean += share * (now - *mean);
        }
    }
}
