//! What a worker can carry: its cores, its score, and its speed as measured.
//!
//! The score a worker gives itself hardly shows that its machine is slow: a process that gets a
//! quarter of the CPU it asks for even reports less CPU in use. So the time its detectors take is
//! held against that of its *peers*, the workers that serve the same kinds of work. Equal workers
//! must get equal shares, so both figures have a dead band with hysteresis:
//!
//! - a score within `score_band` of the median counts as the median;
//! - speed counts only when it is clearly low: from `slow_below` of the fleet, held for
//!   `confirm_ms`, until it is above `well_above` again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::{Ewma, lower_median};

/// Parameters of the capacity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CapacityConfig {
    /// Time constant of the score, ms: it falls with load, so a raw one would chase its own moves.
    pub smoothing_ms: u64,
    /// Relative distance from the median of the scores within which a score counts as the median.
    /// It must be one and a half times as far away to count again.
    pub score_band: f64,
    /// Share of the fleet's speed below which a worker is slow.
    pub slow_below: f64,
    /// Share of the fleet's speed above which a slow worker is well again.
    pub well_above: f64,
    /// How long it must be slow before that counts, ms.
    pub confirm_ms: u64,
    /// Span over which speed is measured, ms; of a slow worker, which does less, five times as long.
    pub window_ms: u64,
    /// Fewer results than this within the span say nothing.
    pub least_results: u64,
    /// Relative change from which the speed of a slow worker is corrected.
    pub speed_band: f64,
    /// Lowest speed that is counted with, so that a worker keeps enough to be measured by.
    pub slowest: f64,
    /// After this time without enough results a slow worker is tried again at full speed, ms.
    pub retry_ms: u64,
}

impl Default for CapacityConfig {
    fn default() -> Self {
        Self {
            smoothing_ms: 10_000,
            score_band: 0.1,
            slow_below: 0.6,
            well_above: 0.8,
            confirm_ms: 2_500,
            window_ms: 4_000,
            least_results: 100,
            speed_band: 0.3,
            slowest: 0.05,
            retry_ms: 60_000,
        }
    }
}

/// Over how many times the span the speed of a slow worker is measured.
const SLOW_SPANS: u64 = 5;

/// Work of one kind done since the worker started.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Effort {
    /// Results.
    pub results: u64,
    /// Wall time spent on them, ms.
    pub ms: f64,
}

/// What is known of a worker. `K` is a kind of work.
#[derive(Debug, Clone)]
pub struct Reported<K> {
    /// Its score, 0-1.
    pub score: f64,
    /// Its cores.
    pub cores: f64,
    /// Kinds of work it serves; those that serve the same are its peers.
    pub serves: BTreeSet<K>,
    /// What it has done, by kind.
    pub done: BTreeMap<K, Effort>,
}

/// What a worker can carry.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Capacity {
    /// Cores times score times speed: its weight in placement.
    pub weight: f64,
    /// Score as counted with.
    pub score: f64,
    /// Speed as counted with: 1, or less for a slow worker.
    pub speed: f64,
    /// Speed as measured against the median of its peers; none without enough results.
    pub measured_speed: Option<f64>,
}

impl Capacity {
    /// Whether the worker is clearly slower than its peers.
    pub fn is_slow(&self) -> bool {
        self.speed < 1.0
    }
}

/// Capacities over time.
#[derive(Debug, Clone)]
pub struct Capacities<W, K> {
    config: CapacityConfig,
    workers: BTreeMap<W, State<K>>,
}

/// What was done, by kind.
type Done<K> = BTreeMap<K, Effort>;

#[derive(Debug, Clone)]
struct State<K> {
    score: Ewma,
    apart: bool,
    history: VecDeque<(u64, Done<K>)>,
    speed: f64,
    slow_since_ms: Option<u64>,
    /// The speed of a slow worker was measured over the whole span.
    refined: bool,
    measured_ms: u64,
}

impl<W: Ord + Clone, K: Ord + Clone> Capacities<W, K> {
    /// Nothing is known yet.
    pub fn new(config: CapacityConfig) -> Self {
        Self { config, workers: BTreeMap::new() }
    }

    /// Takes in what the workers report; call it about twice a second. A worker that is not among
    /// them is forgotten.
    pub fn update(&mut self, now_ms: u64, reported: &BTreeMap<W, Reported<K>>) -> BTreeMap<W, Capacity> {
        self.workers.retain(|id, _| reported.contains_key(id));
        for (id, worker) in reported {
            let state = self.workers.entry(id.clone()).or_insert_with(|| State::new(&self.config, now_ms));
            state.score.update(now_ms, worker.score);
            state.note(now_ms, &self.config, &worker.done);
        }
        let speeds = self.measure(reported);
        let median = lower_median(self.workers.values().map(State::smoothed));
        let mut capacities = BTreeMap::new();
        for (id, state) in &mut self.workers {
            let measured = speeds.get(id).copied();
            state.judge_speed(now_ms, &self.config, measured);
            let score = state.steady_score(&self.config, median);
            let cores = reported.get(id).map_or(1.0, |w| w.cores);
            let weight = cores * score * state.speed;
            capacities
                .insert(id.clone(), Capacity { weight, score, speed: state.speed, measured_speed: measured });
        }
        capacities
    }

    /// Speed of each worker against the median of its peers: the time its results would have taken
    /// them over the time they took it.
    fn measure(&self, reported: &BTreeMap<W, Reported<K>>) -> BTreeMap<W, f64> {
        let mut peers: BTreeMap<&BTreeSet<K>, Vec<(&W, Done<K>)>> = BTreeMap::new();
        for (id, worker) in reported {
            let Some(done) = self.workers.get(id).map(State::recent) else { continue };
            if done.values().map(|e| e.results).sum::<u64>() >= self.config.least_results {
                peers.entry(&worker.serves).or_default().push((id, done));
            }
        }
        let mut speeds = BTreeMap::new();
        for peers in peers.values().filter(|p| p.len() > 1) {
            let usual = |kind: &K| {
                lower_median(peers.iter().filter_map(|(_, done)| {
                    let effort = done.get(kind).filter(|e| e.results > 0)?;
                    Some(effort.ms / effort.results as f64)
                }))
            };
            for (id, done) in peers {
                let expected: f64 = done.iter().map(|(k, e)| usual(k) * e.results as f64).sum();
                let actual: f64 = done.values().map(|e| e.ms).sum();
                if actual > 0.0 && expected > 0.0 {
                    speeds.insert((*id).clone(), expected / actual);
                }
            }
        }
        speeds
    }
}

impl<K: Ord + Clone> State<K> {
    fn new(config: &CapacityConfig, now_ms: u64) -> Self {
        Self {
            score: Ewma::new(config.smoothing_ms),
            apart: false,
            history: VecDeque::new(),
            speed: 1.0,
            slow_since_ms: None,
            refined: false,
            measured_ms: now_ms,
        }
    }

    fn smoothed(&self) -> f64 {
        self.score.value().unwrap_or(0.0)
    }

    fn note(&mut self, now_ms: u64, config: &CapacityConfig, done: &Done<K>) {
        let of = |done: &Done<K>| done.values().map(|e| e.results).sum::<u64>();
        if self.history.back().is_some_and(|(_, last)| of(done) < of(last)) {
            // It was started again.
            self.history.clear();
            self.speed = 1.0;
            self.slow_since_ms = None;
            self.refined = false;
        }
        self.history.push_back((now_ms, done.clone()));
        let span = if self.speed < 1.0 { SLOW_SPANS * config.window_ms } else { config.window_ms };
        while self.history.get(1).is_some_and(|(at, _)| now_ms.saturating_sub(*at) >= span) {
            self.history.pop_front();
        }
    }

    /// What was done within the span.
    fn recent(&self) -> Done<K> {
        let (Some((_, first)), Some((_, last))) = (self.history.front(), self.history.back()) else {
            return BTreeMap::new();
        };
        last.iter()
            .map(|(kind, now)| {
                let before = first.get(kind).copied().unwrap_or_default();
                let results = now.results.saturating_sub(before.results);
                (kind.clone(), Effort { results, ms: (now.ms - before.ms).max(0.0) })
            })
            .collect()
    }

    fn judge_speed(&mut self, now_ms: u64, config: &CapacityConfig, measured: Option<f64>) {
        let Some(measured) = measured else {
            if now_ms.saturating_sub(self.measured_ms) >= config.retry_ms {
                self.speed = 1.0;
            }
            if self.speed >= 1.0 {
                self.slow_since_ms = None;
                self.refined = false;
            }
            return;
        };
        self.measured_ms = now_ms;
        let speed = measured.clamp(config.slowest, 1.0);
        if self.speed < 1.0 {
            if measured > config.well_above {
                self.speed = 1.0;
                self.slow_since_ms = None;
                self.refined = false;
            } else if (speed / self.speed - 1.0).abs() > config.speed_band
                || self.is_to_be_refined(now_ms, config)
            {
                self.speed = speed;
            }
        } else if measured < config.slow_below {
            let since_ms = *self.slow_since_ms.get_or_insert(now_ms);
            if now_ms.saturating_sub(since_ms) >= config.confirm_ms {
                self.speed = speed;
                // What was done before it became slow says nothing about how slow it is.
                self.history.retain(|(at, _)| *at >= since_ms);
            }
        } else {
            self.slow_since_ms = None;
        }
    }

    /// Once, when the whole span lies after it became slow: it was first judged from a few seconds.
    fn is_to_be_refined(&mut self, now_ms: u64, config: &CapacityConfig) -> bool {
        let span_ms = SLOW_SPANS * config.window_ms;
        let due =
            !self.refined && self.slow_since_ms.is_some_and(|since| now_ms.saturating_sub(since) >= span_ms);
        self.refined |= due;
        due
    }

    fn steady_score(&mut self, config: &CapacityConfig, median: f64) -> f64 {
        let score = self.smoothed();
        let distance = if median > 0.0 { (score / median - 1.0).abs() } else { 0.0 };
        let band = if self.apart { config.score_band } else { 1.5 * config.score_band };
        self.apart = distance > band;
        if self.apart { score } else { median }
    }
}

#[cfg(test)]
mod tests;
