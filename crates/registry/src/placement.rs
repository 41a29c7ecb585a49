//! The placement as the coordinator writes it and workers read it.

use std::collections::BTreeMap;

use futures::StreamExt;
use redis::Script;
use tokio::sync::Notify;
use vtox_connection::{ConnectionManager, Endpoint};
use vtox_protocol::Assignment;
use vtox_protocol::keys::{ASSIGNMENTS, PLACEMENT_CHANNEL};

use crate::services::to_json;
use crate::{RegistryError, Result};

/// The hash of assignments, and the channel that says it changed.
#[derive(Clone)]
pub struct Placement {
    connection: ConnectionManager,
    assign: Script,
}

impl Placement {
    /// On a connection that does not block.
    pub fn new(connection: ConnectionManager) -> Self {
        Self { connection, assign: Script::new(include_str!("scripts/assign.lua")) }
    }

    /// Writes the assignments that changed and tells everybody.
    pub async fn write<'a>(
        &self,
        changed: impl IntoIterator<Item = (&'a str, &'a Assignment)>,
        gone: impl IntoIterator<Item = &'a str>,
    ) -> Result<()> {
        let changed: Vec<(&str, &Assignment)> = changed.into_iter().collect();
        let mut call = self.assign.prepare_invoke();
        call.key(ASSIGNMENTS).arg(changed.len());
        for (worker, assignment) in changed {
            call.arg(worker).arg(to_json(assignment)?);
        }
        for worker in gone {
            call.arg(worker);
        }
        let _: u8 = call.invoke_async(&mut self.connection.clone()).await?;
        self.notify("assigned").await
    }

    /// The assignment of a worker.
    pub async fn of(&self, worker: &str) -> Result<Option<Assignment>> {
        let text: Option<String> =
            redis::cmd("HGET").arg(ASSIGNMENTS).arg(worker).query_async(&mut self.connection.clone()).await?;
        text.map(|t| serde_json::from_str(&t).map_err(|e| RegistryError::Unreadable(e.to_string())))
            .transpose()
    }

    /// All assignments.
    pub async fn all(&self) -> Result<BTreeMap<String, Assignment>> {
        let hash: BTreeMap<String, String> =
            redis::cmd("HGETALL").arg(ASSIGNMENTS).query_async(&mut self.connection.clone()).await?;
        Ok(hash.into_iter().filter_map(|(id, json)| Some((id, serde_json::from_str(&json).ok()?))).collect())
    }

    /// Tells everybody that something about the placement changed.
    pub async fn notify(&self, what: &str) -> Result<()> {
        let _: i64 = redis::cmd("PUBLISH")
            .arg(PLACEMENT_CHANNEL)
            .arg(what)
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(())
    }
}

/// Wakes `changed` whenever the placement changes. Never ends; a message that is missed while the connection is
/// down is made up for by whoever also looks from time to time.
pub async fn watch_placement(redis: impl Into<Endpoint>, changed: &Notify) {
    let redis = redis.into();
    loop {
        match redis.pubsub(PLACEMENT_CHANNEL).await {
            Ok((mut pubsub, moved)) => {
                if pubsub.subscribe(PLACEMENT_CHANNEL).await.is_ok() {
                    changed.notify_one();
                    let mut messages = pubsub.on_message().take_until(Box::pin(moved));
                    while messages.next().await.is_some() {
                        changed.notify_one();
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "no connection to watch the placement"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
