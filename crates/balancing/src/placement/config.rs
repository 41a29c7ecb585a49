//! Parameters of placement.

use serde::{Deserialize, Serialize};

use crate::capacity::CapacityConfig;
use crate::failing::FailingConfig;
use crate::overload::OverloadConfig;
use crate::score::{MIN_HEALTH, ScoreWeights, WeightError};

/// Parameters of placement: those of the placer, and of what its input is made from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlacementConfig {
    /// Deviation from the target above which balancing begins.
    pub start_deviation: f64,
    /// Deviation within which it ends.
    pub stop_deviation: f64,
    /// By how much a step must lower the larger deviation of its two workers.
    pub min_gain: f64,
    /// Time between balancing rounds, ms.
    pub round_ms: u64,
    /// Share of the units that may move in a balancing round; at least one may. A swap moves two:
    /// where only one may, it uses up two rounds.
    pub round_share: f64,
    /// How long a moved unit is left where it is, ms. Draining, failing and overload do not wait.
    pub rest_ms: u64,
    /// Time over which a newcomer's weight rises to its full value, ms.
    pub slow_start_ms: u64,
    /// Part of its weight a newcomer has at once, so that a cluster of newcomers can be filled.
    pub slow_start_floor: f64,
    /// Health below which a worker gets nothing new.
    pub min_health: f64,
    /// Load that owning a unit costs by itself, in the unit of the loads; spreads idle units by
    /// count. The default suits messages per second.
    pub idle_load: f64,
    /// Time constant of the measured loads, ms ([`crate::LoadTracker`]).
    pub load_smoothing_ms: u64,
    /// Weights of the score.
    pub score: ScoreWeights,
    /// How score and measured speed become a worker's weight.
    pub capacity: CapacityConfig,
    /// When a worker is overloaded.
    pub overload: OverloadConfig,
    /// When a worker fails.
    pub failing: FailingConfig,
}

impl Default for PlacementConfig {
    /// Moving begins at 3 % and ends at 2 %: with 5 % and 3 % four equal workers ended more than 5 % apart in 8 of 40 simulated
    /// clusters; with 2.5 % and 1.5 % noisy loads made partitions oscillate and a joining worker moved over 1.1 x its share.
    fn default() -> Self {
        Self {
            start_deviation: 0.03,
            stop_deviation: 0.02,
            min_gain: 0.005,
            round_ms: 1_000,
            round_share: 0.02,
            rest_ms: 60_000,
            slow_start_ms: 15_000,
            slow_start_floor: 0.1,
            min_health: MIN_HEALTH,
            idle_load: 0.1,
            load_smoothing_ms: crate::LoadTracker::<()>::TIME_CONSTANT_MS,
            score: ScoreWeights::default(),
            capacity: CapacityConfig::default(),
            overload: OverloadConfig::default(),
            failing: FailingConfig::default(),
        }
    }
}

/// Parameters placement cannot work with. The names are those of the section `placement` of the settings.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlacementError {
    /// A figure is out of range.
    #[error("placement.{name} is {value}; it must be {must}")]
    Range {
        /// Which one.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        must: &'static str,
    },
    /// Of two figures the wrong one is larger.
    #[error("placement.{low} is {low_value} and placement.{high} is {high_value}; set {low} below {high}")]
    Order {
        /// The one that must be smaller.
        low: &'static str,
        /// Its value.
        low_value: f64,
        /// The one that must be larger.
        high: &'static str,
        /// Its value.
        high_value: f64,
    },
    /// No score can be made.
    #[error(transparent)]
    Weights(#[from] WeightError),
}

impl PlacementConfig {
    /// Checks ranges and order.
    pub fn validate(&self) -> Result<(), PlacementError> {
        self.score.validate()?;
        let (c, o, f) = (&self.capacity, &self.overload, &self.failing);
        for (name, value) in [
            ("start_deviation", self.start_deviation),
            ("stop_deviation", self.stop_deviation),
            ("round_share", self.round_share),
            ("slow_start_floor", self.slow_start_floor),
            ("capacity.slow_below", c.slow_below),
            ("capacity.well_above", c.well_above),
            ("capacity.slowest", c.slowest),
        ] {
            positive_share(name, value)?;
        }
        for (name, value) in [
            ("min_health", self.min_health),
            ("min_gain", self.min_gain),
            ("capacity.score_band", c.score_band),
            ("capacity.speed_band", c.speed_band),
            ("failing.success_below", f.success_below),
        ] {
            range(name, value, (0.0..=1.0).contains(&value), "between 0 and 1")?;
        }
        for (name, value) in
            [("idle_load", self.idle_load), ("overload.lag_s", o.lag_s), ("overload.fill", o.fill)]
        {
            range(name, value, value.is_finite() && value > 0.0, "above 0")?;
        }
        range("overload.lag_ratio", o.lag_ratio, o.lag_ratio >= 1.0, "at least 1")?;
        for (name, ms) in [
            ("round_ms", self.round_ms),
            ("load_smoothing_ms", self.load_smoothing_ms),
            ("capacity.smoothing_ms", c.smoothing_ms),
            ("capacity.window_ms", c.window_ms),
            ("failing.ban_ms", f.ban_ms),
        ] {
            range(name, ms as f64, ms >= 100, "at least 100")?;
        }
        order("stop_deviation", self.stop_deviation, "start_deviation", self.start_deviation)?;
        order("capacity.slow_below", c.slow_below, "capacity.well_above", c.well_above)?;
        order("capacity.slowest", c.slowest, "capacity.slow_below", c.slow_below)?;
        order("failing.ban_ms", f.ban_ms as f64, "failing.longest_ban_ms", f.longest_ban_ms as f64)
    }
}

fn range(name: &'static str, value: f64, holds: bool, must: &'static str) -> Result<(), PlacementError> {
    if holds { Ok(()) } else { Err(PlacementError::Range { name, value, must }) }
}

fn positive_share(name: &'static str, value: f64) -> Result<(), PlacementError> {
    range(name, value, value > 0.0 && value <= 1.0, "above 0 and at most 1")
}

fn order(
    low: &'static str,
    low_value: f64,
    high: &'static str,
    high_value: f64,
) -> Result<(), PlacementError> {
    if low_value < high_value {
        return Ok(());
    }
    Err(PlacementError::Order { low, low_value, high, high_value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_what_is_not_is_named_with_its_fix() {
        assert_eq!(PlacementConfig::default().validate(), Ok(()));
        let error = |change: fn(&mut PlacementConfig)| {
            let mut config = PlacementConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert_eq!(
            error(|c| c.stop_deviation = 0.2),
            "placement.stop_deviation is 0.2 and placement.start_deviation is 0.03; set stop_deviation below start_deviation"
        );
        assert_eq!(
            error(|c| c.round_share = 0.0),
            "placement.round_share is 0; it must be above 0 and at most 1"
        );
        assert_eq!(error(|c| c.round_ms = 5), "placement.round_ms is 5; it must be at least 100");
        assert_eq!(
            error(|c| c.score.cpu = -1.0),
            "placement.score.cpu is -1; set it to a finite number >= 0"
        );
        assert!(error(|c| c.capacity.slow_below = f64::NAN).contains("capacity.slow_below"));
        assert!(error(|c| c.failing.longest_ban_ms = 1).contains("failing.longest_ban_ms"));
    }
}
