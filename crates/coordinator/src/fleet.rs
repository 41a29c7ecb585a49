//! The workers as the placer sees them: alive, scored, with the fault types they may own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vtox_balancing::{Ewma, Score, ScoreWeights, Unit, Worker};
use vtox_protocol::keys::{Partition, Topology};
use vtox_protocol::{FaultSet, ServiceStatus, ServiceType};
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
    /// It wants to leave.
    pub draining: bool,
    cores: f64,
}

/// Smoothed weights of workers, and when each joined.
#[derive(Default)]
pub struct Fleet {
    weights: ScoreWeights,
    smoothed: BTreeMap<String, Ewma>,
    joined_ms: BTreeMap<String, u64>,
}

/// Time constant of a worker's weight: a score falls with load, so a raw one would chase its own moves.
const WEIGHT_TIME_CONSTANT_MS: u64 = 10_000;

impl Fleet {
    /// The workers that live, by id.
    pub fn alive(&self, members: &Members, dead: &BTreeSet<String>) -> BTreeMap<String, Alive> {
        members
            .services
            .values()
            .filter(|record| record.service_type == ServiceType::Worker && !dead.contains(&record.service_id))
            .filter_map(|record| {
                let load = members.loads.get(&record.service_id)?;
                // A heartbeat that is gone (a Redis that lost it) will be back with the next one.
                members.heartbeats_ms.get(&record.service_id)?;
                let score = self.weights.score(&vtox_balancing::WorkerLoad {
                    avg_processing_ms: load.avg_processing_time,
                    success_rate: load.success_rate,
                    cpu_percent: load.cpu_usage,
                    memory_percent: load.memory_usage,
                    pending_messages: load.pending_messages as f64,
                    health: if load.healthy { 1.0 } else { 0.0 },
                });
                let alive = Alive {
                    incarnation: load.incarnation.clone(),
                    faults: record.capabilities,
                    score,
                    draining: load.draining || record.status == ServiceStatus::Shutdown,
                    cores: if load.cores > 0.0 { load.cores } else { 1.0 },
                };
                Some((record.service_id.clone(), alive))
            })
            .collect()
    }

    /// The same workers for the placer. Those that are there before the cluster has `started` are no newcomers.
    pub fn workers(
        &mut self,
        now_ms: u64,
        alive: &BTreeMap<String, Alive>,
        started: bool,
    ) -> Vec<Worker<String>> {
        let first = !started || self.joined_ms.is_empty();
        self.joined_ms.retain(|id, _| alive.contains_key(id));
        self.smoothed.retain(|id, _| alive.contains_key(id));
        alive
            .iter()
            .map(|(id, worker)| {
                let weight = worker.score.total * worker.cores;
                let smoothed =
                    self.smoothed.entry(id.clone()).or_insert_with(|| Ewma::new(WEIGHT_TIME_CONSTANT_MS));
                smoothed.update(now_ms, weight);
                let joined = *self.joined_ms.entry(id.clone()).or_insert(if first { 0 } else { now_ms });
                Worker {
                    id: id.clone(),
                    weight: smoothed.value().unwrap_or(weight),
                    health: worker.score.health,
                    joined_at_ms: joined,
                    draining: worker.draining,
                    overloaded: false,
                }
            })
            .collect()
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
    use vtox_protocol::FaultType;

    use super::*;

    fn worker(faults: &str) -> Alive {
        Alive {
            incarnation: "i".into(),
            faults: faults.parse().unwrap(),
            score: ScoreWeights::default().score(&vtox_balancing::WorkerLoad {
                avg_processing_ms: 0.0,
                success_rate: 1.0,
                cpu_percent: 0.0,
                memory_percent: 0.0,
                pending_messages: 0.0,
                health: 1.0,
            }),
            draining: false,
            cores: 2.0,
        }
    }

    #[test]
    fn fault_types_of_the_same_workers_are_placed_together() {
        let topology = Topology { partitions: 4, enabled: FaultSet::ALL };
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
        let mut fleet = Fleet::default();
        let mut alive = BTreeMap::from([("w1".to_owned(), worker("all"))]);
        assert_eq!(fleet.workers(50_000, &alive, false)[0].joined_at_ms, 0);
        alive.insert("w2".to_owned(), worker("all"));
        assert_eq!(fleet.workers(50_100, &alive, false)[1].joined_at_ms, 0);
        alive.insert("w3".to_owned(), worker("all"));
        assert_eq!(fleet.workers(60_000, &alive, true)[2].joined_at_ms, 60_000);
    }
}
