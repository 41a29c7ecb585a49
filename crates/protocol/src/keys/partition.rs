//! Partitions, the slot tags they share, and the topology that says how many there are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{RAW, slot};
use crate::{FaultType, VehicleId};

/// A log of raw entries in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Partition {
    /// The bare stream [`RAW`], always there.
    Bare,
    /// One of N further streams.
    Numbered {
        /// Which, from 0.
        number: u16,
        /// Number of its slot tag.
        tag: u16,
    },
}

/// The part of a key in braces: keys with the same one share a slot of a Redis Cluster, so that one command may name
/// them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SlotTag {
    /// Of the bare stream: it hashes to the slot of its bare name.
    Bare,
    /// Shared by partitions.
    Numbered(u16),
}

impl fmt::Display for SlotTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bare => write!(f, "{{{RAW}}}"),
            Self::Numbered(n) => write!(f, "{{vtox-{n}}}"),
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bare => f.write_str("bare"),
            Self::Numbered { number, tag: 0 } => write!(f, "{number}"),
            Self::Numbered { number, tag } => write!(f, "{number}@{tag}"),
        }
    }
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "bare" => Ok(Self::Bare),
            text => {
                let (number, tag) = text.split_once('@').unwrap_or((text, "0"));
                match (number.parse(), tag.parse()) {
                    (Ok(number), Ok(tag)) => Ok(Self::Numbered { number, tag }),
                    _ => Err(format!("{text:?} is no partition: bare, a number, or number@slot tag")),
                }
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
    /// A numbered partition, where `slot_tags` tags are shared by all of them.
    pub fn numbered(number: u16, slot_tags: u16) -> Self {
        Self::Numbered { number, tag: slot::tag(number % slot_tags.max(1), slot_tags) }
    }

    /// The partition's stream.
    pub fn stream(self) -> String {
        match self {
            Self::Bare => RAW.to_owned(),
            Self::Numbered { number, .. } => format!("{RAW}:{}:{number}", self.tag()),
        }
    }

    /// Its name under its tag.
    fn name(self) -> String {
        match self {
            Self::Bare => self.to_string(),
            Self::Numbered { number, .. } => number.to_string(),
        }
    }

    /// Hash with the ownership token, the term, the cursor and the count of entries behind it.
    pub fn ownership(self, fault: FaultType) -> String {
        format!("vtox:{}:owner:{fault}:{}", self.tag(), self.name())
    }

    /// Hash vehicle id to folded state.
    pub fn state(self, fault: FaultType) -> String {
        format!("vtox:{}:state:{fault}:{}", self.tag(), self.name())
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
            Some((rest, number)) => {
                let tag = rest.rsplit_once(":{vtox-")?.1.strip_suffix('}')?;
                Self::Numbered { number: number.parse().ok()?, tag: tag.parse().ok()? }
            }
        };
        (partition.stream() == stream).then_some(partition)
    }

    /// Shared by all keys of the partition, so that its commits stay on one slot.
    pub const fn tag(self) -> SlotTag {
        match self {
            Self::Bare => SlotTag::Bare,
            Self::Numbered { tag, .. } => SlotTag::Numbered(tag),
        }
    }
}

/// How the raw stream is divided. Agreed in Redis under [`TOPOLOGY`](super::TOPOLOGY), so that all gateways and workers
/// see the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// 1: the bare stream alone. N > 1: N further streams, which the gateway writes to.
    pub partitions: u16,
    /// Fault types that are diagnosed: they count for results, backlog and trimming.
    pub enabled: crate::FaultSet,
    /// Slot tags that the numbered partitions share. 1: everything is on one server or under Sentinel, and results go
    /// straight to the bare stream. More: as in a Redis Cluster, where results stay under their partition's tag until
    /// they are forwarded.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub slot_tags: u16,
}

fn one() -> u16 {
    1
}

fn is_one(n: &u16) -> bool {
    *n == 1
}

/// Most slot tags a topology may have.
pub const MAX_SLOT_TAGS: u16 = 256;

/// Most partitions a topology may have.
pub const MAX_PARTITIONS: u16 = 1_024;

impl Topology {
    /// All partitions, the bare one first.
    pub fn all(&self) -> impl Iterator<Item = Partition> + use<> {
        let numbered = if self.partitions > 1 { self.partitions } else { 0 };
        let tags = self.slot_tags;
        std::iter::once(Partition::Bare).chain((0..numbered).map(move |n| Partition::numbered(n, tags)))
    }

    /// The tags of all partitions, each once.
    pub fn tags(&self) -> impl Iterator<Item = SlotTag> + use<> {
        let count = self.slot_tags.max(1);
        let numbered = if self.partitions > 1 { self.partitions.min(count) } else { 0 };
        std::iter::once(SlotTag::Bare)
            .chain((0..numbered).map(move |index| SlotTag::Numbered(slot::tag(index, count))))
    }

    /// Whether results and dead letters are first kept under the tag of their partition and forwarded from there.
    pub fn forwards(&self) -> bool {
        self.slot_tags > 1
    }

    /// Where commits of partitions with a tag append what belongs into `stream`, [`RESULTS`](super::RESULTS) or
    /// [`DEAD_LETTERS`](super::DEAD_LETTERS).
    pub fn under(&self, tag: SlotTag, stream: &str) -> String {
        if self.forwards() { format!("{stream}:{tag}") } else { stream.to_owned() }
    }

    /// The partition of a vehicle's messages that come through the gateway.
    pub fn partition_of(&self, vehicle: &VehicleId) -> Partition {
        if self.partitions <= 1 {
            return Partition::Bare;
        }
        let number = (stable_hash(vehicle.as_str()) % u64::from(self.partitions)) as u16;
        Partition::numbered(number, self.slot_tags)
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
        Topology { partitions, enabled: FaultSet::ALL, slot_tags: 1 }
    }

    #[test]
    fn keys_of_a_partition_share_its_tag() {
        let p = Partition::numbered(17, 1);
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
        assert_eq!(topology(64).partition_of(&id), Partition::numbered(7, 1));
        assert_eq!(topology(1).partition_of(&id), Partition::Bare);
        assert_eq!(topology(1).all().count(), 1);
        assert_eq!(topology(64).all().count(), 65);
    }

    #[test]
    fn vehicles_spread_over_the_partitions() {
        let mut counts = [0_u32; 64];
        for n in 0..6_400 {
            let id = VehicleId::new(&format!("粤B·SEAL·2024{n:05}")).unwrap();
            let Partition::Numbered { number, .. } = topology(64).partition_of(&id) else { panic!("bare") };
            counts[usize::from(number)] += 1;
        }
        assert!(counts.iter().all(|c| (60..=140).contains(c)), "{counts:?}");
    }

    #[test]
    fn partitions_of_a_cluster_share_slot_tags() {
        let topology = Topology { slot_tags: 16, ..topology(64) };
        let p = topology.all().nth(18).unwrap();
        assert_eq!(p, Partition::Numbered { number: 17, tag: 42 });
        assert_eq!(p.stream(), "motor_raw_data:{vtox-42}:17");
        assert_eq!(p.state(FaultType::Bearing), "vtox:{vtox-42}:state:bearing:17");
        assert_eq!(Partition::of_stream(&p.stream()), Some(p));
        assert_eq!((p.to_string().as_str(), "17@42".parse()), ("17@42", Ok(p)));
        assert_eq!("16".parse(), Ok(Partition::numbered(16, 1)), "tag 0 goes without saying");
        assert_eq!(topology.under(p.tag(), "fault_diagnosis_results"), "fault_diagnosis_results:{vtox-42}");
        assert_eq!(topology.tags().count(), 17);
        let text = serde_json::to_string(&topology).unwrap();
        assert_eq!(serde_json::from_str::<Topology>(&text).unwrap(), topology);
    }

    #[test]
    fn one_slot_tag_is_what_there_was_before_tags() {
        let topology = topology(64);
        assert_eq!(serde_json::to_value(&topology).unwrap().as_object().unwrap().len(), 2);
        let text = r#"{"partitions":64,"enabled":["bearing"]}"#;
        assert_eq!(serde_json::from_str::<Topology>(text).unwrap().slot_tags, 1);
        assert_eq!(topology.under(SlotTag::Bare, "fault_diagnosis_results"), "fault_diagnosis_results");
        assert_eq!(topology.tags().collect::<Vec<_>>(), [SlotTag::Bare, SlotTag::Numbered(0)]);
    }
}
