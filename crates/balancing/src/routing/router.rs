//! The router: what it knows of each worker, and its picks.

use std::collections::BTreeMap;

use serde::Serialize;

use super::breaker::{Breaker, BreakerState, Ticket};
use super::latency::Fading;
use super::strategy::{self, Seen};
use super::{Routing, RoutingConfig, Strategy};

/// A worker that serves the task.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// Its score, 0 to 1.
    pub score: f64,
}

/// How a task ended at a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Success,
    /// The worker failed.
    Failure,
    /// It did not answer in time: a failure unless it answered other tasks meanwhile, since then only this one was too much.
    Timeout,
    /// The worker was slower than there was time; says nothing of its health.
    TooSlow,
    /// Given up for reasons of our own.
    Cancelled,
}

/// A worker picked for a task; give it back with [`Router::finish`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the task counts as in flight until it is finished"]
pub struct Pick {
    /// The worker.
    pub worker: String,
    began_ms: u64,
    ticket: Ticket,
}

/// Why a candidate is or is not picked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// The worker.
    pub worker: String,
    /// Its score, 0 to 1.
    pub score: f64,
    /// Its weight under `weighted_round_robin`.
    pub weight: f64,
    /// Tasks of this router in flight at it.
    pub in_flight: u32,
    /// Peak EWMA of its latency, ms.
    pub latency_ms: f64,
    /// Failures, faded.
    pub recent_failures: f64,
    /// Its breaker.
    pub breaker: BreakerState,
    /// Whether it may be picked.
    pub admitted: bool,
}

/// What is known of a worker.
#[derive(Debug, Clone)]
struct Worker {
    in_flight: u32,
    latency: Fading,
    failures: Fading,
    breaker: Breaker,
    /// When it last answered.
    answered_ms: Option<u64>,
    /// Number of the last pick of it; 0 is never.
    last_pick: u64,
    /// Balance of the smooth weighted round robin.
    balance: f64,
}

/// Picks workers for tasks.
#[derive(Debug, Clone)]
pub struct Router {
    config: RoutingConfig,
    routing: Routing,
    workers: BTreeMap<String, Worker>,
    picks: u64,
}

impl Router {
    /// Without knowledge of any worker.
    pub fn new(config: RoutingConfig, routing: Routing) -> Self {
        Self { config, routing, workers: BTreeMap::new(), picks: 0 }
    }

    /// What operators have set.
    pub fn routing(&self) -> &Routing {
        &self.routing
    }

    /// Changes strategy and weights; what is known of the workers stays.
    pub fn set_routing(&mut self, routing: Routing) {
        for worker in self.workers.values_mut() {
            worker.balance = 0.0;
        }
        self.routing = routing;
    }

    /// Forgets workers that left. Those with tasks in flight are kept until these are over.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.workers.retain(|id, worker| worker.in_flight > 0 || keep(id));
    }

    /// Whether the breaker of a worker lets a task through.
    pub fn admits(&self, now_ms: u64, worker: &str) -> bool {
        self.workers.get(worker).is_none_or(|w| w.breaker.admits(&self.config.breaker, now_ms))
    }

    /// Time until the first of the breakers that are open now lets something through, ms; 0 when none is open.
    pub fn opens_in_ms<'a>(&self, now_ms: u64, workers: impl IntoIterator<Item = &'a str>) -> u64 {
        let waits =
            workers.into_iter().filter_map(|id| Some(self.workers.get(id)?.breaker.opens_for_ms(now_ms)));
        waits.filter(|ms| *ms > 0).min().unwrap_or(0)
    }

    /// Breakers by worker.
    pub fn breakers(&self, now_ms: u64) -> impl Iterator<Item = (&str, BreakerState)> {
        self.workers.iter().map(move |(id, w)| (id.as_str(), w.breaker.state(now_ms)))
    }

    /// Picks a worker; none when every breaker refuses. `random` is any evenly distributed number.
    pub fn pick(
        &mut self,
        now_ms: u64,
        candidates: &[Candidate],
        affinity: Option<&str>,
        random: u64,
    ) -> Option<Pick> {
        for candidate in candidates {
            self.workers.entry(candidate.id.clone()).or_insert_with(|| Worker {
                in_flight: 0,
                latency: Fading::default(),
                failures: Fading::default(),
                breaker: Breaker::new(now_ms),
                answered_ms: None,
                last_pick: 0,
                balance: 0.0,
            });
        }
        let seen = self.seen(now_ms, candidates);
        let chosen = match self.routing.strategy {
            Strategy::Smart => strategy::smart(&seen),
            Strategy::RoundRobin => strategy::round_robin(&seen),
            Strategy::WeightedRoundRobin => strategy::weighted_round_robin(&seen),
            Strategy::LeastConnections => strategy::least_connections(&seen),
            Strategy::PeakEwma => strategy::peak_ewma(&seen, random),
            Strategy::ConsistentHash => {
                strategy::consistent_hash(&seen, affinity, random, self.config.load_bound)
            }
        }?;
        if self.routing.strategy == Strategy::WeightedRoundRobin {
            for (seen, balance) in seen.iter().zip(strategy::balances_after(&seen, chosen)) {
                if let Some(worker) = self.workers.get_mut(seen.id) {
                    worker.balance = balance;
                }
            }
        }
        let worker = seen[chosen].id.to_owned();
        self.picks += 1;
        let known = self.workers.get_mut(&worker)?;
        known.last_pick = self.picks;
        known.in_flight += 1;
        let ticket = known.breaker.enter(now_ms);
        Some(Pick { worker, began_ms: now_ms, ticket })
    }

    /// The task is over.
    #[expect(clippy::needless_pass_by_value, reason = "a pick is finished once")]
    pub fn finish(&mut self, now_ms: u64, pick: Pick, outcome: Outcome) {
        let RoutingConfig { smoothing_ms, failure_penalty_ms, breaker, .. } = &self.config;
        let Some(worker) = self.workers.get_mut(&pick.worker) else { return };
        worker.in_flight = worker.in_flight.saturating_sub(1);
        let took_ms = now_ms.saturating_sub(pick.began_ms) as f64;
        let outcome = match outcome {
            Outcome::Timeout if worker.answered_ms.is_some_and(|at| at >= pick.began_ms) => Outcome::TooSlow,
            Outcome::Timeout => Outcome::Failure,
            other => other,
        };
        let verdict = match outcome {
            Outcome::Success => {
                worker.answered_ms = Some(now_ms);
                Some(true)
            }
            Outcome::Failure => Some(false),
            Outcome::Timeout | Outcome::TooSlow | Outcome::Cancelled => None,
        };
        match outcome {
            Outcome::Success | Outcome::TooSlow => worker.latency.peak(now_ms, *smoothing_ms, took_ms),
            Outcome::Failure => {
                worker.latency.peak(now_ms, *smoothing_ms, took_ms.max(*failure_penalty_ms as f64));
                worker.failures.add(now_ms, *smoothing_ms, 1.0);
            }
            Outcome::Timeout | Outcome::Cancelled => {}
        }
        worker.breaker.leave(breaker, now_ms, pick.ticket, verdict);
    }

    /// How the candidates stand for a task now.
    pub fn explain(&self, now_ms: u64, candidates: &[Candidate]) -> Vec<Standing> {
        let standing = |candidate: &Candidate| {
            let known = self.workers.get(&candidate.id);
            let smoothing_ms = self.config.smoothing_ms;
            Standing {
                worker: candidate.id.clone(),
                score: candidate.score,
                weight: self.weight(candidate),
                in_flight: known.map_or(0, |w| w.in_flight),
                latency_ms: known.map_or(0.0, |w| w.latency.at(now_ms, smoothing_ms)),
                recent_failures: known.map_or(0.0, |w| w.failures.at(now_ms, smoothing_ms)),
                breaker: known.map_or(BreakerState::Closed, |w| w.breaker.state(now_ms)),
                admitted: self.admits(now_ms, &candidate.id),
            }
        };
        candidates.iter().map(standing).collect()
    }

    fn weight(&self, candidate: &Candidate) -> f64 {
        self.routing.weights.get(&candidate.id).copied().unwrap_or(candidate.score)
    }

    /// The candidates that may be picked, as strategies see them.
    fn seen<'a>(&self, now_ms: u64, candidates: &'a [Candidate]) -> Vec<Seen<'a>> {
        let smoothing_ms = self.config.smoothing_ms;
        candidates
            .iter()
            .filter_map(|candidate| {
                let known = self.workers.get(&candidate.id)?;
                known.breaker.admits(&self.config.breaker, now_ms).then(|| Seen {
                    id: &candidate.id,
                    score: candidate.score,
                    weight: self.weight(candidate),
                    in_flight: known.in_flight,
                    latency_ms: known.latency.at(now_ms, smoothing_ms),
                    failures: known.failures.at(now_ms, smoothing_ms),
                    last_pick: known.last_pick,
                    balance: known.balance,
                })
            })
            .collect()
    }
}
