//! Health of a vehicle, put together from the latest result of each fault type.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{FaultType, Status, VehicleId};

/// Latest result of one fault type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FaultState {
    /// Its verdict.
    pub status: Status,
    /// Its score.
    pub score: f64,
    /// When it was diagnosed, ISO 8601.
    pub timestamp: String,
    /// Its message.
    pub message_id: String,
    /// Raw entry the result is of: an older one never replaces a newer one.
    pub original_message_id: String,
}

/// Overall state of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OverallStatus {
    /// No warning.
    Healthy,
    /// One warning.
    Caution,
    /// Two or more warnings.
    Warning,
    /// A fault.
    Critical,
    /// No verdict rests on evidence.
    Unknown,
}

impl OverallStatus {
    /// Name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Caution => "caution",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }
}

/// Faults by weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FaultSummary {
    /// Fault types with verdict `fault`.
    pub critical_faults: Vec<FaultType>,
    /// Fault types with verdict `warning`.
    pub warnings: Vec<FaultType>,
    /// Fault types with verdict `normal`.
    pub normal: Vec<FaultType>,
}

/// Overall health as existing clients read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OverallHealth {
    /// In one word.
    pub overall_status: OverallStatus,
    /// 0 to 100; none while nothing is known.
    pub health_score: Option<f64>,
    /// Weighted sum of the scores, 0 to 1.
    pub total_score: f64,
    /// Which fault types stand where.
    pub fault_summary: FaultSummary,
    /// When the newest result was diagnosed, ISO 8601.
    pub last_updated: String,
}

/// Health of a vehicle with what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VehicleHealth {
    /// Which vehicle.
    pub vehicle_id: VehicleId,
    /// Latest result of each fault type.
    pub fault_states: BTreeMap<FaultType, FaultState>,
    /// Put together.
    pub overall_health: OverallHealth,
}

impl OverallHealth {
    /// Puts the latest results together.
    pub fn of(states: &BTreeMap<FaultType, FaultState>) -> Self {
        let with = |status| states.iter().filter(move |(_, s)| s.status == status).map(|(f, _)| *f).collect();
        let fault_summary = FaultSummary {
            critical_faults: with(Status::Fault),
            warnings: with(Status::Warning),
            normal: with(Status::Normal),
        };
        let known = states.values().any(|s| s.status.is_evidence());
        let total_score: f64 = states
            .iter()
            .filter(|(_, s)| s.status.is_evidence())
            .map(|(fault, s)| s.score * fault.health_weight())
            // The sum of nothing is -0.0, which JSON would show.
            .fold(0.0, |sum, part| sum + part);
        let overall_status = match (&fault_summary, known) {
            (_, false) => OverallStatus::Unknown,
            (s, _) if !s.critical_faults.is_empty() => OverallStatus::Critical,
            (s, _) if s.warnings.len() >= 2 => OverallStatus::Warning,
            (s, _) if s.warnings.len() == 1 => OverallStatus::Caution,
            _ => OverallStatus::Healthy,
        };
        Self {
            overall_status,
            health_score: known.then(|| (100.0 - 100.0 * total_score).clamp(0.0, 100.0)),
            total_score,
            fault_summary,
            last_updated: states.values().map(|s| s.timestamp.clone()).max().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(states: &[(FaultType, Status, f64)]) -> OverallHealth {
        let states = states
            .iter()
            .map(|(fault, status, score)| {
                let state = FaultState {
                    status: *status,
                    score: *score,
                    timestamp: "t".into(),
                    message_id: "m".into(),
                    original_message_id: "1-0".into(),
                };
                (*fault, state)
            })
            .collect();
        OverallHealth::of(&states)
    }

    #[test]
    fn any_fault_is_critical_and_weights_add() {
        let h =
            health(&[(FaultType::TurnFault, Status::Fault, 0.8), (FaultType::Bearing, Status::Normal, 0.2)]);
        assert_eq!(h.overall_status, OverallStatus::Critical);
        assert_eq!(h.health_score, Some(75.0));
    }

    #[test]
    fn warnings_count() {
        let one = health(&[(FaultType::Bearing, Status::Warning, 0.4)]);
        assert_eq!(one.overall_status, OverallStatus::Caution);
        let two = health(&[
            (FaultType::Bearing, Status::Warning, 0.4),
            (FaultType::Insulation, Status::Warning, 0.4),
        ]);
        assert_eq!(two.overall_status, OverallStatus::Warning);
    }

    #[test]
    fn without_evidence_nothing_is_known() {
        for h in [health(&[]), health(&[(FaultType::BrokenBar, Status::NotApplicable, 0.0)])] {
            assert_eq!(h.overall_status, OverallStatus::Unknown);
            assert_eq!(h.health_score, None);
        }
    }
}
