//! What all tasks of a worker share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::sync::{OwnedSemaphorePermit, RwLock, Semaphore};
use vtox_diagnosis::Thresholds;
use vtox_protocol::keys::{Partition, Topology};
use vtox_protocol::{FaultSet, WorkerLoad};
use vtox_service_kit::config::Worker as Settings;
use vtox_service_kit::{Connections, Lifecycle, RedisClock, Service};
use vtox_streams::{Committer, Janitor, Ownership, topology};

use crate::inbox::Inbox;
use crate::stats::Stats;

/// What all tasks of a worker share.
pub struct Work {
    /// Its id in the registry: `consumer_id` of its results.
    pub id: String,
    /// Which run of it this is: part of every token it gets.
    pub incarnation: String,
    /// Fault types it serves.
    pub faults: FaultSet,
    /// Its settings.
    pub settings: Settings,
    /// What verdicts are judged by.
    pub thresholds: Arc<Thresholds>,
    /// Partitions; the enabled fault types in it are those of the start.
    pub topology: Topology,
    /// Connections.
    pub redis: Connections,
    /// Ownership keys.
    pub ownership: Ownership,
    /// Commits.
    pub committer: Committer,
    /// Trimming.
    pub janitor: Janitor,
    /// Redis' clock.
    pub clock: RedisClock,
    /// Threads for diagnosis.
    pub threads: Arc<Semaphore>,
    /// How many of them diagnosis on demand may have: one is left for the stream where there is more than one.
    threads_on_demand: Arc<Semaphore>,
    /// Held for reading by every batch, for writing by a suspect entry: it runs alone in the process.
    pub isolation: RwLock<()>,
    /// What was done.
    pub stats: Stats,
    /// Its tasks.
    pub lifecycle: Lifecycle,
    /// Inboxes of the partitions it owns something of.
    pub inboxes: Mutex<BTreeMap<Partition, Arc<Inbox>>>,
    /// Entries read and not yet committed.
    pub buffered: AtomicUsize,
    /// Bytes of them.
    pub buffered_bytes: AtomicUsize,
}

impl Work {
    /// Reads the topology and opens everything.
    pub async fn open(service: &Service, faults: FaultSet, clock: RedisClock) -> anyhow::Result<Arc<Self>> {
        let settings = service.settings.worker.clone();
        let threads = match settings.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            n => n,
        };
        let topology = topology::agree_at_start(&service.redis.control, &service.settings.topology())
            .await
            .context("agreeing on the topology")?;
        Ok(Arc::new(Self {
            id: service.id.clone(),
            incarnation: service.incarnation.clone(),
            faults,
            topology,
            ownership: Ownership::new(service.redis.control.clone()),
            committer: Committer::new(service.redis.data.clone()),
            janitor: Janitor::new(service.redis.control.clone()),
            redis: service.redis.clone(),
            clock,
            threads: Arc::new(Semaphore::new(threads)),
            threads_on_demand: Arc::new(Semaphore::new((threads - 1).max(1))),
            isolation: RwLock::default(),
            stats: Stats::register(&service.metrics)?,
            lifecycle: service.lifecycle.clone(),
            inboxes: Mutex::default(),
            buffered: AtomicUsize::new(0),
            buffered_bytes: AtomicUsize::new(0),
            thresholds: Arc::new(service.settings.diagnosis.read().context("thresholds in [diagnosis]")?),
            settings,
        }))
    }

    /// A thread for a diagnosis on demand; none when the worker stops.
    pub async fn permits(&self) -> Option<[OwnedSemaphorePermit; 2]> {
        let on_demand = self.threads_on_demand.clone().acquire_owned().await.ok()?;
        Some([on_demand, self.threads.clone().acquire_owned().await.ok()?])
    }

    /// Adds an inbox, or finds the one that is there.
    pub fn inbox(&self, partition: Partition) -> Arc<Inbox> {
        let mut inboxes = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        inboxes.entry(partition).or_default().clone()
    }

    /// Removes an inbox: nothing of the partition is owned any more.
    pub fn close_inbox(&self, partition: Partition) {
        let inbox = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
        if let Some(inbox) = inbox {
            let (entries, bytes) = inbox.clear();
            self.consumed(entries, bytes);
        }
    }

    /// Entries left the buffers.
    pub fn consumed(&self, entries: usize, bytes: usize) {
        self.buffered.fetch_sub(entries, Ordering::Relaxed);
        self.buffered_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The load of the next heartbeat.
    pub fn load(&self) -> WorkerLoad {
        let stats = self.stats.summary();
        WorkerLoad {
            worker_id: self.id.clone(),
            current_tasks: stats.in_flight,
            pending_messages: self.buffered.load(Ordering::Relaxed) as u64,
            avg_processing_time: stats.mean_processing_ms,
            cpu_usage: 0.0,
            memory_usage: 0.0,
            success_rate: stats.success_rate,
            total_completed: stats.completed,
            total_failed: stats.failed,
            uptime: 0.0,
            last_updated: 0.0,
            healthy: self.stats.healthy(),
            completed_by_fault: stats.completed_by_fault,
            diagnosis_ms_by_fault: stats.diagnosis_ms_by_fault,
            failing_partitions: stats.failing_partitions,
            incarnation: self.incarnation.clone(),
            draining: self.lifecycle.soft.is_cancelled(),
            cores: 0.0,
        }
    }
}
