//! Agreement on partitions and enabled fault types.

use redis::aio::ConnectionManager;
use vtox_protocol::keys::{self, Topology};

use crate::{Result, StreamError};

/// The topology in force: what is in Redis, else `wanted`, which then is in force for all.
pub async fn agree(connection: &ConnectionManager, wanted: &Topology) -> Result<Topology> {
    let text = serde_json::to_string(wanted).map_err(|e| StreamError::Unexpected(e.to_string()))?;
    let _: Option<String> = redis::cmd("SET")
        .arg(keys::TOPOLOGY)
        .arg(text)
        .arg("NX")
        .query_async(&mut connection.clone())
        .await?;
    load(connection).await?.ok_or_else(|| StreamError::Unexpected("the topology vanished".to_owned()))
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
