//! What operators set for the routing of tasks, kept over restarts.

use serde::Serialize;
use serde::de::DeserializeOwned;
use vtox_connection::ConnectionManager;
use vtox_protocol::keys::ROUTING;

use crate::services::to_json;
use crate::{RegistryError, Result};

/// The key with the routing.
#[derive(Clone)]
pub struct RoutingStore(ConnectionManager);

impl RoutingStore {
    /// On a connection that does not block.
    pub fn new(connection: ConnectionManager) -> Self {
        Self(connection)
    }

    /// What was set last; none when nothing ever was.
    pub async fn read<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let text: Option<String> = redis::cmd("GET").arg(ROUTING).query_async(&mut self.0.clone()).await?;
        text.map(|t| {
            serde_json::from_str(&t).map_err(|e| RegistryError::Unreadable(format!("{ROUTING}: {e}")))
        })
        .transpose()
    }

    /// Sets it.
    pub async fn write<T: Serialize>(&self, routing: &T) -> Result<()> {
        Ok(redis::cmd("SET").arg(ROUTING).arg(to_json(routing)?).query_async(&mut self.0.clone()).await?)
    }
}
