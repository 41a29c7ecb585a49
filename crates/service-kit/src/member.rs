//! A service's place in the registry: its record, and a heartbeat every 500 ms.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use vtox_protocol::{ServiceEventType, ServiceRecord, ServiceStatus, WorkerLoad};
use vtox_registry::Registry;

use crate::Lifecycle;

/// Time between two heartbeats; the lease of a worker is four of them.
pub const HEARTBEAT: Duration = Duration::from_millis(500);

/// What a service adds to its heartbeat.
#[derive(Default)]
pub struct Report {
    /// Shown in the record's metadata.
    pub metadata: BTreeMap<String, Value>,
    /// Load of a worker; CPU, memory and times are filled in.
    pub load: Option<WorkerLoad>,
    /// Whether the service can do its work.
    pub healthy: bool,
}

/// Redis' clock as of the last heartbeat, carried on with this machine's monotonic clock.
#[derive(Clone, Default)]
pub struct RedisClock(Arc<Mutex<Option<(u64, Instant)>>>);

impl RedisClock {
    /// Epoch ms on Redis' clock; 0 before Redis has answered.
    pub fn now_ms(&self) -> u64 {
        let last = self.0.lock().map_or(None, |l| *l);
        last.map_or(0, |(ms, at)| ms + at.elapsed().as_millis() as u64)
    }

    fn set(&self, ms: u64) {
        if let Ok(mut last) = self.0.lock() {
            *last = Some((ms, Instant::now()));
        }
    }
}

/// Keeps the record of a service alive until the soft token is cancelled and the work is drained.
pub struct Member {
    registry: Registry,
    record: ServiceRecord,
    clock: RedisClock,
    started: Instant,
}

impl Member {
    /// A member that has not been announced yet.
    pub fn new(registry: Registry, record: ServiceRecord) -> Self {
        Self { registry, record, clock: RedisClock::default(), started: Instant::now() }
    }

    /// Redis' clock as this member knows it.
    pub fn clock(&self) -> RedisClock {
        self.clock.clone()
    }

    /// Sends heartbeats until `lifecycle.hard` is cancelled or `stop` is; then leaves the registry.
    pub async fn run(
        mut self,
        lifecycle: Lifecycle,
        report: impl Fn() -> Report + Send,
    ) -> anyhow::Result<()> {
        let mut usage = Usage::new();
        let mut tick = tokio::time::interval(HEARTBEAT);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut announced = false;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = lifecycle.hard.cancelled() => return Ok(()),
                () = lifecycle.soft.cancelled() => break,
            }
            announced = self.beat(&mut usage, report(), announced).await;
        }
        // While the work drains the lease must hold, or the partitions would be taken away as from the dead.
        while !self.drained(&lifecycle) {
            tokio::select! {
                _ = tick.tick() => {}
                () = lifecycle.hard.cancelled() => break,
                () = tokio::time::sleep(Duration::from_millis(20)) => continue,
            }
            self.record.status = ServiceStatus::Shutdown;
            self.beat(&mut usage, report(), true).await;
        }
        self.record.status = ServiceStatus::Shutdown;
        if let Err(error) = self.registry.deregister(&self.record, self.clock.now_ms()).await {
            tracing::warn!(%error, "could not leave the registry");
        }
        Ok(())
    }

    /// Only the heartbeat itself is left of the tasks.
    fn drained(&self, lifecycle: &Lifecycle) -> bool {
        lifecycle.tasks.len() <= 1
    }

    async fn beat(&mut self, usage: &mut Usage, report: Report, announced: bool) -> bool {
        usage.refresh();
        let now_ms = self.clock.now_ms();
        let now_s = now_ms as f64 / 1_000.0;
        if self.record.status != ServiceStatus::Shutdown {
            self.record.status =
                if report.healthy { ServiceStatus::Healthy } else { ServiceStatus::Unhealthy };
        }
        self.record.last_heartbeat = now_s;
        self.record.metadata = report.metadata;
        self.record.metadata.insert("cpu_usage".into(), usage.cpu_percent.into());
        self.record.metadata.insert("memory_bytes".into(), usage.resident_bytes.into());
        self.record.metadata.insert("pid".into(), std::process::id().into());
        let load = report.load.map(|load| WorkerLoad {
            cpu_usage: usage.cpu_percent,
            memory_usage: usage.memory_percent,
            uptime: self.started.elapsed().as_secs_f64(),
            last_updated: now_s,
            cores: usage.cores,
            ..load
        });
        self.record
            .metadata
            .entry("current_load".into())
            .or_insert_with(|| load.as_ref().map_or(0, |l| l.pending_messages).into());
        match self.registry.heartbeat(&self.record, load.as_ref()).await {
            Ok(ms) => {
                self.clock.set(ms);
                if !announced {
                    self.record.registered_at = ms as f64 / 1_000.0;
                    self.record.last_heartbeat = self.record.registered_at;
                    let done =
                        self.registry.announce(ServiceEventType::ServiceRegistered, &self.record, ms).await;
                    return done.is_ok();
                }
                true
            }
            Err(error) => {
                tracing::debug!(%error, "a heartbeat was not answered");
                announced
            }
        }
    }
}

/// CPU and memory of this process and machine.
struct Usage {
    system: Option<System>,
    pid: Option<Pid>,
    cores: f64,
    cpu_percent: f64,
    resident_bytes: u64,
    memory_percent: f64,
}

impl Usage {
    fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
        let pid = sysinfo::get_current_pid().ok();
        let mut usage = Self {
            system: System::new().ok(),
            pid,
            cores,
            cpu_percent: 0.0,
            resident_bytes: 0,
            memory_percent: 0.0,
        };
        usage.refresh();
        usage
    }

    fn refresh(&mut self) {
        let Some(system) = &mut self.system else { return };
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let (used, total) = (system.used_memory(), system.total_memory());
        self.memory_percent = if total == 0 { 0.0 } else { 100.0 * used as f64 / total as f64 };
        let Some(pid) = self.pid else { return };
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
        if let Some(process) = system.process(pid) {
            self.cpu_percent = f64::from(process.cpu_usage()) / self.cores;
            self.resident_bytes = process.memory();
        }
    }
}
