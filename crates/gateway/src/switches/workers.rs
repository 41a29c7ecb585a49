//! How many workers run, where VTOX supervises them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use serde::Deserialize;
use utoipa::IntoParams;
use vtox_auth::Principal;
use vtox_protocol::{
    Change, FaultType, Position, ServiceType, Supervisor, Switches, WORKERS_IN_ALL, WORKERS_OF_A_FAULT,
};
use vtox_service_kit::config::Mode;

use super::{Answer, InForce, Parameters, Switched, within};
use crate::api::Api;
use crate::input::{self, invalid, query};
use crate::reply::{Code, Refusal};

/// The supervisor of the workers; without one, what to do instead.
fn supervisor<'a>(switches: &'a Switches, instead: &str) -> Result<&'a Supervisor, Refusal> {
    switches.supervisor.as_ref().ok_or_else(|| {
        let detail = format!(
            "VTOX does not start and stop the workers of this cluster (no `vtox up` supervises it); {instead}"
        );
        Refusal::new(Code::NotSupervised, detail)
    })
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Scale {
    /// Which.
    #[param(value_type = FaultType)]
    fault_type: String,
    /// Workers it is to have.
    #[param(minimum = 1, maximum = 20)]
    new_count: u16,
}

/// Scale a fault type
///
/// So many workers serve it, where VTOX supervises the workers.
#[utoipa::path(
    post,
    path = "/system/scale",
    tag = "Operators",
    params(Scale),
    responses((status = 200, description = "It is so from now on.", body = Switched)),
)]
pub async fn scale(
    State(api): State<Arc<Api>>,
    Extension(who): Extension<Principal>,
    parameters: Parameters<Scale>,
) -> Answer {
    let Scale { fault_type, new_count } = query(parameters)?;
    let fault = input::fault_type(Some(&fault_type))?.ok_or_else(|| invalid("fault_type is empty"))?;
    let count = within("new_count", new_count, &WORKERS_OF_A_FAULT)?;
    let switches = api.switchboard().read().await?;
    supervisor(
        &switches,
        &format!(
            "with compose: docker compose -f docker-compose.cluster.yml up -d --scale worker_{fault}={count}; on Kubernetes: \
             kubectl scale deployment worker-{} --replicas={count}",
            fault.name().replace('_', "-")
        ),
    )?;
    if switches.workers.is_some_and(|workers| workers.value == 0) {
        return Err(Refusal::new(Code::ClusterStopped, "its workers are stopped"));
    }
    api.switchboard().change(&who.subject, &[Change::WorkersOf(fault, count)]).await?;
    let mut answer = Switched::new(format!("{fault} 消费者数量已调整为 {count}"));
    let partitions = api.topology().all().count();
    if usize::from(count) > partitions {
        answer.notes.push(format!(
            "of {count} workers at most {partitions} work at a time, as there are {partitions} partitions; the rest stand by"
        ));
    }
    (answer.fault_type, answer.new_count) = (Some(fault), Some(count));
    Ok(Json(answer))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StartCluster {
    /// How many; those of the settings when nothing is said.
    #[param(minimum = 1, maximum = 64)]
    workers: Option<u16>,
    /// The mode it must run in.
    #[param(value_type = Option<String>)]
    mode: Option<Mode>,
}

const INSTEAD_OF_START: &str =
    "start them where they run: docker compose up -d, or kubectl scale deployment NAME --replicas=N";
const INSTEAD_OF_STOP: &str = "stop them where they run: docker compose stop, or kubectl scale deployment NAME --replicas=0. \
     POST /api/v1/diagnosis-stream/system/stop stops consumption and leaves the workers running";

/// Start the workers
///
/// So many workers run and messages are diagnosed, where VTOX supervises the workers.
#[utoipa::path(
    post,
    path = "/api/v1/cluster/start",
    tag = "Operators",
    params(StartCluster),
    responses((status = 200, description = "It is so from now on.", body = Switched)),
)]
pub async fn start_cluster(
    State(api): State<Arc<Api>>,
    Extension(who): Extension<Principal>,
    parameters: Parameters<StartCluster>,
) -> Answer {
    let StartCluster { workers, mode } = query(parameters)?;
    let workers = workers.map(|count| within("workers", count, &WORKERS_IN_ALL)).transpose()?;
    let switches = api.switchboard().read().await?;
    let running = &supervisor(&switches, INSTEAD_OF_START)?.mode;
    if let Some(mode) = mode.map(Mode::name).filter(|mode| mode != running) {
        let detail = format!(
            "the cluster runs in {running} mode, which cannot change while it runs: end `vtox up` and start it with --mode {mode}"
        );
        return Err(Refusal::new(Code::WrongMode, detail));
    }
    let workers = workers.unwrap_or(api.service.settings.cluster.workers.max(1));
    let changes = [Change::Workers(workers), Change::Consumption(Position::Running)];
    api.switchboard().change(&who.subject, &changes).await?;
    let mut answer = Switched::new("集群已启动");
    answer.config =
        Some(InForce { workers: Some(workers), mode: Some(running.clone()), ..InForce::default() });
    answer.is_monitoring = Some(api.has(ServiceType::Monitor).await? > 0);
    Ok(Json(answer))
}

/// Stop the workers
///
/// Consumption stops and all workers end, where VTOX supervises them. What waits stays in its streams.
#[utoipa::path(
    post,
    path = "/api/v1/cluster/stop",
    tag = "Operators",
    responses((status = 200, description = "It is so from now on.", body = Switched)),
)]
pub async fn stop_cluster(State(api): State<Arc<Api>>, Extension(who): Extension<Principal>) -> Answer {
    let switches = api.switchboard().read().await?;
    supervisor(&switches, INSTEAD_OF_STOP)?;
    api.switchboard()
        .change(&who.subject, &[Change::Workers(0), Change::Consumption(Position::Stopped)])
        .await?;
    let mut answer = Switched::new("集群已停止");
    answer.config = Some(InForce { workers: Some(0), ..InForce::default() });
    answer.is_monitoring = Some(api.has(ServiceType::Monitor).await? > 0);
    Ok(Json(answer))
}
