//! What each sentinel says of the primary.

use std::collections::HashMap;

use redis::{Client, ErrorKind, RedisResult};

use super::{Address, config};

/// What a sentinel says.
#[derive(Debug, Clone)]
pub struct Sentinel {
    /// Host and port of the sentinel.
    pub address: (String, u16),
    /// Its view, or why it does not answer.
    pub view: RedisResult<View>,
}

/// A sentinel's view of the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Host and port of the primary.
    pub primary: (String, u16),
    /// Sentinels it knows, itself included.
    pub sentinels: u32,
    /// Replicas it knows.
    pub replicas: u32,
    /// Sentinels that must take the primary for dead before one of them may promote a replica.
    pub quorum: u32,
    /// Silence after which it takes the primary for dead, ms.
    pub down_after_ms: u64,
    /// Why a failover could not be agreed on now; none when it could.
    pub no_quorum: Option<String>,
}

impl View {
    pub(super) async fn ask(client: &Client, name: &str) -> RedisResult<Self> {
        let mut connection = client.get_multiplexed_async_connection_with_config(&config()).await?;
        let (primary, about): (Option<Address>, HashMap<String, String>) = redis::pipe()
            .cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(name)
            .cmd("SENTINEL")
            .arg("MASTER")
            .arg(name)
            .query_async(&mut connection)
            .await?;
        let quorum: RedisResult<String> =
            redis::cmd("SENTINEL").arg("CKQUORUM").arg(name).query_async(&mut connection).await;
        let number = |field: &str| about.get(field).and_then(|n| n.parse().ok()).unwrap_or(0);
        Ok(Self {
            primary: primary.ok_or((ErrorKind::MasterNameNotFoundBySentinel, "no primary of that name"))?,
            sentinels: 1 + number("num-other-sentinels"),
            replicas: number("num-slaves"),
            quorum: number("quorum"),
            down_after_ms: u64::from(number("down-after-milliseconds")),
            no_quorum: quorum.err().map(|e| e.detail().map_or_else(|| e.to_string(), str::to_owned)),
        })
    }
}
