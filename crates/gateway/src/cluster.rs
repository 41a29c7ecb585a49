//! The root page and the state of the cluster.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use vtox_protocol::{ServiceRecord, ServiceStatus, ServiceType};
use vtox_service_kit::{VERSION, clock};

use crate::api::Api;
use crate::queries::snapshot;
use crate::reply::Refusal;

fn lives(api: &Api, members: &vtox_registry::Members, record: &ServiceRecord) -> bool {
    let lease_ms = api.service.settings.coordinator.worker_lease_ms;
    record.status == ServiceStatus::Healthy
        && members.silence_ms(&record.service_id).is_some_and(|silence| silence < lease_ms)
}

/// `GET /`.
pub async fn root(State(api): State<Arc<Api>>) -> Result<Json<Value>, Refusal> {
    let members = api.registry.members().await?;
    let workers = members
        .services
        .values()
        .filter(|r| r.service_type == ServiceType::Worker && lives(&api, &members, r))
        .count();
    Ok(Json(json!({
        "message": "VTOX 电机故障诊断系统",
        "status": "running",
        "version": VERSION,
        "cluster_info": {
            "cluster_enabled": api.service.settings.cluster.enabled,
            "cluster_status": if workers > 0 { "running" } else { "no_workers" },
            "worker_count": workers,
            "deployment_mode": api.service.settings.mode.name(),
            "service_type": ServiceType::ApiGateway.name(),
        },
        "architecture": "gateway, coordinator, workers, monitor, websocket bridge on Redis Streams",
        "partitions": api.topology().partitions,
        "endpoints": {
            "send": "POST /api/v1/diagnosis-stream/vehicles/{id}/data",
            "health_of_a_vehicle": "GET /api/v1/diagnosis-stream/vehicles/{id}/health",
            "history_of_a_vehicle": "GET /api/v1/diagnosis-stream/vehicles/{id}/diagnosis-history",
            "fleet": "GET /api/v1/diagnosis-stream/fleet/overview",
            "cluster": "GET /api/v1/cluster/status",
        },
        "timestamp": clock::timestamp(),
    })))
}

/// `GET /api/v1/cluster/status`.
pub async fn status(State(api): State<Arc<Api>>) -> Result<Json<Value>, Refusal> {
    let members = api.registry.members().await?;
    let seen = snapshot(&api).await?;
    let alive = members.services.values().filter(|r| lives(&api, &members, r)).count();
    let total = members.services.len();
    let has = |kind| members.services.values().any(|r| r.service_type == kind && lives(&api, &members, r));
    let nodes: Vec<Value> = members
        .services
        .values()
        .filter(|r| r.service_type == ServiceType::Worker)
        .map(|record| {
            let load = members.loads.get(&record.service_id);
            json!({
                "id": record.service_id,
                "type": record.service_name,
                "status": if lives(&api, &members, record) { "healthy" } else { "unhealthy" },
                "cpu_usage": load.map(|l| l.cpu_usage),
                "memory_usage": load.map(|l| l.memory_usage),
                "current_tasks": load.map(|l| l.current_tasks),
                "success_rate": load.map(|l| l.success_rate),
                "fault_types": record.capabilities,
                "pending_messages": load.map(|l| l.pending_messages),
                "host": record.host,
                "port": record.port,
            })
        })
        .collect();
    let serving = has(ServiceType::Worker) && has(ServiceType::Coordinator);
    Ok(Json(json!({
        "status": "success",
        "data": {
            "cluster_health": if total == 0 { 0.0 } else { 100.0 * alive as f64 / total as f64 },
            "cluster_status": if serving && alive == total { "healthy" } else if serving { "degraded" } else { "down" },
            "worker_nodes": nodes,
            "performance_metrics": {
                "throughput": seen.throughput,
                "throughput_source": seen.throughput_source,
                "latency": seen.latency_ms,
                "queue_length": seen.queue_length,
            },
            "websocket_bridge": {"status": if has(ServiceType::Bridge) { "running" } else { "stopped" }},
            "service_registry": {"total_services": total, "healthy_services": alive, "faulty_services": total - alive},
            "load_balancer": {
                "total_requests": seen.messages_processed,
                "success_rate": seen.success_rate,
                "avg_response_time": seen.latency_ms,
            },
            "api_gateway": {
                "status": "running",
                "api_calls": api.metrics.calls.get(),
                "active_connections": api.metrics.in_flight.get(),
            },
            "alerts": seen.alerts,
            "timestamp": clock::timestamp(),
        },
    })))
}
