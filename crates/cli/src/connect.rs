//! The Redis of the cluster, for commands that look into it.

use std::time::Duration;

use anyhow::Context;
use vtox_connection::{ConnectionManager, Endpoint};
use vtox_service_kit::config::Settings;
use vtox_streams::Janitor;

/// A command that takes longer is given up.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Connects to `url`, or to the Redis of the settings.
///
/// # Errors
/// When it does not answer.
pub async fn connect(url: Option<&str>, settings: &Settings) -> anyhow::Result<ConnectionManager> {
    let connection = Endpoint::open(url.unwrap_or_else(|| settings.redis.url()))?.manager(TIMEOUT);
    let answer = Janitor::new(connection.clone()).redis_now_ms().await;
    answer.context("Redis does not answer; give --redis URL (`vtox up` prints it)")?;
    Ok(connection)
}
