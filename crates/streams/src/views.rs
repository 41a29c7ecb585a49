//! What queries read: results, health, alerts, history; and notes that may be lost.

use std::collections::{BTreeMap, HashMap};

use redis::streams::{StreamId, StreamRangeReply};
use vtox_connection::ConnectionManager;
use vtox_protocol::{EntryId, VehicleId, keys};

use crate::{Entry, Result};

/// Reads of what others wrote.
#[derive(Clone)]
pub struct Views {
    connection: ConnectionManager,
}

impl Views {
    /// On a connection that does not block.
    pub fn new(connection: ConnectionManager) -> Self {
        Self { connection }
    }

    /// Health of a vehicle, JSON.
    pub async fn health(&self, vehicle: &VehicleId) -> Result<Option<String>> {
        Ok(redis::cmd("HGET")
            .arg(keys::VEHICLE_HEALTH)
            .arg(vehicle.as_str())
            .query_async(&mut self.connection.clone())
            .await?)
    }

    /// Health of several vehicles in their order, JSON.
    pub async fn healths(&self, vehicles: &[VehicleId]) -> Result<Vec<Option<String>>> {
        if vehicles.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("HMGET");
        command.arg(keys::VEHICLE_HEALTH);
        for vehicle in vehicles {
            command.arg(vehicle.as_str());
        }
        Ok(command.query_async(&mut self.connection.clone()).await?)
    }

    /// The newest entries of a stream since `since_ms`, newest first.
    pub async fn newest(&self, stream: &str, since_ms: u64, count: usize) -> Result<Vec<Entry>> {
        let reply: StreamRangeReply = redis::cmd("XREVRANGE")
            .arg(stream)
            .arg("+")
            .arg(since_ms)
            .arg("COUNT")
            .arg(count)
            .query_async(&mut self.connection.clone())
            .await?;
        reply.ids.into_iter().map(|id: StreamId| Entry::from_redis(id)).collect()
    }

    /// Entries of a stream behind `after` up to `until_ms`, oldest first.
    pub async fn range(
        &self,
        stream: &str,
        after: EntryId,
        until_ms: u64,
        count: usize,
    ) -> Result<Vec<Entry>> {
        let reply: StreamRangeReply = redis::cmd("XRANGE")
            .arg(stream)
            .arg(format!("({after}"))
            .arg(until_ms)
            .arg("COUNT")
            .arg(count)
            .query_async(&mut self.connection.clone())
            .await?;
        reply.ids.into_iter().map(|id: StreamId| Entry::from_redis(id)).collect()
    }

    /// Overall status of every vehicle.
    pub async fn statuses(&self) -> Result<BTreeMap<String, String>> {
        Ok(redis::cmd("HGETALL").arg(keys::VEHICLE_STATUS).query_async(&mut self.connection.clone()).await?)
    }

    /// The last results of a vehicle since `since_ms`, newest first.
    pub async fn history(&self, vehicle: &VehicleId, since_ms: u64, count: usize) -> Result<Vec<Entry>> {
        self.newest(&keys::history(vehicle), since_ms, count).await
    }

    /// Entries ever appended to a stream; 0 when there is none.
    pub async fn entries_added(&self, stream: &str) -> Result<u64> {
        let info: redis::RedisResult<HashMap<String, redis::Value>> =
            redis::cmd("XINFO").arg("STREAM").arg(stream).query_async(&mut self.connection.clone()).await;
        match info {
            Ok(info) => Ok(match info.get("entries-added") {
                Some(redis::Value::Int(n)) => u64::try_from(*n).unwrap_or(0),
                _ => 0,
            }),
            Err(e) if e.to_string().contains("no such key") => Ok(0),
            Err(e) => Err(e.into()),
        }
    }

    /// A setting of Redis; none where it is not shown to us.
    pub async fn config(&self, name: &str) -> Result<Option<String>> {
        let answer: redis::RedisResult<Vec<String>> =
            redis::cmd("CONFIG").arg("GET").arg(name).query_async(&mut self.connection.clone()).await;
        match answer {
            Ok(pair) => Ok(pair.into_iter().nth(1)),
            Err(e) if e.code() == Some("NOPERM") => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Leaves what the monitor saw, for a while.
    pub async fn leave_monitor(&self, json: &str, for_ms: u64) -> Result<()> {
        let () = redis::cmd("SET")
            .arg(keys::MONITOR)
            .arg(json)
            .arg("PX")
            .arg(for_ms)
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(())
    }

    /// What the monitor last saw, JSON.
    pub async fn monitor(&self) -> Result<Option<String>> {
        Ok(redis::cmd("GET").arg(keys::MONITOR).query_async(&mut self.connection.clone()).await?)
    }

    /// Memory of Redis.
    pub async fn memory(&self) -> Result<Memory> {
        let info = self.info("memory").await?;
        let number = |name| field(&info, name).and_then(|text| text.parse().ok()).unwrap_or(0);
        let policy = field(&info, "maxmemory_policy").unwrap_or_default().to_owned();
        let (used, limit) = (number("used_memory"), number("maxmemory"));
        Ok(Memory { used, limit, machine: number("total_system_memory"), policy })
    }

    /// Whether Redis writes what it is told to an append-only file.
    pub async fn append_only(&self) -> Result<bool> {
        Ok(field(&self.info("persistence").await?, "aof_enabled") == Some("1"))
    }

    async fn info(&self, section: &str) -> Result<String> {
        Ok(redis::cmd("INFO").arg(section).query_async(&mut self.connection.clone()).await?)
    }
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Memory of Redis, bytes.
#[derive(Debug, Clone)]
pub struct Memory {
    /// In use.
    pub used: u64,
    /// What it may use; 0: no limit.
    pub limit: u64,
    /// What its machine has.
    pub machine: u64,
    /// What it does beyond.
    pub policy: String,
}

/// Appends to a stream that keeps about the last `maxlen` entries: for what informs and may be lost.
pub async fn note(
    connection: &ConnectionManager,
    stream: &str,
    maxlen: usize,
    fields: &[(&str, String)],
) -> Result<()> {
    let mut command = redis::cmd("XADD");
    command.arg(stream).arg("MAXLEN").arg("~").arg(maxlen).arg("*");
    for (name, value) in fields {
        command.arg(name).arg(value);
    }
    let _: String = command.query_async(&mut connection.clone()).await?;
    Ok(())
}
