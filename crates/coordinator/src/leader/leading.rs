//! What a leader keeps while it leads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use vtox_balancing::{Capacity, Fill, LoadTracker, PlacementConfig, Placer, Strain};
use vtox_protocol::Assignment;
use vtox_protocol::keys::Partition;
use vtox_protocol::token::incarnation_of;
use vtox_streams::Lane;

use crate::fleet::{Alive, Fleet, UnitId};
use crate::lanes::{LaneState, Lanes};

/// What only a leader keeps.
pub(super) struct Leading {
    pub(super) stamp: String,
    pub(super) lanes: Lanes,
    pub(super) fleet: Fleet,
    pub(super) placer: Placer<UnitId, String>,
    pub(super) loads: LoadTracker<Partition>,
    pub(super) added: BTreeMap<Partition, u64>,
    pub(super) backlog_entries: u64,
    /// How far the lanes of each worker are behind, s of their load.
    pub(super) lags: BTreeMap<String, f64>,
    /// How full each worker is since the last round.
    pub(super) fills: BTreeMap<String, Fill>,
    pub(super) last_load: Option<Instant>,
    pub(super) last_audit: Instant,
    /// When consumption was last seen stopped.
    pub(super) stopped: Option<Instant>,
    pub(super) last_topology: Instant,
    pub(super) last_join: Instant,
    pub(super) began: Instant,
    pub(super) known: BTreeSet<String>,
    /// Workers as last seen.
    pub(super) seen: BTreeMap<String, (Alive, Instant)>,
    pub(super) written: BTreeMap<String, Assignment>,
    pub(super) grants: u64,
    pub(super) grant_time: Duration,
    pub(super) started: bool,
}

impl Leading {
    /// Leading begins: `started` when some lane has had an owner before.
    pub(super) fn new(
        stamp: &str,
        lanes: Lanes,
        started: bool,
        written: BTreeMap<String, Assignment>,
        config: &PlacementConfig,
    ) -> Self {
        Self {
            stamp: stamp.to_owned(),
            lanes,
            fleet: Fleet::new(*config),
            placer: Placer::new(*config),
            loads: LoadTracker::new(config.load_smoothing_ms),
            added: BTreeMap::new(),
            backlog_entries: 0,
            lags: BTreeMap::new(),
            fills: BTreeMap::new(),
            last_load: None,
            last_audit: Instant::now(),
            stopped: None,
            last_topology: Instant::now(),
            last_join: Instant::now(),
            began: Instant::now(),
            known: BTreeSet::new(),
            seen: BTreeMap::new(),
            written,
            grants: 0,
            grant_time: Duration::ZERO,
            started,
        }
    }

    /// How each worker copes with what it owns.
    pub(super) fn strains(&self) -> BTreeMap<String, Strain> {
        let strain = |(id, capacity): (&String, &Capacity)| {
            let fill = self.fills.get(id).and_then(|f| f.fill);
            let lag_s = self.lags.get(id).copied().unwrap_or(0.0);
            (id.clone(), Strain { lag_s, fill, slow: capacity.is_slow() })
        };
        self.fleet.capacities().iter().map(strain).collect()
    }

    /// What workers own that are remembered but no longer in the registry.
    pub(super) fn lanes_of_vanished(&self, alive: &BTreeMap<String, Alive>) -> Vec<Lane> {
        let gone: BTreeSet<&str> =
            self.vanished(alive).map(|(_, worker)| worker.incarnation.as_str()).collect();
        let owned = |s: &LaneState| incarnation_of(&s.owner).is_some_and(|run| gone.contains(run));
        self.lanes.0.iter().filter(|(_, state)| owned(state)).map(|(lane, _)| *lane).collect()
    }

    /// Forgets those that left: they are no longer in the registry and have given back what they owned.
    pub(super) fn forget_departed(&mut self, alive: &BTreeMap<String, Alive>) {
        let owning: BTreeSet<&str> =
            self.lanes.0.values().filter_map(|state| incarnation_of(&state.owner)).collect();
        let left: Vec<String> = self
            .vanished(alive)
            .filter(|(_, worker)| !owning.contains(worker.incarnation.as_str()))
            .map(|(id, _)| id.clone())
            .collect();
        for id in left {
            self.seen.remove(&id);
        }
    }

    fn vanished<'a>(
        &'a self,
        alive: &'a BTreeMap<String, Alive>,
    ) -> impl Iterator<Item = (&'a String, &'a Alive)> {
        self.seen.iter().filter(|(id, _)| !alive.contains_key(*id)).map(|(id, (worker, _))| (id, worker))
    }

    /// The living workers, with those that vanished from the registry a moment ago, own something and are not judged dead: a
    /// record that was deleted comes back with the next heartbeat.
    pub(super) fn remember(
        &mut self,
        alive: BTreeMap<String, Alive>,
        dead: &BTreeSet<String>,
        lease: Duration,
    ) -> BTreeMap<String, Alive> {
        let now = Instant::now();
        self.seen.retain(|id, (worker, at)| !dead.contains(id) && !worker.draining && at.elapsed() < lease);
        self.seen.extend(alive.into_iter().map(|(id, worker)| (id, (worker, now))));
        self.seen.iter().map(|(id, (worker, _))| (id.clone(), worker.clone())).collect()
    }
}
