//! How far the readers are, and trimming what all of them are past.

use redis::Script;
use redis::streams::StreamRangeReply;
use vtox_connection::ConnectionManager;
use vtox_protocol::keys::{Partition, Topology};
use vtox_protocol::{EntryId, FaultType};

use crate::read_only::ReadOnlyScript;
use crate::{Log, Result, StreamError, planted, topology};

/// Progress of one reader of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Durable cursor.
    pub cursor: EntryId,
    /// Entries behind it since the stream began.
    pub read: u64,
    /// Entries after it.
    pub lag: u64,
}

/// Progress on one partition.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionBacklog {
    /// Which.
    pub partition: Partition,
    /// Entries ever appended.
    pub added: u64,
    /// Of each enabled fault type.
    pub by_fault: Vec<(FaultType, Progress)>,
    /// Age of the oldest entry some enabled fault type has not committed, ms; 0 while it is below a second.
    pub oldest_age_ms: u64,
}

/// Progress on all partitions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Backlog {
    /// One for each.
    pub partitions: Vec<PartitionBacklog>,
    /// Redis' clock, epoch ms.
    pub redis_now_ms: u64,
}

impl Backlog {
    /// Entries not committed by the slowest fault type, over all partitions.
    pub fn entries(&self) -> u64 {
        self.partitions.iter().map(|p| p.by_fault.iter().map(|(_, g)| g.lag).max().unwrap_or(0)).sum()
    }

    /// Entries a fault type has not committed.
    pub fn lag_of(&self, fault: FaultType) -> u64 {
        self.partitions
            .iter()
            .flat_map(|p| &p.by_fault)
            .filter(|(f, _)| *f == fault)
            .map(|(_, g)| g.lag)
            .sum()
    }

    /// Entries a fault type has committed since the streams began.
    pub fn read_of(&self, fault: FaultType) -> u64 {
        self.partitions
            .iter()
            .flat_map(|p| &p.by_fault)
            .filter(|(f, _)| *f == fault)
            .map(|(_, g)| g.read)
            .sum()
    }

    /// Age of the oldest unread entry, ms.
    pub fn oldest_age_ms(&self) -> u64 {
        self.partitions.iter().map(|p| p.oldest_age_ms).max().unwrap_or(0)
    }

    /// Entries ever appended, over all partitions.
    pub fn added(&self) -> u64 {
        self.partitions.iter().map(|p| p.added).sum()
    }
}

/// Reads progress and trims.
#[derive(Clone)]
pub struct Janitor {
    connection: ConnectionManager,
    backlog: ReadOnlyScript,
    trim: Script,
}

/// A cursor behind this age gets the exact age of what it has not read.
const CLOSER_LOOK_MS: u64 = 1_000;

impl Janitor {
    /// On a connection that does not block.
    pub fn new(connection: ConnectionManager) -> Self {
        Self {
            connection,
            backlog: ReadOnlyScript::new(include_str!("scripts/backlog.lua")),
            trim: planted::script(include_str!("scripts/trim.lua")),
        }
    }

    /// Epoch ms on Redis' clock.
    pub async fn redis_now_ms(&self) -> Result<u64> {
        let (s, us): (u64, u64) = redis::cmd("TIME").query_async(&mut self.connection.clone()).await?;
        Ok(s * 1_000 + us / 1_000)
    }

    /// Progress of the enabled fault types on all partitions.
    pub async fn backlog(&self, topology: &Topology) -> Result<Backlog> {
        let redis_now_ms = self.redis_now_ms().await?;
        let faults: Vec<FaultType> = topology.enabled.iter().collect();
        let reads = topology.all().map(|partition| {
            let logs: Vec<String> = faults.iter().map(|f| partition.ownership(*f)).collect();
            async move { (partition, self.progress(&partition.stream(), &logs, redis_now_ms).await) }
        });
        let mut partitions = Vec::new();
        for (partition, progress) in futures::future::join_all(reads).await {
            let (added, rows, oldest_ms) = progress?;
            partitions.push(PartitionBacklog {
                partition,
                added,
                by_fault: faults.iter().copied().zip(rows).collect(),
                oldest_age_ms: if oldest_ms == 0 { 0 } else { redis_now_ms.saturating_sub(oldest_ms) },
            });
        }
        Ok(Backlog { partitions, redis_now_ms })
    }

    /// Progress of one log.
    pub async fn progress_of(&self, log: &Log) -> Result<Progress> {
        let now = self.redis_now_ms().await?;
        let (_, mut rows, _) = self.progress(&log.stream, std::slice::from_ref(&log.ownership), now).await?;
        rows.pop().ok_or_else(|| StreamError::Unexpected("no progress".to_owned()))
    }

    async fn progress(
        &self,
        stream: &str,
        ownerships: &[String],
        redis_now_ms: u64,
    ) -> Result<(u64, Vec<Progress>, u64)> {
        let keys: Vec<&str> = std::iter::once(stream).chain(ownerships.iter().map(String::as_str)).collect();
        let closer_look_ms = redis_now_ms.saturating_sub(CLOSER_LOOK_MS);
        let (added, rows, oldest_ms): (u64, Vec<(String, u64, u64)>, u64) =
            self.backlog.run(&self.connection, &keys, closer_look_ms).await?;
        let rows = rows
            .into_iter()
            .map(|(cursor, read, lag)| {
                let cursor =
                    cursor.parse().map_err(|_| StreamError::Unexpected(format!("cursor {cursor:?}")))?;
                Ok(Progress { cursor, read, lag })
            })
            .collect::<Result<_>>()?;
        Ok((added, rows, oldest_ms))
    }

    /// Trims a partition to what some fault type that is enabled now has not committed, or is younger than `keep_ms`
    /// as far as the stream stays below `keep_bytes`. Answers how many entries went.
    pub async fn trim_partition(&self, partition: Partition, keep_bytes: u64, keep_ms: u64) -> Result<u64> {
        let topology = topology::current(&self.connection).await?;
        let readers: Vec<String> = topology.enabled.iter().map(|f| partition.ownership(f)).collect();
        self.trim(&partition.stream(), &readers, keep_bytes, keep_ms).await
    }

    /// Trims a stream to what some reader is not past, or is younger than `keep_ms` as far as the stream stays below
    /// `keep_bytes`.
    pub async fn trim(&self, stream: &str, readers: &[String], keep_bytes: u64, keep_ms: u64) -> Result<u64> {
        let now_ms = self.redis_now_ms().await?;
        let used: Option<u64> =
            redis::cmd("MEMORY").arg("USAGE").arg(stream).query_async(&mut self.connection.clone()).await?;
        let used = used.unwrap_or(0);
        let mut keep_from_ms = now_ms.saturating_sub(keep_ms);
        if used > keep_bytes {
            // Entries come about evenly, so the share of the time is the share of the bytes.
            let oldest: StreamRangeReply = redis::cmd("XRANGE")
                .arg(stream)
                .arg("-")
                .arg("+")
                .arg("COUNT")
                .arg(1)
                .query_async(&mut self.connection.clone())
                .await?;
            let oldest =
                oldest.ids.first().and_then(|e| e.id.parse::<EntryId>().ok()).map_or(now_ms, |id| id.ms);
            let span_ms = now_ms.saturating_sub(oldest) as f64;
            let share = keep_bytes as f64 / used as f64;
            keep_from_ms = keep_from_ms.max(now_ms.saturating_sub((span_ms * share) as u64));
        }
        let mut call = self.trim.prepare_invoke();
        call.key(stream);
        for reader in readers {
            call.key(reader);
        }
        call.arg(keep_from_ms);
        Ok(call.invoke_async(&mut self.connection.clone()).await?)
    }
}
