//! Which workers fail at what they do.
//!
//! A worker that fails fast looks idle and quick. It loses what it owns, so that somebody else can do
//! it, and stays away for a time that doubles each time it fails again. One broken partition is no
//! broken worker: it would fail with any other owner as well, and must not wander. Only a worker that has
//! never succeeded at anything is not given the benefit of that doubt.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// When a worker fails.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailingConfig {
    /// Share of its lanes that succeed below which a worker fails.
    pub success_below: f64,
    /// Partitions that must fail at the same time, once it has succeeded at anything.
    pub least_partitions: u32,
    /// How long it must fail, ms.
    pub confirm_ms: u64,
    /// How long it is then kept away, ms; twice as long each further time.
    pub ban_ms: u64,
    /// Longest time it is kept away, ms. After the same time without failing all is forgotten.
    pub longest_ban_ms: u64,
}

impl Default for FailingConfig {
    fn default() -> Self {
        Self {
            success_below: 0.5,
            least_partitions: 2,
            confirm_ms: 3_000,
            ban_ms: 15_000,
            longest_ban_ms: 600_000,
        }
    }
}

/// How what a worker does ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcomes {
    /// Share of its lanes whose last try succeeded, 0-1.
    pub success_rate: f64,
    /// Partitions with a lane whose last try failed.
    pub failing_partitions: u32,
    /// Whether anything has ever succeeded.
    pub ever_succeeded: bool,
}

impl Outcomes {
    fn fails(&self, config: &FailingConfig) -> bool {
        let least_partitions = if self.ever_succeeded { config.least_partitions } else { 1 };
        self.success_rate < config.success_below && self.failing_partitions >= least_partitions
    }
}

/// Failing workers over time.
#[derive(Debug, Clone)]
pub struct Failing<W> {
    config: FailingConfig,
    workers: BTreeMap<W, State>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    since_ms: Option<u64>,
    ban_until_ms: Option<u64>,
    times: u32,
    failed_ms: u64,
}

impl<W: Ord + Clone> Failing<W> {
    /// Nobody fails yet.
    pub fn new(config: FailingConfig) -> Self {
        Self { config, workers: BTreeMap::new() }
    }

    /// The workers to be kept away. One that is not among `outcomes` is forgotten.
    pub fn update(&mut self, now_ms: u64, outcomes: &BTreeMap<W, Outcomes>) -> BTreeSet<W> {
        self.workers.retain(|id, _| outcomes.contains_key(id));
        let config = self.config;
        let mut kept_away = BTreeSet::new();
        for (id, outcome) in outcomes {
            let state = self.workers.entry(id.clone()).or_default();
            if outcome.fails(&config) {
                state.failed(now_ms, &config);
            } else {
                state.since_ms = None;
                if now_ms.saturating_sub(state.failed_ms) >= config.longest_ban_ms {
                    state.times = 0;
                }
            }
            if state.ban_until_ms.is_some_and(|until| now_ms < until) {
                kept_away.insert(id.clone());
            } else {
                state.ban_until_ms = None;
            }
        }
        kept_away
    }
}

impl State {
    fn failed(&mut self, now_ms: u64, config: &FailingConfig) {
        let since_ms = *self.since_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(since_ms) < config.confirm_ms {
            return;
        }
        self.failed_ms = now_ms;
        if self.ban_until_ms.is_none() {
            self.times += 1;
        }
        // As long as it still fails the ban begins anew.
        let ban_ms = config.ban_ms.saturating_mul(1 << (self.times - 1).min(20));
        self.ban_until_ms = Some(now_ms + ban_ms.min(config.longest_ban_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_kept_away(failing: &mut Failing<u8>, s: u64, success_rate: f64, failing_partitions: u32) -> bool {
        let outcomes = Outcomes { success_rate, failing_partitions, ever_succeeded: true };
        !failing.update(s * 1_000, &BTreeMap::from([(0, outcomes)])).is_empty()
    }

    #[test]
    fn a_worker_that_goes_on_failing_is_kept_away_longer_each_time() {
        let mut failing = Failing::new(FailingConfig::default());
        assert!(!is_kept_away(&mut failing, 100, 0.0, 10));
        assert!(is_kept_away(&mut failing, 103, 0.0, 10));
        assert!(is_kept_away(&mut failing, 110, 0.0, 10));
        assert!(is_kept_away(&mut failing, 124, 1.0, 0), "15 s from its last failure");
        assert!(!is_kept_away(&mut failing, 125, 1.0, 0));
        is_kept_away(&mut failing, 130, 0.1, 2);
        assert!(is_kept_away(&mut failing, 133, 0.1, 2));
        assert!(is_kept_away(&mut failing, 162, 1.0, 0), "30 s this time");
        assert!(!is_kept_away(&mut failing, 163, 1.0, 0));
        assert!(!is_kept_away(&mut failing, 163 + 600, 1.0, 0));
        is_kept_away(&mut failing, 800, 0.0, 2);
        is_kept_away(&mut failing, 803, 0.0, 2);
        assert!(!is_kept_away(&mut failing, 818, 1.0, 0), "forgotten after ten minutes");
    }

    #[test]
    fn one_broken_lane_or_a_moment_of_trouble_is_no_failing_worker() {
        let mut failing = Failing::new(FailingConfig::default());
        for s in 0..60 {
            assert!(!is_kept_away(&mut failing, s, 0.0, 1), "the only lane with anything to do is broken");
            assert!(!is_kept_away(&mut failing, s, 0.9, 8), "most succeed");
        }
        for s in (100..160).step_by(3) {
            assert!(!is_kept_away(&mut failing, s, 0.0, 20));
            assert!(!is_kept_away(&mut failing, s + 1, 1.0, 0));
        }
    }

    #[test]
    fn a_worker_that_never_succeeded_fails_with_its_only_partition() {
        let mut failing = Failing::new(FailingConfig::default());
        let new = Outcomes { success_rate: 0.0, failing_partitions: 1, ever_succeeded: false };
        assert!(failing.update(0, &BTreeMap::from([(0, new)])).is_empty());
        assert!(!failing.update(3_000, &BTreeMap::from([(0, new)])).is_empty());
    }
}
