//! The placer: which worker owns which unit.
//!
//! A worker's *target* is its fair part of all load: in proportion to its weight where every worker
//! may own every unit, the most even division that eligibility allows otherwise. Its *fill* is load
//! over target, its *deviation* fill - 1. A round, in this order:
//!
//! 1. Orphans (no owner, or an owner that is gone) are assigned, each to the worker that is least
//!    filled with it: those with the least choice of workers first, then the largest.
//! 2. Units leave draining and failing workers and workers that may no longer own them, in the same
//!    way; those of a failing worker only where somebody takes them.
//! 3. Overloaded workers give away what they have above their target.
//! 4. Balancing, at most once per `round_ms`, begins when a deviation exceeds `start_deviation` and
//!    goes on until all are within `stop_deviation` or nothing improves: the worker that deviates
//!    most gives, takes or swaps the unit that helps most. At most `round_share` of the units move
//!    in a round, and a unit that was moved rests.
//!
//! A balancing step must bring the larger deviation of its two workers down by `min_gain`. With the
//! loads unchanged the sorted list of deviations therefore falls with every step, so units too
//! coarse to get under the threshold settle instead of being swapped for ever.

mod board;
mod config;
mod explain;
mod steps;
mod targets;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;

use self::board::{Board, Seat};
pub use self::config::{PlacementConfig, PlacementError};
pub use self::explain::{Candidate, Explanation, Standing};
use self::steps::{Limits, Step};
pub use self::types::{Decision, Fill, Move, Plan, Reason, Unit, Worker};

/// Places units on workers, round by round.
#[derive(Debug, Clone)]
pub struct Placer<U, W> {
    config: PlacementConfig,
    decisions: BTreeMap<U, Decision<W>>,
    balancing: bool,
    last_balance_ms: Option<u64>,
    /// Moves balancing may still make.
    allowance: usize,
}

impl<U: Ord + Clone + Hash, W: Ord + Clone + Hash> Placer<U, W> {
    /// A placer that remembers nothing.
    pub fn new(config: PlacementConfig) -> Self {
        Self { config, decisions: BTreeMap::new(), balancing: false, last_balance_ms: None, allowance: 0 }
    }

    /// The parameters.
    pub fn config(&self) -> &PlacementConfig {
        &self.config
    }

    /// One round. Call it as often as you like, at once when a worker dies: balancing keeps its own
    /// pace. `current` is the placement as decided so far, with moves that are still under way
    /// counted as done; otherwise they are decided again.
    pub fn round(
        &mut self,
        now_ms: u64,
        workers: &[Worker<W>],
        units: &[Unit<U, W>],
        current: &BTreeMap<U, W>,
    ) -> Plan<U, W> {
        let mut board = self.board(now_ms, workers, units, current);
        let mut unplaced = Vec::new();
        let mut placed: Vec<(usize, Reason)> = Vec::new();

        for (unit, reason) in board.homeless() {
            match board.best_home(unit, reason) {
                Some(home) => {
                    board.place(unit, home);
                    placed.push((unit, reason));
                }
                // A draining or failing owner keeps what nobody else can have.
                None if matches!(reason, Reason::Drain | Reason::Failing) => {}
                None => unplaced.push(units[unit].id.clone()),
            }
        }
        self.relieve(&mut board, &mut placed);
        self.balance(now_ms, &mut board, &mut placed);

        let mut plan = Plan {
            assign: Vec::new(),
            moves: Vec::new(),
            unplaced,
            fills: board.fills(workers),
            worst_deviation: board.worst_deviation(),
        };
        for (unit, reason) in placed {
            let Some(to) = board.owner(unit).map(|w| workers[w].id.clone()) else {
                continue;
            };
            let id = units[unit].id.clone();
            let from = board.first_owner(unit).map(|w| workers[w].id.clone());
            self.decisions
                .insert(id.clone(), Decision { at_ms: now_ms, from: from.clone(), to: to.clone(), reason });
            match from {
                None => plan.assign.push((id, to)),
                Some(from) => plan.moves.push(Move { unit: id, from, to, reason }),
            }
        }
        if self.decisions.len() > units.len() {
            let known: BTreeSet<&U> = units.iter().map(|u| &u.id).collect();
            self.decisions.retain(|u, _| known.contains(u));
        }
        plan
    }

    /// Why a unit is where it is, from the same input as [`Placer::round`]; none for a unit that is
    /// not in `units`.
    pub fn explain(
        &self,
        now_ms: u64,
        workers: &[Worker<W>],
        units: &[Unit<U, W>],
        current: &BTreeMap<U, W>,
        unit: &U,
    ) -> Option<Explanation<U, W>> {
        let index = units.iter().position(|u| u.id == *unit)?;
        let board = self.board(now_ms, workers, units, current);
        let decision = self.decisions.get(unit).cloned();
        Some(Explanation {
            unit: unit.clone(),
            load: units[index].load,
            owner: current.get(unit).cloned(),
            resting_until_ms: self.resting_until_ms(now_ms, unit),
            decision,
            candidates: board.candidates(index, workers),
        })
    }

    fn board(
        &self,
        now_ms: u64,
        workers: &[Worker<W>],
        units: &[Unit<U, W>],
        current: &BTreeMap<U, W>,
    ) -> Board {
        let resting = |unit: &U| self.resting_until_ms(now_ms, unit).is_some();
        Board::new(&self.config, now_ms, workers, units, current, resting)
    }

    fn resting_until_ms(&self, now_ms: u64, unit: &U) -> Option<u64> {
        let decision = self.decisions.get(unit).filter(|d| d.from.is_some())?;
        let until_ms = decision.at_ms.saturating_add(self.config.rest_ms);
        (now_ms < until_ms).then_some(until_ms)
    }

    fn limits(&self) -> Limits {
        Limits { min_gain: self.config.min_gain, tolerance: self.config.stop_deviation }
    }

    /// Overloaded workers give away what they have above their target, without any cap.
    fn relieve(&self, board: &mut Board, placed: &mut Vec<(usize, Reason)>) {
        for worker in board.overloaded() {
            while board.deviation(worker) > self.config.stop_deviation {
                let Some(unit) = board.give(worker, self.limits()) else {
                    break;
                };
                placed.push((unit, Reason::Overload));
            }
        }
    }

    fn balance(&mut self, now_ms: u64, board: &mut Board, placed: &mut Vec<(usize, Reason)>) {
        let due = |last: u64| now_ms.saturating_sub(last) >= self.config.round_ms;
        if self.last_balance_ms.is_some_and(|last| !due(last)) {
            return;
        }
        self.last_balance_ms = Some(now_ms);
        let per_round = ((self.config.round_share * board.units() as f64) as usize).max(1);
        self.allowance = (self.allowance + per_round).min(per_round.max(2));
        let mut left_in_round = per_round;

        // While a newcomer is filled, those that are a little too full are about to give to it: evening
        // them out among themselves would move load twice.
        let filling = board.has_newcomer();
        self.balancing = filling || self.balancing || board.any_beyond(self.config.start_deviation);
        let limit = |seat: &Seat| {
            if filling && !seat.newcomer {
                2.0 * self.config.start_deviation
            } else {
                self.config.stop_deviation
            }
        };
        let mut stuck = BTreeSet::new();
        while self.balancing && left_in_round > 0 && self.allowance > 0 {
            let Some(worker) = board.most_deviating(limit, &stuck) else {
                // All is well, or nothing helps. With the allowance for a swap something still might.
                self.balancing = board.any_beyond(self.config.stop_deviation) && self.allowance < 2;
                break;
            };
            let moved = match board.best_step(worker, self.limits(), self.allowance >= 2) {
                Some(Step::One(unit)) => vec![unit],
                Some(Step::Swap(unit, other)) => vec![unit, other],
                None => {
                    stuck.insert(worker);
                    continue;
                }
            };
            self.allowance = self.allowance.saturating_sub(moved.len());
            left_in_round = left_in_round.saturating_sub(moved.len());
            placed.extend(moved.into_iter().map(|unit| (unit, Reason::Balance)));
            stuck.clear();
        }
        self.balancing &= !filling;
    }
}

#[cfg(test)]
mod tests;
