//! Metrics of the coordinator.

use prometheus::{Gauge, GaugeVec, IntCounter, IntGauge, Opts, Registry};

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
    /// Owners that died.
    pub deaths: IntCounter,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &Registry) -> anyhow::Result<Self> {
        let metrics = Self {
            leading: IntGauge::new("coordinator_leading", "1 while this coordinator leads.")?,
            term: IntGauge::new("coordinator_term", "Term of the leader.")?,
            workers: IntGauge::new("coordinator_workers", "Workers that live.")?,
            deviation: Gauge::new(
                "coordinator_worst_deviation",
                "Largest deviation of a worker from its share.",
            )?,
            unplaced: IntGauge::new(
                "coordinator_unplaced_units",
                "Units without a worker that serves them.",
            )?,
            score: GaugeVec::new(
                Opts::new("coordinator_worker_score", "Score of a worker, 0 to 1."),
                &["worker"],
            )?,
            grants: IntCounter::new("coordinator_grants_total", "Ownerships granted.")?,
            deaths: IntCounter::new("coordinator_worker_deaths_total", "Workers judged dead.")?,
        };
        registry.register(Box::new(metrics.leading.clone()))?;
        registry.register(Box::new(metrics.term.clone()))?;
        registry.register(Box::new(metrics.workers.clone()))?;
        registry.register(Box::new(metrics.deviation.clone()))?;
        registry.register(Box::new(metrics.unplaced.clone()))?;
        registry.register(Box::new(metrics.score.clone()))?;
        registry.register(Box::new(metrics.grants.clone()))?;
        registry.register(Box::new(metrics.deaths.clone()))?;
        Ok(metrics)
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
