//! The figures at which verdicts change, all in one value that configuration can override.

use serde::{Deserialize, Serialize};
use vtox_protocol::FaultType;

pub use crate::bearing::Thresholds as Bearing;
pub use crate::broken_bar::Thresholds as BrokenBar;
pub use crate::eccentricity::Thresholds as Eccentricity;
pub use crate::insulation::Thresholds as Insulation;
pub use crate::turn_fault::Thresholds as TurnFault;

/// Thresholds of all detectors. Each detector's stand, with their reasons, at the top of its file; what a configuration
/// leaves out keeps its default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "named after the fault types")]
pub struct Thresholds {
    pub turn_fault: TurnFault,
    pub insulation: Insulation,
    pub bearing: Bearing,
    pub eccentricity: Eccentricity,
    pub broken_bar: BrokenBar,
}

impl Thresholds {
    /// Whether a detector judges by other figures than its own.
    pub(crate) fn overridden(&self, fault: FaultType) -> bool {
        match fault {
            FaultType::TurnFault => self.turn_fault != TurnFault::default(),
            FaultType::Insulation => self.insulation != Insulation::default(),
            FaultType::Bearing => self.bearing != Bearing::default(),
            FaultType::Eccentricity => self.eccentricity != Eccentricity::default(),
            FaultType::BrokenBar => self.broken_bar != BrokenBar::default(),
        }
    }
}
