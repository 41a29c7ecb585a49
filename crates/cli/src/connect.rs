//! The Redis of the cluster, for commands that look into it.

use std::time::Duration;

use anyhow::{Context, anyhow};
use vtox_connection::ConnectionManager;
use vtox_service_kit::config::Settings;

/// A command that takes longer is given up.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Connects to `url`, or to the Redis of the settings.
///
/// # Errors
/// When it does not answer.
pub async fn connect(url: Option<&str>, settings: &Settings) -> anyhow::Result<ConnectionManager> {
    let endpoint = settings.redis.endpoint(url)?;
    let connection = endpoint.manager(TIMEOUT);
    let answer: redis::RedisResult<String> = redis::cmd("PING").query_async(&mut connection.clone()).await;
    answer
        .map_err(|error| anyhow!(endpoint.explain(&error)))
        .context("Redis does not answer; give --redis URL (`vtox up` prints it)")?;
    Ok(connection)
}
