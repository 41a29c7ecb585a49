//! Metrics of the tasks.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use vtox_balancing::routing::{BreakerState, Router, Strategy};
use vtox_service_kit::metrics::added;

/// Metrics of the tasks. Labels are bounded: strategies, outcomes, reasons and the workers that live.
pub struct Metrics {
    tasks: IntCounterVec,
    retries: IntCounterVec,
    breakers: IntGaugeVec,
    waiting: IntGauge,
    running: IntGauge,
    duration: Histogram,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &Registry) -> anyhow::Result<Self> {
        let counters =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let breakers = Opts::new(
            "coordinator_task_breaker",
            "Circuit breaker of a worker: 0 closed, 1 half-open, 2 open.",
        );
        Ok(Self {
            tasks: added(
                registry,
                counters("coordinator_tasks_total", "Tasks answered.", &["strategy", "outcome"]),
            )?,
            retries: added(
                registry,
                counters("coordinator_task_retries_total", "Attempts followed by another.", &["reason"]),
            )?,
            breakers: added(registry, IntGaugeVec::new(breakers, &["worker"]))?,
            waiting: added(registry, IntGauge::new("coordinator_tasks_waiting", "Tasks that wait."))?,
            running: added(registry, IntGauge::new("coordinator_tasks_running", "Tasks at workers."))?,
            duration: added(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "coordinator_task_seconds",
                        "From a task to its answer, waiting included.",
                    )
                    .buckets(prometheus::exponential_buckets(0.002, 2.0, 15)?),
                ),
            )?,
        })
    }

    /// A task was answered.
    pub fn answered(&self, strategy: Strategy, outcome: &str, seconds: f64) {
        self.tasks.with_label_values(&[strategy.name(), outcome]).inc();
        self.duration.observe(seconds);
    }

    /// An attempt is followed by another.
    pub fn retried(&self, reason: &str) {
        self.retries.with_label_values(&[reason]).inc();
    }

    /// Shows breakers and queue.
    pub fn show(&self, router: &Router, now_ms: u64, (running, waiting): (usize, usize)) {
        self.running.set(running as i64);
        self.waiting.set(waiting as i64);
        self.breakers.reset();
        for (worker, state) in router.breakers(now_ms) {
            let value = match state {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            };
            self.breakers.with_label_values(&[worker]).set(value);
        }
    }
}
