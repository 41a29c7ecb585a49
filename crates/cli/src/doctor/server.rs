//! One Redis server: who we are to it, what it keeps, who follows it.

use vtox_connection::{ConnectionManager, Endpoint};
use vtox_service_kit::config::{Mode, Settings};
use vtox_streams::{Durability, Replication, views::Views};

use super::Findings;

/// Who we are to Redis, and whether others can listen.
pub async fn access(
    endpoint: &Endpoint,
    connection: &ConnectionManager,
    settings: &Settings,
    findings: &mut Findings,
) {
    let user: redis::RedisResult<String> =
        redis::cmd("ACL").arg("WHOAMI").query_async(&mut connection.clone()).await;
    let user = user.unwrap_or_else(|_| "a user that may not ask its name".to_owned());
    let encrypted = if endpoint.is_encrypted() { "encrypted (TLS)" } else { "not encrypted" };
    let text = format!("connected to Redis as {user}, {encrypted}");
    if user == "default" && settings.mode == Mode::Production {
        findings.warning(
            format!("{text}: whoever reaches Redis may do everything"),
            "give each service a user of its own: deploy/redis/make-users.sh, docs/security.md",
        );
    } else {
        findings.ok(text);
    }
}

/// Whether it keeps what it is told as `redis.durability` promises.
pub async fn keeps(views: &Views, settings: &Settings, findings: &mut Findings) {
    let of = async |name: &str| views.config(name).await.ok().flatten();
    let (append_only, fsync) = (of("appendonly").await, of("appendfsync").await);
    let promised = settings.redis.durability;
    match (append_only.as_deref(), fsync.as_deref()) {
        (Some("yes"), Some("always")) => findings.ok("every message is on disk before it is accepted"),
        (Some("yes"), _) if promised == Durability::Always => {
            findings
                .error("redis.durability is always, but appendfsync is not", "CONFIG SET appendfsync always");
        }
        (Some("yes"), _) if promised == Durability::Replicated => findings.warning(
            "a primary that is killed and started again before Sentinel promotes a replica may lose the last 2 s",
            "CONFIG SET appendfsync always, on the replicas as well",
        ),
        (Some("yes"), _) => findings.ok("a killed Redis may lose the last 2 s (appendfsync everysec)"),
        (None, _) => findings.warning(
            "the settings of Redis are not shown to us",
            "allow CONFIG GET, or check appendonly and appendfsync by hand",
        ),
        _ => findings.error("Redis keeps nothing on disk", "CONFIG SET appendonly yes"),
    }
    if promised == Durability::Always
        && fsync.as_deref() == Some("always")
        && of("no-appendfsync-on-rewrite").await.as_deref() == Some("yes")
    {
        findings.error(
            "redis.durability is always, but nothing is synced while the AOF is rewritten",
            "CONFIG SET no-appendfsync-on-rewrite no",
        );
    }
    match of("maxmemory-policy").await.as_deref() {
        None => {}
        Some("noeviction") => findings.ok("a full Redis throws nothing away (maxmemory-policy noeviction)"),
        Some(policy) => findings.error(
            format!("maxmemory-policy is {policy}: Redis may throw streams away"),
            "CONFIG SET maxmemory-policy noeviction",
        ),
    }
}

/// Whether it is a primary, and followed by as many replicas as are waited for.
pub async fn replicas(
    connection: &ConnectionManager,
    views: &Views,
    settings: &Settings,
    findings: &mut Findings,
) {
    let Replication { primary, connected, following } = match Replication::read(connection).await {
        Ok(replication) => replication,
        Err(error) => return findings.error(error.to_string(), "start it, or allow INFO"),
    };
    if !primary {
        return findings.error(
            "this Redis is a replica",
            "name the primary in redis.url, or its sentinels: redis+sentinel://HOST:26379,.../NAME",
        );
    }
    if settings.redis.durability != Durability::Replicated {
        return;
    }
    let wanted = settings.redis.replicas;
    if following < wanted {
        findings.error(
            format!("redis.durability is replicated, but {following} of {wanted} replicas follow: messages are refused"),
            "start the replicas, or set redis.replicas to how many there are",
        );
    } else if connected > wanted {
        findings.error(
            format!(
                "{connected} replicas are connected, but {wanted} are waited for: a failover may promote one that lacks \
                 what was accepted, so messages are refused"
            ),
            format!("set redis.replicas to {connected}"),
        );
    } else {
        findings.ok(format!("{following} replicas follow"));
    }
    let least = views.config("min-replicas-to-write").await.ok().flatten();
    match least.and_then(|n| n.parse::<u32>().ok()) {
        Some(0) => findings.warning(
            "a primary without replicas still takes results that a failover throws away; they are computed again",
            "CONFIG SET min-replicas-to-write 1, on the replicas as well",
        ),
        Some(least) if least > wanted => findings.error(
            format!(
                "min-replicas-to-write is {least}, but there are to be {wanted} replicas: Redis refuses everything"
            ),
            format!("CONFIG SET min-replicas-to-write {wanted}, on the replicas as well"),
        ),
        Some(least) => findings.ok(format!("a primary with fewer than {least} replicas takes nothing")),
        None => {}
    }
}
