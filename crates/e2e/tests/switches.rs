//! What operators switch, on real processes: it does what it says, and nothing is lost by it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;
use vtox_e2e::{Cluster, Fleet, Load, ONE_AT_A_TIME, assert_exact, eventually, program};
use vtox_protocol::keys::{AGGREGATION, RESULTS};
use vtox_test_support::{ProcessSignal, RedisServer, free_port, free_ports, send_signal};

const PREFIX: &str = "/api/v1/diagnosis-stream";
const LOAD: Load = Load { vehicles: 20, interval: Duration::from_millis(200) };

/// Posts to the gateway: status and body.
async fn post(gateway: &str, path: &str) -> (u16, Value) {
    let answer = reqwest::Client::new().post(format!("{gateway}{path}")).send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.expect("JSON"))
}

async fn switch(gateway: &str, path: &str) -> Value {
    let (status, body) = post(gateway, path).await;
    assert_eq!((status, body["status"].as_str()), (200, Some("success")), "{path}: {body}");
    assert!(body["message"].is_string() && body["timestamp"].is_string(), "{body}");
    body
}

async fn get(url: &str) -> Value {
    reqwest::get(url).await.expect("an answer").json().await.expect("JSON")
}

async fn owned(coordinator: &str) -> u64 {
    get(&format!("{coordinator}/status")).await["lanes_owned"].as_u64().unwrap_or(u64::MAX)
}

#[tokio::test(flavor = "multi_thread")]
async fn consumption_stops_and_goes_on_also_under_another_leader_and_nothing_is_lost() {
    let _one = ONE_AT_A_TIME.lock().await;
    let environment = [("VTOX_CLUSTER__PARTITIONS", "4"), ("VTOX_GATEWAY__BACKLOG_ENTRIES", "300")];
    let mut cluster = Cluster::start(&[], &environment, &["all", "all"]).await;
    cluster.add("coordinator-2", "vtox-coordinator", "VTOX_COORDINATOR__PORT", &[]);
    let gateway = cluster.gateway();
    let fleet = Fleet::start(&gateway, &cluster.redis.url(), LOAD).await;
    tokio::time::sleep(Duration::from_secs(2)).await;

    switch(&gateway, &format!("{PREFIX}/system/stop")).await;
    let coordinator = cluster.service("coordinator").url("");
    eventually(Duration::from_secs(5), "every lane given back", async || owned(&coordinator).await == 0)
        .await;
    let status = get(&format!("{gateway}{PREFIX}/system/status")).await;
    assert_eq!(status["data"]["system_status"], "stopped", "{status}");
    let before: u64 = cluster.command(&["XLEN", RESULTS]).await;
    eventually(Duration::from_secs(20), "429 at the backlog mark", async || {
        reqwest::Client::new()
            .post(format!("{gateway}{PREFIX}/vehicles/V/data"))
            .header("content-type", "application/json")
            .body("{\"sensor_data\":{}}")
            .send()
            .await
            .is_ok_and(|a| a.status() == 429)
    })
    .await;
    assert_eq!(cluster.command::<u64>(&["XLEN", RESULTS]).await, before, "diagnosed while stopped");

    // The next leader finds it stopped, and leaves it so.
    cluster.service("coordinator").kill();
    let second = cluster.service("coordinator-2").url("");
    eventually(Duration::from_secs(10), "another leader", async || {
        get(&format!("{second}/status")).await["role"] == "leader"
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(owned(&second).await, 0);
    assert_eq!(cluster.command::<u64>(&["XLEN", RESULTS]).await, before, "diagnosed while stopped");
    let by = get(&format!("{second}/status")).await["consumption"]["by"].clone();
    assert!(by.as_str().is_some_and(|by| !by.is_empty()));

    switch(&gateway, &format!("{PREFIX}/start")).await;
    eventually(Duration::from_secs(10), "results again", async || {
        cluster.command::<u64>(&["XLEN", RESULTS]).await > before
    })
    .await;
    let metrics = reqwest::get(format!("{second}/metrics")).await.unwrap().text().await.unwrap();
    let forced =
        metrics.lines().find(|l| l.starts_with("vtox_coordinator_forced_grants_total")).map(str::to_owned);
    assert!(forced.is_some_and(|l| l.ends_with(" 0")), "a stop is a planned hand-over");
    for (partition, tag) in [("bare", "motor_raw_data"), ("0", "vtox-0")] {
        let key = format!("vtox:{{{tag}}}:owner:bearing:{partition}");
        let attempts: Option<String> = cluster.command(&["HGET", &key, "attempts"]).await;
        assert_eq!(attempts, None, "nothing is suspect");
    }
    assert_exact("consumption stopped, and started under another leader", &fleet.settle().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_and_starting_in_quick_succession_leaves_no_lane_behind() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[("VTOX_CLUSTER__PARTITIONS", "8")], &["all", "all"]).await;
    let gateway = cluster.gateway();
    let fleet = Fleet::start(&gateway, &cluster.redis.url(), LOAD).await;
    for pause_ms in [0, 20, 50, 100, 200, 400] {
        switch(&gateway, &format!("{PREFIX}/system/stop")).await;
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        switch(&gateway, &format!("{PREFIX}/start")).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    cluster.ready().await;
    assert_exact("stopped and started six times", &fleet.settle().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_bridge_keeps_its_dashboards_and_shows_what_is_new_after_the_start() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &["all"]).await;
    let gateway = cluster.gateway();
    let socket = format!("{}/ws/frontend", gateway.replace("http", "ws"));
    let (mut dashboard, _) = tokio_tungstenite::connect_async(socket).await.expect("a dashboard");
    let fleet = Fleet::start(&gateway, &cluster.redis.url(), LOAD).await;
    let mut shows = async |for_ms: u64| -> usize {
        let mut count = 0;
        drop(dashboard.send(Message::text("{\"type\":\"heartbeat\"}")).await);
        let mut answered = false;
        let until = tokio::time::Instant::now() + Duration::from_millis(for_ms);
        while let Ok(Some(message)) = tokio::time::timeout_at(until, dashboard.next()).await {
            let Ok(Message::Text(text)) = message else { continue };
            let value: Value = serde_json::from_str(&text).expect("JSON");
            match value["type"].as_str() {
                Some("heartbeat_response") => answered = true,
                _ => count += 1,
            }
        }
        assert!(answered, "a heartbeat is answered in any case");
        count
    };
    assert!(shows(2_000).await > 0);
    let answer = switch(&gateway, &format!("{PREFIX}/bridge/control?action=stop")).await;
    assert_eq!(answer["is_monitoring"], false);
    shows(1_500).await;
    assert_eq!(shows(1_500).await, 0, "frames while stopped");
    let state = get(&format!("{gateway}{PREFIX}/bridge/status")).await;
    assert_eq!(
        (&state["is_monitoring"], &state["config"]["bridges"]),
        (&Value::from(false), &Value::from(1))
    );
    let answer = switch(&gateway, &format!("{PREFIX}/bridge/control?action=start")).await;
    assert_eq!(answer["is_monitoring"], true);
    assert!(shows(2_000).await > 0);
    let (status, body) = post(&gateway, &format!("{PREFIX}/bridge/control?action=pause")).await;
    assert_eq!(status, 422, "{body}");
    assert_exact("the bridge stopped and started", &fleet.settle().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregation_waits_behind_its_cursor_and_catches_up() {
    let _one = ONE_AT_A_TIME.lock().await;
    // Without retention all results behind the cursor are trimmed, and none before it.
    let environment =
        [("VTOX_BRIDGE__RESULTS_RETENTION_S", "0"), ("VTOX_BRIDGE__RESULTS_RETENTION_BYTES", "1")];
    let mut cluster = Cluster::start(&[], &environment, &["all"]).await;
    let gateway = cluster.gateway();
    switch(&gateway, &format!("{PREFIX}/start?enable_aggregation=false")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let cursor = async |cluster: &Cluster| -> Option<String> {
        cluster.command(&["HGET", AGGREGATION, "cursor"]).await
    };
    let before = cursor(&cluster).await;
    let fleet = Fleet::start(&gateway, &cluster.redis.url(), LOAD).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(cursor(&cluster).await, before);
    let health = |id: &str| format!("{gateway}{PREFIX}/vehicles/{id}/health");
    let vehicle = vtox_e2e::ids(1).remove(0);
    assert_eq!(get(&health(&vehicle)).await["status"], "not_found");
    // Both in one answer, since the fleet goes on sending.
    let stream: std::collections::HashMap<String, redis::Value> =
        cluster.command(&["XINFO", "STREAM", RESULTS]).await;
    let count = |name: &str| redis::from_redis_value::<u64>(stream[name].clone()).expect("a count");
    let (waiting, added) = (count("length"), count("entries-added"));
    assert_eq!(waiting, added, "a result was trimmed that nobody has aggregated");
    assert!(waiting > 100, "{waiting}");
    switch(&gateway, &format!("{PREFIX}/start?enable_aggregation=true")).await;
    eventually(Duration::from_secs(10), "the health of a vehicle", async || {
        get(&health(&vehicle)).await["status"] == "success"
    })
    .await;
    eventually(Duration::from_secs(10), "trimming again", async || {
        cluster.command::<u64>(&["XLEN", RESULTS]).await < waiting
    })
    .await;
    drop(fleet);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_with_the_range_or_what_to_do_instead() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &["all"]).await;
    let gateway = cluster.gateway();
    let initialized = switch(&gateway, &format!("{PREFIX}/initialize")).await;
    assert_eq!(initialized["config"]["partitions"], 1);
    for (path, status, parts) in [
        (
            "/api/v1/diagnosis-stream/system/scale?fault_type=bearing&new_count=0",
            422,
            ["between 1 and 20", ""],
        ),
        (
            "/api/v1/diagnosis-stream/system/scale?fault_type=bearing&new_count=21",
            422,
            ["between 1 and 20", ""],
        ),
        ("/api/v1/diagnosis-stream/system/scale?fault_type=wheel&new_count=2", 422, ["wheel", ""]),
        ("/api/v1/diagnosis-stream/system/scale?new_count=2", 422, ["fault_type", ""]),
        (
            "/api/v1/diagnosis-stream/system/scale?fault_type=bearing&new_count=3",
            409,
            ["--scale worker_bearing=3", "kubectl scale"],
        ),
        ("/api/v1/diagnosis-stream/start?consumers_per_fault=21", 422, ["between 1 and 20", ""]),
        ("/api/v1/cluster/start?workers=0", 422, ["between 1 and 64", ""]),
        ("/api/v1/cluster/start?mode=fast", 422, ["mode", ""]),
        ("/api/v1/cluster/start?workers=2", 409, ["docker compose", "kubectl"]),
        ("/api/v1/cluster/stop", 409, ["docker compose", "system/stop"]),
    ] {
        let (got, body) = post(&gateway, path).await;
        let detail = body["detail"].as_str().unwrap_or_default();
        assert_eq!(got, status, "{path}: {body}");
        assert!(parts.iter().all(|part| detail.contains(part)), "{path}: {detail}");
        assert!(body["code"].is_string(), "{body}");
    }
    let started =
        switch(&gateway, &format!("{PREFIX}/start?consumers_per_fault=2&enable_monitoring=true")).await;
    assert_eq!(started["is_monitoring"], true);
    assert!(started["notes"][0].as_str().is_some_and(|n| n.contains("not applied")), "{started}");
}

/// A running `vtox up`, stopped when dropped.
struct Up {
    child: Child,
    gateway: String,
    coordinator: String,
}

impl Up {
    async fn start(redis: &RedisServer, data: &std::path::Path) -> Self {
        let (gateway, coordinator) = (free_port(), free_port());
        let mut command = Command::new(program("vtox"));
        for (name, port) in [
            ("GATEWAY", gateway),
            ("COORDINATOR", coordinator),
            ("MONITOR", free_port()),
            ("BRIDGE", free_port()),
        ] {
            command.env(format!("VTOX_{name}__PORT"), port.to_string());
        }
        command.env("WORKER_PORT", free_ports(8).to_string()).env("VTOX_CLUSTER__PARTITIONS", "8");
        command.args(["up", "--redis", &redis.url(), "--data"]).arg(data);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("vtox up");
        let up = Self {
            child,
            gateway: format!("http://127.0.0.1:{gateway}"),
            coordinator: format!("http://127.0.0.1:{coordinator}"),
        };
        up.workers("bearing", 1).await;
        eventually(Duration::from_secs(30), "every lane to have an owner", async || {
            reqwest::get(format!("{}/ready", up.gateway)).await.is_ok_and(|a| a.status() == 200)
                && owned(&up.coordinator).await == 45
        })
        .await;
        up
    }

    /// Ids and process ids of the workers that live.
    async fn living(&self, fault: &str) -> Vec<(String, u64)> {
        let Ok(answer) = reqwest::get(format!("{}/workers", self.coordinator)).await else {
            return Vec::new();
        };
        let Ok(answer) = answer.json::<Value>().await else { return Vec::new() };
        let serves = |w: &Value| {
            w["alive"] == true
                && (fault.is_empty()
                    || w["service"]["capabilities"].as_array().is_some_and(|c| c.iter().any(|f| f == fault)))
        };
        let all = answer["workers"].as_array().cloned().unwrap_or_default();
        all.iter()
            .filter(|w| serves(w))
            .map(|w| {
                let pid = w["service"]["metadata"]["pid"].as_u64().unwrap_or(0);
                (w["worker_id"].as_str().unwrap_or_default().to_owned(), pid)
            })
            .collect()
    }

    async fn workers(&self, fault: &str, count: usize) {
        eventually(Duration::from_secs(30), &format!("{count} workers of {fault:?}"), async || {
            self.living(fault).await.len() == count
        })
        .await;
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        send_signal(&self.child, ProcessSignal::TERM);
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vtox_up_scales_a_fault_type_up_and_down_under_load_and_nothing_is_lost() {
    let _one = ONE_AT_A_TIME.lock().await;
    let redis = RedisServer::start(&[]);
    let data = tempfile::tempdir().unwrap();
    let up = Up::start(&redis, data.path()).await;
    let fleet = Fleet::start(&up.gateway, &redis.url(), LOAD).await;
    let scale = |count| format!("{PREFIX}/system/scale?fault_type=bearing&new_count={count}");

    let answer = switch(&up.gateway, &scale(3)).await;
    assert_eq!((&answer["fault_type"], &answer["new_count"]), (&Value::from("bearing"), &Value::from(3)));
    up.workers("bearing", 3).await;
    up.workers("", 5).await;
    eventually(Duration::from_secs(40), "lanes on every worker of the fault type", async || {
        let answer = get(&format!("{}/workers", up.coordinator)).await;
        let all = answer["workers"].as_array().cloned().unwrap_or_default();
        all.iter()
            .filter(|w| w["worker_id"].as_str().is_some_and(|id| id.starts_with("worker-bearing")))
            .all(|w| w["lanes"].as_u64().unwrap_or(0) > 0)
    })
    .await;
    // What crashes comes back, as ever.
    let (id, pid) = up.living("bearing").await.into_iter().find(|(id, _)| id == "worker-bearing-3").unwrap();
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, ProcessSignal::KILL).unwrap();
    eventually(Duration::from_secs(20), "the killed worker again", async || {
        up.living("bearing").await.iter().any(|(i, p)| *i == id && *p != pid.as_raw_nonzero().get() as u64)
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    switch(&up.gateway, &scale(1)).await;
    up.workers("bearing", 1).await;
    up.workers("", 3).await;
    let (status, body) = post(&up.gateway, "/api/v1/cluster/start?mode=production").await;
    assert_eq!(status, 409, "{body}");
    assert!(body["detail"].as_str().unwrap().contains("development mode"), "{body}");
    assert_exact("bearing on 1, 3 and again 1 workers", &fleet.settle().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn vtox_up_stops_the_cluster_and_starts_it_with_another_number_of_workers() {
    let _one = ONE_AT_A_TIME.lock().await;
    let redis = RedisServer::start(&[]);
    let data = tempfile::tempdir().unwrap();
    let up = Up::start(&redis, data.path()).await;
    let fleet = Fleet::start(&up.gateway, &redis.url(), LOAD).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    switch(&up.gateway, "/api/v1/cluster/stop").await;
    up.workers("", 0).await;
    let status = get(&format!("{}{PREFIX}/system/status", up.gateway)).await;
    assert_eq!(status["data"]["system_status"], "stopped", "{status}");
    let (refused, body) =
        post(&up.gateway, &format!("{PREFIX}/system/scale?fault_type=bearing&new_count=2")).await;
    assert_eq!((refused, body["code"].as_str()), (409, Some("cluster_stopped")), "{body}");
    let answer = switch(&up.gateway, "/api/v1/cluster/start?workers=2&mode=development").await;
    assert_eq!(answer["config"]["workers"], 2);
    up.workers("", 2).await;
    assert_exact("the cluster stopped, and started with 2 workers", &fleet.settle().await);
}
