//! Forms of diagnosis on demand, split workers, and the seeds' uploads.

use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use vtox_e2e::tasks::{Tasks, block};
use vtox_e2e::{Cluster, ONE_AT_A_TIME, eventually, program};
use vtox_protocol::SignalBlock;
use vtox_protocol::codec::encode_json;
use vtox_simulation::Sampling;

const PATH: &str = "/api/v1/cluster/tasks";
const WORKERS: [&str; 3] = ["turn_fault,insulation", "bearing,eccentricity", "broken_bar"];

/// The block as a vehicle's logger would write it: readings once, in the first row.
fn csv(block: &SignalBlock) -> String {
    let names = block.channels.iter().map(|c| c.quantity).chain(block.readings.keys().copied());
    let names: Vec<&str> = names.map(vtox_protocol::Quantity::name).collect();
    let mut text = format!("\u{feff}时间,{}\r\n", names.join(","));
    for row in 0..block.channels[0].samples.len() {
        write!(text, "{}", row as f64 / block.channels[0].rate_hz).unwrap();
        for channel in &block.channels {
            write!(text, ",{}", channel.samples[row]).unwrap();
        }
        for value in block.readings.values() {
            write!(text, ",{}", if row == 0 { value.to_string() } else { String::new() }).unwrap();
        }
        text.push_str("\r\n");
    }
    text
}

/// A form with fields and a file.
fn form(fields: &[(&str, &str)], name: &str, file: &str) -> String {
    let mut text = String::new();
    for (field, value) in fields {
        write!(text, "--x\r\ncontent-disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n").unwrap();
    }
    write!(text, "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\ncontent-type: text/csv\r\n\r\n{file}\r\n--x--\r\n").unwrap();
    text
}

fn without_charts(mut verdicts: Value) -> Value {
    for verdict in verdicts.as_object_mut().unwrap().values_mut() {
        assert!(verdict.as_object_mut().unwrap().remove("charts").is_none_or(|c| c.is_object()));
    }
    verdicts
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_gets_the_same_verdicts_from_split_workers() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &WORKERS).await;
    let block = block(&Sampling::new(8_000.0, 8_000));
    let tasks = Tasks::new(cluster.gateway(), &block);
    eventually(Duration::from_secs(10), "tasks to be served", async || tasks.send(&[]).await.status == 200)
        .await;

    let table = csv(&block);
    let file = tempfile::NamedTempFile::with_suffix(".csv").unwrap();
    std::fs::write(file.path(), &table).unwrap();
    let output =
        Command::new(program("vtox")).arg("diagnose").arg(file.path()).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let diagnosed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = &diagnosed["verdicts"];
    assert_eq!(expected.as_object().unwrap().len(), 5);

    let upload = form(&[("priority", "high"), ("vehicle_id", "粤B·1")], "a.CSV", &table);
    let multipart = tasks.post(PATH, "multipart/form-data; boundary=x", upload).await;
    let plain =
        tasks.post(&format!("{PATH}?vehicle_id=粤B·1"), "text/csv; charset=utf-8", table.clone()).await;
    for answer in [&multipart, &plain] {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(&without_charts(answer.body["verdicts"].clone()), expected);
        assert_eq!(answer.body["vehicle_id"], "粤B·1");
        let mut workers: Vec<&str> = answer.body["worker_id"].as_str().unwrap().split(',').collect();
        workers.sort_unstable();
        assert_eq!(workers, ["worker-1", "worker-2", "worker-3"]);
        assert_eq!(answer.body["attempts"], 3);
        assert!(answer.body["task_id"].is_string() && answer.body["processing_time_ms"].is_f64());
    }

    let sensor_data: Value = serde_json::from_str(&encode_json(&block)).unwrap();
    let rows = json!({"sensor_data": sensor_data, "fault_type": "broken_bar", "motor": {"motor_type": "permanent_magnet"}, "explain": true});
    let rows = tasks.post(PATH, "application/json", rows.to_string()).await;
    assert_eq!(rows.status, 200, "{rows:?}");
    assert_eq!(rows.body["verdicts"].as_object().unwrap().len(), 1);
    assert_eq!(rows.body["verdicts"]["broken_bar"]["status"], "not_applicable", "the profile is used");
    assert_eq!(
        (rows.worker().as_str(), &rows.body["explain"][0]["worker"]),
        ("worker-3", &json!("worker-3"))
    );
    let binary = tasks.send(&[("fault_type", "bearing")]).await;
    assert_eq!(binary.body["verdicts"]["bearing"]["status"], expected["bearing"]["status"]);

    // Who serves a fault type alone cannot be replaced: the answer says what is missing.
    cluster.service("worker-3").kill();
    eventually(Duration::from_secs(10), "the lack of a worker to be known", async || {
        let answer = tasks.send(&[]).await;
        answer.status == 503
            && answer.body["detail"].as_str().unwrap().contains("broken_bar")
            && answer.retry_after
    })
    .await;
    assert_eq!(tasks.send(&[("fault_type", "turn_fault")]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_answer_as_the_seeds_did_and_what_is_wrong_is_named() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &["all"]).await;
    let block = block(&Sampling::new(8_000.0, 4_000));
    let tasks = Tasks::new(cluster.gateway(), &block);
    eventually(Duration::from_secs(10), "tasks to be served", async || tasks.send(&[]).await.status == 200)
        .await;
    let table = csv(&block);
    const MULTIPART: &str = "multipart/form-data; boundary=x";
    for (name, fault) in [
        ("turn-to-turn", "turn_fault"),
        ("insulation", "insulation"),
        ("bearing", "bearing"),
        ("eccentricity", "eccentricity"),
        ("broken-bar", "broken_bar"),
    ] {
        let path = format!("/api/v1/diagnosis-stream/diagnosis/{name}");
        let answer = tasks.post(&path, MULTIPART, form(&[], "a.csv", &table)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut keys: Vec<&String> = answer.body.as_object().unwrap().keys().collect();
        keys.sort_unstable();
        let seeds = [
            "diagnosis_conclusion",
            "features",
            "frequency_spectrum",
            "score",
            "status",
            "suggestions",
            "time_series",
        ];
        assert_eq!(keys, seeds);
        let verdict = &tasks.send(&[("fault_type", fault)]).await.body["verdicts"][fault];
        assert_eq!(answer.body["status"], verdict["status"], "{name}");
        assert!(answer.body["time_series"]["time"].is_array() || fault == "insulation", "{answer:?}");
        assert!(!answer.body["suggestions"].as_array().unwrap().is_empty());
    }

    let good = json!({"sensor_data": {"data": [{"Ia": 1}], "sampling_rate": 8000}});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body.to_string()
    };
    for (content_type, body, status, fix) in [
        ("application/json", with("fault_type", json!("gear")), 422, "turn_fault"),
        ("application/json", with("priority", json!("urgent")), 422, "low, normal, high or critical"),
        ("application/json", with("timeout_ms", json!(0)), 422, "1 to 60000"),
        ("application/json", with("vehicle_id", json!("")), 422, "vehicle_id"),
        ("application/json", with("motor", json!({"poles": 4})), 422, "poles"),
        ("application/json", "{}".to_owned(), 422, "sensor_data"),
        ("application/json", "{".to_owned(), 400, "send"),
        ("application/json", json!({"sensor_data": {"data": []}}).to_string(), 422, "no rows"),
        ("text/csv", "时间,Ia\n0,1\n0.1,x\n".to_owned(), 400, "row 2, column Ia"),
        ("text/plain", "hello".to_owned(), 415, "text/csv"),
        ("application/msgpack", "hello".to_owned(), 400, "cannot be read"),
        (MULTIPART, form(&[], "a.xlsx", "x"), 400, "CSV in UTF-8"),
        (MULTIPART, "--x--\r\n".to_owned(), 422, "field named file"),
    ] {
        let refused = tasks.post(PATH, content_type, body).await;
        assert_eq!(refused.status, status, "{refused:?}");
        assert!(refused.body["detail"].as_str().unwrap().contains(fix), "{fix}: {refused:?}");
    }
    assert_eq!(
        tasks.post("/api/v1/diagnosis-stream/diagnosis/gear", MULTIPART, form(&[], "a.csv", "")).await.status,
        404
    );

    cluster.service("coordinator").kill();
    let alone = tasks.send(&[]).await;
    assert_eq!(alone.status, 503, "{alone:?}");
    assert!(alone.retry_after && alone.body["detail"].as_str().unwrap().contains("start vtox-coordinator"));
}
