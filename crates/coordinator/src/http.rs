//! What the coordinator answers. Any coordinator answers; only the leader knows placements' reasons.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use vtox_registry::{Placement, Registry};
use vtox_service_kit::{Service, clock};

use crate::tasks::Tasks;
use crate::view::Views;

#[derive(Clone)]
struct Api {
    service: Arc<Service>,
    views: Views,
    tasks: Arc<Tasks>,
    started: std::time::Instant,
}

/// The routes of the coordinator.
pub fn routes(service: Arc<Service>, views: Views, tasks: Arc<Tasks>) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/workers", get(workers))
        .route("/assignments", get(assignments))
        .route("/explain", get(explain))
        .with_state(Api { service, views, tasks, started: std::time::Instant::now() })
}

async fn status(State(api): State<Api>) -> Result<Json<Value>, Response> {
    let view = api.views.current();
    let members = Registry::new(api.service.redis.control.clone()).members().await.map_err(unavailable)?;
    let completed: u64 = members.loads.values().map(|l| l.total_completed).sum();
    let failed: u64 = members.loads.values().map(|l| l.total_failed).sum();
    Ok(Json(json!({
        "coordinator_status": "running",
        "role": view.role,
        "leader": view.leader,
        "term": view.term,
        "uptime_seconds": api.started.elapsed().as_secs_f64(),
        "tasks_assigned": view.grants,
        "tasks_completed": completed,
        "tasks_failed": failed,
        "average_assignment_time": view.average_grant_ms,
        "current_queue_length": view.backlog_entries,
        "total_workers": members.loads.len(),
        "healthy_workers": view.scores.values().filter(|s| s.is_healthy()).count(),
        "load_balance_strategy": api.tasks.routing().strategy.name(),
        "worst_deviation": view.worst_deviation,
        "unplaced": view.unplaced,
        "consumption": members.switches.consumption,
        "lanes_owned": view.lanes_owned,
        "hold": view.hold,
        "timestamp": clock::timestamp(),
    })))
}

async fn workers(State(api): State<Api>) -> Result<Json<Value>, Response> {
    let view = api.views.current();
    let members = Registry::new(api.service.redis.control.clone()).members().await.map_err(unavailable)?;
    let assignments = Placement::new(api.service.redis.control.clone()).all().await.map_err(unavailable)?;
    let workers: Vec<Value> = members
        .loads
        .values()
        .map(|load| {
            let id = &load.worker_id;
            json!({
                "worker_id": id,
                "service": members.services.get(id),
                "alive": view.scores.contains_key(id),
                "silence_ms": members.silence_ms(id),
                "load": load,
                "score": view.scores.get(id),
                "capacity": view.capacities.get(id),
                "fill": view.fills.get(id),
                "draining": members.draining.contains_key(id) || load.draining,
                "lanes": assignments.get(id).map_or(0, |a| a.grants.len()),
            })
        })
        .collect();
    Ok(Json(json!({"workers": workers, "timestamp": clock::timestamp()})))
}

async fn assignments(State(api): State<Api>) -> Result<Json<Value>, Response> {
    let assignments = Placement::new(api.service.redis.control.clone()).all().await.map_err(unavailable)?;
    let view = api.views.current();
    Ok(Json(json!({
        "assignments": assignments,
        "fills": view.fills,
        "worst_deviation": view.worst_deviation,
        "timestamp": clock::timestamp(),
    })))
}

#[derive(Deserialize)]
struct Which {
    unit: Option<String>,
}

/// Why a unit (`FAULTS/PARTITION`) is where it is; without one, which units there are.
async fn explain(State(api): State<Api>, Query(which): Query<Which>) -> Response {
    let view = api.views.current();
    if view.role != "leader" {
        let detail = format!(
            "this coordinator stands by; ask the leader {}",
            view.leader.as_deref().unwrap_or("(none)")
        );
        return (StatusCode::CONFLICT, Json(json!({"detail": detail}))).into_response();
    }
    match which.unit {
        None => Json(json!({"units": view.units()})).into_response(),
        Some(unit) => match view.explain(&unit) {
            Some(why) => Json(why).into_response(),
            None => {
                let detail = format!("no unit {unit:?}; /explain lists them");
                (StatusCode::NOT_FOUND, Json(json!({"detail": detail}))).into_response()
            }
        },
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape map_err wants")]
fn unavailable(error: vtox_registry::RegistryError) -> Response {
    tracing::debug!(%error, "Redis does not answer a query");
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"detail": error.to_string()}))).into_response()
}
