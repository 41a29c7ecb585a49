//! On a Redis Cluster of three primaries with a replica each: under load, when a primary dies, when a slot moves.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use vtox_e2e::{Cluster, Fleet, Load, ONE_AT_A_TIME, assert_exact, eventually, ids};
use vtox_protocol::FaultType;
use vtox_protocol::keys::{self, Partition};
use vtox_test_support::RedisCluster;

const LOAD: Load = Load { vehicles: 20, interval: Duration::from_millis(200) };
const PARTITIONS: u16 = 32;

async fn start(durability: &str) -> (Cluster, RedisCluster) {
    let (first, redis) = RedisCluster::start(3, &[]);
    let partitions = PARTITIONS.to_string();
    let environment =
        [("VTOX_CLUSTER__PARTITIONS", partitions.as_str()), ("VTOX_REDIS__DURABILITY", durability)];
    let mut cluster = Cluster::on(first, redis.url(), &environment);
    cluster.add_all(&["all", "all"]).await;
    (cluster, redis)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_has_its_results_once_wherever_its_keys_are() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (mut cluster, redis) = start("everysec").await;
    let gateway = cluster.gateway();
    let fleet = Fleet::start(&gateway, &cluster.url, LOAD).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_exact("three primaries", &fleet.settle().await);

    // They were spread over all primaries, and came together again.
    let mut owners = BTreeSet::new();
    for partition in (0..PARTITIONS).map(|n| Partition::numbered(n, 16)) {
        if cluster.command::<u64>(&["XLEN", &partition.stream()]).await > 0 {
            owners.insert(redis.owner_of(&partition.stream()).unwrap());
        }
    }
    assert_eq!(owners.len(), 3);
    let results: u64 = cluster.command(&["XLEN", keys::RESULTS]).await;
    let vehicle = &ids(1)[0];
    eventually(Duration::from_secs(10), "everything to be aggregated", async || {
        let key = keys::aggregation_beside_results();
        let read: u64 = cluster.command(&["HGET", &key, "read"]).await;
        read == results
    })
    .await;
    let health = reqwest::get(format!("{gateway}/api/v1/diagnosis-stream/vehicles/{vehicle}/health")).await;
    let health = health.unwrap().text().await.unwrap();
    assert!(FaultType::ALL.iter().all(|fault| health.contains(fault.name())), "{health}");
    let history: u64 = cluster.command(&["XLEN", &format!("vtox:history:{vehicle}")]).await;
    assert!(history > 0 && history.is_multiple_of(5), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn primaries_die_and_nothing_that_was_accepted_is_lost() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (mut cluster, mut redis) = start("replicated").await;
    let fleet = Fleet::start(&cluster.gateway(), &cluster.url, LOAD).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Who has the results, and then who has the registry and the leases: two failovers in a row.
    for key in [keys::RESULTS, keys::HEARTBEATS] {
        kill_owner(&mut cluster, &mut redis, key, &fleet).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    let mut balance = fleet.settle().await;
    // A dashboard may have seen what a dead primary alone had; it sees it again. Commits wait for no replica, so that is what
    // was on its way.
    println!("seen before a failover took it back: {}", balance.vanished);
    assert!(balance.vanished <= 200, "{}", balance.vanished);
    balance.vanished = 0;
    assert_exact("primaries killed", &balance);
}

/// Kills the primary that owns a key, and starts it again when its replica has taken over.
async fn kill_owner(cluster: &mut Cluster, redis: &mut RedisCluster, key: &str, fleet: &Fleet) {
    let victim = redis.owner_of(key).unwrap();
    let node = match redis.nodes.iter().position(|node| node.port() == victim) {
        Some(node) => &mut redis.nodes[node],
        None => &mut cluster.redis,
    };
    node.kill();
    let killed = Instant::now();
    eventually(Duration::from_secs(20), "its replica to take over", async || {
        redis.owner_of(key).is_some_and(|port| port != victim)
    })
    .await;
    println!("{key}: promoted {:?} after the kill; now the old primary comes back", killed.elapsed());
    match redis.nodes.iter().position(|node| node.port() == victim) {
        Some(node) => redis.nodes[node].restart(),
        None => cluster.redis.restart(),
    }
    let before = fleet.ledger.count();
    eventually(Duration::from_secs(30), "messages to be accepted again", async || {
        fleet.ledger.count() > before + 100
    })
    .await;
    println!("{key}: 100 messages accepted {:?} after the kill", killed.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_forwards_dies_and_every_result_arrives_once() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (mut cluster, _redis) = start("replicated").await;
    cluster.add("bridge-2", "vtox-websocket-bridge", "VTOX_BRIDGE__PORT", &[]);
    cluster.ready().await;
    let fleet = Fleet::start(&cluster.gateway(), &cluster.url, LOAD).await;
    let mut forwarded = 0.0;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut forwarding = Vec::new();
        for name in ["bridge", "bridge-2"] {
            if cluster.metric(name, "vtox_bridge_aggregating").await == 1.0 {
                forwarding.push(name);
            }
        }
        let [name] = forwarding[..] else { panic!("{forwarding:?} forward") };
        forwarded += cluster.metric(name, "vtox_bridge_entries_forwarded_total").await;
        for dead in [name, "worker-1"] {
            cluster.service(dead).kill();
        }
        eventually(Duration::from_secs(20), "the other one to forward", async || {
            let other = if name == "bridge" { "bridge-2" } else { "bridge" };
            cluster.metric(other, "vtox_bridge_entries_forwarded_total").await > 0.0
        })
        .await;
        for dead in [name, "worker-1"] {
            cluster.service(dead).restart();
        }
        cluster.ready().await;
    }
    assert!(forwarded > 1_000.0, "{forwarded} forwarded by bridges that died");
    assert_exact("three bridges and workers killed", &fleet.settle().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_move_under_load() {
    let _one = ONE_AT_A_TIME.lock().await;
    for durability in ["everysec", "replicated"] {
        slots_move(durability).await;
    }
}

async fn slots_move(durability: &str) {
    let (mut cluster, redis) = start(durability).await;
    let fleet = Fleet::start(&cluster.gateway(), &cluster.url, LOAD).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Partitions under a tag, the results, the heartbeats and the lease of the coordinator.
    let tag = Partition::numbered(0, 16).stream();
    for key in [tag.as_str(), keys::RESULTS, keys::HEARTBEATS, keys::LEADER] {
        let from = redis.owner_of(key).unwrap();
        let to = redis.ports()[..3].iter().copied().find(|port| *port != from).unwrap();
        let began = Instant::now();
        let moved = redis.move_slot(key, to);
        println!("{key}: {moved} keys moved in {:?}", began.elapsed());
        assert!(moved > 0, "{key}");
        assert_eq!(redis.owner_of(key), Some(to));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_exact(&format!("slots moved, {durability}"), &fleet.settle().await);
}
