//! Aggregation: one bridge at a time reads the results behind a durable cursor and commits health, history and alerts
//! together with it, so that each result counts once whoever dies when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::watch;
use vtox_protocol::{DiagnosisResult, EntryId, Switches, VehicleHealth, VehicleId, keys};
use vtox_registry::Lease;
use vtox_service_kit::{Service, clock};
use vtox_streams::views::Views;
use vtox_streams::{Commit, Committed, Committer, Entry, Janitor, Log, Ownership, Reader};

use crate::aggregate::Batch;
use crate::forward;
use crate::metrics::Metrics;

const LEASE: Duration = Duration::from_millis(2_000);
const STANDBY_LOOK: Duration = Duration::from_millis(500);
const BLOCK: Duration = Duration::from_millis(200);
const BATCH: usize = 256;
const TRIM_INTERVAL: Duration = Duration::from_secs(2);
/// Assessments and alerts kept.
const ASSESSMENTS_KEPT: usize = 20_000;
const ALERTS_KEPT: usize = 10_000;
/// Vehicles kept in memory; beyond it starts again from Redis.
const MAX_VEHICLES: usize = 50_000;

/// Aggregates while this bridge holds the lease; stands by otherwise. Ends with the soft token.
pub async fn run(
    service: Arc<Service>,
    metrics: Metrics,
    switches: watch::Receiver<Switches>,
) -> anyhow::Result<()> {
    let connection = service.redis.control.clone();
    let holder = format!("{}/{}", service.id, service.incarnation);
    let lease = Lease::new(connection.clone(), keys::AGGREGATOR, format!("{}:term", keys::AGGREGATOR));
    let soft = service.lifecycle.soft.clone();
    let mut least_term = 0;
    while !soft.is_cancelled() {
        match lease.take(&holder, LEASE, least_term).await {
            Ok(held) if held.id == holder => {
                let mut turn = Turn::new(&service, metrics.clone(), lease.clone(), holder.clone(), held.term);
                metrics.aggregating.set(1);
                let turn = async {
                    tokio::select! {
                        ended = turn.run(&service, &switches) => ended,
                        failed = forward::run(&service, &metrics) => failed,
                    }
                };
                match turn.await {
                    Ok(()) => {}
                    Err(error) => {
                        least_term = held.term;
                        tracing::warn!(error = format!("{error:#}"), "aggregation stopped; trying again");
                    }
                }
                metrics.aggregating.set(0);
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the lease of aggregation cannot be taken"),
        }
        tokio::select! {
            () = soft.cancelled() => {}
            () = tokio::time::sleep(STANDBY_LOOK) => {}
        }
    }
    drop(tokio::time::timeout(Duration::from_secs(1), lease.resign(&holder)).await);
    Ok(())
}

/// One holding of the lease.
struct Turn {
    lease: Lease,
    holder: String,
    term: u64,
    token: String,
    ownership: Ownership,
    committer: Committer,
    janitor: Janitor,
    views: Views,
    reader: Reader,
    metrics: Metrics,
    known: BTreeMap<VehicleId, VehicleHealth>,
    /// Whether the keys it writes are on several slots.
    cluster: bool,
    history_kept: usize,
    retention_ms: u64,
    retention_bytes: u64,
    last_trim: Instant,
}

impl Turn {
    fn new(service: &Service, metrics: Metrics, lease: Lease, holder: String, term: u64) -> Self {
        let connection = service.redis.control.clone();
        let settings = &service.settings.bridge;
        Self {
            lease,
            token: format!("{term}:{}:aggregation", service.incarnation),
            holder,
            term,
            ownership: Ownership::new(connection.clone()),
            committer: Committer::new(service.redis.data.clone()),
            janitor: Janitor::new(connection.clone()),
            views: Views::new(connection),
            reader: Reader::new(service.redis.client.clone()),
            metrics,
            known: BTreeMap::new(),
            cluster: service.redis.client.is_cluster(),
            history_kept: settings.history_per_vehicle,
            retention_ms: settings.results_retention_s * 1_000,
            retention_bytes: settings.results_retention_bytes,
            last_trim: Instant::now(),
        }
    }

    async fn run(&mut self, service: &Service, switches: &watch::Receiver<Switches>) -> anyhow::Result<()> {
        let log = Log::of_aggregation(service.redis.client.is_cluster());
        let stamp = format!("{}:{}", self.term, self.holder);
        if !self.ownership.take_log(&log, &stamp, &self.token).await? {
            anyhow::bail!("a later holder has stamped aggregation");
        }
        let (_, cursor) = self.ownership.read_log(&log).await?;
        let mut cursor: EntryId = cursor.parse().context("the cursor of aggregation")?;
        tracing::info!(%cursor, "aggregating");
        let mut renewed = Instant::now();
        while !service.lifecycle.soft.is_cancelled() {
            if renewed.elapsed() >= LEASE / 4 {
                if self.lease.take(&self.holder, LEASE, 0).await?.id != self.holder {
                    return Ok(());
                }
                renewed = Instant::now();
            }
            if self.last_trim.elapsed() >= TRIM_INTERVAL {
                self.trim(&log).await;
            }
            if !switches.borrow().aggregation.value.is_running() {
                // The cursor stays, and nothing behind which it has not come is trimmed.
                tokio::time::sleep(BLOCK).await;
                continue;
            }
            let after = [(log.stream.clone(), cursor)];
            let Some((_, entries)) = self.reader.read(&after, BATCH, BLOCK).await?.pop() else {
                continue;
            };
            match self.aggregate(&log, cursor, &entries).await? {
                Some(next) => cursor = next,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Commits what the entries change; none when aggregation has another owner.
    async fn aggregate(
        &mut self,
        log: &Log,
        from: EntryId,
        entries: &[Entry],
    ) -> anyhow::Result<Option<EntryId>> {
        let Some(to) = entries.last().map(|e| e.id) else {
            return Ok(Some(from));
        };
        let mut commit = Commit::new(log.clone(), &self.token, from, to, entries.len());
        let mut batch = Batch::default();
        let mut results = Vec::with_capacity(entries.len());
        for entry in entries {
            let fields = entry.text_fields();
            match DiagnosisResult::from_fields(&fields) {
                Ok(result) => results.push((entry.id, result)),
                // By another producer; it must not stop the rest.
                Err(error) => {
                    tracing::warn!(%error, entry = %entry.id, "an entry of the results is no result");
                }
            }
        }
        self.load(&results).await?;
        for (id, result) in &results {
            batch.fold(result, self.known.get(&result.vehicle_id).cloned());
            let history = keys::history(&result.vehicle_id);
            commit.append_once(&history, *id, self.history_kept, history_fields(result));
        }
        add_vehicles(&mut commit, &batch)?;
        if self.cluster {
            commit.apart(self.term);
        }
        // After a failure the next turn begins at the durable cursor, which knows whether this was done.
        let outcome = self.committer.run(&commit).await?;
        match outcome {
            Committed::Done | Committed::Repeated => {
                self.metrics.aggregated.inc_by(results.len() as u64);
                if self.known.len() > MAX_VEHICLES {
                    self.known.clear();
                }
                self.known.extend(batch.vehicles.into_iter().map(|(id, touched)| (id, touched.health)));
                Ok(Some(to))
            }
            Committed::Fenced => Ok(None),
            Committed::Moved(cursor) => {
                self.known.clear();
                Ok(Some(cursor))
            }
        }
    }

    /// Loads the health of vehicles that are not in memory.
    async fn load(&mut self, results: &[(EntryId, DiagnosisResult)]) -> anyhow::Result<()> {
        let mut missing: Vec<VehicleId> = results
            .iter()
            .map(|(_, result)| &result.vehicle_id)
            .filter(|id| !self.known.contains_key(*id))
            .cloned()
            .collect();
        missing.sort_unstable();
        missing.dedup();
        let stored = self.views.healths(&missing).await?;
        for (id, health) in missing.into_iter().zip(stored) {
            if let Some(health) = health.and_then(|h| serde_json::from_str(&h).ok()) {
                self.known.insert(id, health);
            }
        }
        Ok(())
    }

    async fn trim(&mut self, log: &Log) {
        self.last_trim = Instant::now();
        let readers = std::slice::from_ref(&log.ownership);
        if let Err(error) =
            self.janitor.trim(&log.stream, readers, self.retention_bytes, self.retention_ms).await
        {
            tracing::debug!(%error, "results could not be trimmed");
        }
    }
}

/// A result in the vehicle's history: without its charts.
fn history_fields(result: &DiagnosisResult) -> impl Iterator<Item = (&'static str, String)> {
    result
        .fields()
        .into_iter()
        .filter(|(name, value)| !matches!(*name, "charts" | "vehicle_id") && !value.is_empty())
}

/// Health, assessments and alerts of the vehicles of a batch.
fn add_vehicles(commit: &mut Commit, batch: &Batch) -> anyhow::Result<()> {
    for (id, touched) in &batch.vehicles {
        let health = &touched.health;
        let overall = serde_json::to_string(&health.overall_health)?;
        commit.set(keys::VEHICLE_HEALTH, [(id.as_str(), serde_json::to_string(health)?)]);
        commit.set(keys::VEHICLE_STATUS, [(id.as_str(), health.overall_health.overall_status.name())]);
        commit.append_bounded(
            keys::ASSESSMENTS,
            ASSESSMENTS_KEPT,
            [
                ("vehicle_id", id.to_string()),
                ("assessment_type", "overall_health".to_owned()),
                ("overall_health", overall),
                ("fault_states", serde_json::to_string(&health.fault_states)?),
                ("timestamp", clock::timestamp()),
                ("message_id", touched.message_id.clone()),
                ("location", touched.location.clone().unwrap_or_default()),
            ],
        );
        if touched.became_critical() {
            let score = health.overall_health.health_score.unwrap_or(0.0);
            commit.append_bounded(
                keys::ALERTS,
                ALERTS_KEPT,
                [
                    ("alert_type", "critical_fault".to_owned()),
                    ("vehicle_id", id.to_string()),
                    ("severity", "critical".to_owned()),
                    ("health_score", format!("{score:.1}")),
                    (
                        "critical_faults",
                        serde_json::to_string(&health.overall_health.fault_summary.critical_faults)?,
                    ),
                    ("alert_timestamp", clock::timestamp()),
                    ("requires_immediate_action", "true".to_owned()),
                ],
            );
        }
    }
    Ok(())
}
