//! The workers as the placer sees them: alive, scored, with the fault types they may own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vtox_balancing::{
    Capacities, Capacity, Effort, Failing, Outcomes, Overload, PlacementConfig, Reported, Score,
    ScoreWeights, Strain, Unit, Worker,
};
use vtox_protocol::keys::{Partition, Topology};
use vtox_protocol::{FaultSet, FaultType, ServiceStatus, ServiceType, WorkerLoad};
use vtox_registry::Members;
use vtox_streams::Lane;

/// A group of fault types on a partition: what is placed as one, so that a block is read and decoded once for all of
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId {
    /// Partition.
    pub partition: Partition,
    /// Fault types with the same eligible workers.
    pub faults: FaultSet,
}

impl UnitId {
    /// The lanes of the unit.
    pub fn lanes(self) -> impl Iterator<Item = Lane> {
        self.faults.iter().map(move |fault| Lane { partition: self.partition, fault })
    }
}

impl std::fmt::Display for UnitId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.faults, self.partition)
    }
}

/// A worker that lives.
#[derive(Debug, Clone)]
pub struct Alive {
    /// Which run of it.
    pub incarnation: String,
    /// Fault types it serves.
    pub faults: FaultSet,
    /// Its score now.
    pub score: Score,
    /// It wants to leave, or is to be drained.
    pub draining: bool,
    reported: Reported<FaultType>,
    outcomes: Outcomes,
}

/// The score of a worker that reports this load.
pub fn score(weights: &ScoreWeights, load: &WorkerLoad) -> Score {
    weights.score(&vtox_balancing::WorkerLoad {
        avg_processing_ms: load.avg_processing_time,
        success_rate: load.success_rate,
        cpu_percent: load.cpu_usage,
        memory_percent: load.memory_usage,
        pending_messages: load.pending_messages as f64,
        health: if load.healthy { load.success_rate } else { 0.0 },
    })
}

/// What is known of the workers over time.
pub struct Fleet {
    config: PlacementConfig,
    capacities: Capacities<String, FaultType>,
    overload: Overload<String>,
    failing: Failing<String>,
    latest: BTreeMap<String, Capacity>,
    joined_ms: BTreeMap<String, u64>,
}

impl Fleet {
    /// Nothing is known yet.
    pub fn new(config: PlacementConfig) -> Self {
        Self {
            config,
            capacities: Capacities::new(config.capacity),
            overload: Overload::new(config.overload),
            failing: Failing::new(config.failing),
            latest: BTreeMap::new(),
            joined_ms: BTreeMap::new(),
        }
    }

    /// What each worker can carry, as of the last round.
    pub fn capacities(&self) -> &BTreeMap<String, Capacity> {
        &self.latest
    }

    /// The workers that live, by id.
    pub fn alive(&self, members: &Members, dead: &BTreeSet<String>) -> BTreeMap<String, Alive> {
        members
            .services
            .values()
            .filter(|record| record.service_type == ServiceType::Worker && !dead.contains(&record.service_id))
            .filter_map(|record| {
                let id = &record.service_id;
                let load = members.loads.get(id)?;
                // A heartbeat that is gone (a Redis that lost it) will be back with the next one.
                members.heartbeats_ms.get(id)?;
                let leaving = load.draining || record.status == ServiceStatus::Shutdown;
                let score = score(&self.config.score, load);
                let alive = Alive {
                    incarnation: load.incarnation.clone(),
                    faults: record.capabilities,
                    score,
                    draining: leaving || members.draining.contains_key(id),
                    reported: reported(record.capabilities, load, score.total),
                    outcomes: Outcomes {
                        success_rate: load.success_rate,
                        failing_partitions: load.failing_partitions,
                        ever_succeeded: load.total_completed > 0,
                    },
                };
                Some((id.clone(), alive))
            })
            .collect()
    }

    /// The same workers for the placer. Those that are there before the cluster has `started` are no newcomers; those that
    /// come back from failing are.
    pub fn workers(
        &mut self,
        now_ms: u64,
        alive: &BTreeMap<String, Alive>,
        started: bool,
        strains: &BTreeMap<String, Strain>,
    ) -> Vec<Worker<String>> {
        let first = !started || self.joined_ms.is_empty();
        self.joined_ms.retain(|id, _| alive.contains_key(id));
        let reported = alive.iter().map(|(id, w)| (id.clone(), w.reported.clone())).collect();
        let outcomes = alive.iter().map(|(id, w)| (id.clone(), w.outcomes)).collect();
        self.latest = self.capacities.update(now_ms, &reported);
        let overloaded = self.overload.update(now_ms, strains, self.config.stop_deviation);
        let failing = self.failing.update(now_ms, &outcomes);
        alive
            .iter()
            .map(|(id, worker)| {
                let joined = self.joined_ms.entry(id.clone()).or_insert(if first { 0 } else { now_ms });
                if failing.contains(id) {
                    *joined = now_ms;
                }
                Worker {
                    id: id.clone(),
                    weight: self.latest.get(id).map_or(0.0, |c| c.weight),
                    health: worker.score.health,
                    joined_at_ms: *joined,
                    draining: worker.draining,
                    failing: failing.contains(id),
                    overloaded: overloaded.contains(id),
                }
            })
            .collect()
    }
}

fn reported(serves: FaultSet, load: &WorkerLoad, score: f64) -> Reported<FaultType> {
    let effort = |(fault, results): (&FaultType, &u64)| {
        let ms = load.diagnosis_ms_by_fault.get(fault).copied().unwrap_or(0.0);
        (*fault, Effort { results: *results, ms })
    };
    Reported {
        score,
        cores: if load.cores > 0.0 { load.cores } else { 1.0 },
        serves: serves.iter().collect(),
        done: load.completed_by_fault.iter().map(effort).collect(),
    }
}

/// The units of a topology: fault types that the same workers serve are placed together.
pub fn units(
    topology: &Topology,
    alive: &BTreeMap<String, Alive>,
    load_of: impl Fn(Partition) -> f64,
) -> Vec<Unit<UnitId, String>> {
    let mut groups: BTreeMap<BTreeSet<String>, FaultSet> = BTreeMap::new();
    for fault in topology.enabled.iter() {
        let eligible =
            alive.iter().filter(|(_, w)| w.faults.contains(fault)).map(|(id, _)| id.clone()).collect();
        let group = groups.entry(eligible).or_default();
        *group = group.with(fault);
    }
    let groups: Vec<(Arc<BTreeSet<String>>, FaultSet)> =
        groups.into_iter().map(|(eligible, faults)| (Arc::new(eligible), faults)).collect();
    topology
        .all()
        .flat_map(|partition| {
            let load = load_of(partition);
            groups.iter().map(move |(eligible, faults)| Unit {
                id: UnitId { partition, faults: *faults },
                load: load * faults.len() as f64,
                eligible: eligible.clone(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(faults: &str) -> Alive {
        let text = r#"{"worker_id": "w", "current_tasks": 0, "pending_messages": 0, "avg_processing_time": 0.0,
            "cpu_usage": 0.0, "memory_usage": 0.0, "success_rate": 1.0, "total_completed": 0, "total_failed": 0,
            "uptime": 0.0, "last_updated": 0.0, "healthy": true, "cores": 2.0}"#;
        let load: WorkerLoad = serde_json::from_str(text).unwrap();
        let faults = faults.parse().unwrap();
        let score = score(&PlacementConfig::default().score, &load);
        Alive {
            incarnation: "i".into(),
            faults,
            score,
            draining: false,
            reported: reported(faults, &load, score.total),
            outcomes: Outcomes { success_rate: 1.0, failing_partitions: 0, ever_succeeded: true },
        }
    }

    fn fleet() -> Fleet {
        Fleet::new(PlacementConfig::default())
    }

    #[test]
    fn fault_types_of_the_same_workers_are_placed_together() {
        let topology = Topology { partitions: 4, enabled: FaultSet::ALL, slot_tags: 1 };
        let alive = BTreeMap::from([
            ("w1".to_owned(), worker("turn_fault,insulation")),
            ("w2".to_owned(), worker("bearing,eccentricity")),
            ("w3".to_owned(), worker("broken_bar")),
        ]);
        let units = units(&topology, &alive, |_| 2.0);
        assert_eq!(units.len(), 3 * 5);
        let first = units.iter().find(|u| u.id.faults.contains(FaultType::Insulation)).unwrap();
        assert_eq!(first.id.faults.to_string(), "turn_fault,insulation");
        assert_eq!(first.load, 4.0);
        assert_eq!(*first.eligible, BTreeSet::from(["w1".to_owned()]));
    }

    #[test]
    fn workers_of_the_start_are_no_newcomers() {
        let mut fleet = fleet();
        let mut alive = BTreeMap::from([("w1".to_owned(), worker("all"))]);
        assert_eq!(fleet.workers(50_000, &alive, false, &BTreeMap::new())[0].joined_at_ms, 0);
        alive.insert("w2".to_owned(), worker("all"));
        assert_eq!(fleet.workers(50_100, &alive, false, &BTreeMap::new())[1].joined_at_ms, 0);
        alive.insert("w3".to_owned(), worker("all"));
        assert_eq!(fleet.workers(60_000, &alive, true, &BTreeMap::new())[2].joined_at_ms, 60_000);
    }
}
