//! Which messages of a time are to be tried again.

use std::collections::{HashMap, HashSet};

use redis::streams::StreamRangeReply;
use vtox_protocol::keys::{self, Partition};
use vtox_protocol::{EntryId, FaultSet, FaultType, MessageId, VehicleId};

use super::{Replays, RetriedFault, Retry};
use crate::scan::Scan;
use crate::{DeadLetters, Lane, Ownership, Result, topology};

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

impl Replays {
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
        let (ownership, letters) =
            (Ownership::new(self.connection.clone()), DeadLetters::new(self.connection.clone()));
        let mut cursors = HashMap::new();
        for fault in selection.faults.iter() {
            let (_, cursor) = ownership.read(Lane { partition, fault }).await?;
            cursors.insert(fault, cursor.parse::<EntryId>().unwrap_or_default());
        }
        let since_ms = first.ms.saturating_sub(CLOCKS_APART_MS);
        let results = self.results(&selection.vehicle, since_ms).await?;
        let kept_from_ms = self.kept_from_ms(keys::RESULTS).await?;
        plan.results_kept_from_ms = kept_from_ms;
        let letters: HashMap<(EntryId, FaultType), EntryId> = letters
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
