//! What can be sent and what comes back, by example. Each can be sent as it is, and a detector can judge it.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::Operation;

const SAMPLING_RATE_HZ: f64 = 1_000.0;
const SUPPLY_HZ: f64 = 50.0;
/// Three periods of the supply: enough for a verdict on the windings.
const SAMPLES: usize = 64;

/// Answers of a running cluster, by method and path as it is in the document.
static ANSWERS: LazyLock<BTreeMap<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("answers.json")).unwrap_or_default());

/// Adds the examples to an operation.
pub fn add(method: &str, path: &str, operation: &mut Operation) {
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        for (media, content) in &mut body.content {
            let RefOr::T(content) = content else { continue };
            content.examples.extend(of_request(path, media).into_iter().map(|(name, value)| {
                (name.to_owned(), RefOr::T(ExampleBuilder::new().value(Some(value)).build()))
            }));
        }
    }
    if let Some(RefOr::T(success)) = operation.responses.responses.get_mut("200")
        && let Some(RefOr::T(content)) = success.content.get_mut("application/json")
    {
        content.example = ANSWERS.get(&format!("{method} {path}")).cloned();
    }
}

/// What an operation can be sent in a media type: name and value.
fn of_request(path: &str, media: &str) -> Vec<(&'static str, Value)> {
    let last = path.rsplit('/').next().unwrap_or_default();
    match (last, media) {
        ("data", "application/json") => vec![
            ("rows", json!({"sensor_data": rows(), "location": "Shenzhen", "metadata": {"firmware": "2.1"}})),
            ("columns", json!({"sensor_data": columns()})),
        ],
        ("messages", "application/x-ndjson") => vec![("two vehicles", lines().into())],
        ("tasks", "application/json") => {
            vec![("columns", json!({"sensor_data": columns(), "fault_type": "all", "timeout_ms": 5_000}))]
        }
        ("tasks", "text/csv") => vec![("table", table().into())],
        (_, "multipart/form-data") => {
            let motor = json!({"motor_type": "induction", "pole_pairs": 2}).to_string();
            vec![("table", json!({"file": table(), "motor": motor}))]
        }
        ("strategy", "application/json") => vec![("strategy", json!({"strategy": "smart"}))],
        ("token", "application/json") => {
            vec![("login", json!({"username": "operator", "password": "correct horse battery staple"}))]
        }
        ("motor", "application/json") => vec![("motor", json!({"profile": profile()}))],
        ("{model}", "application/json") => vec![("model", profile())],
        _ => Vec::new(),
    }
}

/// Phase currents at a sample, A.
fn currents(sample: usize) -> [f64; 3] {
    let turns = SUPPLY_HZ * sample as f64 / SAMPLING_RATE_HZ;
    [0.0, 1.0, 2.0].map(|phase| (1_000.0 * (TAU * (turns - phase / 3.0)).sin()).round() / 100.0)
}

fn rows() -> Value {
    let row = |sample: usize| {
        let [a, b, c] = currents(sample);
        json!({"时间": sample as f64 / SAMPLING_RATE_HZ, "Ia": a, "Ib": b, "Ic": c})
    };
    let data: Vec<Value> = (0..4).map(row).collect();
    json!({"data": data, "sampling_rate": SAMPLING_RATE_HZ, "temperature": 61.5, "insulation_resistance": 120.0})
}

fn columns() -> Value {
    let phase = |n: usize| (0..SAMPLES).map(|sample| currents(sample)[n]).collect::<Vec<f64>>();
    json!({
        "columns": {"Ia": phase(0), "Ib": phase(1), "Ic": phase(2)}, "sampling_rate": SAMPLING_RATE_HZ, "temperature": 61.5,
        "insulation_resistance": 120.0,
    })
}

fn lines() -> String {
    let line = |vehicle: &str| json!({"vehicle_id": vehicle, "sensor_data": rows()}).to_string();
    format!("{}\n{}\n", line("粤B·SEAL·202412345"), line("demo-1"))
}

/// Readings stand in the first row alone.
fn table() -> String {
    let mut table = String::from("时间,Ia,Ib,Ic,temperature,insulation_resistance\n");
    for sample in 0..SAMPLES {
        let ([a, b, c], time) = (currents(sample), sample as f64 / SAMPLING_RATE_HZ);
        let readings = if sample == 0 { "61.5,120" } else { "," };
        let written = writeln!(table, "{time},{a},{b},{c},{readings}");
        debug_assert!(written.is_ok());
    }
    table
}

fn profile() -> Value {
    json!({
        "motor_type": "induction", "pole_pairs": 2, "rotor_bars": 28, "rated_current_a": 8.5, "rated_voltage_v": 400.0,
        "rated_speed_rpm": 1440.0, "rated_frequency_hz": 50.0, "insulation_class_c": 155.0,
        "bearing": {"elements": 9, "element_diameter_mm": 7.938, "pitch_diameter_mm": 38.5, "contact_angle_deg": 0.0},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{openapi, routes};

    #[test]
    fn every_body_and_every_answer_has_an_example() {
        let (_, mut document) = routes::described().merge(routes::described_tasks()).split_for_parts();
        openapi::complete(&mut document);
        let document = serde_json::to_value(document).unwrap();
        let mut seen = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let bodies = operation.pointer("/requestBody/content").and_then(Value::as_object);
                for (media, content) in
                    bodies.into_iter().flatten().filter(|(m, _)| *m != "application/msgpack")
                {
                    let examples = content["examples"].as_object().map_or(0, serde_json::Map::len);
                    assert!(examples > 0, "{method} {path}: no example in {media}");
                    seen += 1;
                }
                let answer = operation.pointer("/responses/200/content/application~1json");
                assert!(
                    answer.is_none_or(|a| a["example"].is_object()),
                    "{method} {path}: no example of an answer"
                );
                seen += 1;
            }
        }
        assert!(seen > 60, "{seen}");
    }
}
