//! Routing of diagnosis on demand with real workers: strategies, failures, overload.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vtox_e2e::tasks::{Answer, Tasks, block};
use vtox_e2e::{Cluster, ONE_AT_A_TIME, eventually};
use vtox_protocol::{ServiceRecord, ServiceStatus, ServiceType, WorkerLoad};
use vtox_registry::Registry;
use vtox_simulation::Sampling;
use vtox_test_support::ProcessSignal;

const STRATEGIES: [&str; 6] =
    ["smart", "round_robin", "weighted_round_robin", "least_connections", "peak_ewma", "consistent_hash"];

/// Small blocks: here the way counts.
fn small() -> Sampling {
    Sampling::new(4_000.0, 256)
}

async fn three_workers(environment: &[(&str, &str)]) -> (Cluster, Tasks) {
    let mut cluster = Cluster::start(&[], environment, &["all", "all", "all"]).await;
    let tasks = Tasks::new(cluster.gateway(), &block(&small()));
    let sent = tasks.clone();
    eventually(Duration::from_secs(10), "tasks to be served", async || sent.send(&[]).await.status == 200)
        .await;
    (cluster, tasks)
}

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
async fn a_killed_worker_costs_no_client_an_error() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (mut cluster, tasks) = three_workers(&[]).await;
    for strategy in ["smart", "peak_ewma"] {
        tasks.use_strategy(strategy).await;
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..6)
            .map(|_| {
                let (tasks, stop) = (tasks.clone(), stop.clone());
                tokio::spawn(async move {
                    let mut answers = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        answers.push(tasks.send(&[]).await);
                    }
                    answers
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let killed = Instant::now();
        cluster.service("worker-1").kill();
        tokio::time::sleep(Duration::from_secs(3)).await;
        stop.store(true, Ordering::Relaxed);
        let mut answers: Vec<Answer> = Vec::new();
        for client in clients {
            answers.extend(client.await.unwrap());
        }
        assert!(answers.iter().all(|a| a.status == 200), "{:?}", answers.iter().find(|a| a.status != 200));
        let by_dead = |a: &&Answer| a.worker() == "worker-1";
        assert!(answers.iter().any(|a| by_dead(&a)), "worker-1 had tasks");
        assert!(!answers.iter().any(|a| a.at > killed + Duration::from_secs(1) && by_dead(&a)));
        let retried = answers.iter().filter(|a| a.body["attempts"].as_u64() > Some(1)).count();
        println!("{strategy}: {} tasks, {retried} of them at a second worker", answers.len());
        cluster.service("worker-1").restart();
        cluster.ready().await;
        eventually(Duration::from_secs(20), "worker-1 to be picked again", async || {
            tasks.distribution(12, 4).await.contains_key("worker-1")
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_worker_opens_its_breaker_and_deadlines_hold() {
    let _one = ONE_AT_A_TIME.lock().await;
    // A lease so long that only the breaker can keep tasks away from the frozen worker.
    let (mut cluster, tasks) = three_workers(&[("VTOX_COORDINATOR__WORKER_LEASE_MS", "60000")]).await;
    tasks.use_strategy("round_robin").await;
    let metrics = cluster.service("coordinator").url("/metrics");
    cluster.service("worker-1").signal(ProcessSignal::STOP);
    let sent = (0..24).map(|_| tasks.send(&[("timeout_ms", "3000")]));
    let answers: Vec<Answer> = futures::stream::iter(sent).buffer_unordered(6).collect().await;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.took < Duration::from_millis(3_500), "{answer:?}");
    }
    let text = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
    let breaker =
        text.lines().find(|l| l.starts_with("vtox_coordinator_task_breaker") && l.contains("worker-1"));
    assert!(breaker.is_some_and(|l| !l.ends_with(" 0")), "{breaker:?}");
    let quick = answers.iter().filter(|a| a.took < Duration::from_millis(900)).count();
    assert!(quick >= 12, "only {quick} of 24 were spared the frozen worker");
    let explained = tasks.send(&[("explain", "true")]).await;
    let candidates = explained.body["explain"][0]["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 3, "{explained:?}");
    cluster.service("worker-1").signal(ProcessSignal::CONT);
    eventually(Duration::from_secs(40), "the breaker to close", async || {
        tasks.distribution(6, 1).await.contains_key("worker-1")
    })
    .await;
}

/// Answers 500 to everything at once, and counts it.
async fn fail_fast(listener: TcpListener, asked: Arc<AtomicUsize>) {
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        let asked = asked.clone();
        tokio::spawn(async move {
            let mut chunk = vec![0; 64 << 10];
            if socket.read(&mut chunk).await.is_ok_and(|count| count > 0) {
                asked.fetch_add(1, Ordering::Relaxed);
                let answer =
                    b"HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                drop(socket.write_all(answer).await);
            }
        });
    }
}

/// A member of the registry that looks like the best of all workers.
async fn pretend(registry: Registry, port: u16) {
    let record = ServiceRecord {
        service_id: "worker-0".into(),
        service_type: ServiceType::Worker,
        service_name: "worker".into(),
        host: "127.0.0.1".into(),
        port,
        status: ServiceStatus::Healthy,
        capabilities: vtox_protocol::FaultSet::ALL,
        metadata: BTreeMap::new(),
        last_heartbeat: 0.0,
        registered_at: 0.0,
        version: "0".into(),
    };
    let load: WorkerLoad = serde_json::from_value(json!({
        "worker_id": "worker-0", "current_tasks": 0, "pending_messages": 0, "avg_processing_time": 0.0,
        "cpu_usage": 0.0, "memory_usage": 0.0, "success_rate": 1.0, "total_completed": 1, "total_failed": 0,
        "uptime": 1.0, "last_updated": 0.0, "healthy": true, "cores": 2.0,
    }))
    .unwrap();
    loop {
        registry.heartbeat(&record, Some(&load)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_fails_fast_attracts_nothing() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (cluster, tasks) = three_workers(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    tokio::spawn(fail_fast(listener, asked.clone()));
    let registry = Registry::new(cluster.connection().await);
    tokio::spawn(pretend(registry, port));
    eventually(Duration::from_secs(10), "the failing worker to be tried", async || {
        tasks.send(&[]).await;
        asked.load(Ordering::Relaxed) > 0
    })
    .await;
    for strategy in STRATEGIES {
        tasks.use_strategy(strategy).await;
        let before = asked.load(Ordering::Relaxed);
        let counts = tasks.distribution(100, 4).await;
        let failed = asked.load(Ordering::Relaxed) - before;
        println!("{strategy}: {counts:?}, {failed} attempts at the failing worker");
        assert!(!counts.contains_key("worker-0"));
        assert!(failed <= 6, "{strategy}: {failed} of 100 tasks went to the failing worker first");
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
    let tasks = Tasks::new(cluster.gateway(), &block(&Sampling::new(16_000.0, 64_000)));
    let alone = tasks.send(&[]).await.took;
    let spawn = |tasks: &Tasks, query: &'static [(&'static str, &'static str)]| {
        let tasks = tasks.clone();
        tokio::spawn(async move { tasks.send(query).await })
    };
    let low: Vec<_> =
        (0..30).map(|_| spawn(&tasks, &[("priority", "low"), ("timeout_ms", "60000")])).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
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
