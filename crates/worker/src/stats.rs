//! What a worker did, for its heartbeat, its metrics and the stream of processing times.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};
use vtox_protocol::keys::{self, Partition};
use vtox_protocol::{FaultType, Status};
use vtox_service_kit::metrics::added;
use vtox_service_kit::{Lifecycle, clock};
use vtox_streams::{Lane, views};

use crate::work::Work;

/// What one lane did in one batch.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    /// Which one.
    pub lane: Lane,
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
    on_demand: Arc<AtomicU32>,
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
    /// How the last try of each lane ended, and when.
    tries: HashMap<Lane, (bool, Instant)>,
    diagnosis_ms: BTreeMap<FaultType, f64>,
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
    /// Wall time of the detectors for them, by fault type, ms.
    pub diagnosis_ms_by_fault: BTreeMap<FaultType, f64>,
    /// Share of the lanes whose last try succeeded.
    pub success_rate: f64,
    /// Partitions with a lane whose last try failed.
    pub failing_partitions: u32,
    /// Mean time from reading an entry to its commit, ms.
    pub mean_processing_ms: f64,
    /// Batches and diagnoses on demand being worked on.
    pub in_flight: u32,
}

/// A diagnosis on demand, counted until it is dropped.
pub struct OnDemand(Arc<AtomicU32>);

impl Drop for OnDemand {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lanes whose last try failed.
fn failed(inner: &Inner) -> impl Iterator<Item = &Lane> {
    inner.tries.iter().filter(|(_, (success, _))| !success).map(|(lane, _)| lane)
}

/// Share of what is new in the mean processing time.
const MEAN_SHARE: f64 = 0.05;
/// How long a success counts. A lane that fails is tried several times a second, so a failure counts shorter: the lane
/// may have gone to somebody else.
const SUCCESS_COUNTS: Duration = Duration::from_secs(10);
const FAILURE_COUNTS: Duration = Duration::from_secs(2);
/// Share of the lanes that must succeed for the worker to be healthy.
const WORKING_SHARE: f64 = 0.5;
/// Why commits change nothing: Redis failed, the lane has another owner, its cursor is elsewhere.
const REFUSALS: [&str; 3] = ["error", "fenced", "moved"];

impl Stats {
    /// Registers the metrics.
    pub fn register(registry: &Registry) -> anyhow::Result<Self> {
        let by_fault = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &["fault_type"]);
        let buckets = prometheus::exponential_buckets(0.001, 2.0, 16)?;
        let refused = added(
            registry,
            IntCounterVec::new(
                Opts::new("worker_commits_refused_total", "Commits that changed nothing."),
                &["reason"],
            ),
        )?;
        // A counter that appears with its first increment hides that increment from a rate.
        for reason in REFUSALS {
            refused.with_label_values(&[reason]);
        }
        Ok(Self {
            inner: Mutex::new(Inner {
                completed: BTreeMap::new(),
                failed: 0,
                tries: HashMap::new(),
                diagnosis_ms: BTreeMap::new(),
                diagnosing: BTreeMap::new(),
                mean_processing_ms: 0.0,
                in_flight: 0,
            }),
            reads_work: AtomicBool::new(true),
            on_demand: Arc::default(),
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
            refused,
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

    /// A diagnosis on demand arrived.
    pub fn on_demand(&self) -> OnDemand {
        self.on_demand.fetch_add(1, Ordering::Relaxed);
        OnDemand(self.on_demand.clone())
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
        let fault = done.lane.fault.name();
        self.results.with_label_values(&[fault]).inc_by(done.results);
        self.dead_letters.with_label_values(&[fault]).inc_by(done.dead_letters);
        for (status, count) in verdicts {
            self.verdicts.with_label_values(&[fault, status.name()]).inc_by(*count);
        }
        let mut inner = self.inner();
        // What cannot be decoded is the sender's fault, not the worker's.
        inner.tries.insert(done.lane, (true, Instant::now()));
        *inner.completed.entry(done.lane.fault).or_default() += done.results;
        inner.failed += done.dead_letters;
        *inner.diagnosis_ms.entry(done.lane.fault).or_default() += done.diagnosing.as_secs_f64() * 1_000.0;
        let (count, time) = inner.diagnosing.entry(done.lane.fault).or_default();
        *count += done.results;
        *time += done.diagnosing;
    }

    /// From the append of an entry to its commit.
    pub fn latency(&self, ms: u64) {
        self.latency.observe(ms as f64 / 1_000.0);
    }

    /// A commit changed nothing: `fenced` or `moved`.
    pub fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// A try of a lane failed; it is tried again.
    pub fn failed(&self, lane: Lane) {
        self.refused("error");
        let mut inner = self.inner();
        inner.failed += 1;
        inner.tries.insert(lane, (false, Instant::now()));
    }

    /// Whether the last read worked.
    pub fn reads_work(&self, work: bool) {
        self.reads_work.store(work, Ordering::Relaxed);
    }

    /// Lanes that are owned.
    pub fn lanes(&self, count: usize) {
        self.lanes.set(count as i64);
    }

    /// Whether reads work, and most of the commits.
    pub fn healthy(&self) -> bool {
        self.reads_work.load(Ordering::Relaxed) && self.summary().success_rate >= WORKING_SHARE
    }

    /// A snapshot.
    pub fn summary(&self) -> Summary {
        let mut inner = self.inner();
        inner
            .tries
            .retain(|_, (success, at)| at.elapsed() < if *success { SUCCESS_COUNTS } else { FAILURE_COUNTS });
        let failing = failed(&inner).count();
        let tried = inner.tries.len();
        let partitions: BTreeSet<Partition> = failed(&inner).map(|lane| lane.partition).collect();
        Summary {
            completed: inner.completed.values().sum(),
            completed_by_fault: inner.completed.clone(),
            diagnosis_ms_by_fault: inner.diagnosis_ms.clone(),
            failed: inner.failed,
            success_rate: if tried == 0 { 1.0 } else { (tried - failing) as f64 / tried as f64 },
            failing_partitions: partitions.len() as u32,
            mean_processing_ms: inner.mean_processing_ms,
            in_flight: inner.in_flight + self.on_demand.load(Ordering::Relaxed),
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
