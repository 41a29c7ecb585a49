//! Every key name VTOX uses in Redis.

mod partition;
mod slot;

pub use partition::{MAX_PARTITIONS, MAX_SLOT_TAGS, Partition, SlotTag, Topology};
pub use slot::{SLOTS, slot_of};

use crate::{FaultType, VehicleId};

/// The bare raw stream: what existing producers append to.
pub const RAW: &str = "motor_raw_data";
/// Stream of results.
pub const RESULTS: &str = "fault_diagnosis_results";
/// Stream of vehicle health assessments.
pub const ASSESSMENTS: &str = "vehicle_health_assessments";
/// Stream of processing times, one entry per worker and second.
pub const PERFORMANCE: &str = "performance_metrics";
/// Stream of alerts.
pub const ALERTS: &str = "system_alerts";
/// Stream of entries that could not be decoded, with the reason.
pub const DEAD_LETTERS: &str = "vtox:dead_letters";
/// Consumer group on [`RESULTS`] that shows the progress of aggregation.
pub const AGGREGATION_GROUP: &str = "result_aggregation_group";

/// Hash of service records, `{name}:{id}` to JSON.
pub const SERVICES: &str = "vtox:services";
/// Hash of last heartbeats, service id to epoch seconds on Redis' clock.
pub const HEARTBEATS: &str = "vtox:heartbeats";
/// List of service events, newest first.
pub const SERVICE_EVENTS: &str = "vtox:service_events";
/// Events kept in [`SERVICE_EVENTS`].
pub const SERVICE_EVENTS_KEPT: usize = 1_000;
/// Hash of worker loads, worker id to JSON.
pub const WORKER_LOADS: &str = "vtox:coordinator:worker_loads";
/// Hash of the current placement, worker id to JSON.
pub const ASSIGNMENTS: &str = "vtox:coordinator:assignments";
/// Hash of the workers that are to be drained, worker id to epoch ms on Redis' clock.
pub const DRAINING: &str = "vtox:coordinator:draining";
/// String: strategy and weights for routing tasks, as JSON.
pub const ROUTING: &str = "vtox:coordinator:routing";
/// Hash of the operators' switches, and the supervisor of the workers.
pub const SWITCHES: &str = "vtox:switches";
/// Lease of the coordinator that leads, `term:coordinator id`.
pub const LEADER: &str = "vtox:coordinator:leader";
/// Counter of terms.
pub const TERM: &str = "vtox:coordinator:term";
/// Lease of the bridge that aggregates.
pub const AGGREGATOR: &str = "vtox:bridge:aggregator";
/// Pub/sub channel that says the placement changed.
pub const PLACEMENT_CHANNEL: &str = "vtox:placement";

/// Topology of the streams, JSON.
pub const TOPOLOGY: &str = "vtox:topology";
/// What the monitor last saw, JSON.
pub const MONITOR: &str = "vtox:monitor:snapshot";
/// Hash vehicle id to its health, JSON.
pub const VEHICLE_HEALTH: &str = "vtox:vehicles:health";
/// Hash vehicle id to `overall_status`: the fleet overview without the whole health.
pub const VEHICLE_STATUS: &str = "vtox:vehicles:status";
/// Hash vehicle id to its motor, JSON of a `VehicleMotor`.
pub const MOTORS: &str = "vtox:motors";
/// Hash motor model to its defaults, JSON of a `MotorProfile`.
pub const MOTOR_MODELS: &str = "vtox:motors:models";
/// Counts the changes of [`MOTORS`] and [`MOTOR_MODELS`].
pub const MOTORS_EPOCH: &str = "vtox:motors:epoch";
/// Hash id of an API key to its record, JSON without the secret.
pub const AUTH_KEYS: &str = "vtox:auth:keys";
/// Hash name of a person to password hash and role, JSON.
pub const AUTH_USERS: &str = "vtox:auth:users";
/// Hash id of a revoked API key or token to epoch s from when it is refused anyway, or `null`.
pub const AUTH_REVOKED: &str = "vtox:auth:revoked";
/// Counter of changes to the three above. It starts at Redis' clock in ms, so that it never repeats after a loss.
pub const AUTH_EPOCH: &str = "vtox:auth:epoch";
/// Sorted set `hash field` by the epoch of its last change.
pub const AUTH_CHANGES: &str = "vtox:auth:changes";
/// Ownership and cursor of the aggregation of [`RESULTS`].
pub const AGGREGATION: &str = "vtox:owner:aggregation";

/// Stream of the last results of a vehicle.
pub fn history(vehicle: &VehicleId) -> String {
    format!("vtox:history:{vehicle}")
}

/// Consumer group of a fault type on a raw stream.
pub fn diagnosis_group(fault: FaultType) -> String {
    format!("{fault}_diagnosis_group")
}

/// Hash stream to the last entry of it that was forwarded to `stream`, on the slot of the latter.
pub fn forwarded(stream: &str) -> String {
    format!("vtox:{{{stream}}}:forwarded")
}

/// Hash stream with this tag to the last entry of it that may have been forwarded.
pub fn forwarding(tag: SlotTag) -> String {
    format!("vtox:{tag}:forwarding")
}

/// Ownership and cursor of the aggregation where it must share the slot of [`RESULTS`].
pub fn aggregation_beside_results() -> String {
    format!("vtox:{{{RESULTS}}}:owner:aggregation")
}

/// Term of the last writer of `key`, on the slot of the latter.
pub fn writer(key: &str) -> String {
    format!("vtox:{{{key}}}:writer")
}

/// Counter of terms of the lease `key`, on the slot of the latter.
pub fn term_beside(key: &str) -> String {
    format!("vtox:{{{key}}}:term")
}

/// One of the keys `vtox:auth:*` as it is named where all of them must share a slot.
pub fn auth_together(name: &str) -> String {
    name.replacen("vtox:auth:", "vtox:{auth}:", 1)
}
