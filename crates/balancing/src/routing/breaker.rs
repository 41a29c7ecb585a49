//! The circuit breaker of a worker: closed, open for a time that doubles, half-open with a bounded number of probes.

use serde::{Deserialize, Serialize};

/// Figures of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerConfig {
    /// Failures in a row that open it.
    pub consecutive_failures: u32,
    /// It opens, too, when half of the last so many outcomes are failures; at most 64.
    pub window: u32,
    /// First time it stays open, ms; doubled each further time up to `longest_open_ms`.
    pub open_ms: u64,
    /// Longest time it stays open, ms. Closed for as long, the doubling begins anew.
    pub longest_open_ms: u64,
    /// Tasks let through at once while it is half-open, and successes that close it.
    pub probes: u32,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { consecutive_failures: 3, window: 20, open_ms: 1_000, longest_open_ms: 30_000, probes: 1 }
    }
}

impl BreakerConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.consecutive_failures == 0 || self.probes == 0 {
            return Err("breaker.consecutive_failures and breaker.probes must be at least 1".to_owned());
        }
        if !(2..=64).contains(&self.window) {
            return Err(format!("breaker.window is {}; 2 to 64", self.window));
        }
        if self.open_ms == 0 || self.longest_open_ms < self.open_ms {
            return Err("breaker.open_ms must be at least 1 and at most breaker.longest_open_ms".to_owned());
        }
        Ok(())
    }
}

/// State of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Tasks go through.
    Closed,
    /// None does.
    Open,
    /// A few do.
    HalfOpen,
}

/// What a task was let through as; handed back with its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Changes with every change of state: outcomes of an earlier one say nothing of this.
    epoch: u64,
    probe: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { since_ms: u64 },
    Open { until_ms: u64 },
    HalfOpen { successes: u32 },
}

/// A breaker.
#[derive(Debug, Clone)]
pub(super) struct Breaker {
    state: State,
    epoch: u64,
    /// Probes in flight, those of earlier times half-open among them.
    probing: u32,
    /// Times it opened without being closed for long in between.
    openings: u32,
    consecutive: u32,
    /// Last outcomes, the latest in the lowest bit; 1 is a failure.
    outcomes: u64,
    counted: u32,
}

impl Breaker {
    /// Closed.
    pub(super) fn new(now_ms: u64) -> Self {
        let state = State::Closed { since_ms: now_ms };
        Self { state, epoch: 0, probing: 0, openings: 0, consecutive: 0, outcomes: 0, counted: 0 }
    }

    /// Its state.
    pub(super) fn state(&self, now_ms: u64) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until_ms } if now_ms < until_ms => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether a task would be let through.
    pub(super) fn admits(&self, config: &BreakerConfig, now_ms: u64) -> bool {
        match self.state(now_ms) {
            BreakerState::Closed => true,
            BreakerState::Open => false,
            BreakerState::HalfOpen => self.probing < config.probes,
        }
    }

    /// When it lets something through again, ms from now at the earliest.
    pub(super) fn opens_for_ms(&self, now_ms: u64) -> u64 {
        match self.state {
            State::Open { until_ms } => until_ms.saturating_sub(now_ms),
            State::Closed { .. } | State::HalfOpen { .. } => 0,
        }
    }

    /// Lets a task through; only when it [admits](Self::admits) one.
    pub(super) fn enter(&mut self, now_ms: u64) -> Ticket {
        if matches!(self.state, State::Open { until_ms } if now_ms >= until_ms) {
            self.change(State::HalfOpen { successes: 0 });
        }
        let probe = matches!(self.state, State::HalfOpen { .. });
        self.probing += u32::from(probe);
        Ticket { epoch: self.epoch, probe }
    }

    /// The task is over; `success` is none when it says nothing of the worker.
    pub(super) fn leave(
        &mut self,
        config: &BreakerConfig,
        now_ms: u64,
        ticket: Ticket,
        success: Option<bool>,
    ) {
        self.probing -= u32::from(ticket.probe).min(self.probing);
        let Some(success) = success.filter(|_| ticket.epoch == self.epoch) else { return };
        match &mut self.state {
            State::Open { .. } => {}
            State::HalfOpen { .. } if !success => self.open(config, now_ms),
            State::HalfOpen { successes } => {
                *successes += 1;
                if *successes >= config.probes {
                    self.change(State::Closed { since_ms: now_ms });
                }
            }
            State::Closed { since_ms } => {
                if now_ms.saturating_sub(*since_ms) >= config.longest_open_ms {
                    self.openings = 0;
                }
                self.count(config, success);
                if self.tripped(config) {
                    self.open(config, now_ms);
                }
            }
        }
    }

    fn count(&mut self, config: &BreakerConfig, success: bool) {
        self.consecutive = if success { 0 } else { self.consecutive + 1 };
        self.outcomes = self.outcomes << 1 | u64::from(!success);
        self.counted = (self.counted + 1).min(config.window.min(64));
    }

    fn tripped(&self, config: &BreakerConfig) -> bool {
        let window = config.window.min(64);
        let failures = (self.outcomes << (64 - window)).count_ones();
        self.consecutive >= config.consecutive_failures || self.counted >= window && 2 * failures >= window
    }

    fn open(&mut self, config: &BreakerConfig, now_ms: u64) {
        let factor = 1_u64 << self.openings.min(32);
        let open_ms = config.open_ms.saturating_mul(factor).min(config.longest_open_ms);
        self.openings = self.openings.saturating_add(1);
        self.change(State::Open { until_ms: now_ms + open_ms });
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
        (self.consecutive, self.outcomes, self.counted) = (0, 0, 0);
    }
}
