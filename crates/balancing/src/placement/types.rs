//! What goes into the placer and what comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::score::MIN_HEALTH;

/// Parameters of the placer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlacementConfig {
    /// Deviation from the target above which balancing begins.
    pub start_deviation: f64,
    /// Deviation within which it ends.
    pub stop_deviation: f64,
    /// By how much a step must lower the larger deviation of its two workers.
    pub min_gain: f64,
    /// Time between balancing rounds, ms.
    pub round_ms: u64,
    /// Share of the units that may move in a balancing round; at least one may. A swap moves two:
    /// where only one may, it uses up two rounds.
    pub round_share: f64,
    /// How long a moved unit is left where it is, ms. Draining and overload do not wait for it.
    pub rest_ms: u64,
    /// Time over which a newcomer's weight rises to its full value, ms.
    pub slow_start_ms: u64,
    /// Part of its weight a newcomer has at once, so that a cluster of newcomers can be filled.
    pub slow_start_floor: f64,
    /// Health below which a worker gets nothing new.
    pub min_health: f64,
    /// Load that owning a unit costs by itself, in the unit of the loads; spreads idle units by
    /// count. The default suits messages per second.
    pub idle_load: f64,
}

impl Default for PlacementConfig {
    fn default() -> Self {
        Self {
            start_deviation: 0.05,
            stop_deviation: 0.03,
            min_gain: 0.005,
            round_ms: 1_000,
            round_share: 0.02,
            rest_ms: 60_000,
            slow_start_ms: 15_000,
            slow_start_floor: 0.1,
            min_health: MIN_HEALTH,
            idle_load: 0.1,
        }
    }
}

/// A worker that may own units. Leave dead ones out: what they own is then orphaned.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker<W> {
    /// Identity.
    pub id: W,
    /// Score times capacity, >= 0; only proportions count. Smooth it ([`crate::Ewma`]): the score
    /// falls with load, so a raw one would chase its own moves.
    pub weight: f64,
    /// Health, 0-1.
    pub health: f64,
    /// When it joined, ms, on the clock of `now_ms`.
    pub joined_at_ms: u64,
    /// It is leaving: its units are moved away at once.
    pub draining: bool,
    /// It cannot keep up: it gets nothing new and gives its surplus away without waiting.
    pub overloaded: bool,
}

/// What is placed.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit<U, W> {
    /// Identity.
    pub id: U,
    /// Measured load, >= 0, smoothed ([`crate::LoadTracker`]); any unit of load.
    pub load: f64,
    /// Workers that may own it. Units of one kind share the set.
    pub eligible: Arc<BTreeSet<W>>,
}

/// Why a unit was placed or moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It had no living owner.
    Orphan,
    /// Its owner is draining.
    Drain,
    /// Its owner may no longer own it.
    NotEligible,
    /// Its owner is overloaded.
    Overload,
    /// To even out the fills.
    Balance,
}

/// A unit changes hands between living workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move<U, W> {
    /// What moves.
    pub unit: U,
    /// Its owner.
    pub from: W,
    /// Its next owner.
    pub to: W,
    /// Why.
    pub reason: Reason,
}

/// How full a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Fill {
    /// Weight after slow start.
    pub weight: f64,
    /// Fair part of all load.
    pub target: f64,
    /// Load of the units it owns, with the idle load of each.
    pub load: f64,
    /// Units it owns.
    pub units: usize,
    /// Load over target; none where nothing is meant for it.
    pub fill: Option<f64>,
}

/// What a round decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan<U, W: Ord> {
    /// Orphans and their new owners.
    pub assign: Vec<(U, W)>,
    /// Moves between living workers; none of the units is in `assign`.
    pub moves: Vec<Move<U, W>>,
    /// Units nobody present may own.
    pub unplaced: Vec<U>,
    /// How full each worker is after the plan.
    pub fills: BTreeMap<W, Fill>,
    /// Largest absolute deviation after the plan, over workers that are not draining.
    pub worst_deviation: f64,
}

/// The last decision about a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision<W> {
    /// When, ms.
    pub at_ms: u64,
    /// Owner before, if it had a living one.
    pub from: Option<W>,
    /// Owner since.
    pub to: W,
    /// Why.
    pub reason: Reason,
}
