//! Whether Redis can keep what a 200 promises. What cannot be known is not promised.

use vtox_connection::ConnectionManager;
use vtox_service_kit::config::Redis;
use vtox_streams::views::{Memory, Views};
use vtox_streams::{Durability, Replication, Result};

/// Why a Redis, of a Cluster one of its nodes, cannot keep the promise of the configured durability.
pub async fn broken(
    redis: &ConnectionManager,
    settings: &Redis,
    Memory { limit, policy, .. }: &Memory,
) -> Result<Option<String>> {
    let views = Views::new(redis.clone());
    if *limit > 0 && policy != "noeviction" {
        // volatile-* forgets the ids of messages, allkeys-* the messages.
        return Ok(Some(format!(
            "maxmemory-policy of Redis is {policy}: it would throw away what was accepted; set it to noeviction"
        )));
    }
    if !views.append_only().await? {
        return Ok(Some("Redis keeps nothing on disk; set appendonly yes".to_owned()));
    }
    match settings.durability {
        Durability::Everysec => Ok(None),
        Durability::Always => not_on_disk(&views).await,
        Durability::Replicated => not_replicated(redis, settings.replicas).await,
    }
}

async fn not_on_disk(views: &Views) -> Result<Option<String>> {
    Ok(match views.config("appendfsync").await?.as_deref() {
        Some("always") => None,
        Some(_) => Some("redis.durability is always, but Redis is not; set appendfsync always".to_owned()),
        None => Some(
            "redis.durability is always, but this user may not ask whether Redis is; allow it +config|get"
                .to_owned(),
        ),
    })
}

async fn not_replicated(redis: &ConnectionManager, wanted: u32) -> Result<Option<String>> {
    let Replication { primary, connected, following } = Replication::read(redis).await?;
    Ok(if !primary {
        Some("this Redis is a replica; name the primary, or its sentinels, in redis.url".to_owned())
    } else if following < wanted {
        Some(format!(
            "redis.durability is replicated, but {following} of {wanted} replicas follow; start them"
        ))
    } else if connected > wanted {
        Some(format!(
            "{connected} replicas are connected, but {wanted} are waited for, so a failover may promote one that \
             lacks what was accepted; set redis.replicas to {connected}"
        ))
    } else {
        None
    })
}
