//! The loop that looks, leaves a snapshot in Redis for queries, and raises alerts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::watch::Sender;
use vtox_protocol::keys::{self, Topology};
use vtox_protocol::{FaultFlow, FaultType, MonitorSnapshot, ServiceStatus, ServiceType};
use vtox_registry::{Members, Registry};
use vtox_service_kit::{Service, clock};
use vtox_streams::views::{Views, note};
use vtox_streams::{Backlog, Janitor, topology};

use crate::alerts::{Condition, Situation, conditions};
use crate::flow::{Sample, flow, workers_needed};
use crate::metrics::Metrics;

/// Time between two looks; the configured interval is that of the log line.
const LOOK: Duration = Duration::from_secs(1);
/// Samples a rate is measured over.
const WINDOW: usize = 5;
/// How long a snapshot stays in Redis without a new one, ms.
const SNAPSHOT_MS: u64 = 10_000;
/// How long a condition must hold: a cluster that starts has no workers for a moment.
const HELD: Duration = Duration::from_secs(5);
/// Alerts kept.
const ALERTS_KEPT: usize = 10_000;
/// Entries of the stream of processing times that are looked at.
const TIMES: usize = 200;

struct Watcher {
    service: Arc<Service>,
    topology: Topology,
    registry: Registry,
    janitor: Janitor,
    views: Views,
    samples: std::collections::VecDeque<Sample>,
    /// Conditions that hold, since when, and whether an alert was raised.
    standing: BTreeMap<String, Standing>,
}

struct Standing {
    condition: Condition,
    since: Instant,
    raised: bool,
}

/// Looks until the soft token is cancelled.
pub async fn run(
    service: Arc<Service>,
    snapshots: Sender<MonitorSnapshot>,
    metrics: Metrics,
) -> anyhow::Result<()> {
    let connection = service.redis.control.clone();
    let topology = topology::agree_at_start(&connection, &service.settings.topology())
        .await
        .context("agreeing on the topology")?;
    let mut watcher = Watcher {
        topology,
        registry: Registry::new(connection.clone()),
        janitor: Janitor::new(connection.clone()),
        views: Views::new(connection),
        samples: std::collections::VecDeque::new(),
        standing: BTreeMap::new(),
        service: service.clone(),
    };
    let soft = service.lifecycle.soft.clone();
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let report_every = Duration::from_secs(service.settings.monitor.interval_s);
    let mut reported = Instant::now();
    loop {
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            _ = tick.tick() => {}
        }
        match watcher.look().await {
            Ok(seen) => {
                if reported.elapsed() >= report_every {
                    reported = Instant::now();
                    tracing::info!(
                        throughput = seen.throughput,
                        queue_length = seen.queue_length,
                        latency_ms = seen.latency_ms,
                        services = seen.healthy_services,
                        alerts = seen.alerts.len(),
                        "cluster"
                    );
                }
                metrics.show(&seen);
                snapshots.send_replace(seen);
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "Redis does not answer the monitor"),
        }
    }
}

impl Watcher {
    async fn look(&mut self) -> anyhow::Result<MonitorSnapshot> {
        let members = self.registry.members().await?;
        self.topology = topology::current(&self.service.redis.control).await?;
        let backlog = self.janitor.backlog(&self.topology).await?;
        let now = Sample {
            at_ms: members.redis_now_ms,
            completed: members
                .loads
                .iter()
                .map(|(id, l)| (id.clone(), l.completed_by_fault.clone()))
                .collect(),
            results_added: self.views.entries_added(keys::RESULTS).await?,
            accepted: backlog.added(),
        };
        let before = self.samples.front().cloned().unwrap_or_else(|| now.clone());
        self.samples.push_back(now.clone());
        if self.samples.len() > WINDOW {
            self.samples.pop_front();
        }
        let flow = flow(&before, &now, &members.loads, self.topology.enabled.len());
        let times = self.processing_times(members.redis_now_ms).await?;
        let workers = self.living_workers(&members);
        let alive: Vec<_> = members.loads.values().filter(|l| self.lives(&members, &l.worker_id)).collect();
        let completed: u64 = alive.iter().map(|l| l.total_completed).sum();
        let failed: u64 = alive.iter().map(|l| l.total_failed).sum();
        let cores = alive.iter().map(|l| l.cores).fold(1.0, f64::max);
        let mut seen = MonitorSnapshot {
            throughput: flow.throughput,
            throughput_source: flow.source,
            accepted_rate: flow.accepted_rate,
            latency_ms: mean(alive.iter().map(|l| l.avg_processing_time)),
            queue_length: backlog.entries(),
            oldest_age_ms: backlog.oldest_age_ms(),
            messages_processed: self.answered(&backlog),
            error_count: failed,
            success_rate: if completed + failed == 0 {
                1.0
            } else {
                completed as f64 / (completed + failed) as f64
            },
            active_consumers: alive.len() as u32,
            healthy_services: members.services.keys().filter(|id| self.lives(&members, id)).count() as u32,
            total_services: members.services.len() as u32,
            timestamp: clock::timestamp(),
            redis_ms: members.redis_now_ms,
            ..MonitorSnapshot::default()
        };
        for (fault, count) in &workers {
            let time_s = times.get(fault).copied().unwrap_or(0.0);
            let lag = backlog.lag_of(*fault);
            let catch_up = lag as f64 / 30.0;
            seen.by_fault.insert(
                *fault,
                FaultFlow {
                    lag,
                    rate: flow.by_fault.get(fault).copied().unwrap_or(0.0),
                    average_processing_time: time_s,
                    workers: *count,
                    recommended_workers: workers_needed(flow.accepted_rate + catch_up, time_s, cores),
                },
            );
        }
        let settings = &self.service.settings;
        let found = conditions(&Situation {
            members: &members,
            lease_ms: settings.coordinator.worker_lease_ms,
            workers: &workers,
            oldest_age_ms: seen.oldest_age_ms,
            alert_age_ms: settings.monitor.backlog_alert_age_s * 1_000,
        });
        self.raise(found).await;
        seen.alerts = self.standing.values().filter(|s| s.raised).map(|s| s.condition.text.clone()).collect();
        self.views.leave_monitor(&serde_json::to_string(&seen)?, SNAPSHOT_MS).await?;
        Ok(seen)
    }

    fn lives(&self, members: &Members, id: &str) -> bool {
        let lease_ms = self.service.settings.coordinator.worker_lease_ms;
        members.silence_ms(id).is_some_and(|silence| silence < lease_ms)
            && members.services.get(id).is_some_and(|r| r.status == ServiceStatus::Healthy)
    }

    /// Workers that live, per enabled fault type.
    fn living_workers(&self, members: &Members) -> BTreeMap<FaultType, u32> {
        let workers: Vec<_> = members
            .services
            .values()
            .filter(|r| r.service_type == ServiceType::Worker && self.lives(members, &r.service_id))
            .collect();
        self.topology
            .enabled
            .iter()
            .map(|fault| (fault, workers.iter().filter(|r| r.capabilities.contains(fault)).count() as u32))
            .collect()
    }

    /// Messages every enabled fault type has answered.
    fn answered(&self, backlog: &Backlog) -> u64 {
        backlog.partitions.iter().map(|p| p.by_fault.iter().map(|(_, g)| g.read).min().unwrap_or(0)).sum()
    }

    /// Mean time of each detector over the last entries of the stream of processing times, s.
    async fn processing_times(&self, redis_now_ms: u64) -> anyhow::Result<BTreeMap<FaultType, f64>> {
        let entries =
            self.views.newest(keys::PERFORMANCE, redis_now_ms.saturating_sub(60_000), TIMES).await?;
        let mut sums: BTreeMap<FaultType, (f64, f64)> = BTreeMap::new();
        for fields in entries.iter().map(vtox_streams::Entry::text_fields) {
            let number = |name: &str| fields.get(name)?.parse::<f64>().ok().filter(|n| n.is_finite());
            let (Some(fault), Some(time), Some(count)) = (
                fields.get("fault_type").and_then(|f| f.parse().ok()),
                number("processing_time"),
                number("messages_processed"),
            ) else {
                continue;
            };
            let (total, messages) = sums.entry(fault).or_default();
            *total += time * count;
            *messages += count;
        }
        Ok(sums.into_iter().filter(|(_, (_, n))| *n > 0.0).map(|(f, (total, n))| (f, total / n)).collect())
    }

    /// Writes an alert for each condition that has held for a while, and forgets those that ended.
    async fn raise(&mut self, found: BTreeMap<String, Condition>) {
        self.standing.retain(|key, standing| {
            let holds = found.contains_key(key);
            if !holds && standing.raised {
                tracing::info!(alert = standing.condition.alert_type, "ended: {}", standing.condition.text);
            }
            holds
        });
        for (key, condition) in found {
            let standing = self.standing.entry(key).or_insert_with(|| Standing {
                condition: condition.clone(),
                since: Instant::now(),
                raised: false,
            });
            standing.condition = condition;
            if standing.raised || standing.since.elapsed() < HELD {
                continue;
            }
            let condition = &standing.condition;
            tracing::warn!(alert = condition.alert_type, "{}", condition.text);
            let fields = [
                ("alert_type", condition.alert_type.to_owned()),
                ("vehicle_id", String::new()),
                ("severity", if condition.critical { "critical" } else { "warning" }.to_owned()),
                ("message", condition.text.clone()),
                ("health_score", String::new()),
                ("critical_faults", "[]".to_owned()),
                ("alert_timestamp", clock::timestamp()),
                ("requires_immediate_action", condition.critical.to_string()),
            ];
            match note(&self.service.redis.control, keys::ALERTS, ALERTS_KEPT, &fields).await {
                Ok(()) => standing.raised = true,
                Err(error) => tracing::warn!(%error, "an alert could not be written"),
            }
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(s, n), v| (s + v, n + 1));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}
