//! Metrics of the coordinator.

use prometheus::{Gauge, GaugeVec, IntCounter, IntGauge, Opts, Registry};
use vtox_service_kit::metrics::added;

use crate::view::View;

/// Metrics of the coordinator.
#[derive(Clone)]
pub struct Metrics {
    leading: IntGauge,
    term: IntGauge,
    workers: IntGauge,
    deviation: Gauge,
    unplaced: IntGauge,
    score: GaugeVec,
    /// Ownerships granted.
    pub grants: IntCounter,
    /// Those of them that a living owner had not given back in time.
    pub forced: IntCounter,
    /// Owners that died.
    pub deaths: IntCounter,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &Registry) -> anyhow::Result<Self> {
        Ok(Self {
            leading: added(
                registry,
                IntGauge::new("coordinator_leading", "1 while this coordinator leads."),
            )?,
            term: added(registry, IntGauge::new("coordinator_term", "Term of the leader."))?,
            workers: added(registry, IntGauge::new("coordinator_workers", "Workers that live."))?,
            deviation: added(
                registry,
                Gauge::new("coordinator_worst_deviation", "Largest deviation of a worker from its share."),
            )?,
            unplaced: added(
                registry,
                IntGauge::new("coordinator_unplaced_units", "Units without a worker that serves them."),
            )?,
            score: added(
                registry,
                GaugeVec::new(
                    Opts::new("coordinator_worker_score", "Score of a worker, 0 to 1."),
                    &["worker"],
                ),
            )?,
            grants: added(registry, IntCounter::new("coordinator_grants_total", "Ownerships granted."))?,
            forced: added(
                registry,
                IntCounter::new(
                    "coordinator_forced_grants_total",
                    "Ownerships taken from living owners that did not give them back in time.",
                ),
            )?,
            deaths: added(
                registry,
                IntCounter::new("coordinator_worker_deaths_total", "Workers judged dead."),
            )?,
        })
    }

    /// Shows a view.
    pub fn show(&self, view: &View) {
        self.leading.set(i64::from(view.role == "leader"));
        self.term.set(view.term as i64);
        self.workers.set(view.scores.len() as i64);
        self.deviation.set(view.worst_deviation);
        self.unplaced.set(view.unplaced.len() as i64);
        self.score.reset();
        for (worker, score) in &view.scores {
            self.score.with_label_values(&[worker]).set(score.total);
        }
    }
}
