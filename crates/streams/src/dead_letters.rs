//! Dead letters: entries that got no diagnosis from a fault type, with the reason and, where it is not too large, a copy
//! of the entry, so that it can be tried again after the raw stream is trimmed.

use std::collections::HashMap;

use redis::streams::StreamRangeReply;
use vtox_connection::ConnectionManager;
use vtox_protocol::{EntryId, FaultType, MessageId, keys};

use crate::scan::Scan;
use crate::{Entry, Result};

/// Fields of the copy have this before their names.
const COPY_PREFIX: &str = "raw:";
/// Largest entry of which a dead letter has a copy: bytes of its names and values.
const MAX_COPY_BYTES: usize = 1 << 20;
/// Most fields of such an entry: a commit passes them all to one command of Redis.
const MAX_COPY_FIELDS: usize = 100;

/// What is known of an entry that got no diagnosis from a fault type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Raw stream of the entry.
    pub stream: String,
    /// The entry.
    pub entry: EntryId,
    /// Which fault type gave it up.
    pub fault: FaultType,
    /// Whose it is; empty where that could not be read.
    pub vehicle_id: String,
    /// The message; none in letters of earlier versions.
    pub message_id: Option<MessageId>,
    /// Which attempt on the message failed; the first is 1.
    pub attempt: u32,
    /// The entry as it was accepted; differs from `entry` when a replay failed.
    pub original: EntryId,
    /// Why.
    pub reason: String,
    /// The worker.
    pub consumer_id: String,
    /// When, ISO 8601.
    pub timestamp: String,
}

const NAMES: [&str; 10] = [
    "stream",
    "entry_id",
    "fault_type",
    "vehicle_id",
    "message_id",
    "attempt",
    "replay_of",
    "reason",
    "consumer_id",
    "timestamp",
];

impl DeadLetter {
    /// The fields of the letter, with a copy of `raw` if it is not too large.
    pub fn fields(&self, raw: &HashMap<String, Vec<u8>>) -> Vec<(String, Vec<u8>)> {
        let mut fields = vec![
            ("stream", self.stream.clone()),
            ("entry_id", self.entry.to_string()),
            ("fault_type", self.fault.to_string()),
            ("vehicle_id", self.vehicle_id.clone()),
            ("reason", self.reason.clone()),
            ("consumer_id", self.consumer_id.clone()),
            ("timestamp", self.timestamp.clone()),
        ];
        if let Some(message_id) = &self.message_id {
            fields.push(("message_id", message_id.to_string()));
        }
        if self.attempt > 1 {
            fields.push(("attempt", self.attempt.to_string()));
            fields.push(("replay_of", self.original.to_string()));
        }
        let mut fields: Vec<_> = fields.into_iter().map(|(n, v)| (n.to_owned(), v.into_bytes())).collect();
        let bytes: usize = raw.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes <= MAX_COPY_BYTES && raw.len() <= MAX_COPY_FIELDS {
            fields.extend(raw.iter().map(|(name, value)| (format!("{COPY_PREFIX}{name}"), value.clone())));
        }
        fields
    }

    /// Reads the fields; none where a stream, an entry or a fault type is missing: others may append there, too.
    fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let text = |name: &str| get(name).unwrap_or_default().to_owned();
        let entry = get("entry_id")?.parse().ok()?;
        Some(Self {
            stream: get("stream")?.to_owned(),
            entry,
            fault: get("fault_type")?.parse().ok()?,
            vehicle_id: text("vehicle_id"),
            message_id: get("message_id").and_then(MessageId::from_wire),
            attempt: get("attempt").and_then(|n| n.parse().ok()).unwrap_or(1),
            original: get("replay_of").and_then(|id| id.parse().ok()).unwrap_or(entry),
            reason: text("reason"),
            consumer_id: text("consumer_id"),
            timestamp: text("timestamp"),
        })
    }

    /// The message, also of a letter that does not say.
    pub fn message(&self) -> MessageId {
        self.message_id.clone().unwrap_or_else(|| MessageId::from_entry(&self.stream, self.original))
    }
}

/// Reads, drops and trims dead letters.
#[derive(Clone)]
pub struct DeadLetters {
    connection: ConnectionManager,
}

impl DeadLetters {
    /// On a connection that does not block.
    pub fn new(connection: ConnectionManager) -> Self {
        Self { connection }
    }

    /// All letters with their ids, oldest first, of one vehicle if so asked.
    pub async fn list(&self, vehicle: Option<&str>) -> Result<Vec<(EntryId, DeadLetter)>> {
        let having = vehicle.map(|id| ("vehicle_id", id));
        let scan = Scan { stream: keys::DEAD_LETTERS, from_ms: 0, to_ms: u64::MAX, having, names: &NAMES };
        let rows = scan.run(&self.connection).await?;
        let letters = rows.into_iter().filter_map(|(id, values)| {
            let value = |name: &str| values.get(NAMES.iter().position(|n| *n == name)?).map(String::as_str);
            Some((id, DeadLetter::read(|name| value(name).filter(|v| !v.is_empty()))?))
        });
        Ok(letters.collect())
    }

    /// One letter, and the copy of its entry if it has one.
    pub async fn get(&self, id: EntryId) -> Result<Option<(DeadLetter, Option<Entry>)>> {
        let Some(found) = self.entry(keys::DEAD_LETTERS, id).await? else { return Ok(None) };
        let text = found.text_fields();
        let Some(letter) = DeadLetter::read(|name| text.get(name).map(String::as_str)) else {
            return Ok(None);
        };
        let copy: HashMap<_, _> = found
            .fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(COPY_PREFIX)?.to_owned(), value)))
            .collect();
        let copy = (!copy.is_empty()).then_some(Entry { id: letter.entry, fields: copy });
        Ok(Some((letter, copy)))
    }

    /// The raw entry of a letter, if the raw stream still has it.
    pub async fn raw_entry(&self, letter: &DeadLetter) -> Result<Option<Entry>> {
        self.entry(&letter.stream, letter.entry).await
    }

    async fn entry(&self, stream: &str, id: EntryId) -> Result<Option<Entry>> {
        let found: StreamRangeReply = redis::cmd("XRANGE")
            .arg(stream)
            .arg(id.to_string())
            .arg(id.to_string())
            .query_async(&mut self.connection.clone())
            .await?;
        found.ids.into_iter().next().map(Entry::from_redis).transpose()
    }

    /// Drops a letter; false when it was no longer there.
    pub async fn drop(&self, id: EntryId) -> Result<bool> {
        let dropped: u64 = redis::cmd("XDEL")
            .arg(keys::DEAD_LETTERS)
            .arg(id.to_string())
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(dropped > 0)
    }

    /// Drops the oldest letters: those from before the epoch ms `keep_from_ms`, and as many as are needed to come near
    /// `keep_bytes`. Answers how many went.
    pub async fn trim(&self, keep_bytes: u64, keep_from_ms: u64) -> Result<u64> {
        let mut connection = self.connection.clone();
        let old: u64 = redis::cmd("XTRIM")
            .arg(keys::DEAD_LETTERS)
            .arg("MINID")
            .arg(keep_from_ms)
            .query_async(&mut connection)
            .await?;
        let (used, letters): (Option<u64>, u64) = redis::pipe()
            .cmd("MEMORY")
            .arg("USAGE")
            .arg(keys::DEAD_LETTERS)
            .cmd("XLEN")
            .arg(keys::DEAD_LETTERS)
            .query_async(&mut connection)
            .await?;
        let used = used.unwrap_or(0);
        if used <= keep_bytes {
            return Ok(old);
        }
        // Letters are taken as alike; where they are not, the next trim goes on.
        let keep = (letters as f64 * keep_bytes as f64 / used as f64) as u64;
        let more: u64 = redis::cmd("XTRIM")
            .arg(keys::DEAD_LETTERS)
            .arg("MAXLEN")
            .arg(keep)
            .query_async(&mut connection)
            .await?;
        Ok(old + more)
    }
}
