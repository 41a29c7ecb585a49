//! Diagnosis on demand while workers and coordinators fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vtox_e2e::tasks::{Answer, STRATEGIES, three_workers};
use vtox_e2e::{ONE_AT_A_TIME, eventually};
use vtox_protocol::{ServiceRecord, ServiceStatus, ServiceType, WorkerLoad};
use vtox_registry::Registry;
use vtox_test_support::ProcessSignal;

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
async fn without_the_leader_another_coordinator_routes() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (mut cluster, tasks) = three_workers(&[]).await;
    cluster.add("standby", "vtox-coordinator", "VTOX_COORDINATOR__PORT", &[]);
    cluster.ready().await;
    tasks.use_strategy("peak_ewma").await;
    let url = cluster.service("standby").url("/status");
    eventually(Duration::from_secs(1), "the standby to follow the strategy", async || {
        let status: serde_json::Value = reqwest::get(&url).await.unwrap().json().await.unwrap();
        status["role"] == "standby" && status["load_balance_strategy"] == "peak_ewma"
    })
    .await;
    // The gateway has seen it in the registry, the standby its workers.
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.service("coordinator").kill();
    for _ in 0..40 {
        let answer = tasks.send(&[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
