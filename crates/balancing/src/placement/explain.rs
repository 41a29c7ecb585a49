//! Why a unit is where it is.

use serde::Serialize;

use super::board::{Board, Seat};
use super::{Decision, Worker};

/// What speaks for and against each worker as the owner of a unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation<U, W> {
    /// The unit.
    pub unit: U,
    /// Its load as given to the placer.
    pub load: f64,
    /// Its owner.
    pub owner: Option<W>,
    /// Until when balancing leaves it where it is, ms.
    pub resting_until_ms: Option<u64>,
    /// The last decision about it, as far as this placer remembers.
    pub decision: Option<Decision<W>>,
    /// All workers, the one an orphan would go to first.
    pub candidates: Vec<Candidate<W>>,
}

/// A worker as a candidate for a unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate<W> {
    /// The worker.
    pub worker: W,
    /// Whether it takes the unit, or why not.
    pub standing: Standing,
    /// Score times capacity, after slow start.
    pub weight: f64,
    /// Health, 0-1.
    pub health: f64,
    /// Fair part of all load.
    pub target: f64,
    /// Load of what it owns.
    pub load: f64,
    /// Load over target as it is; none where nothing is meant for it.
    pub fill: Option<f64>,
    /// The same with this unit (for its owner: as it is).
    pub fill_with_unit: Option<f64>,
}

/// Whether a worker takes new units. The later ones are worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It does.
    Takes,
    /// Only orphans nobody else can take.
    Overloaded,
    /// Only orphans nobody else can take.
    Unhealthy,
    /// The same, and it loses what it has.
    Failing,
    /// None.
    Draining,
    /// It may not own this unit.
    NotEligible,
}

impl Standing {
    fn of(seat: &Seat, may_own: bool) -> Self {
        match seat {
            _ if !may_own => Self::NotEligible,
            s if s.draining => Self::Draining,
            s if s.failing => Self::Failing,
            s if !s.healthy => Self::Unhealthy,
            s if s.overloaded => Self::Overloaded,
            _ => Self::Takes,
        }
    }
}

impl Board {
    pub(super) fn candidates<W: Clone>(&self, unit: usize, workers: &[Worker<W>]) -> Vec<Candidate<W>> {
        let mut candidates: Vec<Candidate<W>> = workers
            .iter()
            .zip(&self.seats)
            .enumerate()
            .map(|(i, (worker, seat))| {
                let fill = seat.fill();
                let more = if self.owner(unit) == Some(i) { 0.0 } else { self.load(unit) };
                Candidate {
                    worker: worker.id.clone(),
                    standing: Standing::of(seat, self.may_own(unit, i)),
                    weight: fill.weight,
                    health: worker.health,
                    target: fill.target,
                    load: fill.load,
                    fill: fill.fill,
                    fill_with_unit: fill.fill.map(|_| (fill.load + more) / fill.target),
                }
            })
            .collect();
        let fill = |c: &Candidate<W>| c.fill_with_unit.unwrap_or(f64::MAX);
        candidates.sort_by(|a, b| a.standing.cmp(&b.standing).then(fill(a).total_cmp(&fill(b))));
        candidates
    }
}
