//! Folding results into the health of vehicles. Pure.

use std::collections::BTreeMap;

use vtox_protocol::{
    DiagnosisResult, EntryId, FaultState, OverallHealth, OverallStatus, Status, VehicleHealth, VehicleId,
};

/// Health of vehicles as far as it is in memory, and what a batch of results changed.
#[derive(Default)]
pub struct Batch {
    /// Vehicles touched by the batch.
    pub vehicles: BTreeMap<VehicleId, Touched>,
}

/// A vehicle touched by a batch.
pub struct Touched {
    /// Its health now.
    pub health: VehicleHealth,
    /// What it was in one word before the batch.
    pub before: OverallStatus,
    /// Its message and place, for dashboards.
    pub message_id: String,
    /// Where it is, if it says.
    pub location: Option<String>,
}

impl Batch {
    /// Takes in one result; `stored` is the vehicle's health as last committed.
    pub fn fold(&mut self, result: &DiagnosisResult, stored: Option<VehicleHealth>) {
        let touched = self.vehicles.entry(result.vehicle_id.clone()).or_insert_with(|| {
            let health = stored.unwrap_or_else(|| VehicleHealth {
                vehicle_id: result.vehicle_id.clone(),
                fault_states: BTreeMap::new(),
                overall_health: OverallHealth::of(&BTreeMap::new()),
            });
            Touched {
                before: health.overall_health.overall_status,
                health,
                message_id: String::new(),
                location: None,
            }
        });
        let states = &mut touched.health.fault_states;
        // After a replay, results of old entries come again: they must not hide newer ones.
        let newer = states
            .get(&result.fault_type)
            .and_then(|s| s.original_message_id.parse::<EntryId>().ok())
            .is_none_or(|known| known <= result.accepted_as());
        // A block that allows no verdict says nothing against what is known.
        let says_less = result.verdict.status == Status::InsufficientData
            && states.get(&result.fault_type).is_some_and(|s| s.status.is_evidence());
        if !newer || says_less {
            return;
        }
        states.insert(
            result.fault_type,
            FaultState {
                status: result.verdict.status,
                score: result.verdict.score,
                timestamp: result.timestamp.clone(),
                message_id: result.message_id.to_string(),
                original_message_id: result.accepted_as().to_string(),
            },
        );
        touched.health.overall_health = OverallHealth::of(states);
        touched.message_id = result.message_id.to_string();
        touched.location = result.location.clone().or(touched.location.take());
    }
}

impl Touched {
    /// Whether the vehicle became critical with this batch.
    pub fn became_critical(&self) -> bool {
        self.health.overall_health.overall_status == OverallStatus::Critical
            && self.before != OverallStatus::Critical
    }
}

#[cfg(test)]
mod tests {
    use vtox_protocol::{FaultType, MessageId, Verdict, features};

    use super::*;

    fn result(entry: &str, status: Status, score: f64) -> DiagnosisResult {
        DiagnosisResult {
            vehicle_id: VehicleId::new("V").unwrap(),
            fault_type: FaultType::Bearing,
            timestamp: entry.to_owned(),
            verdict: Verdict {
                status,
                score,
                severity: None,
                features: features([]),
                evidence: Vec::new(),
                reason: None,
                advice: None,
                model_version: String::new(),
                charts: None,
            },
            consumer_id: String::new(),
            processing_time_s: 0.0,
            original_message_id: entry.parse().unwrap(),
            message_id: MessageId::from_wire(entry).unwrap(),
            location: None,
            replay_of: None,
        }
    }

    #[test]
    fn the_newest_result_of_a_fault_type_counts() {
        let mut batch = Batch::default();
        batch.fold(&result("5-0", Status::Normal, 0.1), None);
        batch.fold(&result("9-0", Status::Fault, 0.9), None);
        batch.fold(&result("7-0", Status::Normal, 0.1), None);
        let touched = &batch.vehicles[&VehicleId::new("V").unwrap()];
        assert_eq!(touched.health.overall_health.overall_status, OverallStatus::Critical);
        assert!(touched.became_critical());
    }

    #[test]
    fn a_replay_counts_as_of_when_it_was_accepted() {
        let mut batch = Batch::default();
        batch.fold(&result("5-0", Status::Fault, 0.9), None);
        let old = DiagnosisResult { replay_of: "3-0".parse().ok(), ..result("9-0", Status::Normal, 0.1) };
        batch.fold(&old, None);
        let missed = DiagnosisResult { replay_of: "6-0".parse().ok(), ..result("9-1", Status::Warning, 0.5) };
        batch.fold(&missed, None);
        batch.fold(&result("7-0", Status::Fault, 0.8), None);
        let touched = &batch.vehicles[&VehicleId::new("V").unwrap()];
        let state = &touched.health.fault_states[&FaultType::Bearing];
        assert_eq!((state.original_message_id.as_str(), state.score), ("7-0", 0.8));
    }

    #[test]
    fn a_block_without_evidence_wipes_nothing() {
        let mut first = Batch::default();
        first.fold(&result("5-0", Status::Fault, 0.9), None);
        let health = first.vehicles.into_values().next().unwrap().health;
        let mut next = Batch::default();
        next.fold(&result("6-0", Status::InsufficientData, 0.0), Some(health.clone()));
        next.fold(&result("7-0", Status::Fault, 0.9), None);
        let touched = next.vehicles.into_values().next().unwrap();
        assert_eq!(touched.health.overall_health.overall_status, OverallStatus::Critical);
        assert!(!touched.became_critical());
    }

    #[test]
    fn the_same_result_again_changes_nothing() {
        let mut first = Batch::default();
        first.fold(&result("5-0", Status::Fault, 0.9), None);
        let health = first.vehicles.into_values().next().unwrap().health;
        let mut again = Batch::default();
        again.fold(&result("5-0", Status::Fault, 0.9), Some(health.clone()));
        let touched = again.vehicles.into_values().next().unwrap();
        assert!(!touched.became_critical());
        assert_eq!(touched.health, health);
    }
}
