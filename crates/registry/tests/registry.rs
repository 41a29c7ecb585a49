//! The registry on a real Redis.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::Notify;
use vtox_protocol::keys::{LEADER, SERVICE_EVENTS, TERM};
use vtox_protocol::{
    Assignment, FaultSet, ServiceEvent, ServiceEventType, ServiceRecord, ServiceStatus, ServiceType,
};
use vtox_registry::{Holder, Lease, Placement, Registry, watch_members, watch_placement};
use vtox_test_support::RedisServer;

fn record(id: &str) -> ServiceRecord {
    ServiceRecord {
        service_id: id.into(),
        service_type: ServiceType::Worker,
        service_name: "worker".into(),
        host: "127.0.0.1".into(),
        port: 8002,
        status: ServiceStatus::Healthy,
        capabilities: FaultSet::ALL,
        metadata: BTreeMap::new(),
        last_heartbeat: 0.0,
        registered_at: 0.0,
        version: "0".into(),
    }
}

#[tokio::test]
async fn members_appear_and_leave() {
    let redis = RedisServer::start(&[]);
    let connection = redis.connection().await;
    let registry = Registry::new(connection.clone());
    let mut members = watch_members(registry.clone(), Duration::from_millis(20));
    let now = registry.heartbeat(&record("w1"), None).await.unwrap();
    members.wait_for(|m| m.services.contains_key("w1")).await.unwrap();
    let seen = registry.members().await.unwrap();
    assert!(seen.heartbeats_ms["w1"].abs_diff(now) <= 1);
    assert!(seen.silence_ms("w1").unwrap() < 1_000);

    registry.announce(ServiceEventType::ServiceUnhealthy, &record("w1"), now).await.unwrap();
    registry.deregister(&record("w1"), now).await.unwrap();
    members.wait_for(|m| m.services.is_empty() && m.heartbeats_ms.is_empty()).await.unwrap();
    let events: Vec<String> = redis::cmd("LRANGE")
        .arg(SERVICE_EVENTS)
        .arg(0)
        .arg(-1)
        .query_async(&mut connection.clone())
        .await
        .unwrap();
    let newest: ServiceEvent = serde_json::from_str(&events[0]).unwrap();
    assert_eq!(newest.event_type, ServiceEventType::ServiceDeregistered);
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn a_drain_lasts_until_it_is_undone_or_the_worker_leaves() {
    let redis = RedisServer::start(&[]);
    let registry = Registry::new(redis.connection().await);
    let now = registry.heartbeat(&record("w1"), None).await.unwrap();
    registry.drain("w1", now).await.unwrap();
    registry.drain("w1", now + 5_000).await.unwrap();
    assert_eq!(registry.members().await.unwrap().draining, BTreeMap::from([("w1".to_owned(), now)]));
    assert!(registry.undo_drain("w1").await.unwrap());
    assert!(!registry.undo_drain("w1").await.unwrap());
    registry.drain("w1", now).await.unwrap();
    registry.deregister(&record("w1"), now).await.unwrap();
    assert!(registry.members().await.unwrap().draining.is_empty());
}

#[tokio::test]
async fn a_lease_has_one_holder_and_growing_terms() {
    let redis = RedisServer::start(&[]);
    let lease = Lease::new(redis.connection().await, LEADER, TERM);
    let length = Duration::from_millis(300);
    let a = Holder { id: "a".into(), term: 1 };
    assert_eq!(lease.take("a", length, 0).await.unwrap(), a);
    assert_eq!(lease.take("b", length, 0).await.unwrap(), a);
    assert_eq!(lease.take("a", length, 0).await.unwrap(), a);
    tokio::time::sleep(length * 2).await;
    assert_eq!(lease.take("b", length, 0).await.unwrap(), Holder { id: "b".into(), term: 2 });
    lease.resign("a").await.unwrap();
    assert_eq!(lease.holder().await.unwrap().unwrap().id, "b");
    lease.resign("b").await.unwrap();
    // The counter was lost, but the candidate has seen term 7 on an ownership key.
    assert_eq!(lease.take("a", length, 7).await.unwrap().term, 8);
}

#[tokio::test]
async fn a_new_placement_wakes_the_workers() {
    let redis = RedisServer::start(&[]);
    let placement = Placement::new(redis.connection().await);
    let changed = std::sync::Arc::new(Notify::new());
    let watcher = tokio::spawn({
        let (client, changed) = (redis.client(), changed.clone());
        async move { watch_placement(client, &changed).await }
    });
    changed.notified().await;
    let assignment = Assignment { incarnation: "i".into(), grants: Vec::new() };
    placement.write([("w1", &assignment)], []).await.unwrap();
    tokio::time::timeout(Duration::from_secs(2), changed.notified()).await.unwrap();
    assert_eq!(placement.of("w1").await.unwrap(), Some(assignment));
    placement.write([], ["w1"]).await.unwrap();
    assert!(placement.all().await.unwrap().is_empty());
    watcher.abort();
}

#[tokio::test]
async fn a_full_redis_still_knows_who_lives_who_leads_and_who_owns_what() {
    let redis = RedisServer::start(&[]);
    let connection = redis.connection().await;
    let mut full = redis::cmd("CONFIG");
    let () = full.arg("SET").arg("maxmemory").arg(1).query_async(&mut connection.clone()).await.unwrap();
    let (registry, placement) = (Registry::new(connection.clone()), Placement::new(connection.clone()));
    registry.heartbeat(&record("w1"), None).await.unwrap();
    let lease = Lease::new(connection, LEADER, TERM);
    assert_eq!(lease.take("a", Duration::from_secs(1), 0).await.unwrap().id, "a");
    let assignment = Assignment { incarnation: "run".into(), grants: Vec::new() };
    placement.write([("w1", &assignment), ("w2", &assignment)], []).await.unwrap();
    placement.write([], ["w2"]).await.unwrap();
    assert_eq!(placement.all().await.unwrap(), BTreeMap::from([("w1".to_owned(), assignment)]));
}
