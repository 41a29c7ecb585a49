//! Who owns what: tokens on the ownership keys, fenced by the leader's term.

use redis::Script;
use vtox_connection::ConnectionManager;
use vtox_protocol::FaultType;
use vtox_protocol::keys::{self, Partition, Topology};

use crate::{Log, Result, StreamError};

/// What is owned: one fault type of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct Lane {
    /// Partition.
    pub partition: Partition,
    /// Fault type.
    pub fault: FaultType,
}

impl Lane {
    /// All lanes of a topology, partition by partition.
    pub fn all(topology: &Topology) -> Vec<Self> {
        let of = |partition| topology.enabled.iter().map(move |fault| Self { partition, fault });
        topology.all().flat_map(of).collect()
    }

    fn key(self) -> String {
        self.partition.ownership(self.fault)
    }
}

impl std::fmt::Display for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.fault, self.partition)
    }
}

/// An ownership key as the leader finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnershipRow {
    /// Token of the owner; empty when nobody owns it.
    pub owner: String,
    /// Durable cursor.
    pub cursor: String,
    /// Entries behind the cursor since the stream began.
    pub read: u64,
    /// The last owner died holding it and nothing was committed since.
    pub suspect: bool,
}

/// Answer to a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    /// Done; whether what was in flight is suspect.
    Done {
        /// See [`OwnershipRow::suspect`].
        suspect: bool,
    },
    /// Somebody else than expected owns it: the token found.
    Held(String),
    /// A later leader has stamped the key.
    Stale(String),
}

/// Changes ownership keys.
#[derive(Clone)]
pub struct Ownership {
    connection: ConnectionManager,
    stamp: Script,
    grant: Script,
    release: Script,
    attempt: Script,
    survived: Script,
}

/// Keys stamped in one call: bounds how long Redis is busy with it.
const STAMP_CHUNK: usize = 128;

impl Ownership {
    /// On a connection that does not block.
    pub fn new(connection: ConnectionManager) -> Self {
        Self {
            connection,
            stamp: Script::new(include_str!("scripts/stamp.lua")),
            grant: Script::new(include_str!("scripts/grant.lua")),
            release: Script::new(include_str!("scripts/release.lua")),
            attempt: Script::new(include_str!("scripts/attempt.lua")),
            survived: Script::new(include_str!("scripts/survived.lua")),
        }
    }

    /// Stamps `stamp` (`term:coordinator`) on the keys of all lanes and reads them. `Err(Ok(stamp))`
    /// names the later leader that was there first.
    pub async fn stamp(
        &self,
        stamp: &str,
        lanes: &[Lane],
    ) -> Result<std::result::Result<Vec<OwnershipRow>, String>> {
        let mut rows = Vec::with_capacity(lanes.len());
        // One call never spans two slot tags.
        for chunk in
            lanes.chunk_by(|a, b| same_slot(a.partition, b.partition)).flat_map(|c| c.chunks(STAMP_CHUNK))
        {
            let mut call = self.stamp.prepare_invoke();
            for lane in chunk {
                call.key(lane.key());
            }
            call.arg(stamp);
            for lane in chunk {
                call.key(lane.partition.stream()).arg(keys::diagnosis_group(lane.fault));
            }
            let (verdict, body): (String, redis::Value) =
                call.invoke_async(&mut self.connection.clone()).await?;
            if verdict == "stale" {
                let later: String =
                    redis::from_redis_value(body).map_err(|e| StreamError::Unexpected(e.to_string()))?;
                return Ok(Err(later));
            }
            let part: Vec<(String, String, u64, u8)> =
                redis::from_redis_value(body).map_err(|e| StreamError::Unexpected(e.to_string()))?;
            rows.extend(part.into_iter().map(|(owner, cursor, read, suspect)| OwnershipRow {
                owner,
                cursor,
                read,
                suspect: suspect == 1,
            }));
        }
        Ok(Ok(rows))
    }

    /// Gives a lane to `token`. `expected` is the token that must own it now (empty: nobody; none:
    /// whoever). `owner_died` marks what was in flight as suspect.
    pub async fn grant(
        &self,
        stamp: &str,
        lane: Lane,
        expected: Option<&str>,
        token: &str,
        owner_died: bool,
    ) -> Result<Granted> {
        let mut call = self.grant.prepare_invoke();
        call.key(lane.key()).arg(stamp).arg(expected.unwrap_or("*")).arg(token).arg(u8::from(owner_died));
        let (verdict, detail): (String, String) = call.invoke_async(&mut self.connection.clone()).await?;
        match verdict.as_str() {
            "ok" => Ok(Granted::Done { suspect: detail == "1" }),
            "held" => Ok(Granted::Held(detail)),
            "stale" => Ok(Granted::Stale(detail)),
            other => Err(StreamError::Unexpected(other.to_owned())),
        }
    }

    /// Takes a log that is not divided into lanes, such as aggregation, for `token`: whoever holds the lease for it is the
    /// one that may. False when a later holder has stamped it.
    pub async fn take_log(&self, log: &Log, stamp: &str, token: &str) -> Result<bool> {
        let mut call = self.stamp.prepare_invoke();
        call.key(&log.ownership).arg(stamp).key(&log.stream).arg(&log.group);
        let (verdict, _): (String, redis::Value) = call.invoke_async(&mut self.connection.clone()).await?;
        if verdict == "stale" {
            return Ok(false);
        }
        let mut call = self.grant.prepare_invoke();
        call.key(&log.ownership).arg(stamp).arg("*").arg(token).arg(0);
        let (verdict, _): (String, String) = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(verdict == "ok")
    }

    /// The token that owns a log and its cursor.
    pub async fn read_log(&self, log: &Log) -> Result<(String, String)> {
        self.read_key(&log.ownership).await
    }

    /// Gives a lane back; false when it was no longer ours.
    pub async fn release(&self, lane: Lane, token: &str) -> Result<bool> {
        let mut call = self.release.prepare_invoke();
        call.key(lane.key()).arg(token);
        let released: u8 = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(released == 1)
    }

    /// Counts that the suspect `entry` is about to be tried alone; none when the lane is no longer ours.
    pub async fn attempt(
        &self,
        lane: Lane,
        token: &str,
        entry: vtox_protocol::EntryId,
    ) -> Result<Option<u32>> {
        let mut call = self.attempt.prepare_invoke();
        call.key(lane.key()).arg(token).arg(entry.to_string());
        let attempts: i64 = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(u32::try_from(attempts).ok())
    }

    /// Takes the attempts on the suspect `entry` back: it was diagnosed, so it ended nobody. Whatever ends the owner before
    /// its commit is not the entry's fault.
    pub async fn survived(&self, lane: Lane, token: &str, entry: vtox_protocol::EntryId) -> Result<()> {
        let mut call = self.survived.prepare_invoke();
        call.key(lane.key()).arg(token).arg(entry.to_string());
        let _: i64 = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(())
    }

    /// The token that owns a lane and its cursor.
    pub async fn read(&self, lane: Lane) -> Result<(String, String)> {
        self.read_key(&lane.key()).await
    }

    async fn read_key(&self, key: &str) -> Result<(String, String)> {
        let row: (Option<String>, Option<String>) = redis::cmd("HMGET")
            .arg(key)
            .arg(&["owner", "cursor"])
            .query_async(&mut self.connection.clone())
            .await?;
        Ok((row.0.unwrap_or_default(), row.1.unwrap_or_else(|| "0-0".to_owned())))
    }

    /// The tokens that own the lanes now.
    pub async fn owners(&self, lanes: &[Lane]) -> Result<Vec<String>> {
        let mut pipeline = redis::pipe();
        for lane in lanes {
            pipeline.hget(lane.key(), "owner");
        }
        let owners: Vec<Option<String>> = pipeline.query_async(&mut self.connection.clone()).await?;
        Ok(owners.into_iter().map(Option::unwrap_or_default).collect())
    }
}

fn same_slot(a: Partition, b: Partition) -> bool {
    a.tag() == b.tag()
}
