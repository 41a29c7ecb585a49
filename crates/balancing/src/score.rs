//! Score of a worker: one number in 0-1 and the parts it is made of.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// Below this health a worker is given nothing new.
pub const MIN_HEALTH: f64 = 0.5;

/// Response time that scores 0, ms.
const WORST_RESPONSE_MS: f64 = 1000.0;
/// Queue length that scores 0, messages.
const WORST_QUEUE: f64 = 100.0;

/// What a worker measures about itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WorkerLoad {
    /// Mean processing time of a message, ms.
    pub avg_processing_ms: f64,
    /// Share of messages processed without an error, 0-1.
    pub success_rate: f64,
    /// CPU in use, %, 0-100.
    pub cpu_percent: f64,
    /// Memory in use, %, 0-100.
    pub memory_percent: f64,
    /// Messages waiting.
    pub pending_messages: f64,
    /// Health, 0 (dead) to 1 (well).
    pub health: f64,
}

/// Weights of the terms. Only their proportions count: [`ScoreWeights::score`] divides by their sum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScoreWeights {
    /// Of the response time.
    pub response_time: f64,
    /// Of the success rate.
    pub success_rate: f64,
    /// Of free CPU.
    pub cpu: f64,
    /// Of free memory.
    pub memory: f64,
    /// Of the queue length.
    pub queue: f64,
}

impl Default for ScoreWeights {
    fn default() -> Self {
        Self { response_time: 0.30, success_rate: 0.25, cpu: 0.20, memory: 0.15, queue: 0.10 }
    }
}

/// Weights no score can be made with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WeightError {
    /// A weight is negative, infinite or not a number.
    #[error("placement.score.{name} is {value}; set it to a finite number >= 0")]
    Invalid {
        /// Name of the weight.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// Nothing counts.
    #[error("all weights in placement.score are 0; set at least one above 0")]
    AllZero,
}

impl ScoreWeights {
    fn named(&self) -> [(&'static str, f64); 5] {
        [
            ("response_time", self.response_time),
            ("success_rate", self.success_rate),
            ("cpu", self.cpu),
            ("memory", self.memory),
            ("queue", self.queue),
        ]
    }

    /// Checks that the weights are finite, not negative and not all 0.
    pub fn validate(&self) -> Result<(), WeightError> {
        for (name, value) in self.named() {
            if !value.is_finite() || value < 0.0 {
                return Err(WeightError::Invalid { name, value });
            }
        }
        if self.named().iter().all(|(_, w)| *w == 0.0) {
            return Err(WeightError::AllZero);
        }
        Ok(())
    }

    /// The score of a worker. With weights that [`ScoreWeights::validate`] refuses the total is 0.
    pub fn score(&self, load: &WorkerLoad) -> Score {
        let terms = Terms {
            response_time: unit(1.0 - load.avg_processing_ms / WORST_RESPONSE_MS),
            success_rate: unit(load.success_rate),
            cpu: unit(1.0 - load.cpu_percent / 100.0),
            memory: unit(1.0 - load.memory_percent / 100.0),
            queue: unit(1.0 - load.pending_messages / WORST_QUEUE),
        };
        let health = unit(load.health);
        let sum: f64 = self.named().iter().map(|(_, w)| w).sum();
        let weighted = terms.response_time * self.response_time
            + terms.success_rate * self.success_rate
            + terms.cpu * self.cpu
            + terms.memory * self.memory
            + terms.queue * self.queue;
        let total = if self.validate().is_ok() { unit(weighted / sum) * health } else { 0.0 };
        Score {
            total,
            response_time: terms.response_time,
            success_rate: terms.success_rate,
            cpu: terms.cpu,
            memory: terms.memory,
            queue: terms.queue,
            health,
        }
    }
}

struct Terms {
    response_time: f64,
    success_rate: f64,
    cpu: f64,
    memory: f64,
    queue: f64,
}

/// Clamps to 0-1; what is not a number or infinite counts as the worst.
fn unit(term: f64) -> f64 {
    if term.is_finite() { term.clamp(0.0, 1.0) } else { 0.0 }
}

/// Score of a worker. Every part is in 0-1, 1 is best, before weighting.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Weighted mean of the terms, times the health. Never above the health.
    pub total: f64,
    /// 1 at 0 ms, 0 from 1,000 ms.
    pub response_time: f64,
    /// The success rate.
    pub success_rate: f64,
    /// Free CPU.
    pub cpu: f64,
    /// Free memory.
    pub memory: f64,
    /// 1 with nothing waiting, 0 from 100 messages.
    pub queue: f64,
    /// The health the terms are multiplied with.
    pub health: f64,
}

impl Score {
    /// Whether the worker may be given something new.
    pub fn is_healthy(&self) -> bool {
        self.health >= MIN_HEALTH
    }

    /// Order of preference, the better one greater: a healthy worker is above every unhealthy one
    /// whatever their totals, then the total decides.
    pub fn rank(&self, other: &Self) -> Ordering {
        self.is_healthy().cmp(&other.is_healthy()).then(self.total.total_cmp(&other.total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn loads() -> impl Strategy<Value = WorkerLoad> {
        let any = || prop_oneof![8 => -50.0..1500.0f64, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)];
        let ratio = || prop_oneof![8 => -0.2..1.2f64, 1 => Just(f64::NAN), 1 => Just(f64::NEG_INFINITY)];
        (any(), ratio(), any(), any(), any(), ratio()).prop_map(|(ms, ok, cpu, mem, pending, health)| {
            WorkerLoad {
                avg_processing_ms: ms,
                success_rate: ok,
                cpu_percent: cpu,
                memory_percent: mem,
                pending_messages: pending,
                health,
            }
        })
    }

    fn weights() -> impl Strategy<Value = ScoreWeights> {
        (0.0..5.0f64, 0.0..5.0f64, 0.0..5.0f64, 0.0..5.0f64, 0.001..5.0f64).prop_map(|(r, s, c, m, q)| {
            ScoreWeights { response_time: r, success_rate: s, cpu: c, memory: m, queue: q }
        })
    }

    proptest! {
        #[test]
        fn every_part_is_in_the_unit_interval_and_the_total_below_the_health(l in loads(), w in weights()) {
            let s = w.score(&l);
            for part in [s.total, s.response_time, s.success_rate, s.cpu, s.memory, s.queue, s.health] {
                prop_assert!((0.0..=1.0).contains(&part), "{part}");
            }
            prop_assert!(s.total <= s.health);
        }

        #[test]
        fn worse_in_one_term_never_scores_higher(l in loads(), w in weights(), term in 0..6usize, by in 0.0..500.0f64) {
            let mut worse = l;
            match term {
                0 => worse.avg_processing_ms += by,
                1 => worse.success_rate -= by / 500.0,
                2 => worse.cpu_percent += by,
                3 => worse.memory_percent += by,
                4 => worse.pending_messages += by,
                _ => worse.health -= by / 500.0,
            }
            prop_assert!(w.score(&worse).total <= w.score(&l).total + 1e-12);
        }

        #[test]
        fn an_unhealthy_worker_never_outranks_a_healthy_one(a in loads(), b in loads(), w in weights()) {
            let (a, b) = (w.score(&a), w.score(&b));
            if !a.is_healthy() && b.is_healthy() {
                prop_assert_eq!(a.rank(&b), Ordering::Less);
                prop_assert_eq!(b.rank(&a), Ordering::Greater);
            }
        }

        #[test]
        fn only_the_proportions_of_the_weights_count(l in loads(), w in weights(), k in 0.01..100.0f64) {
            let scaled = ScoreWeights {
                response_time: w.response_time * k,
                success_rate: w.success_rate * k,
                cpu: w.cpu * k,
                memory: w.memory * k,
                queue: w.queue * k,
            };
            prop_assert!((scaled.score(&l).total - w.score(&l).total).abs() < 1e-9);
        }
    }

    #[test]
    fn an_example_by_hand() {
        let load = WorkerLoad {
            avg_processing_ms: 200.0,
            success_rate: 0.9,
            cpu_percent: 50.0,
            memory_percent: 40.0,
            pending_messages: 30.0,
            health: 0.8,
        };
        // (.30 * .8 + .25 * .9 + .20 * .5 + .15 * .6 + .10 * .7) * .8
        assert!((ScoreWeights::default().score(&load).total - 0.58).abs() < 1e-12);
    }

    #[test]
    fn bad_weights_are_named() {
        let negative = ScoreWeights { cpu: -1.0, ..Default::default() };
        assert_eq!(negative.validate(), Err(WeightError::Invalid { name: "cpu", value: -1.0 }));
        let zero = ScoreWeights { response_time: 0.0, success_rate: 0.0, cpu: 0.0, memory: 0.0, queue: 0.0 };
        assert_eq!(zero.validate(), Err(WeightError::AllZero));
        assert_eq!(ScoreWeights::default().validate(), Ok(()));
    }
}
