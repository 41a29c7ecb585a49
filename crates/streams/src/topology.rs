//! Agreement on partitions and enabled fault types.
//!
//! Partitions and slot tags are fixed when the cluster first starts. The enabled fault types may change while it runs: whoever decides by
//! them reads them again each time.

use std::time::Duration;

use redis::Script;
use vtox_connection::ConnectionManager;
use vtox_protocol::FaultType;
use vtox_protocol::keys::{self, Topology};

use crate::{Result, StreamError};

/// Wait between two tries of a service that starts.
const RETRY: Duration = Duration::from_millis(200);

/// As [`agree`], for a service that starts: it waits as long as Redis refuses, such as a primary that waits for its replicas,
/// and says so once a while.
///
/// # Errors
/// When the topology is one that cannot be used.
pub async fn agree_at_start(connection: &ConnectionManager, wanted: &Topology) -> Result<Topology> {
    let mut tries = 0_u32;
    loop {
        match agree(connection, wanted).await {
            Err(error @ (StreamError::Refused(_) | StreamError::Unknown(_))) => {
                if tries.is_multiple_of(25) {
                    tracing::warn!(%error, "there is no topology yet; trying again");
                }
            }
            settled => return settled,
        }
        tries += 1;
        tokio::time::sleep(RETRY).await;
    }
}

/// The topology in force: what is in Redis, else `wanted`, which then is in force for all.
pub async fn agree(connection: &ConnectionManager, wanted: &Topology) -> Result<Topology> {
    // Read first: a full Redis refuses every SETNX, and must not keep out the workers that would drain it.
    if let Some(topology) = load(connection).await? {
        return fitting(connection, topology);
    }
    let text = serde_json::to_string(wanted).map_err(|e| StreamError::Unexpected(e.to_string()))?;
    // Not SET with NX: services may create a topology, and only operators may SET another.
    let _: u8 =
        redis::cmd("SETNX").arg(keys::TOPOLOGY).arg(text).query_async(&mut connection.clone()).await?;
    let topology =
        load(connection).await?.ok_or_else(|| StreamError::Unexpected("the topology vanished".to_owned()))?;
    fitting(connection, topology)
}

/// A Cluster needs results under the tags of their partitions: commits must name keys of one slot only.
fn fitting(connection: &ConnectionManager, topology: Topology) -> Result<Topology> {
    if connection.is_cluster() && !topology.forwards() {
        return Err(StreamError::Unexpected(format!(
            "{} has one slot tag, as for a single server; under Redis Cluster set cluster.slot_tags to 0 or at least 2 \
             and begin with empty nodes",
            keys::TOPOLOGY
        )));
    }
    Ok(topology)
}

/// The topology in force, if there is one yet.
pub async fn load(connection: &ConnectionManager) -> Result<Option<Topology>> {
    let text: Option<String> =
        redis::cmd("GET").arg(keys::TOPOLOGY).query_async(&mut connection.clone()).await?;
    text.map(|t| {
        serde_json::from_str(&t).map_err(|e| {
            StreamError::Unexpected(format!(
                "{} is not a topology ({e}); repair or delete it",
                keys::TOPOLOGY
            ))
        })
    })
    .transpose()
}

/// The topology in force, where a cluster is known to have one.
pub async fn current(connection: &ConnectionManager) -> Result<Topology> {
    load(connection).await?.ok_or_else(|| StreamError::Refused("there is no topology yet".to_owned()))
}

/// Enables or disables a fault type from the entries that are appended next: the last entry of each partition is
/// recorded as the one at which it changed. Answers the topology now in force.
pub async fn set_enabled(
    connection: &ConnectionManager,
    fault: FaultType,
    enabled: bool,
) -> Result<Topology> {
    let mut topology = current(connection).await?;
    if topology.enabled.contains(fault) == enabled {
        return Ok(topology);
    }
    topology.enabled = if enabled { topology.enabled.with(fault) } else { topology.enabled.without(fault) };
    let record = Script::new(include_str!("scripts/enable.lua"));
    let record_all = async || -> Result<()> {
        for partition in topology.all() {
            let mut call = record.prepare_invoke();
            call.key(partition.stream()).key(partition.ownership(fault)).arg(u8::from(enabled));
            let _: String = call.invoke_async(&mut connection.clone()).await?;
        }
        Ok(())
    };
    // A cursor must be there before anybody counts on it, and must stay while somebody may.
    if enabled {
        record_all().await?;
    }
    let text = serde_json::to_string(&topology).map_err(|e| StreamError::Unexpected(e.to_string()))?;
    let () = redis::cmd("SET").arg(keys::TOPOLOGY).arg(text).query_async(&mut connection.clone()).await?;
    if !enabled {
        record_all().await?;
    }
    Ok(topology)
}
