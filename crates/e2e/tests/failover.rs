//! Services that die, freeze and come back while vehicles send: nothing is lost, nothing comes twice, order is kept.

use std::time::{Duration, Instant};

use vtox_e2e::{Cluster, Fleet, Load, ONE_AT_A_TIME, assert_exact, eventually, ids};
use vtox_protocol::keys::{Partition, RESULTS, Topology};
use vtox_protocol::{FaultSet, FaultType, VehicleId};
use vtox_service_kit::clock;
use vtox_test_support::ProcessSignal;

const OTHERS: &str = "turn_fault,insulation,eccentricity,broken_bar";

/// Of the first `count` vehicles those whose messages go to one of the partitions.
fn vehicles_on(partitions: &[String], count: u64) -> Vec<String> {
    let topology = Topology { partitions: 64, enabled: FaultSet::ALL, slot_tags: 1 };
    ids(count)
        .into_iter()
        .filter(|id| {
            let partition = topology.partition_of(&VehicleId::new(id).unwrap());
            partitions.contains(&partition.to_string())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_of_four_on_64_partitions() {
    let _one = ONE_AT_A_TIME.lock().await;
    let workers = ["bearing", "bearing", "bearing", "bearing", OTHERS];
    let mut cluster = Cluster::start(&[], &[("VTOX_CLUSTER__PARTITIONS", "64")], &workers).await;
    let load = Load { vehicles: 120, interval: Duration::from_millis(600) };
    let fleet = Fleet::start(&cluster.gateway(), &cluster.redis.url(), load).await;
    tokio::time::sleep(Duration::from_secs(3)).await;

    let owned = cluster.partitions_of("worker-2", "bearing").await;
    let vehicles = vehicles_on(&owned, load.vehicles);
    // A quarter of 65, as far as the scores are alike.
    assert!((12..=21).contains(&owned.len()), "{owned:?}");
    assert!(vehicles.len() > 10, "{vehicles:?}");
    let (killed_at, killed_ms) = (Instant::now(), clock::epoch_ms());
    cluster.service("worker-2").kill();
    cluster.remove("worker-2");
    eventually(Duration::from_secs(10), "results of all vehicles of the killed worker", async || {
        fleet.ledger.answered_since(killed_ms, FaultType::Bearing, &vehicles)
    })
    .await;
    let gap = killed_at.elapsed();
    println!("kill -9 to the next bearing result of all its {} vehicles: {gap:?}", vehicles.len());
    assert!(gap < Duration::from_secs(5), "{gap:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_exact("killed worker, 64 partitions", &fleet.settle().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_with_one_partition_and_a_standby() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &["bearing", "bearing", OTHERS]).await;
    let load = Load { vehicles: 20, interval: Duration::from_millis(200) };
    let fleet = Fleet::start(&cluster.gateway(), &cluster.redis.url(), load).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let first = cluster.partitions_of("worker-1", "bearing").await;
    let owner = if first.is_empty() { "worker-2" } else { "worker-1" };
    let (killed_at, killed_ms) = (Instant::now(), clock::epoch_ms());
    cluster.service(owner).kill();
    eventually(Duration::from_secs(10), "the standby to take over", async || {
        fleet.ledger.answered_since(killed_ms, FaultType::Bearing, &ids(load.vehicles))
    })
    .await;
    let gap = killed_at.elapsed();
    println!("kill -9 to the next bearing result of all vehicles, one partition: {gap:?}");
    assert!(gap < Duration::from_secs(5), "{gap:?}");
    assert_exact("killed worker, one partition", &fleet.settle().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_killed_and_comes_back_with_always() {
    let _one = ONE_AT_A_TIME.lock().await;
    let environment = [("VTOX_CLUSTER__PARTITIONS", "8"), ("VTOX_REDIS__DURABILITY", "always")];
    let mut cluster = Cluster::start(
        &["--appendfsync", "always"],
        &environment,
        &["bearing,insulation", "bearing", OTHERS],
    )
    .await;
    let load = Load { vehicles: 40, interval: Duration::from_millis(250) };
    let fleet = Fleet::start(&cluster.gateway(), &cluster.redis.url(), load).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        cluster.redis.kill();
        tokio::time::sleep(Duration::from_millis(500)).await;
        cluster.redis.restart();
        let since_ms = clock::epoch_ms();
        let back = Instant::now();
        eventually(Duration::from_secs(15), "results after the restart", async || {
            fleet.ledger.answered_since(since_ms, FaultType::Bearing, &ids(load.vehicles))
        })
        .await;
        println!("restart of Redis to the next result of all vehicles: {:?}", back.elapsed());
    }
    assert_exact("Redis killed three times under always", &fleet.settle().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_worker_wakes_up_after_its_partitions_moved() {
    let _one = ONE_AT_A_TIME.lock().await;
    let environment = [("VTOX_CLUSTER__PARTITIONS", "8")];
    let mut cluster = Cluster::start(&[], &environment, &["all", "all"]).await;
    let load = Load { vehicles: 40, interval: Duration::from_millis(100) };
    let fleet = Fleet::start(&cluster.gateway(), &cluster.redis.url(), load).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut owned = cluster.partitions_of("worker-1", "bearing").await;
    owned.retain(|p| p != "bare");
    let partition: Partition = owned[0].parse().unwrap();
    // A commit that cannot be done is tried again and again: the worker has computed a batch when it freezes.
    let state = partition.state(FaultType::Bearing);
    cluster.break_key(&state).await;
    let metrics = cluster.service("worker-1").url("/metrics");
    let refused = async |reason: &str| {
        let text = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
        text.lines().any(|line| {
            line.starts_with("vtox_worker_commits_refused_total")
                && line.contains(reason)
                && !line.ends_with(" 0")
        })
    };
    eventually(Duration::from_secs(10), "a commit that cannot be done", async || refused("error").await)
        .await;
    assert!(!refused("fenced").await);
    cluster.service("worker-1").signal(ProcessSignal::STOP);
    let frozen_ms = clock::epoch_ms();
    cluster.mend_key(&state).await;
    eventually(Duration::from_secs(10), "the other worker to take over", async || {
        fleet.ledger.answered_since(frozen_ms, FaultType::Bearing, &ids(load.vehicles))
    })
    .await;
    cluster.service("worker-1").signal(ProcessSignal::CONT);
    eventually(Duration::from_secs(10), "its late commit to be refused", async || refused("fenced").await)
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_exact("frozen worker", &fleet.settle().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_is_killed_and_the_data_plane_does_not_notice() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &["all"]).await;
    cluster.add("standby", "vtox-coordinator", "VTOX_COORDINATOR__PORT", &[]);
    let load = Load { vehicles: 20, interval: Duration::from_millis(200) };
    let fleet = Fleet::start(&cluster.gateway(), &cluster.redis.url(), load).await;
    let standby = cluster.service("standby").url("/status");
    eventually(Duration::from_secs(10), "the standby", async || role(&standby).await == "standby").await;
    let killed_at = Instant::now();
    cluster.service("coordinator").kill();
    eventually(Duration::from_secs(10), "the standby to lead", async || role(&standby).await == "leader")
        .await;
    println!("leader killed to the next leader: {:?}", killed_at.elapsed());
    assert!(killed_at.elapsed() < Duration::from_secs(4));
    // The new leader does its work: a worker that dies now is replaced.
    cluster.add_worker("worker-2", "all");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let killed_ms = clock::epoch_ms();
    cluster.service("worker-1").kill();
    eventually(Duration::from_secs(10), "the new worker to take over", async || {
        fleet.ledger.answered_since(killed_ms, FaultType::Insulation, &ids(load.vehicles))
    })
    .await;
    assert_exact("leader killed, then a worker", &fleet.settle().await);
}

async fn role(url: &str) -> String {
    let Ok(answer) = reqwest::get(url).await else {
        return String::new();
    };
    let answer: serde_json::Value = answer.json().await.unwrap_or_default();
    answer["role"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_asked_to_stop_hands_over_without_a_redelivery() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[("VTOX_CLUSTER__PARTITIONS", "8")], &["all", "all"]).await;
    let load = Load { vehicles: 40, interval: Duration::from_millis(200) };
    let fleet = Fleet::start(&cluster.gateway(), &cluster.redis.url(), load).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.service("worker-1").signal(ProcessSignal::TERM);
    let (asked_at, asked_ms) = (Instant::now(), clock::epoch_ms());
    let status = cluster.service("worker-1").ended(Duration::from_secs(10)).await;
    assert!(status.success(), "{status}");
    eventually(Duration::from_secs(5), "the other worker to take over", async || {
        fleet.ledger.answered_since(asked_ms, FaultType::Bearing, &ids(load.vehicles))
    })
    .await;
    println!("SIGTERM to results of all vehicles by the other worker: {:?}", asked_at.elapsed());
    for partition in (0..8).map(|n| Partition::numbered(n, 1)) {
        let key = partition.ownership(FaultType::Bearing);
        let suspect: Option<String> = cluster.command(&["HGET", &key, "suspect"]).await;
        assert_eq!(suspect, None, "a planned hand-over makes nothing suspect");
    }
    let balance = fleet.settle().await;
    assert_exact("worker asked to stop", &balance);
    assert!(balance.longest_gap_ms < 1_000, "nobody waits for the lease of a worker that said goodbye");
}

/// Nothing that is decoded and diagnosed is poison, however often a commit that cannot be done outlives its worker.
#[tokio::test(flavor = "multi_thread")]
async fn workers_that_die_over_an_impossible_commit_make_nothing_poison() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &["all"]).await;
    let load = Load { vehicles: 10, interval: Duration::from_millis(200) };
    let fleet = Fleet::start(&cluster.gateway(), &cluster.redis.url(), load).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.break_key(RESULTS).await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        cluster.service("worker-1").kill();
        cluster.service("worker-1").restart();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.mend_key(RESULTS).await;
    assert_exact("killed six times over one commit", &fleet.settle().await);
}
