//! Which workers cannot keep up with what they own.
//!
//! Overload skips the caps of balancing, so it is judged with care: a worker is overloaded against
//! the others. When the whole cluster is behind, moving load from one to another helps nobody.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::lower_median;

/// When a worker is overloaded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OverloadConfig {
    /// Lag of most of its lanes, in s of their load, above which a worker is behind.
    pub lag_s: f64,
    /// How many times the median lag it must be as well.
    pub lag_ratio: f64,
    /// How long it must be behind, ms.
    pub confirm_ms: u64,
    /// How far above its target a slow worker is overfull: 0.25 is a quarter.
    pub fill: f64,
}

impl Default for OverloadConfig {
    fn default() -> Self {
        Self { lag_s: 2.0, lag_ratio: 3.0, confirm_ms: 3_000, fill: 0.25 }
    }
}

/// How a worker copes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Strain {
    /// How far its lanes are behind, s of the load that arrives for them; the median of them. Leave out lanes it has
    /// only just got: they are behind because of somebody else.
    pub lag_s: f64,
    /// Load over target, where something is meant for it.
    pub fill: Option<f64>,
    /// It is clearly slower than its peers.
    pub slow: bool,
}

/// Overload over time.
#[derive(Debug, Clone)]
pub struct Overload<W> {
    config: OverloadConfig,
    behind_since_ms: BTreeMap<W, u64>,
    overfull: BTreeSet<W>,
}

impl<W: Ord + Clone> Overload<W> {
    /// Nobody is overloaded yet.
    pub fn new(config: OverloadConfig) -> Self {
        Self { config, behind_since_ms: BTreeMap::new(), overfull: BTreeSet::new() }
    }

    /// The overloaded workers. A slow one is so from the moment its fill is far above its target until it is down to
    /// `relieved` above it.
    pub fn update(&mut self, now_ms: u64, strains: &BTreeMap<W, Strain>, relieved: f64) -> BTreeSet<W> {
        let lag = lower_median(strains.values().map(|s| s.lag_s));
        let behind = |strain: &Strain, ease: f64| {
            let config = &self.config;
            strain.lag_s > ease * config.lag_s && strain.lag_s > ease * config.lag_ratio * lag
        };
        let mut since_ms = BTreeMap::new();
        let mut overloaded = BTreeSet::new();
        for (id, strain) in strains {
            let before_ms = self.behind_since_ms.get(id).copied();
            // Once behind it must come down to half before it no longer is.
            if behind(strain, if before_ms.is_some() { 0.5 } else { 1.0 }) {
                let since = before_ms.unwrap_or(now_ms);
                since_ms.insert(id.clone(), since);
                if now_ms.saturating_sub(since) >= self.config.confirm_ms {
                    overloaded.insert(id.clone());
                }
            }
            let limit = if self.overfull.contains(id) { relieved } else { self.config.fill };
            if strain.slow && strain.fill.is_some_and(|fill| fill > 1.0 + limit) {
                self.overfull.insert(id.clone());
                overloaded.insert(id.clone());
            } else {
                self.overfull.remove(id);
            }
        }
        self.behind_since_ms = since_ms;
        self.overfull.retain(|id| strains.contains_key(id));
        overloaded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strains(lags: [f64; 4]) -> BTreeMap<usize, Strain> {
        lags.into_iter().map(|lag_s| Strain { lag_s, fill: Some(1.0), slow: false }).enumerate().collect()
    }

    #[test]
    fn who_stays_behind_the_others_is_overloaded_until_it_has_caught_up() {
        let mut overload = Overload::new(OverloadConfig::default());
        let mut at = |ms, lags| overload.update(ms, &strains(lags), 0.02);
        assert!(at(0, [0.1, 5.0, 0.1, 0.0]).is_empty(), "not yet confirmed");
        assert_eq!(at(3_000, [0.1, 9.0, 0.1, 0.0]), BTreeSet::from([1]));
        assert_eq!(at(4_000, [0.1, 1.5, 0.1, 0.0]), BTreeSet::from([1]), "half way is not enough");
        assert!(at(5_000, [0.1, 0.9, 0.1, 0.0]).is_empty());
        assert!(at(6_000, [0.1, 3.0, 0.1, 0.0]).is_empty(), "confirmed anew");
    }

    #[test]
    fn nobody_is_overloaded_when_all_are_behind() {
        let mut overload = Overload::new(OverloadConfig::default());
        for s in 0..60 {
            assert!(overload.update(s * 1_000, &strains([20.0, 30.0, 25.0, 40.0]), 0.02).is_empty());
        }
    }

    #[test]
    fn a_slow_worker_far_above_its_target_is_relieved_down_to_it() {
        let mut overload = Overload::new(OverloadConfig::default());
        let mut at = |fill, slow| {
            let strains = BTreeMap::from([(0, Strain { lag_s: 0.0, fill: Some(fill), slow })]);
            !overload.update(0, &strains, 0.02).is_empty()
        };
        assert!(!at(4.0, false), "only a slow one");
        assert!(at(4.0, true) && at(1.1, true));
        assert!(!at(1.01, true));
        assert!(!at(1.1, true), "balancing does the rest");
    }
}
