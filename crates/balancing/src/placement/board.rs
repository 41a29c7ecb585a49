//! The placement as it stands within a round: workers and units by index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::targets::{Class, targets};
use super::{Fill, PlacementConfig, Reason, Unit, Worker};

/// Weights below this part of the largest count as this part: keeps targets above 0.
const WEIGHT_FLOOR: f64 = 1e-3;
/// Part of a mean unit by which a worker may always deviate: within it only swaps of almost equal units would help, and with the
/// next measurement the other way round.
const COARSE: f64 = 0.3;
/// Rounds after its slow start in which a newcomer is still being filled.
const FILLING_ROUNDS: u64 = 5;

pub(super) struct Board {
    pub(super) seats: Vec<Seat>,
    pub(super) pieces: Vec<Piece>,
    /// Per class and worker, whether the worker may own the class.
    eligible: Vec<Vec<bool>>,
    total_load: f64,
}

/// A worker.
pub(super) struct Seat {
    pub(super) weight: f64,
    pub(super) target: f64,
    pub(super) load: f64,
    pub(super) healthy: bool,
    pub(super) draining: bool,
    pub(super) failing: bool,
    pub(super) overloaded: bool,
    /// Its weight rises, or has just risen to its full value.
    pub(super) newcomer: bool,
    pub(super) pieces: Vec<usize>,
}

impl Seat {
    pub(super) fn takes(&self) -> bool {
        self.healthy && !self.draining && !self.overloaded
    }
}

/// A unit.
pub(super) struct Piece {
    pub(super) load: f64,
    class: usize,
    first_owner: Option<usize>,
    pub(super) owner: Option<usize>,
    /// Moved in this round, or had no owner at its start.
    pub(super) placed: bool,
    pub(super) resting: bool,
}

impl Board {
    pub(super) fn new<U: Ord, W: Ord>(
        config: &PlacementConfig,
        now_ms: u64,
        workers: &[Worker<W>],
        units: &[Unit<U, W>],
        current: &BTreeMap<U, W>,
        resting: impl Fn(&U) -> bool,
    ) -> Self {
        let index: BTreeMap<&W, usize> = workers.iter().enumerate().map(|(i, w)| (&w.id, i)).collect();
        let mut seats: Vec<Seat> = workers
            .iter()
            .zip(weights(config, now_ms, workers))
            .map(|(w, weight)| Seat {
                weight,
                target: 0.0,
                load: 0.0,
                healthy: w.health >= config.min_health && !w.failing,
                draining: w.draining,
                failing: w.failing,
                overloaded: w.overloaded,
                newcomer: now_ms.saturating_sub(w.joined_at_ms)
                    < config.slow_start_ms.saturating_add(FILLING_ROUNDS * config.round_ms),
                pieces: Vec::new(),
            })
            .collect();

        let mut classes: Vec<Class> = Vec::new();
        let mut eligible: Vec<Vec<bool>> = Vec::new();
        let mut class_of: BTreeMap<&BTreeSet<W>, usize> = BTreeMap::new();
        let mut seen: Option<(&Arc<BTreeSet<W>>, usize)> = None;
        let mut pieces = Vec::with_capacity(units.len());
        for (i, unit) in units.iter().enumerate() {
            let class = match seen {
                // Units of one kind share the set: no need to compare it.
                Some((set, class)) if Arc::ptr_eq(set, &unit.eligible) => class,
                _ => *class_of.entry(&*unit.eligible).or_insert_with(|| {
                    let may: Vec<bool> = workers.iter().map(|w| unit.eligible.contains(&w.id)).collect();
                    let members = (0..workers.len()).filter(|w| may[*w]).collect();
                    classes.push(Class { load: 0.0, eligible: members });
                    eligible.push(may);
                    classes.len() - 1
                }),
            };
            seen = Some((&unit.eligible, class));
            let load = if unit.load.is_finite() { unit.load.max(0.0) } else { 0.0 } + config.idle_load;
            let owner = current.get(&unit.id).and_then(|w| index.get(w).copied());
            if let Some(owner) = owner {
                seats[owner].load += load;
                seats[owner].pieces.push(i);
            }
            classes[class].load += load;
            pieces.push(Piece {
                load,
                class,
                first_owner: owner,
                owner,
                placed: false,
                resting: resting(&unit.id),
            });
        }

        classes.retain(|c| !c.eligible.is_empty());
        let weights: Vec<f64> = seats.iter().map(|s| s.weight).collect();
        let cap = |s: &Seat| match (s.takes(), s.draining || s.failing) {
            (true, _) => f64::INFINITY,
            (_, true) => 0.0,
            _ => s.load,
        };
        let caps: Vec<f64> = seats.iter().map(cap).collect();
        for (seat, target) in seats.iter_mut().zip(targets(&weights, &caps, &classes)) {
            seat.target = target;
        }
        let total_load = classes.iter().map(|c| c.load).sum();
        Self { seats, pieces, eligible, total_load }
    }

    pub(super) fn units(&self) -> usize {
        self.pieces.len()
    }

    pub(super) fn has_newcomer(&self) -> bool {
        self.staying().any(|w| self.seats[w].newcomer)
    }

    pub(super) fn owner(&self, unit: usize) -> Option<usize> {
        self.pieces[unit].owner
    }

    pub(super) fn first_owner(&self, unit: usize) -> Option<usize> {
        self.pieces[unit].first_owner
    }

    pub(super) fn load(&self, unit: usize) -> f64 {
        self.pieces[unit].load
    }

    pub(super) fn may_own(&self, unit: usize, worker: usize) -> bool {
        self.eligible[self.pieces[unit].class][worker]
    }

    /// Units that need another owner: orphans before the others, then those with the least choice
    /// of workers, then the largest.
    pub(super) fn homeless(&self) -> Vec<(usize, Reason)> {
        let mut found: Vec<(usize, Reason)> = (0..self.pieces.len())
            .filter_map(|unit| match self.pieces[unit].owner {
                None => Some((unit, Reason::Orphan)),
                Some(w) if !self.may_own(unit, w) => Some((unit, Reason::NotEligible)),
                Some(w) if self.seats[w].draining => Some((unit, Reason::Drain)),
                Some(w) if self.seats[w].failing => Some((unit, Reason::Failing)),
                Some(_) => None,
            })
            .collect();
        let choice: Vec<usize> = self.eligible.iter().map(|may| may.iter().filter(|m| **m).count()).collect();
        found.sort_by(|&(a, why_a), &(b, why_b)| {
            let first = |unit: usize, why| (why != Reason::Orphan, choice[self.pieces[unit].class]);
            first(a, why_a).cmp(&first(b, why_b)).then(self.load(b).total_cmp(&self.load(a)))
        });
        found
    }

    /// Where a unit that needs an owner goes: to whom it fills least, among those that take new
    /// units, else among overloaded ones, else among unhealthy ones; never to a draining one. The
    /// unhealthy ones are no better than an owner that fails.
    pub(super) fn best_home(&self, unit: usize, reason: Reason) -> Option<usize> {
        let load = self.load(unit);
        let key = |w: usize| {
            let seat = &self.seats[w];
            let (rank, part) = match (seat.takes(), seat.healthy) {
                (true, _) => (0, self.floored(seat.target)),
                (false, true) => (1, seat.weight),
                (false, false) => (2, seat.weight),
            };
            (rank, (seat.load + load) / part)
        };
        (0..self.seats.len())
            .filter(|&w| self.may_own(unit, w) && !self.seats[w].draining && self.owner(unit) != Some(w))
            .filter(|&w| reason != Reason::Failing || self.seats[w].healthy)
            .map(|w| (key(w), w))
            .min_by(|((ra, fa), _), ((rb, fb), _)| ra.cmp(rb).then(fa.total_cmp(fb)))
            .map(|(_, w)| w)
    }

    pub(super) fn place(&mut self, unit: usize, to: usize) {
        let load = self.load(unit);
        if let Some(from) = self.pieces[unit].owner {
            self.seats[from].load -= load;
            self.seats[from].pieces.retain(|p| *p != unit);
        }
        self.seats[to].load += load;
        self.seats[to].pieces.push(unit);
        self.pieces[unit].owner = Some(to);
        self.pieces[unit].placed = true;
    }

    /// Load over target, less 1. Very large rather than infinite where nothing is meant for it.
    pub(super) fn deviation(&self, worker: usize) -> f64 {
        self.deviation_with(worker, 0.0)
    }

    pub(super) fn deviation_with(&self, worker: usize, more: f64) -> f64 {
        let seat = &self.seats[worker];
        (seat.load + more - seat.target) / self.floored(seat.target)
    }

    pub(super) fn floored(&self, target: f64) -> f64 {
        target.max(1e-6 * self.total_load).max(f64::MIN_POSITIVE)
    }

    pub(super) fn worst_deviation(&self) -> f64 {
        self.staying().map(|w| self.deviation(w).abs()).fold(0.0, f64::max)
    }

    /// Whether a worker deviates by more than `limit`, or than is worth a step where its units are coarse.
    pub(super) fn is_beyond(&self, worker: usize, limit: f64) -> bool {
        let unit = self.total_load / self.pieces.len().max(1) as f64;
        let coarse = COARSE * unit / self.floored(self.seats[worker].target);
        self.deviation(worker).abs() > limit.max(coarse.min(COARSE))
    }

    /// Whether some worker does.
    pub(super) fn any_beyond(&self, limit: f64) -> bool {
        self.staying().any(|w| self.is_beyond(w, limit))
    }

    fn staying(&self) -> impl Iterator<Item = usize> {
        (0..self.seats.len()).filter(|w| !self.seats[*w].draining && !self.seats[*w].failing)
    }

    pub(super) fn overloaded(&self) -> Vec<usize> {
        self.staying().filter(|w| self.seats[*w].overloaded).collect()
    }

    /// The worker that deviates most, beyond its limit.
    pub(super) fn most_deviating(
        &self,
        limit: impl Fn(&Seat) -> f64,
        except: &BTreeSet<usize>,
    ) -> Option<usize> {
        self.staying()
            .filter(|w| !except.contains(w) && self.is_beyond(*w, limit(&self.seats[*w])))
            .max_by(|a, b| self.deviation(*a).abs().total_cmp(&self.deviation(*b).abs()))
    }

    pub(super) fn fills<W: Ord + Clone>(&self, workers: &[Worker<W>]) -> BTreeMap<W, Fill> {
        workers.iter().zip(&self.seats).map(|(w, seat)| (w.id.clone(), seat.fill())).collect()
    }
}

impl Seat {
    pub(super) fn fill(&self) -> Fill {
        Fill {
            weight: self.weight,
            target: self.target,
            load: self.load,
            units: self.pieces.len(),
            fill: (self.target > 0.0).then(|| self.load / self.target).filter(|f| f.is_finite()),
        }
    }
}

/// Weights after slow start, all > 0 and finite.
fn weights<W>(config: &PlacementConfig, now_ms: u64, workers: &[Worker<W>]) -> Vec<f64> {
    let ramped: Vec<f64> = workers
        .iter()
        .map(|w| {
            let age_ms = now_ms.saturating_sub(w.joined_at_ms) as f64;
            let ramp = age_ms / config.slow_start_ms.max(1) as f64;
            let weight = if w.weight.is_finite() { w.weight.max(0.0) } else { 0.0 };
            weight * ramp.clamp(config.slow_start_floor.clamp(0.0, 1.0), 1.0)
        })
        .collect();
    let largest = ramped.iter().copied().fold(0.0, f64::max);
    if largest <= 0.0 {
        return vec![1.0; workers.len()];
    }
    ramped.into_iter().map(|w| w.max(largest * WEIGHT_FLOOR)).collect()
}
