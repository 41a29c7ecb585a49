//! Whether messages are diagnosed.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use serde::Deserialize;
use utoipa::IntoParams;
use vtox_auth::Principal;
use vtox_protocol::{Change, Position, ServiceType, WORKERS_OF_A_FAULT};
use vtox_streams::topology;

use super::{Answer, InForce, Parameters, Switched, within};
use crate::api::Api;
use crate::input::query;

/// Initialize
///
/// Agrees on the partitions of the streams, which every service also does when it starts; again it changes nothing.
#[utoipa::path(
    post,
    path = "/initialize",
    tag = "Operators",
    responses((status = 200, description = "It is so from now on.", body = Switched)),
)]
pub async fn initialize(State(api): State<Arc<Api>>) -> Answer {
    let wanted = api.service.settings.topology();
    let topology = topology::agree(&api.service.redis.control, &wanted).await?;
    let mut answer = Switched::new("故障诊断系统初始化成功");
    answer.config = Some(InForce {
        partitions: Some(topology.partitions),
        fault_types: Some(topology.enabled),
        ..InForce::default()
    });
    Ok(Json(answer))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Start {
    /// Workers each fault type is to have, where VTOX supervises them.
    #[param(minimum = 1, maximum = 20)]
    consumers_per_fault: Option<u16>,
    /// Whether results are folded into the health of vehicles; they are unless this says no.
    enable_aggregation: Option<bool>,
    /// Whether a monitor is expected.
    enable_monitoring: Option<bool>,
}

/// Start consumption
///
/// Messages are diagnosed, and results aggregated unless that is not wanted. What waited is diagnosed first.
#[utoipa::path(
    post,
    path = "/start",
    tag = "Operators",
    params(Start),
    responses((status = 200, description = "It is so from now on.", body = Switched)),
)]
pub async fn start(
    State(api): State<Arc<Api>>,
    Extension(who): Extension<Principal>,
    parameters: Parameters<Start>,
) -> Answer {
    let Start { consumers_per_fault, enable_aggregation, enable_monitoring } = query(parameters)?;
    let aggregation = match enable_aggregation {
        Some(false) => Position::Stopped,
        Some(true) | None => Position::Running,
    };
    let mut changes = vec![Change::Consumption(Position::Running), Change::Aggregation(aggregation)];
    let (mut notes, mut consumers) = (Vec::new(), None);
    if let Some(count) = consumers_per_fault {
        let count = within("consumers_per_fault", count, &WORKERS_OF_A_FAULT)?;
        let switches = api.switchboard().read().await?;
        let stopped = switches.workers.is_some_and(|workers| workers.value == 0);
        if stopped && switches.supervisor.is_some() {
            notes.push(
                "consumers_per_fault is not applied: the workers are stopped; POST /api/v1/cluster/start starts them"
                    .to_owned(),
            );
        } else if switches.supervisor.is_some() {
            consumers = Some(count);
            changes.extend(api.topology().enabled.iter().map(|fault| Change::WorkersOf(fault, count)));
        } else {
            notes.push(format!(
                "consumers_per_fault {count} is not applied: VTOX does not start the workers of this cluster; scale them with \
                 docker compose or kubectl"
            ));
        }
    }
    api.switchboard().change(&who.subject, &changes).await?;
    let is_monitoring = api.has(ServiceType::Monitor).await? > 0;
    if enable_monitoring.is_some_and(|wanted| wanted != is_monitoring) {
        notes.push(format!(
            "enable_monitoring is not applied: the monitor is a service of its own and {}",
            if is_monitoring { "runs" } else { "does not run; start vtox-monitor" }
        ));
    }
    let mut answer = Switched::new("故障诊断系统已启动");
    answer.config = Some(InForce {
        consumers_per_fault: consumers,
        enable_aggregation: Some(aggregation.is_running()),
        enable_monitoring: Some(is_monitoring),
        ..InForce::default()
    });
    answer.is_monitoring = Some(is_monitoring);
    answer.notes = notes;
    Ok(Json(answer))
}

/// Stop consumption
///
/// Workers commit what they have and give back what they own; nothing is diagnosed until `/start`. Messages are
/// accepted until the backlog is at its mark.
#[utoipa::path(
    post,
    path = "/system/stop",
    tag = "Operators",
    responses((status = 200, description = "It is so from now on.", body = Switched)),
)]
pub async fn stop(State(api): State<Arc<Api>>, Extension(who): Extension<Principal>) -> Answer {
    api.switchboard().change(&who.subject, &[Change::Consumption(Position::Stopped)]).await?;
    let mut answer = Switched::new("故障诊断系统已停止");
    answer.is_monitoring = Some(api.has(ServiceType::Monitor).await? > 0);
    Ok(Json(answer))
}
