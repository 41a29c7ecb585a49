//! What existing clients, producers and operators rely on, against the real binaries.

use std::collections::HashMap;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use redis::Value as RedisValue;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use vtox_e2e::{Cluster, ONE_AT_A_TIME, eventually};
use vtox_protocol::FaultType;
use vtox_protocol::keys::{DEAD_LETTERS, Partition, RAW, RESULTS};

const WORKERS: [&str; 3] = ["turn_fault,insulation", "bearing,eccentricity", "broken_bar"];
const PREFIX: &str = "/api/v1/diagnosis-stream";
/// `粤B·SEAL·202412345`, as it travels in a path.
const VEHICLE: &str = "%E7%B2%A4B%C2%B7SEAL%C2%B7202412345";

async fn get(url: &str) -> Value {
    reqwest::get(url).await.unwrap().error_for_status().unwrap().json().await.unwrap()
}

fn rows(count: usize) -> Value {
    let rows: Vec<Value> = (0..count)
        .map(|n| {
            let t = n as f64 / 8_000.0;
            let phase = |shift: f64| (std::f64::consts::TAU * (50.0 * t + shift)).sin() * 10.0;
            json!({"时间": t, "Ia": phase(0.0), "Ib": phase(-1.0 / 3.0), "Ic": phase(1.0 / 3.0)})
        })
        .collect();
    json!({"data": rows, "sampling_rate": 8000})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seeds_calls_work() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &WORKERS).await;
    let gateway = cluster.gateway();

    let root = get(&format!("{gateway}/")).await;
    assert_eq!(root["cluster_info"]["worker_count"], 3);
    assert_eq!(root["cluster_info"]["deployment_mode"], "development");
    let status = get(&format!("{gateway}/api/v1/cluster/status")).await;
    assert_eq!(status["data"]["cluster_status"], "healthy", "{status}");
    assert_eq!(status["data"]["worker_nodes"].as_array().unwrap().len(), 3);
    eventually(Duration::from_secs(5), "a throughput", async || {
        get(&format!("{gateway}/api/v1/cluster/status")).await["data"]["performance_metrics"]["throughput"]
            .is_number()
    })
    .await;

    let groups: Vec<HashMap<String, RedisValue>> = cluster.command(&["XINFO", "GROUPS", RAW]).await;
    let mut names: Vec<String> =
        groups.iter().map(|g| redis::from_redis_value(g["name"].clone()).unwrap()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "bearing_diagnosis_group",
            "broken_bar_diagnosis_group",
            "eccentricity_diagnosis_group",
            "insulation_diagnosis_group",
            "turn_fault_diagnosis_group"
        ]
    );

    let client = reqwest::Client::new();
    let data = format!("{gateway}{PREFIX}/vehicles/{VEHICLE}/data?location=Shenzhen");
    let answer = client.post(&data).json(&json!({"sensor_data": rows(800)})).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let accepted: Value = answer.json().await.unwrap();
    assert_eq!(accepted["status"], "success");
    // The bare stream holds it in the seeds' form.
    let raw: Vec<(String, HashMap<String, String>)> = cluster.command(&["XRANGE", RAW, "-", "+"]).await;
    assert_eq!(raw[0].1["data_type"], "motor_sensor_data");
    assert_eq!(raw[0].1["vehicle_id"], "粤B·SEAL·202412345");
    assert!(serde_json::from_str::<Value>(&raw[0].1["sensor_data"]).unwrap()["data"].is_array());

    let history_url = format!("{gateway}{PREFIX}/vehicles/{VEHICLE}/diagnosis-history?hours=1");
    eventually(Duration::from_secs(10), "a result of every fault type", async || {
        get(&history_url).await["data"]["total_records"] == 5
    })
    .await;
    let history = get(&history_url).await;
    assert_eq!(history["data"]["diagnosis_history"][0]["message_id"], accepted["message_id"]);
    assert_eq!(history["data"]["diagnosis_history"][0]["location"], "Shenzhen");
    let one = get(&format!("{history_url}&fault_type=turn_fault")).await;
    assert_eq!(one["data"]["total_records"], 1);
    let health = get(&format!("{gateway}{PREFIX}/vehicles/{VEHICLE}/health")).await;
    assert_eq!(health["status"], "success");
    assert_eq!(health["data"]["fault_states"]["turn_fault"]["status"], "normal", "{health}");
    let unknown = get(&format!("{gateway}{PREFIX}/vehicles/nobody/health")).await;
    assert_eq!(
        (unknown["status"].as_str(), unknown["vehicle_id"].as_str()),
        (Some("not_found"), Some("nobody"))
    );

    for path in
        ["/system/performance", "/system/status", "/fault-types", "/fleet/overview", "/alerts/critical"]
    {
        let answer = get(&format!("{gateway}{PREFIX}{path}")).await;
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        assert!(answer["data"].is_object(), "{path}");
    }
    let fleet = get(&format!("{gateway}{PREFIX}/fleet/overview")).await;
    assert_eq!(fleet["data"]["total_vehicles"], 1);
    let simulated = format!("{gateway}{PREFIX}/simulator/vehicles/{VEHICLE}/data");
    let answer: Value = client
        .post(&simulated)
        .json(&json!({"sensor_data": rows(10)}))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(answer["data_points"], 10);
    assert!(answer["processing_stats"]["success_rate"].is_number());
    let coordinator = get(&cluster.service("coordinator").url("/status")).await;
    assert_eq!(
        (coordinator["total_workers"].as_u64(), coordinator["role"].as_str()),
        (Some(3), Some("leader"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_appended_by_hand_are_diagnosed_or_answered_with_a_dead_letter() {
    let _one = ONE_AT_A_TIME.lock().await;
    // With further partitions the bare stream is still one of them.
    let cluster = Cluster::start(&[], &[("VTOX_CLUSTER__PARTITIONS", "4")], &["all"]).await;
    let sensor_data = rows(800).to_string();
    let append = async |vehicle: &str, data: &str| -> String {
        let timestamp = "2026-11-20T08:00:00";
        cluster
            .command(&[
                "XADD",
                RAW,
                "*",
                "vehicle_id",
                vehicle,
                "timestamp",
                timestamp,
                "sensor_data",
                data,
                "metadata",
                "{}",
                "data_type",
                "motor_sensor_data",
            ])
            .await
    };
    let good = append("HAND-1", &sensor_data).await;
    let poison = append("HAND-2", "not json").await;
    let empty = append("HAND-3", "{}").await;
    let after = append("HAND-1", &sensor_data).await;
    eventually(Duration::from_secs(10), "results of the good entries", async || {
        let results: u64 = cluster.command(&["XLEN", RESULTS]).await;
        let letters: u64 = cluster.command(&["XLEN", DEAD_LETTERS]).await;
        results == 15 && letters == 5
    })
    .await;
    let results: Vec<(String, HashMap<String, String>)> =
        cluster.command(&["XRANGE", RESULTS, "-", "+"]).await;
    let of = |id: &str| results.iter().filter(|(_, f)| f["original_message_id"] == id).count();
    assert_eq!((of(&good), of(&poison), of(&empty), of(&after)), (5, 0, 5, 5));
    assert!(results.iter().any(|(_, f)| f["message_id"] == format!("{RAW}/{good}")));
    let without = results.iter().find(|(_, f)| f["original_message_id"] == empty).unwrap();
    assert_eq!(without.1["status"], "insufficient_data");
    assert!(without.1["evidence"].contains("data is missing"), "{without:?}");
    let letters: Vec<(String, HashMap<String, String>)> =
        cluster.command(&["XRANGE", DEAD_LETTERS, "-", "+"]).await;
    for (_, letter) in &letters {
        assert_eq!((letter["entry_id"].as_str(), letter["vehicle_id"].as_str()), (poison.as_str(), "HAND-2"));
        assert!(letter["reason"].contains("cannot be read"));
    }
    let mut faults: Vec<&str> = letters.iter().map(|(_, l)| l["fault_type"].as_str()).collect();
    faults.sort_unstable();
    faults.dedup();
    assert_eq!(faults.len(), FaultType::ALL.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_with_a_reason_and_reaches_nobody() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[("VTOX_GATEWAY__BODY_LIMIT_BYTES", "100000")], &["all"]).await;
    let gateway = cluster.gateway();
    let client = reqwest::Client::new();
    let post = async |vehicle: &str, kind: &str, body: Vec<u8>| -> (u16, String) {
        let url = format!("{gateway}{PREFIX}/vehicles/{vehicle}/data");
        let answer = client.post(url).header(CONTENT_TYPE, kind).body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.expect("a JSON answer");
        (status, body["detail"].as_str().unwrap_or_default().to_owned())
    };
    let json_kind = "application/json";
    let sensor = |data: &str| format!("{{\"sensor_data\":{data}}}").into_bytes();
    let long = "x".repeat(10_000);
    let cases: Vec<(&str, &str, &str, Vec<u8>, &str)> = vec![
        ("not JSON", "V", json_kind, b"hello".to_vec(), "cannot be read"),
        ("a list", "V", json_kind, b"[{\"data\":[]}]".to_vec(), "it is a list"),
        ("no sensor_data", "V", json_kind, b"{}".to_vec(), "sensor_data"),
        ("wrong type", "V", json_kind, sensor(r#"{"data":[{"Ia":"1"}],"sampling_rate":1}"#), "invalid type"),
        ("NaN", "V", json_kind, sensor(r#"{"data":[{"Ia":NaN}],"sampling_rate":1}"#), "cannot be read"),
        (
            "too large for f32",
            "V",
            json_kind,
            sensor(r#"{"data":[{"Ia":1e99}],"sampling_rate":1}"#),
            "beyond single precision",
        ),
        ("ragged", "V", json_kind, sensor(r#"{"data":[{"Ia":1},{"Ib":1}],"sampling_rate":1}"#), "row 2"),
        ("0 samples", "V", json_kind, sensor(r#"{"data":[],"sampling_rate":1}"#), "no rows"),
        (
            "unknown columns",
            "V",
            json_kind,
            sensor(r#"{"data":[{"x":1}],"sampling_rate":1}"#),
            "no known column",
        ),
        ("no rate", "V", json_kind, sensor(r#"{"data":[{"Ia":1},{"Ia":2}]}"#), "sampling_rate is missing"),
        ("deep", "V", json_kind, sensor(&"[".repeat(50_000)), "cannot be read"),
        ("not UTF-8", "V", json_kind, vec![0xff, 0xfe], "cannot be read"),
        ("broken binary", "V", "application/msgpack", vec![0x81, 0xa1], "cannot be read"),
        ("other form", "V", "image/png", vec![1], "content type"),
        ("id with /", "a%2Fb", json_kind, sensor(&rows(2).to_string()), "'/'"),
        ("id with a control character", "a%00b", json_kind, sensor(&rows(2).to_string()), "not allowed"),
        ("id that is not UTF-8", "%ff", json_kind, sensor(&rows(2).to_string()), "UTF-8"),
        ("id of 10,000", &long, json_kind, sensor(&rows(2).to_string()), "at most 128"),
        ("blank id", "%20", json_kind, sensor(&rows(2).to_string()), "empty"),
        ("over the limit", "V", json_kind, vec![b' '; 100_001], "over 100000 bytes"),
    ];
    for (what, vehicle, kind, body, part) in cases {
        let (status, detail) = post(vehicle, kind, body).await;
        assert!((400..500).contains(&status), "{what}: {status} {detail}");
        assert!(detail.contains(part), "{what}: {detail:?} does not say {part:?}");
    }
    let raw: u64 = cluster.command(&["XLEN", RAW]).await;
    assert_eq!(raw, 0, "none of it reached the stream");
    let (status, _) = post("V", json_kind, sensor(&rows(10).to_string())).await;
    assert_eq!(status, 200, "the gateway still works");
    assert_eq!(reqwest::get(format!("{gateway}/no/such/path")).await.unwrap().status(), 404);
    let bad_query = format!("{gateway}{PREFIX}/vehicles/V/diagnosis-history?hours=-1");
    assert_eq!(reqwest::get(bad_query).await.unwrap().status(), 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resent_message_is_accepted_once() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &["all"]).await;
    let url = format!("{}{PREFIX}/vehicles/V/data", cluster.gateway());
    let client = reqwest::Client::new();
    let mut ids = Vec::new();
    for (key, metadata) in [
        (Some("k"), json!({})),
        (Some("k"), json!({})),
        (None, json!({"boot_id": "b", "sequence": 7})),
        (None, json!({"boot_id": "b", "sequence": 7})),
    ] {
        let mut request = client.post(&url).json(&json!({"sensor_data": rows(10), "metadata": metadata}));
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        ids.push(answer["message_id"].as_str().unwrap().to_owned());
    }
    assert_eq!((&ids[0], &ids[2]), (&ids[1], &ids[3]));
    assert_ne!(ids[0], ids[2]);
    assert_eq!(cluster.command::<u64>(&["XLEN", RAW]).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_get_results_and_assessments() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &["all"]).await;
    let bridge = cluster.service("bridge").port;
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://127.0.0.1:{bridge}/ws/frontend")).await.unwrap();
    socket.send(Message::text(r#"{"type":"test"}"#)).await.unwrap();
    socket.send(Message::text(r#"{"type":"heartbeat","timestamp":"now"}"#)).await.unwrap();
    let beat: Value = serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap();
    assert_eq!(
        (beat["type"].as_str(), beat["timestamp"].as_str()),
        (Some("heartbeat_response"), Some("now"))
    );

    let url = format!("{}{PREFIX}/vehicles/V/data", cluster.gateway());
    reqwest::Client::new().post(url).json(&json!({"sensor_data": rows(800)})).send().await.unwrap();
    let (mut results, mut assessments) = (0, 0);
    let receive = async {
        while results < 5 || assessments == 0 {
            let message = socket.next().await.unwrap().unwrap();
            let frame: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
            assert_eq!(frame["vehicle_id"], "V");
            if frame["message_type"] == "health_assessment" {
                assert!(frame["overall_status"].is_string());
                assessments += 1;
            } else {
                assert!(frame["fault_type"].is_string() && frame["score"].is_number());
                results += 1;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), receive).await.expect("frames");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_at_its_mark_and_a_redis_that_is_away_are_said_with_retry_after() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[("VTOX_GATEWAY__BACKLOG_ENTRIES", "3")], &["bearing"]).await;
    let url = format!("{}{PREFIX}/vehicles/V/data", cluster.gateway());
    let client = reqwest::Client::new();
    let post = async || client.post(&url).json(&json!({"sensor_data": rows(10)})).send().await.unwrap();
    // Four fault types have no worker, so what is accepted waits.
    eventually(Duration::from_secs(10), "429", async || post().await.status() == 429).await;
    let refused = post().await;
    assert!(refused.headers().contains_key("retry-after"));
    cluster.redis.kill();
    eventually(Duration::from_secs(10), "503", async || post().await.status() == 503).await;
    assert!(post().await.headers().contains_key("retry-after"));
    cluster.redis.restart();
    eventually(Duration::from_secs(10), "the backlog again", async || post().await.status() == 429).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_could_not_keep_is_refused_and_the_fix_is_named() {
    let _one = ONE_AT_A_TIME.lock().await;
    let environment = [("VTOX_REDIS__DURABILITY", "always")];
    let mut cluster = Cluster::start(&["--appendfsync", "always"], &environment, &["all"]).await;
    let url = format!("{}{PREFIX}/vehicles/V/data", cluster.gateway());
    let client = reqwest::Client::new();
    let answers = async |status: u16, text: &str| {
        let answer = client.post(&url).json(&json!({"sensor_data": rows(10)})).send().await.unwrap();
        answer.status() == status && answer.text().await.unwrap().contains(text)
    };
    let limit = Duration::from_secs(10);
    eventually(limit, "200", async || answers(200, "success").await).await;
    let _: () = cluster.command(&["CONFIG", "SET", "maxmemory", "1gb"]).await;
    for (name, bad, good, fix) in [
        ("appendfsync", "everysec", "always", "set appendfsync always"),
        ("appendonly", "no", "yes", "set appendonly yes"),
        ("maxmemory-policy", "volatile-lru", "noeviction", "set it to noeviction"),
    ] {
        let _: () = cluster.command(&["CONFIG", "SET", name, bad]).await;
        eventually(limit, fix, async || answers(503, fix).await).await;
        let _: () = cluster.command(&["CONFIG", "SET", name, good]).await;
        eventually(limit, "200 again", async || answers(200, "success").await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_ended_three_workers_is_a_dead_letter_and_its_neighbours_are_not() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::new(&[], &[]);
    cluster.add("coordinator", "vtox-coordinator", "VTOX_COORDINATOR__PORT", &[]);
    let sensor_data = rows(800).to_string();
    let mut ids = Vec::new();
    for vehicle in ["A", "B", "C"] {
        let fields = ["XADD", RAW, "*", "vehicle_id", vehicle, "sensor_data", &sensor_data];
        ids.push(cluster.command::<String>(&fields).await);
    }
    // As three owners that died with the second entry leave it, after the first was committed.
    let lane = Partition::Bare.ownership(FaultType::Bearing);
    let _: u64 = cluster
        .command(&[
            "HSET", &lane, "cursor", &ids[0], "read", "1", "suspect", "1", "attempt", &ids[1], "attempts",
            "3",
        ])
        .await;
    cluster.add_worker("worker-1", "all");
    eventually(Duration::from_secs(10), "every entry to be answered", async || {
        let results: u64 = cluster.command(&["XLEN", RESULTS]).await;
        results == 4 * 3 + 1
    })
    .await;
    let letters: Vec<(String, HashMap<String, String>)> =
        cluster.command(&["XRANGE", DEAD_LETTERS, "-", "+"]).await;
    assert_eq!(letters.len(), 1);
    assert_eq!((&letters[0].1["entry_id"], letters[0].1["fault_type"].as_str()), (&ids[1], "bearing"));
    assert!(letters[0].1["reason"].contains("ended three workers"));
    let left: Vec<Option<String>> = cluster.command(&["HMGET", &lane, "suspect", "attempts"]).await;
    assert_eq!(left, [None, None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_type_can_be_disabled_and_enabled_while_the_cluster_runs() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &["all"]).await;
    let gateway = cluster.gateway();
    let url = format!("{gateway}{PREFIX}/vehicles/V/data");
    let client = reqwest::Client::new();
    let enabled = async |change: &[&str]| {
        let output = std::process::Command::new(vtox_e2e::program("vtox"))
            .args(["faults", "--redis", &cluster.redis.url()])
            .args(change)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let results = async || -> Vec<(String, HashMap<String, String>)> {
        cluster.command(&["XRANGE", RESULTS, "-", "+"]).await
    };
    let send_and_count = async |expected: usize| {
        let before = results().await.len();
        // The services look once a second.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert_eq!(
            client.post(&url).json(&json!({"sensor_data": rows(10)})).send().await.unwrap().status(),
            200
        );
        eventually(Duration::from_secs(10), "the results", async || {
            results().await.len() >= before + expected
        })
        .await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(results().await.len(), before + expected);
    };
    send_and_count(5).await;
    enabled(&["disable", "bearing"]).await;
    send_and_count(4).await;
    enabled(&["enable", "bearing"]).await;
    send_and_count(5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_lost_a_commit_or_everything_is_worked_with_again() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &["all"]).await;
    let url = format!("{}{PREFIX}/vehicles/V/data", cluster.gateway());
    let client = reqwest::Client::new();
    let post = async || client.post(&url).json(&json!({"sensor_data": rows(10)})).send().await.unwrap();
    let results = async || -> u64 { cluster.command(&["XLEN", RESULTS]).await };
    assert_eq!(post().await.status(), 200);
    eventually(Duration::from_secs(10), "five results", async || results().await == 5).await;
    // As a Redis that came back without the last second of its log: the entry is there, its commit is not.
    let lane = Partition::Bare.ownership(FaultType::Bearing);
    let _: u64 = cluster.command(&["HSET", &lane, "cursor", "0-0", "read", "0"]).await;
    eventually(Duration::from_secs(10), "the lost result, without a new message", async || {
        results().await == 6
    })
    .await;

    let _: () = cluster.command(&["FLUSHALL"]).await;
    eventually(Duration::from_secs(20), "messages to be accepted again", async || {
        post().await.status() == 200
    })
    .await;
    eventually(Duration::from_secs(20), "results again", async || results().await >= 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_cannot_commit_holds_up_no_other() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[("VTOX_CLUSTER__PARTITIONS", "4")], &["all", "all"]).await;
    let gateway = cluster.gateway();
    let wrong = Partition::numbered(0, 1).state(FaultType::Bearing);
    let _: () = cluster.command(&["SET", &wrong, "not a hash"]).await;
    let client = reqwest::Client::new();
    let send = async |n: u32| {
        let url = format!("{gateway}{PREFIX}/vehicles/V{n}/data");
        client.post(url).json(&json!({"sensor_data": rows(10)})).send().await.unwrap()
    };
    for n in 0..20 {
        assert_eq!(send(n).await.status(), 200);
    }
    // The other worker dies: this one gets suspect lanes beside the one that cannot commit.
    cluster.service("worker-2").kill();
    for n in 20..40 {
        assert_eq!(send(n).await.status(), 200);
    }
    let topology =
        vtox_protocol::keys::Topology { partitions: 4, enabled: vtox_protocol::FaultSet::ALL, slot_tags: 1 };
    let blocked = (0..40)
        .filter(|n| {
            let id = vtox_protocol::VehicleId::new(&format!("V{n}")).unwrap();
            topology.partition_of(&id) == Partition::numbered(0, 1)
        })
        .count() as u64;
    eventually(Duration::from_secs(15), "all results but the blocked ones", async || {
        cluster.command::<u64>(&["XLEN", RESULTS]).await >= 5 * (40 - blocked)
    })
    .await;
    let _: u64 = cluster.command(&["DEL", &wrong]).await;
    eventually(Duration::from_secs(15), "the blocked ones", async || {
        cluster.command::<u64>(&["XLEN", RESULTS]).await == 5 * 40
    })
    .await;
}
