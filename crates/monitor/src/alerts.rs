//! Alerts on the system itself: raised once when a condition begins to hold, and ended when it no longer does.

use std::collections::BTreeMap;

use vtox_protocol::{FaultType, ServiceRecord};
use vtox_registry::Members;

/// A condition that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `alert_type` on the wire.
    pub alert_type: &'static str,
    /// For people.
    pub text: String,
    /// Whether somebody must act at once.
    pub critical: bool,
}

/// What the conditions are judged from.
pub struct Situation<'a> {
    /// Services.
    pub members: &'a Members,
    /// Silence after which a service is down, ms.
    pub lease_ms: u64,
    /// Workers that live per enabled fault type.
    pub workers: &'a BTreeMap<FaultType, u32>,
    /// Age of the oldest entry, ms.
    pub oldest_age_ms: u64,
    /// Age that raises an alert, ms.
    pub alert_age_ms: u64,
}

/// The conditions that hold, by a key that stays the same while they do.
pub fn conditions(situation: &Situation<'_>) -> BTreeMap<String, Condition> {
    let mut found = BTreeMap::new();
    for (fault, workers) in situation.workers {
        if *workers == 0 {
            let text =
                format!("no worker serves {fault}: its messages wait; start one or disable the fault type");
            let condition = Condition { alert_type: "fault_type_without_worker", text, critical: true };
            found.insert(format!("fault_type_without_worker/{fault}"), condition);
        }
    }
    let silent = |record: &&ServiceRecord| {
        situation.members.silence_ms(&record.service_id).is_none_or(|silence| silence >= situation.lease_ms)
    };
    for record in situation.members.services.values().filter(silent) {
        let text = format!("{} {} does not answer", record.service_name, record.service_id);
        let condition = Condition { alert_type: "service_down", text, critical: false };
        found.insert(format!("service_down/{}", record.service_id), condition);
    }
    let consumption = &situation.members.switches.consumption;
    if !consumption.value.is_running() {
        let text = format!("{} stopped consumption: messages wait until it is started", consumption.by);
        let condition = Condition { alert_type: "consumption_stopped", text, critical: false };
        found.insert("consumption_stopped".to_owned(), condition);
    } else if situation.oldest_age_ms >= situation.alert_age_ms {
        let text = format!("the oldest message has waited {} s", situation.oldest_age_ms / 1_000);
        let condition = Condition { alert_type: "backlog_old", text, critical: true };
        found.insert("backlog_old".to_owned(), condition);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_found_and_named() {
        let members = Members::default();
        let workers = [(FaultType::Bearing, 0), (FaultType::Insulation, 2)].into();
        let situation = Situation {
            members: &members,
            lease_ms: 2_000,
            workers: &workers,
            oldest_age_ms: 31_000,
            alert_age_ms: 30_000,
        };
        let found = conditions(&situation);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["backlog_old", "fault_type_without_worker/bearing"]);
    }
}
