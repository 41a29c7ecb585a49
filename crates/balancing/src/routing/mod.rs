//! Routing of single tasks to workers: a strategy picks among the candidates, a circuit breaker per worker keeps it off those that
//! fail.
//!
//! Time is passed in as ms of a clock that never steps, randomness as a number per pick. What the router knows of a worker it has
//! seen itself: tasks in flight, latency, outcomes; the score comes with the candidates.

mod breaker;
mod latency;
mod router;
mod strategy;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use breaker::{BreakerConfig, BreakerState};
pub use router::{Candidate, Outcome, Pick, Router, Standing};

use crate::score::ScoreWeights;

/// How a worker is picked among those that serve a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Highest score over tasks in flight; recent failures lower it.
    #[default]
    Smart,
    /// One after the other.
    RoundRobin,
    /// One after the other, smoothly in proportion to the weights.
    WeightedRoundRobin,
    /// Fewest tasks in flight.
    LeastConnections,
    /// The better of two random workers by latency x (in flight + 1).
    PeakEwma,
    /// By affinity key, so that the same key meets the same worker while that one is not overloaded.
    ConsistentHash,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Smart,
        Self::RoundRobin,
        Self::WeightedRoundRobin,
        Self::LeastConnections,
        Self::PeakEwma,
        Self::ConsistentHash,
    ];

    /// Name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smart => "smart",
            Self::RoundRobin => "round_robin",
            Self::WeightedRoundRobin => "weighted_round_robin",
            Self::LeastConnections => "least_connections",
            Self::PeakEwma => "peak_ewma",
            Self::ConsistentHash => "consistent_hash",
        }
    }
}

/// What operators change while the cluster runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routing {
    /// The strategy.
    pub strategy: Strategy,
    /// Weight of workers under `weighted_round_robin`; 0 gives a worker nothing, one that is not named weighs its score (0-1).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, f64>,
    /// Weights of the parts of the score; none: those of the placement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<ScoreWeights>,
}

/// Most workers with a weight of their own.
const MAX_WEIGHTS: usize = 1_000;

impl Routing {
    /// Checks what types cannot say; the text names the fix.
    pub fn validate(&self) -> Result<(), String> {
        if self.weights.len() > MAX_WEIGHTS {
            return Err(format!("{} weights; at most {MAX_WEIGHTS}", self.weights.len()));
        }
        if let Some((worker, weight)) = self.weights.iter().find(|(_, w)| !(w.is_finite() && **w >= 0.0)) {
            return Err(format!("the weight of {worker} is {weight}; set it to a finite number >= 0"));
        }
        if !self.weights.is_empty() && self.weights.values().all(|w| *w == 0.0) {
            return Err("every weight is 0; set at least one above 0".to_owned());
        }
        let Some(score) = &self.score else { return Ok(()) };
        score.validate().map_err(|error| error.to_string().replace("placement.score", "score"))
    }
}

/// Figures of the router.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutingConfig {
    /// Time in which a measured latency or a failure is forgotten to 37 %, ms.
    pub smoothing_ms: u64,
    /// Latency that a failure counts for at least, ms: a worker that fails fast must not look fast.
    pub failure_penalty_ms: u64,
    /// Tasks in flight a worker may have under `consistent_hash`, as a multiple of the mean.
    pub load_bound: f64,
    /// The circuit breaker of each worker.
    pub breaker: BreakerConfig,
}

impl Default for RoutingConfig {
    fn default() -> Self {
        Self {
            smoothing_ms: 10_000,
            failure_penalty_ms: 5_000,
            load_bound: 1.25,
            breaker: BreakerConfig::default(),
        }
    }
}

impl RoutingConfig {
    /// Checks what types cannot say; the text names the fix.
    pub fn validate(&self) -> Result<(), String> {
        if self.smoothing_ms == 0 {
            return Err("smoothing_ms is 0; at least 1".to_owned());
        }
        if !(self.load_bound.is_finite() && self.load_bound > 1.0) {
            return Err(format!("load_bound is {}; it must be above 1, such as 1.25", self.load_bound));
        }
        self.breaker.validate()
    }
}
