//! Results and dead letters as the ledger keeps them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;
use vtox_protocol::{EntryId, FaultType, Status, VehicleId};
use vtox_streams::Entry;

/// What came back.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// In the order of their stream.
    pub results: Vec<Answer>,
    /// In the order of their stream.
    pub dead_letters: Vec<DeadLetter>,
}

/// A result, reduced to what is checked.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its entry in the stream of results.
    pub id: EntryId,
    /// Whose.
    pub vehicle_id: VehicleId,
    /// Which detector.
    pub fault: FaultType,
    /// The raw entry it answers.
    pub entry: EntryId,
    /// The message it answers.
    pub message_id: String,
    /// The worker.
    pub worker: String,
    /// The grant under which the worker owned the lane.
    pub grant: String,
    /// What it says.
    pub status: Status,
    /// Why there is no verdict, digits replaced so that one kind of reason is one text.
    pub reason: Option<String>,
    /// Of everything the detector said.
    pub digest: u64,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Raw stream.
    pub stream: String,
    /// Raw entry.
    pub entry: EntryId,
    /// Which detector.
    pub fault: FaultType,
    /// Why.
    pub reason: String,
}

/// Fields in which a detector speaks; charts are drawn at most once a second and so are left out.
const SPOKEN: [&str; 7] = ["status", "score", "severity", "features", "evidence", "advice", "model_version"];

/// Digest of everything a detector said.
pub(crate) fn digest(field: impl Fn(&str) -> String) -> u64 {
    let mut hasher = DefaultHasher::new();
    for name in SPOKEN {
        field(name).hash(&mut hasher);
    }
    hasher.finish()
}

impl Answer {
    /// Reads a result; none when the entry is no result.
    pub fn read(entry: &Entry) -> Option<Self> {
        let fields = entry.text_fields();
        let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let status = Status::from_name(&text("status"))?;
        Some(Self {
            id: entry.id,
            vehicle_id: VehicleId::new(&text("vehicle_id")).ok()?,
            fault: text("fault_type").parse().ok()?,
            entry: text("original_message_id").parse().ok()?,
            message_id: text("message_id"),
            worker: text("consumer_id"),
            grant: text("grant"),
            status,
            reason: (!status.is_evidence()).then(|| kind_of_reason(&text("evidence"))),
            digest: digest(text),
        })
    }
}

/// Figures differ from block to block; the kind of reason does not.
fn kind_of_reason(evidence: &str) -> String {
    let evidence: Value = serde_json::from_str(evidence).unwrap_or_default();
    let reason = evidence["reason"].as_str().unwrap_or("no reason given");
    reason.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect()
}

impl DeadLetter {
    /// Reads a dead letter; none when the entry is no dead letter.
    pub fn read(entry: &Entry) -> Option<Self> {
        let fields: HashMap<String, String> = entry.text_fields();
        Some(Self {
            stream: fields.get("stream")?.clone(),
            entry: fields.get("entry_id")?.parse().ok()?,
            fault: fields.get("fault_type")?.parse().ok()?,
            reason: fields.get("reason").cloned().unwrap_or_default(),
        })
    }
}
