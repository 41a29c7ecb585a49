//! From the wanted placement to the tokens on the ownership keys.
//!
//! `wanted` says which worker each lane should belong to, `owner` which token it belongs to. A lane whose owner is
//! dead or gone is granted at once. A lane of a living owner is first taken off its assignment; the owner stops, commits
//! and releases; then, or after a deadline, the new token is written.

use std::collections::BTreeMap;

use vtox_protocol::token::incarnation_of;
use vtox_protocol::{Assignment, Grant};
use vtox_streams::Lane;

use crate::fleet::Alive;

/// What the leader knows of a lane.
#[derive(Debug, Clone, Default)]
pub struct LaneState {
    /// Token that owns it; empty: nobody.
    pub owner: String,
    /// What was in flight at its last owner's death is suspect.
    pub suspect: bool,
    /// Worker it should belong to.
    pub wanted: Option<String>,
    /// When it was granted last, ms; 0 before this coordinator led.
    pub granted_ms: u64,
    /// Since when its living owner has been asked to give it back, ms.
    pub asked_ms: Option<u64>,
}

/// A grant to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToGrant {
    /// Which lane.
    pub lane: Lane,
    /// Token that owns it now.
    pub from: String,
    /// Worker that gets it.
    pub to: String,
    /// Its owner died with it.
    pub owner_died: bool,
    /// Its owner lives and has not given it back in time.
    pub forced: bool,
}

/// All lanes.
#[derive(Debug, Default)]
pub struct Lanes(pub BTreeMap<Lane, LaneState>);

impl Lanes {
    /// Worker that owns a lane, if it lives.
    pub fn living_owner<'a>(state: &LaneState, by_incarnation: &BTreeMap<&str, &'a str>) -> Option<&'a str> {
        by_incarnation.get(incarnation_of(&state.owner)?).copied()
    }

    /// The grants that can be made now. `now_ms` is a monotonic clock.
    pub fn due(&mut self, now_ms: u64, alive: &BTreeMap<String, Alive>, handover_ms: u64) -> Vec<ToGrant> {
        let by_incarnation = by_incarnation(alive);
        let mut due = Vec::new();
        for (lane, state) in &mut self.0 {
            let Some(wanted) = state.wanted.clone().filter(|w| alive.contains_key(w)) else {
                state.asked_ms = None;
                continue;
            };
            let owner = Self::living_owner(state, &by_incarnation);
            if owner == Some(wanted.as_str()) {
                state.asked_ms = None;
                continue;
            }
            let owner_died = owner.is_none() && !state.owner.is_empty();
            let overdue = state.asked_ms.is_some_and(|at| now_ms.saturating_sub(at) >= handover_ms);
            if owner.is_none() || overdue {
                let forced = owner.is_some();
                due.push(ToGrant { lane: *lane, from: state.owner.clone(), to: wanted, owner_died, forced });
            } else if state.asked_ms.is_none() {
                state.asked_ms = Some(now_ms);
            }
        }
        due
    }

    /// Lanes whose living owner was asked to give them back.
    pub fn asked(&self) -> Vec<Lane> {
        self.0.iter().filter(|(_, s)| s.asked_ms.is_some()).map(|(lane, _)| *lane).collect()
    }

    /// Lanes that somebody owns.
    pub fn owned(&self) -> Vec<Lane> {
        self.0.iter().filter(|(_, s)| !s.owner.is_empty()).map(|(lane, _)| *lane).collect()
    }

    /// The assignment of each living worker when nobody is to own anything: what it has, it gives back.
    pub fn nothing(alive: &BTreeMap<String, Alive>) -> BTreeMap<String, Assignment> {
        let nothing =
            |worker: &Alive| Assignment { incarnation: worker.incarnation.clone(), grants: Vec::new() };
        alive.iter().map(|(id, worker)| (id.clone(), nothing(worker))).collect()
    }

    /// The assignment of each living worker: what it owns and should own.
    pub fn assignments(&self, alive: &BTreeMap<String, Alive>) -> BTreeMap<String, Assignment> {
        let by_incarnation = by_incarnation(alive);
        let mut assignments = Self::nothing(alive);
        for (lane, state) in &self.0 {
            let Some(owner) = Self::living_owner(state, &by_incarnation) else {
                continue;
            };
            // An owner nobody replaces keeps what it has.
            let stays =
                state.wanted.as_deref().is_none_or(|wanted| wanted == owner || !alive.contains_key(wanted));
            if let Some(assignment) = assignments.get_mut(owner)
                && stays
            {
                assignment.grants.push(Grant {
                    fault: lane.fault,
                    partition: lane.partition,
                    token: state.owner.clone(),
                    suspect: state.suspect,
                });
            }
        }
        assignments
    }
}

/// Living workers by the run they are in.
pub fn by_incarnation(alive: &BTreeMap<String, Alive>) -> BTreeMap<&str, &str> {
    alive.iter().map(|(id, worker)| (worker.incarnation.as_str(), id.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vtox_balancing::PlacementConfig;
    use vtox_protocol::keys::Partition;
    use vtox_protocol::{FaultSet, FaultType};
    use vtox_registry::Members;

    use super::*;
    use crate::fleet::Fleet;

    const LANE: Lane = Lane { partition: Partition::Bare, fault: FaultType::Bearing };

    fn alive(ids: &[&str]) -> BTreeMap<String, Alive> {
        let mut members = Members { redis_now_ms: 1, ..Members::default() };
        for id in ids {
            let record = serde_json::json!({
                "service_id": id, "service_type": "worker", "service_name": "w", "host": "h", "port": 1,
                "status": "healthy", "capabilities": ["bearing"], "last_heartbeat": 0.0, "registered_at": 0.0, "version": "",
            });
            let load = serde_json::json!({
                "worker_id": id, "current_tasks": 0, "pending_messages": 0, "avg_processing_time": 0.0,
                "cpu_usage": 0.0, "memory_usage": 0.0, "success_rate": 1.0, "total_completed": 0, "total_failed": 0,
                "uptime": 0.0, "last_updated": 0.0, "healthy": true, "incarnation": format!("run-of-{id}"),
            });
            members.services.insert((*id).to_owned(), serde_json::from_value(record).unwrap());
            members.loads.insert((*id).to_owned(), serde_json::from_value(load).unwrap());
            members.heartbeats_ms.insert((*id).to_owned(), 1);
        }
        Fleet::new(PlacementConfig::default()).alive(&members, &BTreeSet::new())
    }

    fn lanes(owner: &str, wanted: &str) -> Lanes {
        let state = LaneState { owner: owner.into(), wanted: Some(wanted.into()), ..LaneState::default() };
        Lanes(BTreeMap::from([(LANE, state)]))
    }

    #[test]
    fn a_lane_of_a_dead_owner_is_granted_at_once_and_is_suspect() {
        let due = lanes("1:run-of-w1:x", "w2").due(0, &alive(&["w2"]), 1_000);
        assert_eq!(
            due,
            [ToGrant {
                lane: LANE,
                from: "1:run-of-w1:x".into(),
                to: "w2".into(),
                owner_died: true,
                forced: false
            }]
        );
        let restarted = lanes("1:an-earlier-run:x", "w1").due(0, &alive(&["w1"]), 1_000);
        assert!(restarted[0].owner_died);
    }

    #[test]
    fn a_living_owner_is_asked_first_and_forced_after_the_deadline() {
        let alive = alive(&["w1", "w2"]);
        let mut lanes = lanes("1:run-of-w1:x", "w2");
        assert_eq!(lanes.assignments(&alive)["w1"].grants, []);
        assert_eq!(lanes.due(100, &alive, 1_000), []);
        assert_eq!(lanes.asked(), [LANE]);
        assert_eq!(lanes.due(1_000, &alive, 1_000), []);
        let forced = lanes.due(1_100, &alive, 1_000);
        assert!(!forced[0].owner_died && forced[0].forced);
    }

    #[test]
    fn a_released_lane_is_granted_without_suspicion() {
        let due = lanes("", "w2").due(0, &alive(&["w2"]), 1_000);
        assert!(!due[0].owner_died);
    }

    #[test]
    fn nobody_loses_a_lane_that_no_living_worker_would_get() {
        let alive = alive(&["w1"]);
        let mut lanes = lanes("1:run-of-w1:x", "dead");
        assert_eq!(lanes.assignments(&alive)["w1"].grants.len(), 1);
        assert_eq!(lanes.due(0, &alive, 1_000), []);
        assert!(FaultSet::ALL.contains(LANE.fault));
    }
}
