//! `POST /api/v1/cluster/tasks`, and sending a block to a coordinator.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Extension, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::{Instrument, Span};
use utoipa::ToSchema;
use vtox_auth::Principal;
use vtox_protocol::codec::encode_binary;
use vtox_protocol::task::{
    AFFINITY_HEADER, ATTEMPTS_HEADER, EXPLAIN_HEADER, PRIORITY_HEADER, TIMEOUT_HEADER, WORKER_HEADER,
};
use vtox_protocol::{FaultSet, FaultType, VehicleId, Verdict};
use vtox_service_kit::trace;

use super::affinity;
use super::form::{Body, Form, Options, Task, TaskFile};
use crate::api::Api;
use crate::door::body;
use crate::ingest::off_thread;
use crate::input;
use crate::reply::{Code, Refusal};
use crate::schema::{MessagePack, Success};

/// Time for the answer to come back once the task's own time is over.
const GRACE: Duration = Duration::from_millis(500);

/// The answer to a task.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskAnswer {
    /// `success`.
    pub status: Success,
    /// Id of the task, for logs.
    pub task_id: String,
    /// Worker that diagnosed; several with commas between where no single one serves all fault types.
    pub worker_id: String,
    /// Attempts it took.
    pub attempts: u32,
    /// The vehicle, where it was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vehicle_id: Option<VehicleId>,
    /// Verdict by fault type.
    pub verdicts: BTreeMap<FaultType, Verdict>,
    /// From the request to its answer, ms.
    pub processing_time_ms: f64,
    /// Why each worker was picked; only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    pub explain: Option<Value>,
}

/// Diagnose a block now
///
/// As JSON, as a file with fields beside it, as a table or in the binary form; options of the latter two are query parameters. Nothing
/// is kept. A coordinator picks the worker.
#[utoipa::path(
    post,
    path = "/api/v1/cluster/tasks",
    tag = "Tasks",
    params(Options),
    request_body(content(
        (Task = "application/json"), (TaskFile = "multipart/form-data"), (String = "text/csv"), (MessagePack = "application/msgpack"),
    )),
    responses((status = 200, description = "The verdicts.", body = TaskAnswer)),
)]
pub async fn submit(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Principal>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    query: Result<Query<Options>, QueryRejection>,
    request: Request,
) -> Result<Json<TaskAnswer>, Refusal> {
    let began = Instant::now();
    let options = input::query(query)?;
    let headers = request.headers().clone();
    let form = read(&api, request, options, None).await?;
    if let Some(vehicle) = form.vehicle.as_ref().filter(|v| !caller.may_act_for(v)) {
        return Err(Refusal::new(Code::Forbidden, format!("this key may not ask for vehicle {vehicle}")));
    }
    let peer = peer.map(|Extension(ConnectInfo(address))| address);
    let mut answer = send(&api, &headers, peer, form).await?;
    answer.processing_time_ms = began.elapsed().as_secs_f64() * 1_000.0;
    Ok(Json(answer))
}

/// Reads a task, for this fault type where the path names one.
pub async fn read(
    api: &Api,
    request: Request,
    mut options: Options,
    fault: Option<FaultType>,
) -> Result<Form, Refusal> {
    let (head, body) = request.into_parts();
    let headers = head.headers.clone();
    let limit = api.service.settings.gateway.body_limit_bytes;
    let whole = body::read(api, Request::from_parts(head, body), limit).await?;
    let size = whole.bytes.len();
    let body = Body::of(&headers, whole.bytes.clone(), &mut options).await?;
    if let Some(fault) = fault {
        options.fault_type = Some(fault.name().to_owned());
    }
    let mut form = off_thread(api, size, move || body.decode(options)).await?;
    if let Some(known) = form.vehicle.as_ref().and_then(|v| api.motors.profile_of(v)) {
        form.block.profile = Some(form.block.profile.unwrap_or_default().or(&known));
    }
    Ok(form)
}

/// Sends a task to a coordinator.
pub async fn send(
    api: &Api,
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
    form: Form,
) -> Result<TaskAnswer, Refusal> {
    let began = Instant::now();
    let span = tracing::info_span!("task");
    let parent = trace::of_headers(headers);
    if let Some(parent) = &parent {
        trace::continue_from(&span, parent);
    }
    let affinity = affinity::key(headers, form.vehicle.as_ref(), peer);
    let asked = Asked::new(&form, affinity, &span, parent);
    let response = async { api.coordinators.send(|client, url| asked.request(client, url)).await };
    let response = response.instrument(span).await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.map_err(unreadable)?;
    if !status.is_success() {
        return Err(refusal_of(status, &headers, &body));
    }
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let answer: Answered = serde_json::from_slice(&body).map_err(unreadable)?;
    Ok(TaskAnswer {
        status: Success::Success,
        task_id: uuid::Uuid::now_v7().to_string(),
        worker_id: text(WORKER_HEADER).to_owned(),
        attempts: text(ATTEMPTS_HEADER).parse().unwrap_or(1),
        vehicle_id: form.vehicle,
        verdicts: answer.verdicts,
        processing_time_ms: began.elapsed().as_secs_f64() * 1_000.0,
        explain: answer.explain,
    })
}

/// What a coordinator answers.
#[derive(Deserialize)]
struct Answered {
    verdicts: BTreeMap<FaultType, Verdict>,
    #[serde(default)]
    explain: Option<Value>,
}

/// What a coordinator is asked.
struct Asked {
    block: Bytes,
    faults: FaultSet,
    headers: Vec<(&'static str, String)>,
    time: Duration,
}

impl Asked {
    fn new(form: &Form, affinity: Option<String>, span: &Span, parent: Option<String>) -> Self {
        let mut headers = vec![
            (header::CONTENT_TYPE.as_str(), "application/msgpack".to_owned()),
            (PRIORITY_HEADER, form.priority.name().to_owned()),
            (TIMEOUT_HEADER, form.timeout_ms.to_string()),
        ];
        headers.extend(affinity.map(|key| (AFFINITY_HEADER, key)));
        headers.extend(trace::traceparent(span).or(parent).map(|parent| (trace::TRACEPARENT, parent)));
        headers.extend(form.explain.then(|| (EXPLAIN_HEADER, "1".to_owned())));
        Self {
            block: encode_binary(&form.block).into(),
            faults: form.faults,
            headers,
            time: Duration::from_millis(form.timeout_ms) + GRACE,
        }
    }

    fn request(&self, client: &reqwest::Client, url: &str) -> reqwest::RequestBuilder {
        let request = client
            .post(format!("{url}/tasks"))
            .query(&[("fault_type", self.faults.to_string())])
            .timeout(self.time)
            .body(self.block.clone());
        self.headers.iter().fold(request, |request, (name, value)| request.header(*name, value))
    }
}

/// The refusal of a coordinator or a worker, as ours.
pub fn refusal_of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
    #[derive(Deserialize)]
    struct Said {
        detail: String,
        #[serde(default)]
        code: String,
    }
    let said =
        serde_json::from_slice(body).unwrap_or(Said { detail: status.to_string(), code: String::new() });
    let code = match status {
        StatusCode::BAD_REQUEST => Code::InvalidJson,
        StatusCode::UNPROCESSABLE_ENTITY => Code::InvalidParameter,
        StatusCode::GATEWAY_TIMEOUT => Code::Deadline,
        StatusCode::SERVICE_UNAVAILABLE if said.code == "overload" => Code::Overload,
        StatusCode::SERVICE_UNAVAILABLE => Code::NoWorker,
        _ => Code::WorkerFailed,
    };
    let refusal = Refusal::new(code, said.detail);
    match headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok()) {
        Some(seconds) => refusal.after(seconds),
        None => refusal,
    }
}

/// A coordinator's answer that breaks off or makes no sense.
pub fn unreadable(error: impl std::fmt::Display) -> Refusal {
    tracing::warn!(%error, "the answer of a coordinator cannot be read");
    Refusal::new(Code::NoCoordinator, "the coordinator's answer cannot be read; try again")
}
