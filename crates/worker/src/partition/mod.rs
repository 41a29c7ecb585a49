//! One partition: its lanes, and the way of its entries from the inbox to the commit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::sync::mpsc;
use vtox_protocol::keys::Partition;
use vtox_protocol::{EntryId, FaultType, Grant, VehicleId};
use vtox_service_kit::clock;
use vtox_streams::{Lane, load_states};

mod commit;
mod suspicion;

use self::commit::Outcome;
use self::suspicion::Suspicion;
use crate::batch::{self, LaneJob, LaneOutput, VehicleState};
use crate::feed::waiting_bytes;
use crate::inbox::{Inbox, Waiting};
use crate::work::Work;

/// What the assignment asks of a partition's task.
pub enum Command {
    /// Own a lane from now on.
    Own(Grant),
    /// Finish, commit and give a lane back.
    Release(FaultType),
}

/// Vehicles a lane keeps in memory; beyond it starts again from Redis.
const MAX_VEHICLES: usize = 20_000;
/// Time between two comparisons with Redis.
const CARE_INTERVAL: Duration = Duration::from_secs(2);
/// Wait before a commit or a read that failed is tried again.
const RETRY: Duration = Duration::from_millis(200);

struct Owned {
    token: String,
    cursor: EntryId,
    vehicles: HashMap<VehicleId, VehicleState>,
    suspicion: Option<Suspicion>,
}

/// The task of one partition.
pub struct PartitionTask {
    work: Arc<Work>,
    partition: Partition,
    inbox: Arc<Inbox>,
    commands: mpsc::UnboundedReceiver<Command>,
    lanes: BTreeMap<FaultType, Owned>,
    last_care: Instant,
}

impl PartitionTask {
    /// A task that owns nothing yet.
    pub fn new(work: Arc<Work>, partition: Partition, commands: mpsc::UnboundedReceiver<Command>) -> Self {
        let inbox = work.inbox(partition);
        Self { work, partition, inbox, commands, lanes: BTreeMap::new(), last_care: Instant::now() }
    }

    /// Works until the soft token is cancelled or the commands end; then gives everything back.
    pub async fn run(mut self) {
        let soft = self.work.lifecycle.soft.clone();
        while !soft.is_cancelled() {
            let command = match self.commands.try_recv() {
                Ok(command) => Some(command),
                Err(mpsc::error::TryRecvError::Disconnected) => break,
                Err(mpsc::error::TryRecvError::Empty) => None,
            };
            if let Some(command) = command {
                self.apply(command).await;
                continue;
            }
            if self.last_care.elapsed() >= CARE_INTERVAL {
                self.care().await;
            }
            if self.lanes.is_empty() || !self.step().await {
                tokio::select! {
                    () = soft.cancelled() => break,
                    () = self.inbox.filled() => {}
                    () = tokio::time::sleep(CARE_INTERVAL) => {}
                    command = self.commands.recv() => match command {
                        Some(command) => self.apply(command).await,
                        None => break,
                    },
                }
            }
        }
        for fault in self.lanes.keys().copied().collect::<Vec<_>>() {
            self.release(fault).await;
        }
        self.work.close_inbox(self.partition);
    }

    fn lane(&self, fault: FaultType) -> Lane {
        Lane { partition: self.partition, fault }
    }

    async fn apply(&mut self, command: Command) {
        match command {
            Command::Own(grant) => self.own(grant).await,
            Command::Release(fault) => self.release(fault).await,
        }
    }

    async fn own(&mut self, grant: Grant) {
        let lane = self.lane(grant.fault);
        let (owner, cursor) = loop {
            match self.work.ownership.read(lane).await {
                Ok(row) => break row,
                Err(error) => tracing::debug!(%error, %lane, "the ownership cannot be read"),
            }
            if self.pause().await {
                return;
            }
        };
        if owner != grant.token {
            tracing::debug!(%lane, "the grant is out of date");
            return;
        }
        let Ok(cursor) = cursor.parse() else {
            tracing::error!(%lane, cursor, "the cursor is no entry id; repair the ownership hash");
            return;
        };
        let mut suspicion = None;
        while grant.suspect && suspicion.is_none() {
            match self.work.janitor.redis_now_ms().await {
                Ok(before_ms) => {
                    suspicion = Some(Suspicion { before_ms, left: self.work.settings.batch_entries });
                }
                Err(error) => tracing::debug!(%error, %lane, "Redis' clock cannot be read"),
            }
            if suspicion.is_none() && self.pause().await {
                return;
            }
        }
        let owned = Owned { token: grant.token, cursor, vehicles: HashMap::new(), suspicion };
        self.lanes.insert(grant.fault, owned);
        self.rewind();
        tracing::debug!(%lane, %cursor, suspect = grant.suspect, "owned");
    }

    async fn release(&mut self, fault: FaultType) {
        let Some(owned) = self.lanes.remove(&fault) else {
            return;
        };
        let lane = self.lane(fault);
        // A try that fails leaves the token; it is taken over after the deadline.
        match self.work.ownership.release(lane, &owned.token).await {
            Ok(released) => tracing::debug!(%lane, released, "given back"),
            Err(error) => tracing::warn!(%error, %lane, "could not give the lane back"),
        }
        if self.lanes.is_empty() {
            let (entries, bytes) = self.inbox.clear();
            self.work.consumed(entries, bytes);
        }
    }

    /// Reads again from the lowest cursor.
    fn rewind(&self) {
        if let Some(lowest) = self.lanes.values().map(|l| l.cursor).min() {
            let (entries, bytes) = self.inbox.rewind(lowest);
            self.work.consumed(entries, bytes);
        }
    }

    /// Waits a moment; true when the process must stop.
    async fn pause(&self) -> bool {
        tokio::select! {
            () = self.work.lifecycle.hard.cancelled() => true,
            () = tokio::time::sleep(RETRY) => self.work.lifecycle.hard.is_cancelled(),
        }
    }

    /// Answers one batch; false when there was nothing to do.
    async fn step(&mut self) -> bool {
        let Some(first) = self.inbox.first() else {
            return false;
        };
        for owned in self.lanes.values_mut() {
            if owned.suspicion.is_some_and(|s| s.left == 0 || first.ms > s.before_ms) {
                owned.suspicion = None;
            }
        }
        let suspect = self.lanes.values().any(|l| l.suspicion.is_some());
        let entries = self.inbox.take(if suspect { 1 } else { self.work.settings.batch_entries });
        let (count, bytes) = (entries.len(), waiting_bytes(&entries));
        self.work.stats.begin();
        let poisoned = if suspect { self.count_attempts(first).await } else { Vec::new() };
        self.answer(&entries, &poisoned, suspect).await;
        self.work.stats.end(entries.iter().map(|w| w.read_at.elapsed()));
        self.work.consumed(count, bytes);
        true
    }

    /// Diagnoses entries for all lanes, `alone` in the process if so asked, and commits.
    async fn answer(&mut self, entries: &[Waiting], poisoned: &[FaultType], alone: bool) {
        let Some(last) = entries.last().map(|w| w.entry.id) else {
            return;
        };
        let Some(mut jobs) = self.jobs(entries, poisoned, last).await else {
            return;
        };
        let batch: Vec<_> = entries.iter().map(|w| w.entry.clone()).collect();
        let (stream, worker, threads) =
            (self.partition.stream(), self.work.id.clone(), self.work.threads.clone());
        let now_ms = clock::epoch_ms();
        let Ok(permit) = threads.acquire_owned().await else {
            return;
        };
        let thresholds = self.work.thresholds.clone();
        let diagnose = move || {
            let _permit = permit;
            batch::run(&stream, &batch, &mut jobs, &thresholds, &worker, now_ms);
            jobs
        };
        // Held while a detector runs and no longer: a commit that cannot be done must not hold up other partitions.
        let work = self.work.clone();
        let diagnosed = if alone {
            let _alone = work.isolation.write().await;
            tokio::task::spawn_blocking(diagnose).await
        } else {
            let _shared = work.isolation.read().await;
            tokio::task::spawn_blocking(diagnose).await
        };
        let jobs = match diagnosed {
            Ok(jobs) => jobs,
            Err(error) => {
                // Nothing is lost: the cursors have not moved. The lanes begin again from Redis.
                tracing::error!(%error, "a batch crashed outside of the detectors");
                self.reload();
                return;
            }
        };
        if alone {
            self.survived(last, poisoned).await;
        }
        let commits = jobs.into_iter().filter(|job| job.output.entries > 0).filter_map(|job| {
            let token = self.lanes.get(&job.fault)?.token.clone();
            Some(self.commit(token, job))
        });
        let outcomes = join_all(commits).await;
        let mut rewind = false;
        for (job, outcome) in outcomes {
            match outcome {
                Outcome::Written => {
                    let Some(owned) = self.lanes.get_mut(&job.fault) else {
                        continue;
                    };
                    owned.cursor = job.output.last;
                    if let Some(suspicion) = &mut owned.suspicion {
                        suspicion.left = suspicion.left.saturating_sub(job.output.entries);
                    }
                    if owned.vehicles.len() > MAX_VEHICLES {
                        owned.vehicles.clear();
                    }
                    owned.vehicles.extend(job.vehicles);
                }
                Outcome::Lost => {
                    self.lanes.remove(&job.fault);
                }
                Outcome::Elsewhere(cursor) => {
                    if let Some(owned) = self.lanes.get_mut(&job.fault) {
                        owned.cursor = cursor;
                        owned.vehicles.clear();
                        rewind = true;
                    }
                }
            }
        }
        if rewind {
            self.rewind();
        }
        let now_ms = self.work.clock.now_ms();
        for waiting in entries {
            self.work.stats.latency(now_ms.saturating_sub(waiting.entry.id.ms));
        }
    }

    /// Forgets what is in memory and reads again from the cursors.
    fn reload(&mut self) {
        for owned in self.lanes.values_mut() {
            owned.vehicles.clear();
        }
        self.rewind();
    }

    /// A job per lane with the states of the batch's vehicles; none when the process must stop.
    async fn jobs(
        &mut self,
        entries: &[Waiting],
        poisoned: &[FaultType],
        last: EntryId,
    ) -> Option<Vec<LaneJob>> {
        let mut jobs = Vec::with_capacity(self.lanes.len());
        for fault in self.lanes.keys().copied().collect::<Vec<_>>() {
            let lane = self.lane(fault);
            let owned = self.lanes.get_mut(&fault)?;
            let mut vehicles = HashMap::new();
            let mut missing = Vec::new();
            for waiting in entries.iter().filter(|w| w.entry.id > owned.cursor) {
                let Some(vehicle) = vehicle_of(waiting) else {
                    continue;
                };
                if vehicles.contains_key(&vehicle) || missing.contains(&vehicle) {
                    continue;
                }
                match owned.vehicles.get(&vehicle) {
                    Some(state) => drop(vehicles.insert(vehicle, state.clone())),
                    None => missing.push(vehicle),
                }
            }
            let cursor = owned.cursor;
            let states = loop {
                match load_states(&self.work.redis.data, lane, &missing).await {
                    Ok(states) => break states,
                    Err(error) => {
                        tracing::warn!(%error, %lane, "states cannot be read; trying again");
                        self.work.stats.failed(lane);
                    }
                }
                if self.pause().await {
                    return None;
                }
            };
            for (vehicle, state) in missing.into_iter().zip(states) {
                let folded = state.and_then(|s| serde_json::from_slice(&s).ok()).unwrap_or_default();
                vehicles.insert(vehicle, VehicleState { folded, charts_ms: 0 });
            }
            let poison = poisoned.contains(&fault).then_some(last);
            jobs.push(LaneJob { fault, cursor, vehicles, poison, output: LaneOutput::default() });
        }
        Some(jobs)
    }

    /// Compares what is in memory with Redis. A Redis that came back without the last second of its log has
    /// cursors that are behind ours: the entries after them want their answers again.
    async fn care(&mut self) {
        self.last_care = Instant::now();
        let mut rewind = false;
        let faults: Vec<FaultType> = self.lanes.keys().copied().collect();
        let rows = join_all(faults.iter().map(|fault| self.work.ownership.read(self.lane(*fault)))).await;
        for (fault, row) in faults.into_iter().zip(rows) {
            let lane = self.lane(fault);
            let (owner, cursor) = match row {
                Ok(row) => row,
                Err(error) => {
                    tracing::debug!(%error, %lane, "the ownership cannot be read");
                    return;
                }
            };
            let Some(owned) = self.lanes.get_mut(&fault) else { continue };
            if owner != owned.token {
                tracing::info!(%lane, "the lane has another owner");
                self.lanes.remove(&fault);
            } else if let Ok(cursor) = cursor.parse::<EntryId>()
                && cursor != owned.cursor
            {
                tracing::warn!(%lane, %cursor, "the durable cursor is elsewhere: beginning again there");
                owned.cursor = cursor;
                owned.vehicles.clear();
                rewind = true;
            }
        }
        if rewind {
            self.rewind();
        }
    }
}

fn vehicle_of(waiting: &Waiting) -> Option<VehicleId> {
    let id = waiting.entry.fields.get("vehicle_id")?;
    VehicleId::new(std::str::from_utf8(id).ok()?).ok()
}
