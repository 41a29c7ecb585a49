//! Balancing steps: which unit, moved or swapped, helps a worker most.

use super::board::{Board, Piece};

/// What a step must keep to.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// By how much it must lower the larger deviation of its two workers.
    pub(super) min_gain: f64,
    /// How far it may take a worker past its target where there is a choice.
    pub(super) tolerance: f64,
}

/// How far past its target a step may take a worker, as a part of the larger deviation before: where units are coarse,
/// noise would otherwise move one of them to and fro.
const PAST_TARGET: f64 = 0.5;

/// What balancing did.
pub(super) enum Step {
    One(usize),
    Swap(usize, usize),
}

/// A step in view.
struct Prospect<T> {
    gain: Gain,
    what: T,
}

/// What a step is worth; the better one is greater.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Gain {
    /// It takes no worker past its target by more than the tolerance: nothing to be moved back.
    clean: bool,
    /// From the fullest to the emptiest first.
    gap: f64,
    /// By how much it lowers the sum of load-weighted squared deviations.
    evenness: f64,
}

impl Board {
    /// Moves the unit of an overloaded worker that helps most, resting or not.
    pub(super) fn give(&mut self, worker: usize, limits: Limits) -> Option<usize> {
        let movable = |p: &Piece| !p.placed;
        let best = self.best_gift(worker, limits, &movable)?;
        self.place(best.what.0, best.what.1);
        Some(best.what.0)
    }

    /// Makes the step that helps most to bring a worker nearer to its target.
    pub(super) fn best_step(&mut self, worker: usize, limits: Limits, may_swap: bool) -> Option<Step> {
        let movable = |p: &Piece| !p.placed && !p.resting;
        let single = if self.deviation(worker) > 0.0 {
            self.best_gift(worker, limits, &movable)
        } else {
            self.best_catch(worker, limits, &movable)
        };
        if let Some(best) = single {
            self.place(best.what.0, best.what.1);
            return Some(Step::One(best.what.0));
        }
        let (unit, other) = may_swap.then(|| self.best_swap(worker, limits, &movable)).flatten()?.what;
        let there = self.owner(other)?;
        self.place(unit, there);
        self.place(other, worker);
        Some(Step::Swap(unit, other))
    }

    fn best_gift(
        &self,
        worker: usize,
        limits: Limits,
        movable: &dyn Fn(&Piece) -> bool,
    ) -> Option<Prospect<(usize, usize)>> {
        let takers: Vec<usize> =
            (0..self.seats.len()).filter(|&w| w != worker && self.seats[w].takes()).collect();
        let mut best = None;
        for &unit in self.seats[worker].pieces.iter().filter(|&&p| movable(&self.pieces[p])) {
            for &to in takers.iter().filter(|&&to| self.may_own(unit, to)) {
                let gain = self.gain(worker, to, self.load(unit), limits);
                keep_better(&mut best, gain, (unit, to));
            }
        }
        best
    }

    fn best_catch(
        &self,
        worker: usize,
        limits: Limits,
        movable: &dyn Fn(&Piece) -> bool,
    ) -> Option<Prospect<(usize, usize)>> {
        if !self.seats[worker].takes() {
            return None;
        }
        let mut best = None;
        for (unit, piece) in self.pieces.iter().enumerate().filter(|(_, p)| movable(p)) {
            let Some(from) = piece.owner.filter(|from| *from != worker) else {
                continue;
            };
            if self.may_own(unit, worker) {
                keep_better(&mut best, self.gain(from, worker, piece.load, limits), (unit, worker));
            }
        }
        best
    }

    fn best_swap(
        &self,
        worker: usize,
        limits: Limits,
        movable: &dyn Fn(&Piece) -> bool,
    ) -> Option<Prospect<(usize, usize)>> {
        if !self.seats[worker].takes() {
            return None;
        }
        let mut best = None;
        for &unit in self.seats[worker].pieces.iter().filter(|&&p| movable(&self.pieces[p])) {
            for (other, piece) in self.pieces.iter().enumerate().filter(|(_, p)| movable(p)) {
                let Some(there) = piece.owner.filter(|w| *w != worker && self.seats[*w].takes()) else {
                    continue;
                };
                if self.may_own(unit, there) && self.may_own(other, worker) {
                    let gain = self.gain(worker, there, self.load(unit) - piece.load, limits);
                    keep_better(&mut best, gain, (unit, other));
                }
            }
        }
        best
    }

    /// What moving `load` is worth; none unless it lowers the larger deviation of the two by
    /// the least gain.
    fn gain(&self, from: usize, to: usize, load: f64, limits: Limits) -> Option<Gain> {
        let (a, b) = (self.deviation(from), self.deviation(to));
        let (a_after, b_after) = (self.deviation_with(from, -load), self.deviation_with(to, load));
        let before = a.abs().max(b.abs());
        let too_far = |of: f64, after: f64| of * after < 0.0 && after.abs() > PAST_TARGET * before;
        if a_after.abs().max(b_after.abs()) > before - limits.min_gain
            || too_far(a, a_after)
            || too_far(b, b_after)
        {
            return None;
        }
        let clean = |before: f64, after: f64| {
            after.abs() <= limits.tolerance || (before * after > 0.0 && after.abs() <= before.abs())
        };
        let (part_a, part_b) = (self.floored(self.seats[from].target), self.floored(self.seats[to].target));
        let evenness = part_a * (a * a - a_after * a_after) + part_b * (b * b - b_after * b_after);
        Some(Gain { clean: clean(a, a_after) && clean(b, b_after), gap: a - b, evenness })
    }
}

fn keep_better<T>(best: &mut Option<Prospect<T>>, gain: Option<Gain>, what: T) {
    if let Some(gain) = gain
        && best.as_ref().is_none_or(|b| gain > b.gain)
    {
        *best = Some(Prospect { gain, what });
    }
}
