//! Identity of messages and of stream entries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::VehicleId;

/// Identity of a message from acceptance to its results. Resends of one message share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(String);

/// Longest message id, in bytes.
pub const MAX_MESSAGE_ID_BYTES: usize = 128;

/// Name space of ids derived from what a client sends (RFC 9562, section 5.5).
const CLIENT_NAMESPACE: Uuid = Uuid::from_u128(0x6a1f_0c1e_52d9_4b67_9c3d_2f0e_8a71_5b44);

impl MessageId {
    /// A new id: UUID version 7 of `epoch_ms` and randomness.
    pub fn mint(epoch_ms: u64) -> Self {
        let seconds = epoch_ms / 1000;
        let nanos = (epoch_ms % 1000) as u32 * 1_000_000;
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos)).to_string())
    }

    /// The id of what a client calls by `key` (an `Idempotency-Key`). Another vehicle's equal key is
    /// another message.
    pub fn from_client_key(vehicle: &VehicleId, key: &str) -> Self {
        Self::derive(&[vehicle.as_str(), "key", key])
    }

    /// The id of the message number `sequence` that a vehicle sends since its start `boot_id`.
    pub fn from_sequence(vehicle: &VehicleId, boot_id: &str, sequence: u64) -> Self {
        Self::derive(&[vehicle.as_str(), "sequence", boot_id, &sequence.to_string()])
    }

    /// The id of an entry that was appended to a stream by hand.
    pub fn from_entry(stream: &str, entry: EntryId) -> Self {
        Self(format!("{stream}/{entry}"))
    }

    /// An id read back from a stream; none where the text cannot be one.
    pub fn from_wire(text: &str) -> Option<Self> {
        let fits = !text.is_empty()
            && text.len() <= MAX_MESSAGE_ID_BYTES
            && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    fn derive(parts: &[&str]) -> Self {
        // Length-prefixed, so that no two lists of parts share their bytes.
        let name: Vec<u8> =
            parts.iter().flat_map(|p| (p.len() as u64).to_be_bytes().into_iter().chain(p.bytes())).collect();
        Self(Uuid::new_v5(&CLIENT_NAMESPACE, &name).to_string())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Id of an entry in a Redis stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct EntryId {
    /// Milliseconds since 1970 on Redis' clock.
    pub ms: u64,
    /// Number within the millisecond.
    pub seq: u64,
}

impl EntryId {
    /// Before every entry.
    pub const ZERO: Self = Self { ms: 0, seq: 0 };
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// A text that is not the id of a stream entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a stream entry id; MILLISECONDS-SEQUENCE is expected")]
pub struct InvalidEntryId(String);

impl FromStr for EntryId {
    type Err = InvalidEntryId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (ms, seq) = text.split_once('-')?;
            Some(Self { ms: ms.parse().ok()?, seq: seq.parse().ok()? })
        };
        parse().ok_or_else(|| InvalidEntryId(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_ids_order_as_redis_orders_them() {
        let ids: Vec<EntryId> = ["9-0", "10-0", "10-9", "10-10"].iter().map(|t| t.parse().unwrap()).collect();
        assert!(ids.is_sorted());
        assert_eq!(ids[3].to_string(), "10-10");
        for bad in ["", "1", "1-", "-1", "1-2-3", "a-b"] {
            assert!(bad.parse::<EntryId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn client_ids_are_stable_and_separate() {
        let (a, b) = (VehicleId::new("A").unwrap(), VehicleId::new("B").unwrap());
        // Literal: another derivation would accept every message in flight twice after an upgrade.
        assert_eq!(MessageId::from_client_key(&a, "k").as_str(), "f379b597-70e3-5285-8baa-77b4a38a6906");
        assert_ne!(MessageId::from_client_key(&a, "k"), MessageId::from_client_key(&b, "k"));
        assert_ne!(MessageId::from_sequence(&a, "1", 23), MessageId::from_sequence(&a, "12", 3));
        assert_ne!(MessageId::mint(5), MessageId::mint(5));
    }

    #[test]
    fn wire_ids_are_checked() {
        let bare = MessageId::from_entry("motor_raw_data", EntryId { ms: 5, seq: 1 });
        assert_eq!(bare.as_str(), "motor_raw_data/5-1");
        assert_eq!(MessageId::from_wire(bare.as_str()), Some(bare));
        assert_eq!(MessageId::from_wire(""), None);
        assert_eq!(MessageId::from_wire("a b"), None);
        assert_eq!(MessageId::from_wire(&"x".repeat(200)), None);
    }
}
