//! Starting and stopping: every binary drains within its deadline, and `vtox up` runs it all.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use vtox_e2e::{Cluster, ONE_AT_A_TIME, program};
use vtox_test_support::{ProcessSignal, free_port, free_ports};

#[tokio::test(flavor = "multi_thread")]
async fn every_service_stops_within_its_deadline_and_leaves_the_registry() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &["all"]).await;
    for name in ["gateway", "worker-1", "monitor", "bridge", "coordinator"] {
        let began = Instant::now();
        cluster.service(name).signal(ProcessSignal::TERM);
        let status = cluster.service(name).ended(Duration::from_secs(10)).await;
        println!("{name} stopped after {:?}", began.elapsed());
        assert!(status.success(), "{name}: {status}");
    }
    let left: Vec<String> = cluster.command(&["HKEYS", "vtox:services"]).await;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_waits_for_its_redis_and_says_so() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::new(&[], &[]);
    cluster.redis.kill();
    cluster.add("gateway", "vtox-gateway", "VTOX_GATEWAY__PORT", &[]);
    let (health, ready) =
        (cluster.service("gateway").url("/health"), cluster.service("gateway").url("/ready"));
    vtox_e2e::eventually(Duration::from_secs(5), "an answer", async || reqwest::get(&health).await.is_ok())
        .await;
    assert_eq!(reqwest::get(&ready).await.unwrap().status(), 503);
    cluster.redis.restart();
    vtox_e2e::eventually(Duration::from_secs(10), "readiness", async || {
        reqwest::get(&ready).await.unwrap().status() == 200
    })
    .await;
}

#[tokio::test]
async fn settings_that_cannot_be_used_end_with_64_and_name_the_key() {
    for (name, value, part) in [
        ("VTOX_GATEWAY__PROT", "1", "prot"),
        ("FAULT_TYPES", "bearings", "bearings"),
        ("VTOX_CLUSTER_MODE", "x", "mode"),
    ] {
        let output = Command::new(program("vtox-worker")).env(name, value).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(text.contains(part), "{text}");
    }
}

/// `vtox` on ports of its own.
fn up() -> Command {
    let mut command = Command::new(program("vtox"));
    for name in ["GATEWAY", "COORDINATOR", "MONITOR", "BRIDGE"] {
        command.env(format!("VTOX_{name}__PORT"), free_port().to_string());
    }
    command.env("WORKER_PORT", free_ports(6).to_string()).env_remove("REDIS_URL");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn vtox_up_starts_its_redis_again_and_keeps_the_data_of_an_earlier_run() {
    let _one = ONE_AT_A_TIME.lock().await;
    let data = tempfile::tempdir().unwrap();
    let mut command = up();
    command.env("VTOX_REDIS__DURABILITY", "always").arg("up").arg("--data").arg(data.path());
    command.args(["--for", "10", "--vehicles", "5", "--interval", "1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let url =
        lines.find_map(|l| l.unwrap().trim().strip_prefix("redis ").map(|u| u.trim().to_owned())).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut redis = redis::Client::open(url).unwrap().get_connection().unwrap();
    let info: String = redis::cmd("INFO").arg("server").query(&mut redis).unwrap();
    let pid = info.lines().find_map(|l| l.strip_prefix("process_id:")?.parse().ok()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), ProcessSignal::KILL).unwrap();
    let rest = tokio::task::spawn_blocking(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let log = rest.await.unwrap().join("\n");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{log}");
    assert!(log.contains("redis-server") && log.contains("starting it again"), "{log}");
    let report: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((report["lost"].as_u64(), report["duplicates"].as_u64()), (Some(0), Some(0)), "{report}");

    // More workers than the partitions of the earlier run have lanes: the rest stands by.
    let mut again = up();
    again.arg("up").arg("--data").arg(data.path()).args(["--workers", "6", "--for", "3", "--vehicles", "3"]);
    let output = tokio::task::spawn_blocking(move || again.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn vtox_up_runs_a_cluster_with_a_fleet_and_accounts_for_every_message() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut command = up();
    command.args(["up", "--for", "8", "--vehicles", "10", "--interval", "2"]).stdout(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(report["accepted"].as_u64().unwrap() >= 20, "{report}");
    assert_eq!(report["results"], report["expected_results"]);
    assert_eq!((report["lost"].as_u64(), report["duplicates"].as_u64()), (Some(0), Some(0)));
    assert_eq!(report["verdicts"]["insufficient_data"], 0, "{report}");
}
