//! What goes into the placer and what comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

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
    /// What it does fails: its units are moved away at once to whom they can be given, and it gets nothing new.
    pub failing: bool,
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
    /// What its owner does fails.
    Failing,
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
    /// Largest absolute deviation after the plan, over workers that are neither draining nor failing.
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
