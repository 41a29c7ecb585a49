//! Connections to Redis.

use std::time::Duration;

use anyhow::Context;
use vtox_connection::{ConnectionManager, Endpoint};

use crate::config::Redis;

/// A control command that takes longer is given up.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(2);
/// A command that carries signals or results and takes longer has an unknown outcome.
const DATA_TIMEOUT: Duration = Duration::from_secs(5);

/// The connections of a service. Control and data do not share one, so that a large write never delays a heartbeat.
#[derive(Clone)]
pub struct Connections {
    /// For connections of their own, such as blocking reads.
    pub client: Endpoint,
    /// Heartbeats, leases, ownership, queries.
    pub control: ConnectionManager,
    /// Commits and appends.
    pub data: ConnectionManager,
}

impl Connections {
    /// Connects lazily, so that a service starts before its Redis does.
    pub fn open(settings: &Redis) -> anyhow::Result<Self> {
        let client = settings.endpoint(None).context(
            "redis.url must be redis://HOST:PORT, or redis+sentinel://HOST:PORT,HOST:PORT,.../NAME under Sentinel, or \
             redis+cluster://HOST:PORT,HOST:PORT,... of a Redis Cluster, or the same with rediss for TLS",
        )?;
        Ok(Self { control: client.manager(CONTROL_TIMEOUT), data: client.manager(DATA_TIMEOUT), client })
    }

    /// Waits until Redis answers; says once a while that it does not.
    pub async fn wait(&self) {
        let mut tries = 0_u32;
        loop {
            let answer: redis::RedisResult<String> =
                redis::cmd("PING").query_async(&mut self.control.clone()).await;
            match answer {
                Ok(_) => return,
                Err(error) if tries.is_multiple_of(25) => {
                    tracing::warn!(error = self.client.explain(&error), "waiting for Redis");
                }
                Err(_) => {}
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
