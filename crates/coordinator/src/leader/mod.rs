//! The control loop: hold the lease, look at the members, decide, write tokens and assignments.

mod decide;
mod grant;
mod health;
mod leading;
mod loads;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use vtox_balancing::{Answer, Liveness, LivenessConfig, PlacementConfig};
use vtox_connection::ConnectionManager;
use vtox_protocol::keys::{LEADER, TERM, Topology};
use vtox_registry::{Lease, Members, Placement, Registry, watch_placement};
use vtox_service_kit::Service;
use vtox_streams::{Janitor, Lane, Ownership, topology};

use crate::fleet::{self, Fleet};
use crate::lanes::{LaneState, Lanes, by_incarnation};
use crate::metrics::Metrics;
use crate::view::{View, Views};
use leading::Leading;

/// Time between two looks at the members.
const TICK: Duration = Duration::from_millis(100);
/// Time between two readings of the partitions' progress.
const LOAD_INTERVAL: Duration = Duration::from_secs(1);
/// All ownership keys are read again this often, in case something else wrote them.
const AUDIT_INTERVAL: Duration = Duration::from_secs(5);
/// A cluster that starts is placed once no worker has joined for this long: all at once instead of move by move.
const SETTLE: Duration = Duration::from_millis(1_000);

/// Runs until the soft token is cancelled; then gives the lease back.
pub async fn run(service: Arc<Service>, views: Views, metrics: Metrics) -> anyhow::Result<()> {
    let connection = service.redis.control.clone();
    let wanted = service.settings.topology();
    let topology =
        topology::agree_at_start(&connection, &wanted).await.context("agreeing on the topology")?;
    if topology.partitions != wanted.partitions {
        tracing::warn!(
            in_force = topology.partitions,
            configured = wanted.partitions,
            "the cluster keeps the partitions it began with; `vtox doctor` tells how to change them"
        );
    }
    let changed = Arc::new(Notify::new());
    let watcher = tokio::spawn({
        let (client, changed) = (service.redis.client.clone(), changed.clone());
        async move { watch_placement(client, &changed).await }
    });
    let candidate = format!("{}/{}", service.id, service.incarnation);
    let lease = Lease::new(connection.clone(), LEADER, TERM);
    let mut control = Control::new(&service, topology, candidate.clone(), lease.clone(), metrics);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let soft = service.lifecycle.soft.clone();
    loop {
        tokio::select! {
            () = soft.cancelled() => break,
            _ = tick.tick() => {}
            () = changed.notified() => {}
        }
        match control.tick().await {
            Ok(view) => {
                control.metrics.show(&view);
                views.show(view);
            }
            Err(error) => tracing::debug!(error = format!("{error:#}"), "a tick was cut short"),
        }
    }
    watcher.abort();
    // Standbys need not wait for the lease to run out.
    drop(tokio::time::timeout(Duration::from_secs(1), lease.resign(&candidate)).await);
    Ok(())
}

struct Control {
    connection: ConnectionManager,
    candidate: String,
    lease: Lease,
    lease_length: Duration,
    registry: Registry,
    placement: Placement,
    ownership: Ownership,
    janitor: Janitor,
    topology: Topology,
    handover_ms: u64,
    forget_ms: u64,
    worker_lease: Duration,
    config: PlacementConfig,
    metrics: Metrics,
    start: Instant,
    liveness: Liveness<String>,
    dead: BTreeSet<String>,
    unhealthy: BTreeSet<String>,
    least_term: u64,
    lease_taken: Option<Instant>,
    leading: Option<Leading>,
}

impl Control {
    fn new(service: &Service, topology: Topology, candidate: String, lease: Lease, metrics: Metrics) -> Self {
        let settings = &service.settings.coordinator;
        let connection = service.redis.control.clone();
        let liveness = LivenessConfig { lease_ms: settings.worker_lease_ms, ..LivenessConfig::default() };
        Self {
            connection: connection.clone(),
            candidate,
            lease,
            lease_length: Duration::from_millis(settings.leader_lease_ms),
            registry: Registry::new(connection.clone()),
            placement: Placement::new(connection.clone()),
            ownership: Ownership::new(connection.clone()),
            janitor: Janitor::new(connection),
            topology,
            handover_ms: settings.handover_deadline_ms,
            forget_ms: settings.forget_after_s * 1_000,
            worker_lease: Duration::from_millis(settings.worker_lease_ms),
            config: service.settings.placement,
            metrics,
            start: Instant::now(),
            liveness: Liveness::new(liveness),
            dead: BTreeSet::new(),
            unhealthy: BTreeSet::new(),
            least_term: 0,
            lease_taken: None,
            leading: None,
        }
    }

    /// Ms on a clock of ours that never steps.
    fn now_ms(&self) -> u64 {
        // Not 0 at the start, so that a worker's "since ever" is earlier.
        self.start.elapsed().as_millis() as u64 + 1_000_000
    }

    async fn tick(&mut self) -> anyhow::Result<View> {
        let now_ms = self.now_ms();
        let term = self.hold_lease().await?;
        let members = match self.registry.members().await {
            Ok(members) => members,
            Err(error) => {
                self.liveness.tick(now_ms, None);
                return Err(error.into());
            }
        };
        let answer = Answer { redis_now_ms: members.redis_now_ms, heartbeats: &members.heartbeats_ms };
        let judgement = self.liveness.tick(now_ms, Some(answer));
        let hold = judgement.hold.map(|h| format!("{h:?}"));
        self.dead = judgement.dead;

        let Some(term) = term else {
            self.leading = None;
            let holder = self.lease.holder().await?;
            let (leader, term) = holder.map_or((None, 0), |h| (Some(h.id), h.term));
            let scores =
                Fleet::new(self.config).alive(&members, &self.dead).into_iter().map(|(id, w)| (id, w.score));
            return Ok(View {
                role: "standby",
                leader,
                term,
                hold,
                scores: scores.collect(),
                ..View::default()
            });
        };
        self.lead(now_ms, term, &members, hold).await
    }

    /// Our term while we hold the lease.
    async fn hold_lease(&mut self) -> anyhow::Result<Option<u64>> {
        let asked = Instant::now();
        // Every tick: a command of microseconds, and the holder is known afresh.
        let answer = self.lease.take(&self.candidate, self.lease_length, self.least_term).await;
        match answer {
            Ok(holder) if holder.id == self.candidate => {
                self.lease_taken = Some(asked);
                Ok(Some(holder.term))
            }
            Ok(_) => {
                self.lease_taken = None;
                Ok(None)
            }
            Err(error) => {
                // Not renewed in time: another may lead. Its stamp would refuse our writes anyway.
                if self.lease_taken.is_none_or(|at| at.elapsed() > self.lease_length) {
                    self.leading = None;
                }
                Err(error.into())
            }
        }
    }

    async fn lead(
        &mut self,
        now_ms: u64,
        term: u64,
        members: &Members,
        hold: Option<String>,
    ) -> anyhow::Result<View> {
        let stamp = format!("{term}:{}", self.candidate);
        let mut leading = match self.leading.take() {
            Some(leading) if leading.stamp == stamp => leading,
            _ => match self.begin(&stamp).await? {
                Some(leading) => leading,
                None => {
                    return Ok(View { role: "standby", ..View::default() });
                }
            },
        };
        self.announce_health(members).await;
        let view = self.steer(now_ms, term, members, hold, &mut leading).await;
        // A command that failed is tried again at the next tick; a later leader's stamp ends this leading.
        if !matches!(view, Ok(None)) {
            self.leading = Some(leading);
        }
        Ok(view?.unwrap_or_else(|| View { role: "standby", ..View::default() }))
    }

    /// One round of looking, deciding and writing. None when leading must begin anew: a later leader has stamped a key, or
    /// the enabled fault types changed.
    async fn steer(
        &mut self,
        now_ms: u64,
        term: u64,
        members: &Members,
        hold: Option<String>,
        leading: &mut Leading,
    ) -> anyhow::Result<Option<View>> {
        let alive = leading.fleet.alive(members, &self.dead);
        self.read_owners(leading, Some(leading.lanes_of_vanished(&alive))).await?;
        leading.forget_departed(&alive);
        let alive = leading.remember(alive, &self.dead, self.worker_lease);
        self.read_loads(now_ms, leading, &alive).await;
        if leading.last_topology.elapsed() >= LOAD_INTERVAL {
            leading.last_topology = Instant::now();
            // A Redis that was emptied gets it back.
            let topology = topology::agree(&self.connection, &self.topology).await?;
            if topology != self.topology {
                tracing::info!(enabled = %topology.enabled, "the enabled fault types changed");
                self.topology = topology;
                // Begins anew: stamps the new lanes and forgets those that are gone.
                return Ok(None);
            }
        }
        let consumption = members.switches.consumption.value;
        if !consumption.is_running() {
            leading.stopped = Some(Instant::now());
        }
        // What was asked back at the stop may be given back after the start.
        let handing_back =
            leading.stopped.is_some_and(|at| at.elapsed() < Duration::from_millis(self.handover_ms));
        if leading.last_audit.elapsed() >= AUDIT_INTERVAL {
            self.read_owners(leading, None).await?;
            leading.last_audit = Instant::now();
        }
        let asked = if handing_back { leading.lanes.owned() } else { leading.lanes.asked() };
        self.read_owners(leading, Some(asked)).await?;

        let joined = alive.keys().any(|id| !leading.known.contains(id));
        leading.known = alive.keys().cloned().collect();
        if joined {
            leading.last_join = Instant::now();
        }
        let units = fleet::units(&self.topology, &alive, |partition| leading.loads.load(&partition));
        let strains = leading.strains();
        let workers = leading.fleet.workers(now_ms, &alive, leading.started, &strains);
        let settled = leading.started || (!alive.is_empty() && leading.last_join.elapsed() >= SETTLE);
        let mut view = View {
            role: "leader",
            leader: Some(self.candidate.clone()),
            term,
            scores: alive.iter().map(|(id, w)| (id.clone(), w.score)).collect(),
            hold,
            capacities: leading.fleet.capacities().clone(),
            backlog_entries: leading.backlog_entries,
            consumption,
            lanes_owned: leading.lanes.owned().len(),
            ..View::default()
        };
        // Owners that a new leader does not see may only be late: they get a lease to show themselves.
        let by_run = by_incarnation(&alive);
        let all_seen =
            leading.lanes.0.values().all(|s| s.owner.is_empty() || Lanes::living_owner(s, &by_run).is_some());
        if consumption.is_running() {
            if settled && (all_seen || leading.began.elapsed() >= self.worker_lease) {
                leading.started = true;
                self.decide(now_ms, leading, &units, &workers, &alive, &mut view);
            }
            if !self.grant(now_ms, leading, &alive).await? {
                return Ok(None);
            }
        }
        self.write_assignments(leading, &alive, consumption).await?;
        view.grants = leading.grants;
        view.average_grant_ms = leading.grant_time.as_secs_f64() * 1_000.0 / leading.grants.max(1) as f64;
        Ok(Some(view))
    }

    /// Puts our stamp on every ownership key; none when a later leader was there first.
    async fn begin(&mut self, stamp: &str) -> anyhow::Result<Option<Leading>> {
        let lanes = Lane::all(&self.topology);
        let rows = match self.ownership.stamp(stamp, &lanes).await? {
            Ok(rows) => rows,
            Err(later) => {
                self.least_term = later.split(':').next().and_then(|t| t.parse().ok()).unwrap_or(0);
                tracing::warn!(later, "a later term is on the ownership keys; starting again above it");
                self.lease.resign(&self.candidate).await?;
                return Ok(None);
            }
        };
        tracing::info!(stamp, lanes = lanes.len(), "leading");
        let owned = rows.iter().any(|r| !r.owner.is_empty());
        let lanes = lanes
            .into_iter()
            .zip(rows)
            .map(|(lane, row)| {
                (lane, LaneState { owner: row.owner, suspect: row.suspect, ..LaneState::default() })
            })
            .collect();
        let written = self.placement.all().await?;
        Ok(Some(Leading::new(stamp, Lanes(lanes), owned, written, &self.config)))
    }
}
