//! Queries on vehicles and on the system, as existing clients call them.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use vtox_protocol::{FaultType, MonitorSnapshot, ThroughputSource, VehicleHealth, VehicleId, keys};
use vtox_service_kit::clock;

use crate::api::Api;
use crate::reply::Refusal;

type Answer = Result<Json<Value>, Refusal>;

const HOUR_MS: u64 = 3_600_000;
/// Most hours a history may go back.
const MAX_HOURS: f64 = 24.0 * 366.0;
/// Most records of one answer.
const MAX_RECORDS: usize = 1_000;

fn vehicle(path: Result<Path<String>, PathRejection>) -> Result<VehicleId, Refusal> {
    let Path(id) = path.map_err(|e| Refusal::bad(StatusCode::BAD_REQUEST, "vehicle_id", e.body_text()))?;
    VehicleId::new(&id).map_err(|e| Refusal::bad(StatusCode::BAD_REQUEST, "vehicle_id", e.to_string()))
}

fn parameters<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Refusal> {
    query
        .map(|Query(q)| q)
        .map_err(|e| Refusal::bad(StatusCode::UNPROCESSABLE_ENTITY, "query", e.body_text()))
}

/// `GET /vehicles/{id}/health`.
pub async fn health(State(api): State<Arc<Api>>, path: Result<Path<String>, PathRejection>) -> Answer {
    let vehicle = vehicle(path)?;
    let health =
        api.views.health(&vehicle).await?.and_then(|t| serde_json::from_str::<VehicleHealth>(&t).ok());
    Ok(Json(match health {
        Some(health) => {
            let mut data = json!(health.overall_health);
            if let Value::Object(fields) = &mut data {
                fields.insert("vehicle_id".into(), json!(health.vehicle_id));
                fields.insert("overall_health".into(), json!(health.overall_health));
                fields.insert("fault_states".into(), json!(health.fault_states));
            }
            json!({"status": "success", "data": data})
        }
        None => json!({
            "status": "not_found",
            "message": format!("未找到车辆 {vehicle} 的健康状态"),
            "vehicle_id": vehicle,
        }),
    }))
}

#[derive(Deserialize)]
pub struct History {
    fault_type: Option<String>,
    hours: Option<f64>,
}

/// `GET /vehicles/{id}/diagnosis-history`.
pub async fn history(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<History>, QueryRejection>,
) -> Answer {
    let vehicle = vehicle(path)?;
    let History { fault_type, hours } = parameters(query)?;
    let bad = |detail: String| Refusal::bad(StatusCode::UNPROCESSABLE_ENTITY, "query", detail);
    let fault = fault_type
        .filter(|f| !f.is_empty())
        .map(|f| f.parse::<FaultType>().map_err(|e| bad(e.to_string())))
        .transpose()?;
    let hours = hours.unwrap_or(24.0);
    if !(hours > 0.0 && hours <= MAX_HOURS) {
        return Err(bad(format!("hours is {hours}; between 0 and {MAX_HOURS} is expected")));
    }
    let since_ms = api.clock.now_ms().saturating_sub((hours * HOUR_MS as f64) as u64);
    let records: Vec<Value> = api
        .views
        .history(&vehicle, since_ms, MAX_RECORDS)
        .await?
        .into_iter()
        .map(|entry| entry.text_fields())
        .filter(|fields| fault.is_none_or(|f| fields.get("fault_type").is_some_and(|t| t == f.name())))
        .map(|fields| record(&fields))
        .collect();
    Ok(Json(json!({
        "status": "success",
        "data": {
            "vehicle_id": vehicle,
            "fault_type_filter": fault,
            "time_range_hours": hours,
            "total_records": records.len(),
            "diagnosis_history": records,
        },
    })))
}

/// A stream entry as JSON: numbers and embedded JSON as such.
fn record(fields: &HashMap<String, String>) -> Value {
    let value = |(name, text): (&String, &String)| {
        let parsed = match name.as_str() {
            "score" | "processing_time" | "health_score" => text.parse::<f64>().ok().map(Value::from),
            "features" | "evidence" | "charts" | "critical_faults" => serde_json::from_str(text).ok(),
            "requires_immediate_action" => Some(Value::from(text == "true")),
            _ => None,
        };
        (name.clone(), parsed.unwrap_or_else(|| Value::from(text.clone())))
    };
    Value::Object(fields.iter().map(value).collect())
}

#[derive(Deserialize)]
pub struct Limit {
    limit: Option<usize>,
}

/// `GET /alerts/critical`.
pub async fn alerts(State(api): State<Arc<Api>>, query: Result<Query<Limit>, QueryRejection>) -> Answer {
    let limit = parameters(query)?.limit.unwrap_or(50).clamp(1, MAX_RECORDS);
    let entries = api.views.newest(keys::ALERTS, 0, MAX_RECORDS).await?;
    let alerts: Vec<Value> = entries
        .into_iter()
        .map(|entry| entry.text_fields())
        .filter(|fields| fields.get("severity").is_some_and(|s| s == "critical"))
        .take(limit)
        .map(|fields| record(&fields))
        .collect();
    Ok(Json(json!({"status": "success", "data": {"total_alerts": alerts.len(), "alerts": alerts}})))
}

/// What the monitor last saw; nothing when it is away.
pub async fn snapshot(api: &Api) -> Result<MonitorSnapshot, Refusal> {
    Ok(api.views.monitor().await?.and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default())
}

/// `GET /system/performance`.
pub async fn performance(State(api): State<Arc<Api>>) -> Answer {
    let seen = snapshot(&api).await?;
    let times: serde_json::Map<String, Value> = seen
        .by_fault
        .iter()
        .map(|(fault, flow)| (fault.name().to_owned(), flow.average_processing_time.into()))
        .collect();
    Ok(Json(json!({
        "status": "success",
        "data": {
            "system_stats": {
                "status": status_of(&seen),
                "uptime_seconds": api.started.elapsed().as_secs_f64(),
                "messages_processed": seen.messages_processed,
                "error_count": seen.error_count,
                "average_processing_times": times,
                "active_consumers": seen.active_consumers,
                "throughput": seen.throughput,
                "throughput_source": seen.throughput_source,
            },
            "by_fault": seen.by_fault,
            "queue_length": seen.queue_length,
            "timestamp": seen.timestamp,
        },
    })))
}

fn status_of(seen: &MonitorSnapshot) -> &'static str {
    match seen.throughput_source {
        ThroughputSource::None if seen.active_consumers == 0 => "stopped",
        _ => "running",
    }
}

/// `GET /system/status`.
pub async fn system_status(State(api): State<Arc<Api>>) -> Answer {
    let seen = snapshot(&api).await?;
    Ok(Json(json!({
        "status": "success",
        "data": {
            "system_status": status_of(&seen),
            "uptime_seconds": api.started.elapsed().as_secs_f64(),
            "messages_processed": seen.messages_processed,
            "error_count": seen.error_count,
            "active_consumers": seen.active_consumers,
            "throughput": seen.throughput,
            "is_initialized": true,
            "timestamp": clock::timestamp(),
        },
    })))
}

/// `GET /fault-types`.
pub async fn fault_types(State(api): State<Arc<Api>>) -> Json<Value> {
    let types: Vec<Value> = FaultType::ALL
        .into_iter()
        .map(|fault| {
            json!({
                "type": fault,
                "name": fault.title(),
                "description": fault.description(),
                "enabled": api.topology().enabled.contains(fault),
            })
        })
        .collect();
    Json(json!({"status": "success", "data": {"total_types": types.len(), "fault_types": types}}))
}

/// `GET /fleet/overview`.
pub async fn fleet(State(api): State<Arc<Api>>) -> Answer {
    let counts = api.views.fleet().await?;
    let of = |status: &str| counts.get(status).copied().unwrap_or(0);
    Ok(Json(json!({
        "status": "success",
        "data": {
            "total_vehicles": counts.values().sum::<u64>(),
            "healthy_vehicles": of("healthy"),
            "warning_vehicles": of("warning") + of("caution"),
            "critical_vehicles": of("critical"),
            "unknown_vehicles": of("unknown"),
            "last_updated": clock::timestamp(),
        },
    })))
}
