//! The names of the wire contract, each looked for where the contract has it, on a running cluster that has found a fault.
//!
//! What is here is which names there are and what kind of value they have. What the calls do is elsewhere:
//!
//! | of the contract | where |
//! |---|---|
//! | vehicles' messages, health, history, groups on the raw stream, entries by hand, dead letters | `contract.rs` |
//! | bodies that are refused, `{"detail": ...}` | `contract.rs`, `hostile` |
//! | initialize, start, stop, scale, bridge/control, cluster/start and stop | `switches.rs` |
//! | 401, /auth/token with a signing key, the simulator's path in production | `access.rs` |
//! | uploads to /diagnosis/{fault} | `task_forms.rs` |
//! | /ws/datasource, and dashboards through the gateway | `websockets.rs` |

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use redis::streams::StreamRangeReply;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use vtox_e2e::credentials::{keys, text};
use vtox_e2e::{Cluster, ONE_AT_A_TIME, eventually, program};
use vtox_protocol::codec::{encode_binary, encode_json};
use vtox_protocol::{FaultType, SignalBlock};
use vtox_simulation::{Condition, Motor, OperatingPoint, Sampling, Vehicle};

/// Calls, and what their answers have: the path to a value and its kind. `a/0/b` is in the first of a list.
const CALLS: &str = "
GET /                              | message string, status string, version string, architecture string, cluster_info/cluster_enabled boolean, cluster_info/cluster_status string, cluster_info/worker_count number, cluster_info/deployment_mode string, cluster_info/service_type string
GET /health                        | status string
GET /docs/                         |
GET /api/v1/cluster/status         | status string, data/cluster_health number, data/cluster_status string, data/worker_nodes/0/id string, data/worker_nodes/0/type string, data/worker_nodes/0/status string, data/worker_nodes/0/cpu_usage number, data/worker_nodes/0/memory_usage number, data/worker_nodes/0/current_tasks number, data/worker_nodes/0/success_rate number, data/performance_metrics/throughput number, data/performance_metrics/throughput_source string, data/performance_metrics/latency number, data/performance_metrics/queue_length number, data/websocket_bridge object, data/service_registry/total_services number, data/service_registry/healthy_services number, data/service_registry/faulty_services number, data/load_balancer/total_requests number, data/load_balancer/success_rate number, data/load_balancer/avg_response_time number, data/api_gateway/status string, data/api_gateway/api_calls number, data/api_gateway/active_connections number, data/timestamp string
POST ~/vehicles/W/data?location=x  | status string, message string, timestamp string, message_id string
POST ~/simulator/vehicles/W/data   | status string, message string, timestamp string, message_id string, data_points number, processing_stats/total_received number, processing_stats/success_rate number
GET ~/vehicles/V/health            | status string, data/vehicle_id string, data/overall_health/overall_status string, data/overall_health/health_score number
GET ~/vehicles/nobody/health       | status string, message string, vehicle_id string
GET ~/vehicles/V/diagnosis-history?fault_type=bearing&hours=2 | status string, data/vehicle_id string, data/fault_type_filter string, data/time_range_hours number, data/total_records number, data/diagnosis_history/0/fault_type string, data/diagnosis_history/0/status string, data/diagnosis_history/0/score number, data/diagnosis_history/0/timestamp string, data/diagnosis_history/0/features object
GET ~/vehicles/V/diagnosis-history | data/fault_type_filter null, data/time_range_hours number
GET ~/alerts/critical?limit=5      | status string, data/total_alerts number, data/alerts/0/vehicle_id string, data/alerts/0/alert_type string, data/alerts/0/severity string, data/alerts/0/critical_faults array
GET ~/system/performance           | status string, data/system_stats/status string, data/system_stats/uptime_seconds number, data/system_stats/messages_processed number, data/system_stats/error_count number, data/system_stats/average_processing_times object, data/system_stats/active_consumers number, data/system_stats/throughput number, data/system_stats/throughput_source string
GET ~/system/status                | status string, data/system_status string, data/uptime_seconds number, data/messages_processed number, data/error_count number, data/active_consumers number, data/throughput number, data/is_initialized boolean, data/timestamp string
GET ~/fault-types                  | status string, data/total_types number, data/fault_types/0/type string, data/fault_types/0/name string, data/fault_types/0/description string
GET ~/fleet/overview               | status string, data/total_vehicles number, data/healthy_vehicles number, data/warning_vehicles number, data/critical_vehicles number, data/last_updated string
GET ~/bridge/status                | status string, is_monitoring boolean, config object
POST ~/initialize                  | status string, message string, timestamp string, config object
POST ~/start?consumers_per_fault=1&enable_aggregation=true&enable_monitoring=true | status string, message string, timestamp string, config object, is_monitoring boolean
POST ~/bridge/control?action=start | status string, message string, timestamp string, is_monitoring boolean
POST /auth/token                   | access_token string, token_type string
GET coordinator/status             | coordinator_status string, uptime_seconds number, tasks_assigned number, tasks_completed number, tasks_failed number, average_assignment_time number, current_queue_length number, total_workers number, healthy_workers number, load_balance_strategy string, timestamp string
";

/// Streams, and the fields of their entries; `json` is text that is JSON, `number` is decimal text.
const STREAMS: &str = "
motor_raw_data             | vehicle_id string, timestamp string, sensor_data json, metadata json, data_type string
fault_diagnosis_results    | vehicle_id string, fault_type string, timestamp string, status string, score number, features json, charts json, consumer_id string, processing_time number, original_message_id string, message_id string, severity string, evidence string, advice string, model_version string
vehicle_health_assessments | vehicle_id string, assessment_type string, overall_health json, fault_states json, timestamp string
performance_metrics        | metric_type string, fault_type string, consumer_id string, processing_time number, timestamp string, messages_processed number
system_alerts              | alert_type string, vehicle_id string, severity string, health_score number, critical_faults json, alert_timestamp string, requires_immediate_action string
";

/// Hashes and lists of JSON.
const RECORDS: &str = "
vtox:services                 | service_id string, service_type string, service_name string, host string, port number, status string, capabilities array, metadata object, last_heartbeat number, registered_at number, version string
vtox:service_events           | event_type string, service_data object, timestamp number
vtox:coordinator:worker_loads | worker_id string, current_tasks number, pending_messages number, avg_processing_time number, cpu_usage number, memory_usage number, success_rate number, total_completed number, total_failed number, uptime number, last_updated number, healthy boolean
vtox:coordinator:assignments  | grants array
";

/// Features that dashboards read.
const FEATURES: [(&str, &[&str]); 5] = [
    (
        "turn_fault",
        &["current_imbalance", "third_harmonic_ratio", "negative_sequence_ratio", "fault_severity"],
    ),
    (
        "insulation",
        &["insulation_resistance", "leakage_current", "dielectric_loss", "temp_anomaly", "fault_severity"],
    ),
    ("bearing", &["bearing_characteristic_frequency", "crest_factor", "kurtosis", "fault_severity"]),
    ("eccentricity", &["static_ecc_ratio", "dynamic_ecc_ratio", "eccentricity_index", "fault_severity"]),
    ("broken_bar", &["sideband_ratio", "normalized_fault_index", "broken_bar_count", "fault_severity"]),
];

const PASSWORD: &str = "correct horse battery staple";

/// Of these, what is there only where the lines that it needs were found in the signals: of a motor with that fault they are.
const WHERE_FOUND: [&str; 3] = ["bearing_characteristic_frequency", "static_ecc_ratio", "broken_bar_count"];

/// Curves that dashboards draw: over time, and over frequency.
type Curves = (&'static [&'static str], &'static [&'static str]);

const CURRENTS: Curves = (
    &["time", "values_a", "values_b", "values_c"],
    &["frequency", "amplitude_a", "amplitude_b", "amplitude_c"],
);
const CHARTS: [(FaultType, Curves); 5] = [
    (FaultType::TurnFault, CURRENTS),
    (FaultType::Insulation, (&["time", "values_resistance", "values_leakage_current"], &[])),
    (FaultType::Bearing, (&["time", "values_vibration"], &["frequency", "amplitude"])),
    (FaultType::Eccentricity, CURRENTS),
    (FaultType::BrokenBar, CURRENTS),
];

/// The lines of a table: what is looked at, and the names there with their kinds.
fn lines(table: &str) -> impl Iterator<Item = (&str, Vec<(&str, &str)>)> {
    table.lines().filter(|line| !line.is_empty()).map(|line| {
        let (what, names) = line.split_once('|').expect("a bar");
        let names = names.split(',').map(str::trim).filter(|n| !n.is_empty());
        (what.trim(), names.map(|n| n.split_once(' ').expect("a name and a kind")).collect())
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Names that a value does not have, or as another kind.
fn missing(value: &Value, names: &[(&str, &str)]) -> Vec<String> {
    let found = |name: &str| value.pointer(&format!("/{name}")).map_or("nothing", kind);
    let wrong = names.iter().filter(|(name, expected)| found(name) != *expected);
    wrong.map(|(name, expected)| format!("{name} is {}, not {expected}", found(name))).collect()
}

/// What a motor with a fault sends in so many s: everything that can be measured.
fn block_with(fault: FaultType, seconds: usize) -> SignalBlock {
    let condition = Condition::faulty(fault, 1.0);
    let motor = Motor::induction_4kw();
    let mut vehicle = Vehicle::new("V".to_owned(), motor, OperatingPoint::default(), condition, 1);
    vehicle.next_block(&Sampling::new(8_000.0, 8_000 * seconds).with_voltages(), 0.0)
}

/// A vehicle with a turn fault, as it sends.
fn faulty_block() -> Value {
    serde_json::from_str(&encode_json(&block_with(FaultType::TurnFault, 1))).expect("JSON")
}

/// Adds the operator; the password is read from standard input.
fn add_user(cluster: &Cluster) {
    let mut child = Command::new(program("vtox"))
        .args(["user", "add", "operator", "--role", "operator"])
        .env("REDIS_URL", &cluster.url)
        .stdin(Stdio::piped())
        .spawn()
        .expect("vtox");
    child.stdin.take().expect("a pipe").write_all(PASSWORD.as_bytes()).expect("a pipe");
    assert!(child.wait().expect("vtox").success());
}

/// A cluster with a user, on which a fault was found, and its keys for tokens.
async fn cluster_with_a_fault() -> (Cluster, tempfile::TempDir) {
    let mut cluster = Cluster::new(&[], &[]);
    let keys = keys(&cluster);
    cluster.environment.push(("VTOX_AUTH__KEYS_DIR".to_owned(), text(keys.path()).to_owned()));
    add_user(&cluster);
    cluster.add_all(&["all"]).await;
    let url = format!("{}/api/v1/diagnosis-stream/vehicles/V/data", cluster.gateway());
    let block = faulty_block();
    for _ in 0..5 {
        let body = json!({"sensor_data": block, "metadata": {"a": 1}, "location": "Shenzhen"});
        let answer = reqwest::Client::new().post(&url).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    for stream in lines(STREAMS).map(|(stream, _)| stream) {
        eventually(Duration::from_secs(15), stream, async || {
            cluster.command::<u64>(&["XLEN", stream]).await > 0
        })
        .await;
    }
    (cluster, keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_is_where_the_contract_has_it() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (mut cluster, _keys) = cluster_with_a_fault().await;
    let (gateway, coordinator) = (cluster.gateway(), cluster.service("coordinator").url(""));
    // The first heartbeat of a worker with its load.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut wrong = Vec::new();
    let client = reqwest::Client::new();
    for (call, names) in lines(CALLS) {
        let (method, path) = call.split_once(' ').unwrap();
        let url = match path.strip_prefix("coordinator") {
            Some(path) => format!("{coordinator}{path}"),
            None => format!("{gateway}{}", path.replace('~', "/api/v1/diagnosis-stream")),
        };
        let body = match path {
            "/auth/token" => json!({"username": "operator", "password": PASSWORD}),
            _ => json!({"sensor_data": {"data": [{"Ia": 1.0}], "sampling_rate": 8000}}),
        };
        let request = client.request(method.parse().unwrap(), url);
        let answer = if method == "POST" { request.json(&body) } else { request }.send().await.unwrap();
        let status = answer.status().as_u16();
        let answer = answer.text().await.unwrap();
        if status != 200 {
            wrong.push(format!("{call}: {status} {answer}"));
        } else if !names.is_empty() {
            let value = serde_json::from_str(&answer).unwrap();
            wrong.extend(missing(&value, &names).into_iter().map(|w| format!("{call}: {w}")));
        }
    }
    for (stream, names) in lines(STREAMS) {
        let entries: StreamRangeReply = cluster.command(&["XRANGE", stream, "-", "+"]).await;
        for entry in entries.ids {
            for (name, expected) in &names {
                let text: Option<String> = entry.get(name);
                let fits = text.as_ref().is_some_and(|text| match *expected {
                    "json" => {
                        serde_json::from_str::<Value>(text).is_ok_and(|v| v.is_object() || v.is_array())
                    }
                    "number" => text.parse::<f64>().is_ok(),
                    _ => true,
                });
                if !fits {
                    wrong.push(format!("{stream} {}: {name} is {text:?}, not {expected}", entry.id));
                }
            }
        }
    }
    for (key, names) in lines(RECORDS) {
        let texts: Vec<String> = match key {
            "vtox:service_events" => cluster.command(&["LRANGE", key, "0", "-1"]).await,
            _ => cluster.command(&["HVALS", key]).await,
        };
        assert!(!texts.is_empty(), "{key}");
        for text in texts {
            let value = serde_json::from_str(&text).unwrap();
            wrong.extend(missing(&value, &names).into_iter().map(|w| format!("{key}: {w}")));
        }
    }
    let beats: HashMap<String, f64> = cluster.command(&["HGETALL", "vtox:heartbeats"]).await;
    let services: HashMap<String, String> = cluster.command(&["HGETALL", "vtox:services"]).await;
    assert_eq!(beats.len(), services.len());
    assert!(services.keys().all(|name| name.split_once(':').is_some_and(|(_, id)| beats.contains_key(id))));
    let groups: Vec<HashMap<String, redis::Value>> =
        cluster.command(&["XINFO", "GROUPS", "fault_diagnosis_results"]).await;
    let name: String = redis::from_redis_value(groups[0]["name"].clone()).unwrap();
    assert_eq!(name, "result_aggregation_group");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_brings_all_its_features_and_curves() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &["all"]).await;
    let client = reqwest::Client::new();
    for (fault, _) in CHARTS {
        let url = format!("{}/api/v1/diagnosis-stream/vehicles/{fault}/data", cluster.gateway());
        let body = encode_binary(&block_with(fault, 8));
        let sent = client.post(url).header("content-type", "application/msgpack").body(body).send().await;
        assert_eq!(sent.unwrap().status(), 200);
    }
    eventually(Duration::from_secs(60), "all results", async || {
        cluster.command::<usize>(&["XLEN", "fault_diagnosis_results"]).await == CHARTS.len() * CHARTS.len()
    })
    .await;
    let results: StreamRangeReply = cluster.command(&["XRANGE", "fault_diagnosis_results", "-", "+"]).await;
    let none = serde_json::Map::new();
    for (fault, (series, spectrum)) in CHARTS {
        let own = |r: &&redis::streams::StreamId| {
            ["vehicle_id", "fault_type"].iter().all(|name| r.get::<String>(name).unwrap() == fault.name())
        };
        let result = results.ids.iter().find(own).expect("a result");
        let json = |name: &str| serde_json::from_str::<Value>(&result.get::<String>(name).unwrap()).unwrap();
        assert_eq!(result.get::<String>("status").unwrap(), "fault", "{fault}");
        let (features, charts) = (json("features"), json("charts"));
        let (_, names) = FEATURES.iter().find(|(f, _)| *f == fault.name()).unwrap();
        for name in *names {
            assert!(features[name].is_number(), "{fault}: no {name} in {features}");
        }
        for (kind, names) in [("time_series", series), ("frequency_spectrum", spectrum)] {
            let curves = charts[kind].as_object().unwrap_or(&none);
            let found: Vec<&str> = curves.keys().map(String::as_str).collect();
            assert!(
                found.len() == names.len() && names.iter().all(|name| found.contains(name)),
                "{fault}: {kind} {found:?}, not {names:?}"
            );
            let lengths: BTreeSet<usize> = curves.values().map(|v| v.as_array().unwrap().len()).collect();
            assert!(lengths.len() <= 1 && !lengths.contains(&0), "{fault} {kind}: {lengths:?} points");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_mean_what_the_contract_says() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (mut cluster, _keys) = cluster_with_a_fault().await;
    let results: StreamRangeReply = cluster.command(&["XRANGE", "fault_diagnosis_results", "-", "+"]).await;
    let mut scores = BTreeMap::new();
    for entry in &results.ids {
        let json = |name: &str| serde_json::from_str::<Value>(&entry.get::<String>(name).unwrap()).unwrap();
        let fault: String = entry.get("fault_type").unwrap();
        let status: String = entry.get("status").unwrap();
        assert!(
            ["normal", "warning", "fault", "insufficient_data", "not_applicable"].contains(&status.as_str())
        );
        let score: f64 = entry.get::<String>("score").unwrap().parse().unwrap();
        assert!((0.0..=1.0).contains(&score), "{fault}: {score}");
        scores.insert(fault.clone(), score);
        let features = json("features");
        let (_, names) = FEATURES.iter().find(|(f, _)| *f == fault).unwrap();
        if !["insufficient_data", "not_applicable"].contains(&status.as_str()) {
            for name in *names {
                let there = features[name].is_number() || WHERE_FOUND.contains(name);
                assert!(there, "{fault} {status}: no {name} in {features}");
            }
        }
        for (name, curve) in json("charts").as_object().unwrap() {
            for (axis, points) in curve.as_object().unwrap() {
                let count = points.as_array().unwrap().len();
                assert!((1..=600).contains(&count), "{fault} {name} {axis}: {count} points");
            }
        }
    }
    assert_eq!(scores.len(), 5);
    // Weights of the overall health, and what a fault makes of it.
    let weights = [
        ("turn_fault", 0.25),
        ("insulation", 0.2),
        ("bearing", 0.25),
        ("eccentricity", 0.15),
        ("broken_bar", 0.15),
    ];
    let last: StreamRangeReply =
        cluster.command(&["XREVRANGE", "vehicle_health_assessments", "+", "-", "COUNT", "1"]).await;
    let json = |name: &str| serde_json::from_str::<Value>(&last.ids[0].get::<String>(name).unwrap()).unwrap();
    let (health, states) = (json("overall_health"), json("fault_states"));
    let total: f64 = weights.iter().map(|(f, w)| w * states[f]["score"].as_f64().unwrap_or(0.0)).sum();
    assert!(
        (health["health_score"].as_f64().unwrap() - (100.0 - 100.0 * total)).abs() < 0.1,
        "{health} {states}"
    );
    assert_eq!(
        (&states["turn_fault"]["status"], &health["overall_status"]),
        (&json!("fault"), &json!("critical"))
    );
    for name in ["critical_faults", "warnings", "normal"] {
        assert!(!health["fault_summary"][name].is_null(), "{health}");
    }

    // A dashboard, directly and through the gateway.
    let addresses = [cluster.service("bridge").url(""), cluster.gateway()];
    for address in addresses {
        let url = format!("{}/ws/frontend", address.replace("http", "ws"));
        let (mut socket, _) = connect_async(url).await.unwrap();
        for text in [r#"{"type":"test"}"#, r#"{"type":"heartbeat","timestamp":"t"}"#] {
            socket.send(Message::text(text)).await.unwrap();
        }
        let data = format!("{}/api/v1/diagnosis-stream/vehicles/V/data", cluster.gateway());
        let body = json!({"sensor_data": faulty_block()});
        reqwest::Client::new().post(data).json(&body).send().await.unwrap().error_for_status().unwrap();
        let (mut heartbeat, mut results, mut assessments) = (false, 0, 0);
        let receive = async {
            while !heartbeat || results < 5 || assessments == 0 {
                let message = socket.next().await.unwrap().unwrap();
                let Message::Text(text) = message else { continue };
                let frame: Value = serde_json::from_str(&text).unwrap();
                let wrong = if frame["type"] == "heartbeat_response" {
                    heartbeat = true;
                    let names = "| timestamp string, server_time string, queue_size number, processing_rate number, sampling_rate number, stats object";
                    missing(&frame, &lines(names).next().unwrap().1)
                } else if frame["message_type"] == "health_assessment" {
                    assessments += 1;
                    let names = "| vehicle_id string, timestamp string, health_score number, overall_status string, active_faults array, fault_details object, data_source string, message_id string";
                    missing(&frame, &lines(names).next().unwrap().1)
                } else {
                    results += 1;
                    let s = frame["score"].as_f64().unwrap();
                    let health = match s {
                        s if s <= 0.2 => 95.0 - 25.0 * s,
                        s if s <= 0.5 => 90.0 - 100.0 * (s - 0.2),
                        s => (60.0 - 120.0 * (s - 0.5)).clamp(0.0, 100.0),
                    };
                    assert!((frame["health_score"].as_f64().unwrap() - health).abs() < 0.1, "{frame}");
                    let names = "| fault_type string, vehicle_id string, timestamp string, status string, score number, features object";
                    missing(&frame, &lines(names).next().unwrap().1)
                };
                assert!(wrong.is_empty(), "{wrong:?} in {frame}");
            }
        };
        tokio::time::timeout(Duration::from_secs(15), receive).await.expect("frames");
    }
}
