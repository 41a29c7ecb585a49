//! The system: throughput, status, what it diagnoses.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use vtox_protocol::{FaultFlow, FaultType, MonitorSnapshot, ThroughputSource};
use vtox_service_kit::clock;

use crate::api::Api;
use crate::reply::Refusal;
use crate::schema::{Answer, Success};

/// What the monitor last saw; nothing when it is away.
pub async fn snapshot(api: &Api) -> Result<MonitorSnapshot, Refusal> {
    Ok(api.views.monitor().await?.and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default())
}

/// Whether messages are diagnosed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SystemState {
    Running,
    Stopped,
}

/// Stopped: an operator stopped consumption, or nobody works.
async fn state_of(api: &Api, seen: &MonitorSnapshot) -> Result<SystemState, Refusal> {
    let switched_off = !api.switchboard().read().await?.consumption.value.is_running();
    let idle = seen.throughput_source == ThroughputSource::None && seen.active_consumers == 0;
    Ok(if switched_off || idle { SystemState::Stopped } else { SystemState::Running })
}

/// Figures of the system.
#[derive(Serialize, ToSchema)]
pub struct Performance {
    system_stats: SystemStats,
    /// Each enabled fault type.
    by_fault: BTreeMap<FaultType, FaultFlow>,
    /// Entries the slowest fault type has not committed.
    queue_length: u64,
    /// When the monitor looked, ISO 8601.
    timestamp: String,
}

#[derive(Serialize, ToSchema)]
struct SystemStats {
    status: SystemState,
    /// Of this gateway.
    uptime_seconds: f64,
    messages_processed: u64,
    error_count: u64,
    /// By fault type, s.
    average_processing_times: BTreeMap<FaultType, f64>,
    active_consumers: u32,
    /// Messages per s.
    throughput: f64,
    throughput_source: ThroughputSource,
}

/// How fast the system is
#[utoipa::path(
    get,
    path = "/system/performance",
    tag = "System",
    responses((status = 200, description = "Figures.", body = Answer<Performance>)),
)]
pub async fn performance(State(api): State<Arc<Api>>) -> Result<Json<Answer<Performance>>, Refusal> {
    let seen = snapshot(&api).await?;
    Ok(Json(Answer::of(Performance {
        system_stats: SystemStats {
            status: state_of(&api, &seen).await?,
            uptime_seconds: api.started.elapsed().as_secs_f64(),
            messages_processed: seen.messages_processed,
            error_count: seen.error_count,
            average_processing_times: seen
                .by_fault
                .iter()
                .map(|(fault, flow)| (*fault, flow.average_processing_time))
                .collect(),
            active_consumers: seen.active_consumers,
            throughput: seen.throughput,
            throughput_source: seen.throughput_source,
        },
        by_fault: seen.by_fault,
        queue_length: seen.queue_length,
        timestamp: seen.timestamp,
    })))
}

/// State of the system.
#[derive(Serialize, ToSchema)]
pub struct SystemStatus {
    system_status: SystemState,
    /// Of this gateway.
    uptime_seconds: f64,
    messages_processed: u64,
    error_count: u64,
    active_consumers: u32,
    /// Messages per s.
    throughput: f64,
    is_initialized: bool,
    timestamp: String,
}

/// Whether the system runs
#[utoipa::path(
    get,
    path = "/system/status",
    tag = "System",
    responses((status = 200, description = "Its state.", body = Answer<SystemStatus>)),
)]
pub async fn system_status(State(api): State<Arc<Api>>) -> Result<Json<Answer<SystemStatus>>, Refusal> {
    let seen = snapshot(&api).await?;
    Ok(Json(Answer::of(SystemStatus {
        system_status: state_of(&api, &seen).await?,
        uptime_seconds: api.started.elapsed().as_secs_f64(),
        messages_processed: seen.messages_processed,
        error_count: seen.error_count,
        active_consumers: seen.active_consumers,
        throughput: seen.throughput,
        is_initialized: true,
        timestamp: clock::timestamp(),
    })))
}

/// What can be diagnosed.
#[derive(Serialize, ToSchema)]
pub struct FaultTypes {
    total_types: usize,
    fault_types: Vec<FaultTypeInfo>,
}

#[derive(Serialize, ToSchema)]
struct FaultTypeInfo {
    r#type: FaultType,
    name: String,
    description: String,
    /// Whether messages are diagnosed for it.
    enabled: bool,
}

/// What can be diagnosed
#[utoipa::path(
    get,
    path = "/fault-types",
    tag = "System",
    responses((status = 200, description = "The fault types.", body = Answer<FaultTypes>)),
)]
pub async fn fault_types(State(api): State<Arc<Api>>) -> Json<Answer<FaultTypes>> {
    let enabled = api.topology().enabled;
    let fault_types: Vec<FaultTypeInfo> = FaultType::ALL
        .into_iter()
        .map(|fault| FaultTypeInfo {
            r#type: fault,
            name: fault.title().to_owned(),
            description: fault.description().to_owned(),
            enabled: enabled.contains(fault),
        })
        .collect();
    Json(Answer {
        status: Success::Success,
        data: FaultTypes { total_types: fault_types.len(), fault_types },
    })
}
