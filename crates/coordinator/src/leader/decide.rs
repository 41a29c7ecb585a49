//! From the measured loads to the placement that is wanted.

use std::collections::BTreeMap;
use std::sync::Arc;

use vtox_balancing::{Unit, Worker};

use super::Control;
use super::leading::Leading;
use crate::fleet::{Alive, UnitId};
use crate::lanes::{Lanes, by_incarnation};
use crate::view::{Round, View};

impl Control {
    /// One round of the placer.
    pub(super) fn decide(
        &self,
        now_ms: u64,
        leading: &mut Leading,
        units: &[Unit<UnitId, String>],
        workers: &[Worker<String>],
        alive: &BTreeMap<String, Alive>,
        view: &mut View,
    ) {
        let by_run = by_incarnation(alive);
        // A unit belongs to the worker most of its lanes should or do belong to.
        let current: BTreeMap<UnitId, String> = units
            .iter()
            .filter_map(|unit| {
                let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
                for lane in unit.id.lanes() {
                    let state = leading.lanes.0.get(&lane)?;
                    let wanted = state.wanted.as_deref().filter(|w| alive.contains_key(*w));
                    if let Some(worker) = wanted.or_else(|| Lanes::living_owner(state, &by_run)) {
                        *votes.entry(worker).or_default() += 1;
                    }
                }
                let (worker, _) = votes.into_iter().max_by_key(|(_, n)| *n)?;
                Some((unit.id, worker.to_owned()))
            })
            .collect();
        let plan = leading.placer.round(now_ms, workers, units, &current);
        for (unit, to) in &plan.assign {
            tracing::info!(%unit, to, "placing");
        }
        let mut after = current;
        after.extend(plan.assign.iter().cloned());
        after.extend(plan.moves.iter().map(|m| (m.unit, m.to.clone())));
        for (unit, worker) in &after {
            for lane in unit.lanes() {
                if let Some(state) = leading.lanes.0.get_mut(&lane) {
                    state.wanted = Some(worker.clone());
                }
            }
        }
        for m in &plan.moves {
            tracing::info!(unit = %m.unit, from = m.from, to = m.to, reason = ?m.reason, "moving");
        }
        view.worst_deviation = plan.worst_deviation;
        leading.fills.clone_from(&plan.fills);
        view.fills = plan.fills;
        view.unplaced = plan.unplaced.iter().map(ToString::to_string).collect();
        view.round = Some(Arc::new(Round {
            placer: leading.placer.clone(),
            now_ms,
            workers: workers.to_vec(),
            units: units.to_vec(),
            placed: after,
        }));
    }
}
