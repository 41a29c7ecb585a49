//! The operators' switches: they set what is wanted in Redis, and the coordinators, bridges and `vtox up` follow.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vtox_auth::Principal;
use vtox_protocol::{
    Change, FaultSet, FaultType, Position, ServiceType, Set, Supervisor, Switches, WORKERS_IN_ALL,
    WORKERS_OF_A_FAULT,
};
use vtox_registry::Switchboard;
use vtox_service_kit::clock;
use vtox_service_kit::config::Mode;
use vtox_streams::topology;

use crate::api::Api;
use crate::cluster::lives;
use crate::input::{self, invalid, query};
use crate::reply::{Code, Refusal};
use crate::schema::Success;

/// Switches under the prefix of existing clients.
pub fn seeds_routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(initialize))
        .routes(routes!(start))
        .routes(routes!(stop))
        .routes(routes!(scale))
        .routes(routes!(control_bridge))
        .routes(routes!(bridge_status))
}

/// Switches of the cluster.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(start_cluster)).routes(routes!(stop_cluster))
}

/// Answer of a switch.
#[derive(Serialize, ToSchema)]
pub struct Switched {
    status: Success,
    /// For people.
    message: String,
    /// When, ISO 8601.
    timestamp: String,
    /// What is in force now.
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<InForce>,
    /// Whether a monitor watches the cluster, or for the bridge whether it shows results.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_monitoring: Option<bool>,
    /// Fault type that was scaled.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault_type: Option<FaultType>,
    /// Workers it is to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_count: Option<u16>,
    /// What was asked for and is not so, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// What is in force after a switch, as far as it has to do with it.
#[derive(Default, Serialize, ToSchema)]
pub struct InForce {
    /// Partitions of the raw stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    partitions: Option<u16>,
    /// Fault types that are diagnosed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<FaultType>>)]
    fault_types: Option<FaultSet>,
    /// Workers each fault type is to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    consumers_per_fault: Option<u16>,
    /// Whether results are folded into the health of vehicles.
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_aggregation: Option<bool>,
    /// Whether a monitor runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_monitoring: Option<bool>,
    /// Whether dashboards get results, and who said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    bridge: Option<Set<Position>>,
    /// Whether results are folded into the health of vehicles, and who said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregation: Option<Set<Position>>,
    /// Bridges that live.
    #[serde(skip_serializing_if = "Option::is_none")]
    bridges: Option<usize>,
    /// Workers that are to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    workers: Option<u16>,
    /// Mode of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
}

impl Switched {
    fn new(message: impl Into<String>) -> Self {
        Self {
            status: Success::Success,
            message: message.into(),
            timestamp: clock::timestamp(),
            config: None,
            is_monitoring: None,
            fault_type: None,
            new_count: None,
            notes: Vec::new(),
        }
    }
}

type Answer = Result<Json<Switched>, Refusal>;
type Parameters<T> = Result<Query<T>, QueryRejection>;

impl Api {
    /// The operators' switches.
    pub fn switchboard(&self) -> Switchboard {
        Switchboard::new(self.service.redis.control.clone())
    }

    async fn has(&self, kind: ServiceType) -> Result<usize, Refusal> {
        let members = self.registry.members().await?;
        Ok(members.services.values().filter(|r| r.service_type == kind && lives(self, &members, r)).count())
    }
}

fn within<T: PartialOrd + Display>(name: &str, value: T, range: &RangeInclusive<T>) -> Result<T, Refusal> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(invalid(format!("{name} is {value}; between {} and {} is expected", range.start(), range.end())))
}

/// The supervisor of the workers; without one, what to do instead.
fn supervisor<'a>(switches: &'a Switches, instead: &str) -> Result<&'a Supervisor, Refusal> {
    switches.supervisor.as_ref().ok_or_else(|| {
        let detail = format!(
            "VTOX does not start and stop the workers of this cluster (no `vtox up` supervises it); {instead}"
        );
        Refusal::new(Code::NotSupervised, detail)
    })
}

/// Initialize
///
/// Agrees on the partitions of the streams, which every service also does when it starts; again it changes nothing.
#[utoipa::path(
    post,
    path = "/initialize",
    tag = "Operators",
    responses((status = 200, description = "It is so from now on.", body = Switched)),
)]
async fn initialize(State(api): State<Arc<Api>>) -> Answer {
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
struct Start {
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
async fn start(
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
        if api.switchboard().read().await?.supervisor.is_some() {
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
async fn stop(State(api): State<Arc<Api>>, Extension(who): Extension<Principal>) -> Answer {
    api.switchboard().change(&who.subject, &[Change::Consumption(Position::Stopped)]).await?;
    let mut answer = Switched::new("故障诊断系统已停止");
    answer.is_monitoring = Some(api.has(ServiceType::Monitor).await? > 0);
    Ok(Json(answer))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Scale {
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
async fn scale(
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
struct Control {
    /// `start` or `stop`.
    action: Action,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    Start,
    Stop,
}

/// Start or stop the bridge
///
/// While it is stopped dashboards stay connected and get no results.
#[utoipa::path(
    post,
    path = "/bridge/control",
    tag = "Operators",
    params(Control),
    responses((status = 200, description = "It is so from now on.", body = Switched)),
)]
async fn control_bridge(
    State(api): State<Arc<Api>>,
    Extension(who): Extension<Principal>,
    parameters: Parameters<Control>,
) -> Answer {
    let (position, message) = match query(parameters)?.action {
        Action::Start => (Position::Running, "WebSocket 桥接器已启动"),
        Action::Stop => (Position::Stopped, "WebSocket 桥接器已停止"),
    };
    api.switchboard().change(&who.subject, &[Change::Bridge(position)]).await?;
    Ok(Json(bridge(&api, message).await?))
}

/// Whether dashboards get results
#[utoipa::path(
    get,
    path = "/bridge/status",
    tag = "Operators",
    responses((status = 200, description = "Its state.", body = Switched)),
)]
async fn bridge_status(State(api): State<Arc<Api>>) -> Answer {
    Ok(Json(bridge(&api, "WebSocket 桥接器状态").await?))
}

async fn bridge(api: &Api, message: &str) -> Result<Switched, Refusal> {
    let switches = api.switchboard().read().await?;
    let bridges = api.has(ServiceType::Bridge).await?;
    let mut answer = Switched::new(message);
    answer.is_monitoring = Some(bridges > 0 && switches.bridge.value.is_running());
    answer.config = Some(InForce {
        bridge: Some(switches.bridge),
        aggregation: Some(switches.aggregation),
        bridges: Some(bridges),
        ..InForce::default()
    });
    if bridges == 0 {
        answer.notes.push("no bridge runs; start vtox-websocket-bridge".to_owned());
    }
    Ok(answer)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct StartCluster {
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
async fn start_cluster(
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
async fn stop_cluster(State(api): State<Arc<Api>>, Extension(who): Extension<Principal>) -> Answer {
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
