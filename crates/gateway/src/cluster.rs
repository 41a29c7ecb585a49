//! The root page and the state of the cluster.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vtox_protocol::{FaultType, ServiceRecord, ServiceStatus, ServiceType, ThroughputSource};
use vtox_registry::Members;
use vtox_service_kit::{VERSION, clock};

use crate::api::Api;
use crate::queries::snapshot;
use crate::reply::Refusal;
use crate::schema::Answer;

/// The routes.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(root)).routes(routes!(status))
}

/// Whether a service is healthy and its heartbeats come.
pub fn lives(api: &Api, members: &Members, record: &ServiceRecord) -> bool {
    let lease_ms = api.service.settings.coordinator.worker_lease_ms;
    record.status == ServiceStatus::Healthy
        && members.silence_ms(&record.service_id).is_some_and(|silence| silence < lease_ms)
}

/// What this is.
#[derive(Serialize, ToSchema)]
struct Root {
    message: &'static str,
    status: &'static str,
    version: &'static str,
    cluster_info: ClusterInfo,
    architecture: &'static str,
    partitions: u16,
    /// Where the API is described.
    documentation: &'static str,
    endpoints: Endpoints,
    timestamp: String,
}

#[derive(Serialize, ToSchema)]
struct ClusterInfo {
    cluster_enabled: bool,
    /// `running` or `no_workers`.
    cluster_status: &'static str,
    worker_count: usize,
    deployment_mode: &'static str,
    service_type: &'static str,
}

#[derive(Serialize, ToSchema)]
struct Endpoints {
    send: &'static str,
    health_of_a_vehicle: &'static str,
    history_of_a_vehicle: &'static str,
    fleet: &'static str,
    cluster: &'static str,
}

/// What this is
#[utoipa::path(
    get,
    path = "/",
    tag = "System",
    responses((status = 200, description = "VTOX.", body = Root)),
)]
async fn root(State(api): State<Arc<Api>>) -> Result<Json<Root>, Refusal> {
    let members = api.registry.members().await?;
    let workers = members
        .services
        .values()
        .filter(|r| r.service_type == ServiceType::Worker && lives(&api, &members, r))
        .count();
    Ok(Json(Root {
        message: "VTOX 电机故障诊断系统",
        status: "running",
        version: VERSION,
        cluster_info: ClusterInfo {
            cluster_enabled: api.service.settings.cluster.enabled,
            cluster_status: if workers > 0 { "running" } else { "no_workers" },
            worker_count: workers,
            deployment_mode: api.service.settings.mode.name(),
            service_type: ServiceType::ApiGateway.name(),
        },
        architecture: "gateway, coordinator, workers, monitor, websocket bridge on Redis Streams",
        partitions: api.topology().partitions,
        documentation: "/docs",
        endpoints: Endpoints {
            send: "POST /api/v1/diagnosis-stream/vehicles/{id}/data",
            health_of_a_vehicle: "GET /api/v1/diagnosis-stream/vehicles/{id}/health",
            history_of_a_vehicle: "GET /api/v1/diagnosis-stream/vehicles/{id}/diagnosis-history",
            fleet: "GET /api/v1/diagnosis-stream/fleet/overview",
            cluster: "GET /api/v1/cluster/status",
        },
        timestamp: clock::timestamp(),
    }))
}

/// State of the cluster.
#[derive(Serialize, ToSchema)]
struct ClusterState {
    /// Services that live, %.
    cluster_health: f64,
    /// `healthy`, `degraded` or `down`.
    cluster_status: &'static str,
    worker_nodes: Vec<WorkerNode>,
    performance_metrics: PerformanceMetrics,
    websocket_bridge: BridgeState,
    service_registry: RegistryState,
    load_balancer: LoadBalancer,
    api_gateway: GatewayState,
    /// Alerts that stand.
    alerts: Vec<String>,
    timestamp: String,
}

#[derive(Serialize, ToSchema)]
struct WorkerNode {
    id: String,
    r#type: String,
    /// `healthy` or `unhealthy`.
    status: &'static str,
    /// %.
    cpu_usage: Option<f64>,
    /// %.
    memory_usage: Option<f64>,
    current_tasks: Option<u32>,
    /// 0 to 1.
    success_rate: Option<f64>,
    fault_types: Vec<FaultType>,
    pending_messages: Option<u64>,
    host: String,
    port: u16,
}

#[derive(Serialize, ToSchema)]
struct PerformanceMetrics {
    /// Messages per s.
    throughput: f64,
    throughput_source: ThroughputSource,
    /// ms.
    latency: f64,
    queue_length: u64,
}

#[derive(Serialize, ToSchema)]
struct BridgeState {
    /// `running` or `stopped`.
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
struct RegistryState {
    total_services: usize,
    healthy_services: usize,
    faulty_services: usize,
}

#[derive(Serialize, ToSchema)]
struct LoadBalancer {
    total_requests: u64,
    /// 0 to 1.
    success_rate: f64,
    /// ms.
    avg_response_time: f64,
}

#[derive(Serialize, ToSchema)]
struct GatewayState {
    status: &'static str,
    api_calls: u64,
    active_connections: i64,
}

/// State of the cluster
#[utoipa::path(
    get,
    path = "/api/v1/cluster/status",
    tag = "System",
    responses((status = 200, description = "Its state.", body = Answer<ClusterState>)),
)]
async fn status(State(api): State<Arc<Api>>) -> Result<Json<Answer<ClusterState>>, Refusal> {
    let members = api.registry.members().await?;
    let seen = snapshot(&api).await?;
    let alive = members.services.values().filter(|r| lives(&api, &members, r)).count();
    let total = members.services.len();
    let has = |kind| members.services.values().any(|r| r.service_type == kind && lives(&api, &members, r));
    let worker_nodes = members
        .services
        .values()
        .filter(|r| r.service_type == ServiceType::Worker)
        .map(|record| {
            let load = members.loads.get(&record.service_id);
            WorkerNode {
                id: record.service_id.clone(),
                r#type: record.service_name.clone(),
                status: if lives(&api, &members, record) { "healthy" } else { "unhealthy" },
                cpu_usage: load.map(|l| l.cpu_usage),
                memory_usage: load.map(|l| l.memory_usage),
                current_tasks: load.map(|l| l.current_tasks),
                success_rate: load.map(|l| l.success_rate),
                fault_types: record.capabilities.iter().collect(),
                pending_messages: load.map(|l| l.pending_messages),
                host: record.host.clone(),
                port: record.port,
            }
        })
        .collect();
    let serving = has(ServiceType::Worker) && has(ServiceType::Coordinator);
    Ok(Json(Answer::of(ClusterState {
        cluster_health: if total == 0 { 0.0 } else { 100.0 * alive as f64 / total as f64 },
        cluster_status: match serving {
            true if alive == total => "healthy",
            true => "degraded",
            false => "down",
        },
        worker_nodes,
        performance_metrics: PerformanceMetrics {
            throughput: seen.throughput,
            throughput_source: seen.throughput_source,
            latency: seen.latency_ms,
            queue_length: seen.queue_length,
        },
        websocket_bridge: BridgeState {
            status: if has(ServiceType::Bridge) { "running" } else { "stopped" },
        },
        service_registry: RegistryState {
            total_services: total,
            healthy_services: alive,
            faulty_services: total - alive,
        },
        load_balancer: LoadBalancer {
            total_requests: seen.messages_processed,
            success_rate: seen.success_rate,
            avg_response_time: seen.latency_ms,
        },
        api_gateway: GatewayState {
            status: "running",
            api_calls: api.metrics.calls.get(),
            active_connections: api.metrics.in_flight.get(),
        },
        alerts: seen.alerts,
        timestamp: clock::timestamp(),
    })))
}
