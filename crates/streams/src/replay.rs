//! Trying messages again: the raw entry is appended once more under the same message id, for the fault types that are
//! to answer it.
//!
//! A message has attempts: the entry as it was accepted, then its replays. An attempt follows the one before it only when that one is
//! answered (it is not behind the lane's cursor) without a result, and the script that appends it compares the attempt
//! before with the one it was planned on. So at most one attempt per fault type can still bring a result, whoever
//! replays at the same time, and none can after a result is committed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use redis::Script;
use redis::aio::ConnectionManager;
use redis::streams::StreamRangeReply;
use vtox_protocol::keys::{self, Partition};
use vtox_protocol::{EntryId, FaultSet, FaultType, MessageId, VehicleId};

use crate::scan::Scan;
use crate::{DeadLetter, DeadLetters, Lane, Ownership, Result, StreamError, topology};

/// A message that is to be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Where its entries are.
    pub partition: Partition,
    /// The raw entry to copy.
    pub entry: EntryId,
    /// The entry as it was accepted.
    pub original: EntryId,
    /// The message.
    pub message_id: MessageId,
    /// Number of the attempt on which this is planned.
    pub attempt: u32,
    /// Fault types that are to answer it.
    pub faults: Vec<RetriedFault>,
}

/// A fault type that is to answer a message again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetriedFault {
    /// Which.
    pub fault: FaultType,
    /// The attempt it must follow; none: whichever is the last.
    pub follows: Option<EntryId>,
    /// The dead letter of that attempt, which goes when it is tried again.
    pub letter: Option<EntryId>,
}

/// What came of a [`Retry`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The entry appended; none when no fault type was left to ask.
    pub entry: Option<EntryId>,
    /// Number of the attempt.
    pub attempt: u32,
    /// Fault types that answer it.
    pub faults: FaultSet,
    /// Fault types that do not, and why.
    pub refused: Vec<(FaultType, Refusal)>,
}

/// Why a message is not tried again for a fault type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The dead letter is no longer there: it was replayed or dropped.
    Gone,
    /// A later attempt was made.
    Superseded,
    /// The raw entry is no longer kept, and there is no copy of it.
    NotKept,
}

/// What a replay of a time would do.
#[derive(Debug, Default)]
pub struct Plan {
    /// Messages of the vehicle in that time.
    pub messages: usize,
    /// Those to try again, in their order.
    pub retries: Vec<Retry>,
    /// Answers of theirs that are committed: left out, or with `again` repeated.
    pub answered: usize,
    /// Answers that are on their way.
    pub waiting: usize,
    /// Oldest time, epoch ms, from which raw entries are kept where some were trimmed.
    pub raw_kept_from_ms: Option<u64>,
    /// Messages without a result whose results, if there were any, may be trimmed: not in `retries`.
    pub unknown: usize,
    /// Oldest time from which results are kept where some were trimmed.
    pub results_kept_from_ms: Option<u64>,
}

/// Which messages to try again.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Of this vehicle.
    pub vehicle: VehicleId,
    /// Accepted in this time, epoch ms on Redis' clock, both inclusive.
    pub from_ms: u64,
    /// See `from_ms`.
    pub to_ms: u64,
    /// For these fault types.
    pub faults: FaultSet,
    /// Whatever came of them before.
    pub again: bool,
}

/// After a failover another clock may stamp the results than stamped the raw entries: as far as that may be apart, ms.
const CLOCKS_APART_MS: u64 = 10_000;

/// Tries messages again.
#[derive(Clone)]
pub struct Replays {
    connection: ConnectionManager,
    ownership: Ownership,
    letters: DeadLetters,
    script: Script,
    remember: Duration,
}

impl Replays {
    /// On a connection that does not block. Attempts are remembered for `remember`, which must be longer than a raw
    /// entry is kept.
    pub fn new(connection: ConnectionManager, remember: Duration) -> Self {
        Self {
            ownership: Ownership::new(connection.clone()),
            letters: DeadLetters::new(connection.clone()),
            script: Script::new(include_str!("scripts/replay.lua")),
            connection,
            remember,
        }
    }

    /// Appends a message again for the fault types that may follow the attempt they were planned on.
    ///
    /// # Errors
    /// [`StreamError::Unknown`]: it may have been appended. The same retry can be run again, unless it follows whichever attempt
    /// is the last.
    pub async fn run(&self, retry: &Retry) -> Result<Replayed> {
        let mut call = self.script.prepare_invoke();
        call.key(retry.partition.stream())
            .key(keys::DEAD_LETTERS)
            .key(retry.partition.replayed(&retry.message_id))
            .arg(retry.entry.to_string())
            .arg(retry.original.to_string())
            .arg(retry.message_id.as_str())
            .arg(retry.attempt)
            .arg(self.remember.as_millis() as u64);
        for RetriedFault { fault, follows, letter } in &retry.faults {
            call.arg(fault.name())
                .arg(follows.map_or_else(|| "*".to_owned(), |id| id.to_string()))
                .arg(letter.map(|id| id.to_string()).unwrap_or_default());
        }
        let (verdict, entry, attempt, faults, refused): Answer =
            call.invoke_async(&mut self.connection.clone()).await?;
        let unexpected = |text: &str| StreamError::Unexpected(format!("{text:?} of a replay"));
        let fault = |name: &str| name.parse::<FaultType>().map_err(|_| unexpected(name));
        let faults = faults.iter().map(|name| fault(name)).collect::<Result<FaultSet>>()?;
        let mut refused = refused
            .iter()
            .map(|(name, why)| match why.as_str() {
                "gone" => Ok((fault(name)?, Refusal::Gone)),
                "superseded" => Ok((fault(name)?, Refusal::Superseded)),
                other => Err(unexpected(other)),
            })
            .collect::<Result<Vec<_>>>()?;
        match verdict.as_str() {
            "done" => {
                let entry = entry.parse().map_err(|_| unexpected(&entry))?;
                Ok(Replayed { entry: Some(entry), attempt, faults, refused })
            }
            "refused" | "not_kept" => {
                refused.extend(faults.iter().map(|f| (f, Refusal::NotKept)));
                Ok(Replayed { entry: None, attempt: retry.attempt, faults: FaultSet::EMPTY, refused })
            }
            other => Err(unexpected(other)),
        }
    }

    /// Retries of dead letters, those of one entry together, in the order of their entries. Letters whose stream is none of ours are
    /// left out.
    pub fn of_letters(letters: &[(EntryId, DeadLetter)]) -> Vec<Retry> {
        let mut retries: BTreeMap<(EntryId, Partition), Retry> = BTreeMap::new();
        for (id, letter) in letters {
            let Some(partition) = Partition::of_stream(&letter.stream) else { continue };
            let retry = retries.entry((letter.entry, partition)).or_insert_with(|| Retry {
                partition,
                entry: letter.entry,
                original: letter.original,
                message_id: letter.message(),
                attempt: letter.attempt,
                faults: Vec::new(),
            });
            retry.faults.push(RetriedFault {
                fault: letter.fault,
                follows: Some(letter.entry),
                letter: Some(*id),
            });
        }
        retries.into_values().collect()
    }

    /// What is to be tried again of a time: what was answered without a result, or everything with `again`. Nothing is
    /// changed.
    pub async fn plan(&self, selection: &Selection) -> Result<Plan> {
        let mut plan = Plan::default();
        let topology = topology::current(&self.connection).await?;
        // The bare stream takes what is appended by hand, whoever it is of.
        for partition in HashSet::from([Partition::Bare, topology.partition_of(&selection.vehicle)]) {
            self.plan_partition(partition, selection, &mut plan).await?;
        }
        plan.retries.sort_by_key(|retry| retry.original);
        Ok(plan)
    }

    async fn plan_partition(
        &self,
        partition: Partition,
        selection: &Selection,
        plan: &mut Plan,
    ) -> Result<()> {
        let stream = partition.stream();
        let messages = self.messages(&stream, selection).await?;
        plan.raw_kept_from_ms = plan.raw_kept_from_ms.max(self.kept_from_ms(&stream).await?);
        let Some(first) = messages.first().map(|(id, _)| *id) else { return Ok(()) };
        plan.messages += messages.len();
        // The order makes it exact: what is behind a cursor that is read now has its result, if it has one, in the
        // results that are read after it.
        let attempts = self.attempts(partition, &messages).await?;
        let mut cursors = HashMap::new();
        for fault in selection.faults.iter() {
            let (_, cursor) = self.ownership.read(Lane { partition, fault }).await?;
            cursors.insert(fault, cursor.parse::<EntryId>().unwrap_or_default());
        }
        let since_ms = first.ms.saturating_sub(CLOCKS_APART_MS);
        let results = self.results(&selection.vehicle, since_ms).await?;
        let kept_from_ms = self.kept_from_ms(keys::RESULTS).await?;
        plan.results_kept_from_ms = kept_from_ms;
        let letters: HashMap<(EntryId, FaultType), EntryId> = self
            .letters
            .list(None)
            .await?
            .into_iter()
            .filter(|(_, letter)| letter.stream == stream)
            .map(|(id, letter)| ((letter.entry, letter.fault), id))
            .collect();
        for ((original, message_id), attempts) in messages.into_iter().zip(attempts) {
            let unknown = kept_from_ms.is_some_and(|from| original.ms < from + CLOCKS_APART_MS);
            let mut faults = Vec::new();
            let mut is_unknown = false;
            for fault in selection.faults.iter() {
                let latest = attempts.get(&fault).copied().unwrap_or(original);
                let answered = results.contains(&(message_id.clone(), fault));
                let letter = letters.get(&(latest, fault)).copied();
                plan.answered += usize::from(answered);
                let follows = (!selection.again).then_some(latest);
                let waiting = cursors.get(&fault).is_none_or(|cursor| latest > *cursor);
                if follows.is_none() {
                    faults.push(RetriedFault { fault, follows, letter });
                } else if !answered && waiting {
                    plan.waiting += 1;
                } else if !answered && unknown && letter.is_none() {
                    is_unknown = true;
                } else if !answered {
                    faults.push(RetriedFault { fault, follows, letter });
                }
            }
            plan.unknown += usize::from(is_unknown);
            if !faults.is_empty() {
                plan.retries.push(Retry {
                    partition,
                    entry: original,
                    original,
                    message_id,
                    attempt: 1,
                    faults,
                });
            }
        }
        Ok(())
    }

    /// The messages of the selection as they were accepted; their replays are found by them.
    async fn messages(&self, stream: &str, selection: &Selection) -> Result<Vec<(EntryId, MessageId)>> {
        let scan = Scan {
            stream,
            from_ms: selection.from_ms,
            to_ms: selection.to_ms,
            having: Some(("vehicle_id", selection.vehicle.as_str())),
            names: &["message_id", "replay"],
        };
        let rows = scan.run(&self.connection).await?;
        Ok(rows
            .into_iter()
            .filter(|(_, values)| values[1].is_empty())
            .map(|(id, values)| {
                let message_id = MessageId::from_wire(&values[0]);
                (id, message_id.unwrap_or_else(|| MessageId::from_entry(stream, id)))
            })
            .collect())
    }

    /// The last attempt per fault type on each message, where there was one after the first.
    async fn attempts(
        &self,
        partition: Partition,
        messages: &[(EntryId, MessageId)],
    ) -> Result<Vec<HashMap<FaultType, EntryId>>> {
        let mut all = Vec::with_capacity(messages.len());
        for chunk in messages.chunks(500) {
            let mut pipeline = redis::pipe();
            for (_, message_id) in chunk {
                pipeline.hgetall(partition.replayed(message_id));
            }
            let rows: Vec<HashMap<String, String>> =
                pipeline.query_async(&mut self.connection.clone()).await?;
            all.extend(rows.into_iter().map(|row| {
                row.into_iter()
                    .filter_map(|(name, id)| Some((name.parse().ok()?, id.parse().ok()?)))
                    .collect()
            }));
        }
        Ok(all)
    }

    /// Message and fault type of the committed results of a vehicle.
    async fn results(&self, vehicle: &VehicleId, since_ms: u64) -> Result<HashSet<(MessageId, FaultType)>> {
        let scan = Scan {
            stream: keys::RESULTS,
            from_ms: since_ms,
            to_ms: u64::MAX,
            having: Some(("vehicle_id", vehicle.as_str())),
            names: &["message_id", "fault_type"],
        };
        let rows = scan.run(&self.connection).await?;
        Ok(rows
            .into_iter()
            .filter_map(|(_, values)| Some((MessageId::from_wire(&values[0])?, values[1].parse().ok()?)))
            .collect())
    }

    /// From when on a stream has all its entries, epoch ms; none when it still has all it ever had.
    async fn kept_from_ms(&self, stream: &str) -> Result<Option<u64>> {
        let mut connection = self.connection.clone();
        let info: redis::RedisResult<HashMap<String, redis::Value>> =
            redis::cmd("XINFO").arg("STREAM").arg(stream).query_async(&mut connection).await;
        let info = match info {
            Ok(info) => info,
            Err(e) if e.to_string().contains("no such key") => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let number = |name: &str| match info.get(name) {
            Some(redis::Value::Int(n)) => *n,
            _ => 0,
        };
        if number("entries-added") <= number("length") {
            return Ok(None);
        }
        let first: StreamRangeReply = redis::cmd("XRANGE")
            .arg(stream)
            .arg("-")
            .arg("+")
            .arg("COUNT")
            .arg(1)
            .query_async(&mut connection)
            .await?;
        let first = first.ids.first().and_then(|e| e.id.parse::<EntryId>().ok());
        let last: EntryId = match info.get("last-generated-id") {
            Some(redis::Value::BulkString(id)) => String::from_utf8_lossy(id).parse().unwrap_or_default(),
            _ => EntryId::ZERO,
        };
        Ok(Some(first.map_or(last.ms + 1, |id| id.ms)))
    }
}

/// Answer of the script.
type Answer = (String, String, u32, Vec<String>, Vec<(String, String)>);
