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
    let environment = [
        ("VTOX_REDIS__EXPERIMENTAL_CLUSTER", "true"),
        ("VTOX_CLUSTER__PARTITIONS", partitions.as_str()),
        ("VTOX_REDIS__DURABILITY", durability),
    ];
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
async fn a_primary_dies_and_nothing_that_was_accepted_is_lost() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (mut cluster, mut redis) = start("replicated").await;
    let fleet = Fleet::start(&cluster.gateway(), &cluster.url, LOAD).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    // It has the results and half of the partitions.
    let victim = redis.owner_of(keys::RESULTS).unwrap();
    let node = redis.nodes.iter().position(|node| node.port() == victim).unwrap();
    redis.nodes[node].kill();
    let killed = Instant::now();
    eventually(Duration::from_secs(20), "its replica to take over", async || {
        redis.owner_of(keys::RESULTS).is_some_and(|port| port != victim)
    })
    .await;
    println!("promoted {:?} after the kill; now the old primary comes back", killed.elapsed());
    redis.nodes[node].restart();
    let before = fleet.ledger.count();
    eventually(Duration::from_secs(30), "messages to be accepted again", async || {
        fleet.ledger.count() > before + 100
    })
    .await;
    println!("100 messages accepted {:?} after the kill", killed.elapsed());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut balance = fleet.settle().await;
    // A dashboard may have seen what the dead primary alone had; it sees it again.
    println!("seen before the failover took it back: {}", balance.vanished);
    balance.vanished = 0;
    assert_exact("a primary killed", &balance);
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_move_under_load() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (mut cluster, redis) = start("everysec").await;
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
    assert_exact("slots moved", &fleet.settle().await);
}
