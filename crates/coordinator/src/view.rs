//! What the control loop shows to HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::Serialize;
use serde_json::{Value, json};
use vtox_balancing::{Capacity, Fill, Placer, Score, Unit, Worker};
use vtox_protocol::Position;

use crate::fleet::UnitId;

/// What the last round was decided from: enough to say why.
#[derive(Debug)]
pub struct Round {
    /// The placer after the round.
    pub placer: Placer<UnitId, String>,
    /// When.
    pub now_ms: u64,
    /// Its workers.
    pub workers: Vec<Worker<String>>,
    /// Its units.
    pub units: Vec<Unit<UnitId, String>>,
    /// The placement it decided.
    pub placed: BTreeMap<UnitId, String>,
}

/// State of the control loop after a tick.
#[derive(Debug, Clone, Default, Serialize)]
pub struct View {
    /// `leader` or `standby`.
    pub role: &'static str,
    /// Who leads.
    pub leader: Option<String>,
    /// Its term.
    pub term: u64,
    /// Score of each worker with its parts.
    pub scores: BTreeMap<String, Score>,
    /// What each worker can carry.
    pub capacities: BTreeMap<String, Capacity>,
    /// How full each worker is.
    pub fills: BTreeMap<String, Fill>,
    /// Why nobody is declared dead for now.
    pub hold: Option<String>,
    /// Largest deviation from a fair share.
    pub worst_deviation: f64,
    /// Units nobody may own.
    pub unplaced: Vec<String>,
    /// Grants made by this coordinator.
    pub grants: u64,
    /// Mean time of a grant, ms.
    pub average_grant_ms: f64,
    /// Entries not committed by the slowest fault type.
    pub backlog_entries: u64,
    /// Whether messages are diagnosed.
    pub consumption: Position,
    /// Lanes somebody owns.
    pub lanes_owned: usize,
    /// The last round of the placer.
    #[serde(skip)]
    pub round: Option<Arc<Round>>,
}

impl View {
    /// Names of the units.
    pub fn units(&self) -> Vec<String> {
        self.round.iter().flat_map(|r| &r.units).map(|u| u.id.to_string()).collect()
    }

    /// Why a unit is where it is.
    pub fn explain(&self, name: &str) -> Option<Value> {
        let round = self.round.as_ref()?;
        let unit = round.units.iter().find(|u| u.id.to_string() == name)?;
        let why =
            round.placer.explain(round.now_ms, &round.workers, &round.units, &round.placed, &unit.id)?;
        Some(json!({
            "unit": name,
            "owner": why.owner,
            "load": why.load,
            "resting_until_ms": why.resting_until_ms,
            "decision": why.decision,
            "candidates": why.candidates,
            "scores": self.scores,
            "capacities": self.capacities,
            "now_ms": round.now_ms,
        }))
    }
}

/// The latest view.
#[derive(Clone)]
pub struct Views(Arc<Mutex<Arc<View>>>);

impl Default for Views {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Arc::new(View { role: "standby", ..View::default() }))))
    }
}

impl Views {
    /// The view after the last tick.
    pub fn current(&self) -> Arc<View> {
        self.0.lock().map_or_else(|e| e.into_inner().clone(), |v| v.clone())
    }

    /// Shows a new one.
    pub fn show(&self, view: View) {
        let mut current = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *current = Arc::new(view);
    }
}
