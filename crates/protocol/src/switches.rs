//! What operators switch on and off, how many workers they want, and who starts and stops workers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::FaultType;

/// Position of a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// On: as long as nobody says otherwise.
    #[default]
    Running,
    /// Off, until somebody starts it.
    Stopped,
}

impl Position {
    /// Whether it is on.
    pub fn is_running(self) -> bool {
        self == Self::Running
    }

    /// Name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
        }
    }
}

/// A value, and who set it when.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Set<T> {
    /// The value.
    pub value: T,
    /// Who set it; empty: nobody did.
    pub by: String,
    /// When, epoch ms on Redis' clock; 0: never.
    pub at_ms: u64,
}

/// Who starts and stops worker processes for this cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervisor {
    /// Which run of it.
    pub id: String,
    /// Mode it runs the cluster in.
    pub mode: String,
}

/// All switches at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Switches {
    /// Whether messages are diagnosed.
    pub consumption: Set<Position>,
    /// Whether dashboards get results.
    pub bridge: Set<Position>,
    /// Whether results are folded into the health of vehicles.
    pub aggregation: Set<Position>,
    /// Workers that are wanted; none when nobody ever said.
    pub workers: Option<Set<u16>>,
    /// Workers that are wanted for single fault types, beyond or below what `workers` gives them.
    pub workers_of: BTreeMap<FaultType, Set<u16>>,
    /// The supervisor, if one lives.
    pub supervisor: Option<Supervisor>,
}

/// A change of one switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Start or stop diagnosing messages.
    Consumption(Position),
    /// Start or stop handing results to dashboards.
    Bridge(Position),
    /// Start or stop folding results into the health of vehicles.
    Aggregation(Position),
    /// Want so many workers in all; forgets what was wanted for single fault types.
    Workers(u16),
    /// Want so many workers for a fault type.
    WorkersOf(FaultType, u16),
}

/// Most workers of a fault type that may be wanted, and fewest.
pub const WORKERS_OF_A_FAULT: std::ops::RangeInclusive<u16> = 1..=20;
/// Workers that may be wanted in all.
pub const WORKERS_IN_ALL: std::ops::RangeInclusive<u16> = 1..=64;
