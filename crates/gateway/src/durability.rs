//! Whether Redis can keep what a 200 promises. What cannot be known is not promised.

use vtox_streams::{Durability, Replication, Result};

use crate::api::Api;

/// Why Redis cannot keep the promise of the configured durability; `limit` is its maxmemory in bytes (0: none) and `policy`
/// what it does beyond.
pub async fn broken(api: &Api, limit: u64, policy: &str) -> Result<Option<String>> {
    if limit > 0 && policy != "noeviction" {
        // volatile-* forgets the ids of messages, allkeys-* the messages.
        return Ok(Some(format!(
            "maxmemory-policy of Redis is {policy}: it would throw away what was accepted; set it to noeviction"
        )));
    }
    let durability = api.service.settings.redis.durability;
    if !api.views.append_only().await? {
        return Ok(Some("Redis keeps nothing on disk; set appendonly yes".to_owned()));
    }
    match durability {
        Durability::Everysec => Ok(None),
        Durability::Always => not_on_disk(api).await,
        Durability::Replicated => not_replicated(api).await,
    }
}

async fn not_on_disk(api: &Api) -> Result<Option<String>> {
    Ok(match api.views.config("appendfsync").await?.as_deref() {
        Some("always") => None,
        Some(_) => Some("redis.durability is always, but Redis is not; set appendfsync always".to_owned()),
        None => Some(
            "redis.durability is always, but this user may not ask whether Redis is; allow it +config|get"
                .to_owned(),
        ),
    })
}

async fn not_replicated(api: &Api) -> Result<Option<String>> {
    let wanted = api.service.settings.redis.replicas;
    let Replication { primary, connected, following } = Replication::read(&api.service.redis.control).await?;
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
