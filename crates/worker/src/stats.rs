//! What a worker did, for its heartbeat, its metrics and the stream of processing times.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};
use vtox_protocol::{FaultType, Status, keys};
use vtox_service_kit::metrics::added;
use vtox_service_kit::{Lifecycle, clock};
use vtox_streams::views;

use crate::work::Work;

/// What one lane did in one batch.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    /// Which fault type.
    pub fault: FaultType,
    /// Results committed.
    pub results: u64,
    /// Dead letters committed.
    pub dead_letters: u64,
    /// Time the detector took for them.
    pub diagnosing: Duration,
}

/// Counters and gauges.
pub struct Stats {
    inner: Mutex<Inner>,
    reads_work: AtomicBool,
    commits_work: AtomicBool,
    results: IntCounterVec,
    verdicts: IntCounterVec,
    dead_letters: IntCounterVec,
    refused: IntCounterVec,
    latency: Histogram,
    lanes: IntGauge,
}

struct Inner {
    completed: BTreeMap<FaultType, u64>,
    failed: u64,
    success_rate: f64,
    diagnosing: BTreeMap<FaultType, (u64, Duration)>,
    mean_processing_ms: f64,
    in_flight: u32,
}

/// A snapshot for the heartbeat.
pub struct Summary {
    /// Results committed.
    pub completed: u64,
    /// The same by fault type.
    pub completed_by_fault: BTreeMap<FaultType, u64>,
    /// Dead letters and failed commits.
    pub failed: u64,
    /// Share of commits that succeeded lately.
    pub success_rate: f64,
    /// Mean time from reading an entry to its commit, ms.
    pub mean_processing_ms: f64,
    /// Batches being worked on.
    pub in_flight: u32,
}

/// Share of what is new in the mean processing time and in the success rate.
const MEAN_SHARE: f64 = 0.05;

impl Stats {
    /// Registers the metrics.
    pub fn register(registry: &Registry) -> anyhow::Result<Self> {
        let by_fault = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &["fault_type"]);
        let buckets = prometheus::exponential_buckets(0.001, 2.0, 16)?;
        Ok(Self {
            inner: Mutex::new(Inner {
                completed: BTreeMap::new(),
                failed: 0,
                success_rate: 1.0,
                diagnosing: BTreeMap::new(),
                mean_processing_ms: 0.0,
                in_flight: 0,
            }),
            reads_work: AtomicBool::new(true),
            commits_work: AtomicBool::new(true),
            results: added(registry, by_fault("worker_results_total", "Results committed."))?,
            verdicts: added(
                registry,
                IntCounterVec::new(
                    Opts::new("worker_verdicts_total", "Verdicts committed."),
                    &["fault_type", "status"],
                ),
            )?,
            dead_letters: added(
                registry,
                by_fault("worker_dead_letters_total", "Entries answered with a dead letter."),
            )?,
            refused: added(
                registry,
                IntCounterVec::new(
                    Opts::new("worker_commits_refused_total", "Commits that changed nothing."),
                    &["reason"],
                ),
            )?,
            latency: added(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "worker_entry_latency_seconds",
                        "From the append of an entry to its commit.",
                    )
                    .buckets(buckets),
                ),
            )?,
            lanes: added(registry, IntGauge::new("worker_lanes", "Fault types times partitions owned."))?,
        })
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch was begun.
    pub fn begin(&self) {
        self.inner().in_flight += 1;
    }

    /// A batch was finished; `waits` are the times from reading each of its entries.
    pub fn end(&self, waits: impl Iterator<Item = Duration>) {
        let mut inner = self.inner();
        inner.in_flight = inner.in_flight.saturating_sub(1);
        for wait in waits {
            let ms = wait.as_secs_f64() * 1_000.0;
            inner.mean_processing_ms += MEAN_SHARE * (ms - inner.mean_processing_ms);
        }
    }

    /// A lane's part of a batch was committed.
    pub fn committed(&self, done: Done, verdicts: &BTreeMap<Status, u64>) {
        self.commits_work.store(true, Ordering::Relaxed);
        let fault = done.fault.name();
        self.results.with_label_values(&[fault]).inc_by(done.results);
        self.dead_letters.with_label_values(&[fault]).inc_by(done.dead_letters);
        for (status, count) in verdicts {
            self.verdicts.with_label_values(&[fault, status.name()]).inc_by(*count);
        }
        let mut inner = self.inner();
        // What cannot be decoded is the sender's fault, not the worker's.
        inner.success_rate += MEAN_SHARE * (1.0 - inner.success_rate);
        *inner.completed.entry(done.fault).or_default() += done.results;
        inner.failed += done.dead_letters;
        let (count, time) = inner.diagnosing.entry(done.fault).or_default();
        *count += done.results;
        *time += done.diagnosing;
    }

    /// From the append of an entry to its commit.
    pub fn latency(&self, ms: u64) {
        self.latency.observe(ms as f64 / 1_000.0);
    }

    /// A commit changed nothing: `fenced`, `moved` or `error`.
    pub fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
        if reason == "error" {
            self.commits_work.store(false, Ordering::Relaxed);
            let mut inner = self.inner();
            inner.failed += 1;
            inner.success_rate -= MEAN_SHARE * inner.success_rate;
        }
    }

    /// Whether the last read worked.
    pub fn reads_work(&self, work: bool) {
        self.reads_work.store(work, Ordering::Relaxed);
    }

    /// Lanes that are owned.
    pub fn lanes(&self, count: usize) {
        self.lanes.set(count as i64);
    }

    /// Whether reads and commits work.
    pub fn healthy(&self) -> bool {
        self.reads_work.load(Ordering::Relaxed) && self.commits_work.load(Ordering::Relaxed)
    }

    /// A snapshot.
    pub fn summary(&self) -> Summary {
        let inner = self.inner();
        let completed: u64 = inner.completed.values().sum();
        Summary {
            completed,
            completed_by_fault: inner.completed.clone(),
            failed: inner.failed,
            success_rate: inner.success_rate,
            mean_processing_ms: inner.mean_processing_ms,
            in_flight: inner.in_flight,
        }
    }

    fn take_diagnosing(&self) -> BTreeMap<FaultType, (u64, Duration)> {
        std::mem::take(&mut self.inner().diagnosing)
    }
}

/// Entries kept in the stream of processing times.
const PERFORMANCE_ENTRIES: usize = 10_000;

/// Appends to the stream of processing times, once a second and fault type, while there was something to do.
pub async fn note_performance(work: Arc<Work>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            () = lifecycle.soft.cancelled() => return Ok(()),
            _ = tick.tick() => {}
        }
        for (fault, (count, time)) in work.stats.take_diagnosing() {
            if count == 0 {
                continue;
            }
            let fields = [
                ("metric_type", "processing_time".to_owned()),
                ("fault_type", fault.to_string()),
                ("consumer_id", work.id.clone()),
                ("processing_time", format!("{:.6}", time.as_secs_f64() / count as f64)),
                ("timestamp", clock::timestamp()),
                ("messages_processed", count.to_string()),
            ];
            let noted =
                views::note(&work.redis.control, keys::PERFORMANCE, PERFORMANCE_ENTRIES, &fields).await;
            if let Err(error) = noted {
                tracing::debug!(%error, "processing times were not noted");
            }
        }
    }
}
