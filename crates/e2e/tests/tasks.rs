//! Routing of diagnosis on demand with real workers: strategies, affinity, overload.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use vtox_e2e::tasks::{STRATEGIES, Tasks, block, small, three_workers};
use vtox_e2e::{Cluster, Fleet, Load, ONE_AT_A_TIME, assert_exact, eventually};
use vtox_simulation::Sampling;

async fn json_of(url: String) -> Value {
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn strategies_change_while_running_and_distribute_as_they_say() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (mut cluster, tasks) = three_workers(&[]).await;
    let coordinator = cluster.service("coordinator").url("/status");
    for strategy in STRATEGIES {
        tasks.use_strategy(strategy).await;
        assert_eq!(json_of(coordinator.clone()).await["load_balance_strategy"], strategy);
        let counts = tasks.distribution(30, 6).await;
        assert_eq!(counts.values().sum::<usize>(), 30);
        println!("{strategy}: {counts:?}");
        match strategy {
            "round_robin" => assert!(counts.len() == 3 && counts.values().all(|n| *n == 10), "{counts:?}"),
            // One client on one address.
            "consistent_hash" => assert!(counts.values().any(|n| *n >= 10), "{counts:?}"),
            _ => assert!(counts.len() == 3 && counts.values().all(|n| *n >= 2), "{strategy}: {counts:?}"),
        }
    }

    let weights = json!({"worker-1": 3, "worker-2": 1, "worker-3": 0});
    let body = json!({"strategy": "weighted_round_robin", "weights": weights});
    assert_eq!(tasks.strategy(&body).await.status, 200);
    let counts = tasks.distribution(24, 1).await;
    assert_eq!(counts, BTreeMap::from([("worker-1".to_owned(), 18), ("worker-2".to_owned(), 6)]));

    for (body, status, fix) in [
        (json!({"strategy": "fastest"}), 422, "peak_ewma"),
        (json!({"strategy": "smart", "weights": {"worker-1": -1}}), 422, ">= 0"),
        (json!({"strategy": "smart", "score": {"cpu": -1.0}}), 422, "score.cpu"),
        (json!({"strategie": "smart"}), 422, "strategy"),
    ] {
        let refused = tasks.strategy(&body).await;
        assert_eq!(refused.status, status, "{body}: {refused:?}");
        assert!(refused.body["detail"].as_str().unwrap().contains(fix), "{refused:?}");
    }
    assert_eq!(tasks.post("/api/v1/cluster/strategy", "application/json", "").await.status, 405);

    // It is kept: the coordinator that starts anew has it.
    cluster.service("coordinator").kill();
    cluster.service("coordinator").restart();
    cluster.ready().await;
    eventually(Duration::from_secs(10), "the strategy that was set", async || {
        let url = format!("{}/api/v1/cluster/strategy", cluster.gateway());
        let Ok(answer) = reqwest::get(url).await else { return false };
        let set: Value = answer.json().await.unwrap_or_default();
        set["strategy"] == "weighted_round_robin" && set["weights"]["worker-1"] == 3.0
    })
    .await;
    eventually(Duration::from_secs(10), "tasks again", async || tasks.send(&[]).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_meets_the_same_worker() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (mut cluster, tasks) = three_workers(&[]).await;
    tasks.use_strategy("consistent_hash").await;
    let mut places = BTreeMap::new();
    for round in 0..3 {
        for vehicle in ["V1", "V2", "V3", "V4", "V5", "V6", "V7", "V8"] {
            let answer = tasks.send(&[("vehicle_id", vehicle), ("fault_type", "bearing")]).await;
            assert_eq!((answer.status, answer.body["vehicle_id"].as_str()), (200, Some(vehicle)));
            let place = places.entry(vehicle).or_insert_with(|| answer.worker());
            assert_eq!(*place, answer.worker(), "{vehicle} moved in round {round}");
        }
    }
    assert!(places.values().collect::<std::collections::BTreeSet<_>>().len() > 1, "{places:?}");
    // Only what was at the worker that leaves moves.
    let gone = places["V1"].clone();
    cluster.service(&gone).kill();
    for (vehicle, before) in &places {
        let answer = tasks.send(&[("vehicle_id", vehicle), ("fault_type", "bearing")]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.worker() == *before, *before != gone, "{vehicle} at {before}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_overload_the_critical_pass_the_low() {
    let _one = ONE_AT_A_TIME.lock().await;
    let environment =
        [("VTOX_TASKS__PER_CORE", "0.1"), ("VTOX_TASKS__QUEUE", "20"), ("VTOX_WORKER__THREADS", "1")];
    let mut cluster = Cluster::start(&[], &environment, &["all"]).await;
    let small = Tasks::new(cluster.gateway(), &block(&small()));
    eventually(Duration::from_secs(10), "tasks to be served", async || small.send(&[]).await.status == 200)
        .await;
    // Blocks that take a while.
    let tasks = Tasks::new(cluster.gateway(), &block(&Sampling::new(16_000.0, 128_000)));
    let alone = tasks.send(&[]).await.took;
    let spawn = |tasks: &Tasks, query: &'static [(&'static str, &'static str)]| {
        let tasks = tasks.clone();
        tokio::spawn(async move { tasks.send(query).await })
    };
    let low: Vec<_> =
        (0..30).map(|_| spawn(&tasks, &[("priority", "low"), ("timeout_ms", "60000")])).collect();
    let metrics = cluster.service("coordinator").url("/metrics");
    eventually(Duration::from_secs(10), "a queue", async || waiting(&metrics).await >= 15).await;
    let critical: Vec<_> =
        (0..6).map(|_| spawn(&small, &[("priority", "critical"), ("timeout_ms", "60000")])).collect();
    let late = spawn(&small, &[("priority", "normal"), ("timeout_ms", "1")]);
    let (mut of_low, mut of_critical) = (Vec::new(), Vec::new());
    for task in low {
        of_low.push(task.await.unwrap());
    }
    for task in critical {
        of_critical.push(task.await.unwrap());
    }
    let late = late.await.unwrap();
    assert_eq!(late.status, 504, "{late:?}");
    assert!(of_critical.iter().all(|a| a.status == 200), "{of_critical:?}");
    let (served, refused): (Vec<_>, Vec<_>) = of_low.iter().partition(|a| a.status == 200);
    assert!(!refused.is_empty() && served.len() >= 10, "{} served, {} refused", served.len(), refused.len());
    assert!(refused.iter().all(|a| a.status == 503 && a.retry_after), "{:?}", refused.first());
    let last_critical = of_critical.iter().map(|a| a.at).max().unwrap();
    let after = served.iter().filter(|a| a.at > last_critical).count();
    println!(
        "one task alone {alone:?}; low: {} served, {} refused, {after} after the last critical one",
        served.len(),
        refused.len()
    );
    assert!(2 * after > served.len(), "{after} of {} low tasks came after the critical ones", served.len());
}

/// Tasks that wait, by the metrics of a coordinator.
async fn waiting(metrics: &str) -> u64 {
    let text = reqwest::get(metrics).await.unwrap().text().await.unwrap();
    let line = text.lines().find(|l| l.starts_with("vtox_coordinator_tasks_waiting")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_goes_on_under_a_flood_of_tasks() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[("VTOX_WORKER__THREADS", "2")], &["all"]).await;
    let tasks = Tasks::new(cluster.gateway(), &block(&Sampling::new(16_000.0, 64_000)));
    eventually(Duration::from_secs(10), "tasks to be served", async || tasks.send(&[]).await.status == 200)
        .await;
    let flood: Vec<_> = (0..8)
        .map(|_| {
            let tasks = tasks.clone();
            tokio::spawn(async move {
                loop {
                    tasks.send(&[]).await;
                }
            })
        })
        .collect();
    let url = cluster.url.clone();
    let load = Load { vehicles: 20, interval: Duration::from_millis(500) };
    let fleet = Fleet::start(&cluster.gateway(), &url, load).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let workers = json_of(cluster.service("coordinator").url("/workers")).await;
    let report = &workers["workers"][0]["load"];
    println!("under the flood: {report}");
    assert!(report["current_tasks"].as_u64() >= Some(2), "tasks count in the load: {report}");
    assert!(report["pending_messages"].as_u64() <= Some(40), "the stream keeps up: {report}");
    flood.iter().for_each(tokio::task::JoinHandle::abort);
    assert_exact("stream under a flood of tasks", &fleet.settle().await);
}
