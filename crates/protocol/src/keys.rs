//! Every key name VTOX uses in Redis.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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

/// A log of raw entries in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Partition {
    /// The bare stream [`RAW`], always there.
    Bare,
    /// One of N further streams.
    Numbered(u16),
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bare => f.write_str("bare"),
            Self::Numbered(n) => write!(f, "{n}"),
        }
    }
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "bare" => Ok(Self::Bare),
            n => {
                n.parse().map(Self::Numbered).map_err(|_| format!("{n:?} is no partition: bare or a number"))
            }
        }
    }
}

impl Serialize for Partition {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Partition {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Partition {
    /// The partition's stream.
    pub fn stream(self) -> String {
        match self {
            Self::Bare => RAW.to_owned(),
            Self::Numbered(n) => format!("{RAW}:{}:{n}", self.tag()),
        }
    }

    /// Hash with the ownership token, the term, the cursor and the count of entries behind it.
    pub fn ownership(self, fault: FaultType) -> String {
        format!("vtox:{}:owner:{fault}:{self}", self.tag())
    }

    /// Hash vehicle id to folded state.
    pub fn state(self, fault: FaultType) -> String {
        format!("vtox:{}:state:{fault}:{self}", self.tag())
    }

    /// Remembers where the message of an id was appended.
    pub fn seen(self, message_id: &crate::MessageId) -> String {
        format!("vtox:{}:seen:{message_id}", self.tag())
    }

    /// Hash fault type to the entry that last tried a message again, and `attempt`, their number.
    pub fn replayed(self, message_id: &crate::MessageId) -> String {
        format!("vtox:{}:replayed:{message_id}", self.tag())
    }

    /// The partition of a stream; none where the name is not one of ours.
    pub fn of_stream(stream: &str) -> Option<Self> {
        let partition = match stream.rsplit_once(':') {
            None => Self::Bare,
            Some((_, number)) => Self::Numbered(number.parse().ok()?),
        };
        (partition.stream() == stream).then_some(partition)
    }

    /// Hash tag shared by all keys of the partition, so that its commits stay on one slot. The tag of
    /// the bare stream hashes to the slot of its bare name.
    const fn tag(self) -> &'static str {
        match self {
            Self::Bare => "{motor_raw_data}",
            Self::Numbered(_) => "{vtox-0}",
        }
    }
}

/// How the raw stream is divided. Agreed in Redis under [`TOPOLOGY`], so that all gateways and workers
/// see the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// 1: the bare stream alone. N > 1: N further streams, which the gateway writes to.
    pub partitions: u16,
    /// Fault types that are diagnosed: they count for results, backlog and trimming.
    pub enabled: crate::FaultSet,
}

/// Most partitions a topology may have.
pub const MAX_PARTITIONS: u16 = 1_024;

impl Topology {
    /// All partitions, the bare one first.
    pub fn all(&self) -> impl Iterator<Item = Partition> + use<> {
        let numbered = if self.partitions > 1 { self.partitions } else { 0 };
        std::iter::once(Partition::Bare).chain((0..numbered).map(Partition::Numbered))
    }

    /// The partition of a vehicle's messages that come through the gateway.
    pub fn partition_of(&self, vehicle: &VehicleId) -> Partition {
        if self.partitions <= 1 {
            return Partition::Bare;
        }
        Partition::Numbered((stable_hash(vehicle.as_str()) % u64::from(self.partitions)) as u16)
    }
}

/// FNV-1a with a final mix. It places vehicles for ever: it must never change.
fn stable_hash(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FaultSet;

    fn topology(partitions: u16) -> Topology {
        Topology { partitions, enabled: FaultSet::ALL }
    }

    #[test]
    fn keys_of_a_partition_share_its_tag() {
        let p = Partition::Numbered(17);
        assert_eq!(p.stream(), "motor_raw_data:{vtox-0}:17");
        assert_eq!(p.ownership(FaultType::Bearing), "vtox:{vtox-0}:owner:bearing:17");
        assert_eq!(Partition::Bare.state(FaultType::Bearing), "vtox:{motor_raw_data}:state:bearing:bare");
        assert_eq!(Partition::of_stream(&p.stream()), Some(p));
        assert_eq!(Partition::of_stream(RAW), Some(Partition::Bare));
        for other in ["", "results", "motor_raw_data:{vtox-0}:x", "motor_raw_data:17"] {
            assert_eq!(Partition::of_stream(other), None);
        }
    }

    #[test]
    fn vehicles_stay_where_they_were_placed() {
        let id = VehicleId::new("粤B·SEAL·202412345").unwrap();
        assert_eq!(topology(64).partition_of(&id), Partition::Numbered(7));
        assert_eq!(topology(1).partition_of(&id), Partition::Bare);
        assert_eq!(topology(1).all().count(), 1);
        assert_eq!(topology(64).all().count(), 65);
    }

    #[test]
    fn vehicles_spread_over_the_partitions() {
        let mut counts = [0_u32; 64];
        for n in 0..6_400 {
            let id = VehicleId::new(&format!("粤B·SEAL·2024{n:05}")).unwrap();
            let Partition::Numbered(p) = topology(64).partition_of(&id) else { panic!("bare") };
            counts[usize::from(p)] += 1;
        }
        assert!(counts.iter().all(|c| (60..=140).contains(c)), "{counts:?}");
    }
}
