//! `POST /api/v1/cluster/tasks`, and sending a block to a coordinator.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::{Instrument, Span};
use vtox_protocol::codec::encode_binary;
use vtox_protocol::task::{
    AFFINITY_HEADER, ATTEMPTS_HEADER, EXPLAIN_HEADER, PRIORITY_HEADER, TIMEOUT_HEADER, WORKER_HEADER,
};
use vtox_protocol::{FaultSet, FaultType, VehicleId, Verdict};
use vtox_service_kit::trace;

use super::affinity;
use super::form::{Body, Form, Options};
use crate::api::Api;
use crate::reply::Refusal;

/// Bodies from here on are decoded on a thread of their own, bytes.
const LARGE_BODY: usize = 64 << 10;
/// Time for the answer to come back once the task's own time is over.
const GRACE: Duration = Duration::from_millis(500);

/// The answer to a task.
#[derive(Debug, Serialize)]
pub struct TaskAnswer {
    /// `success`.
    pub status: &'static str,
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
    pub explain: Option<Value>,
}

/// `POST /api/v1/cluster/tasks`.
pub async fn submit(
    State(api): State<Arc<Api>>,
    peer: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    query: Result<Query<Options>, QueryRejection>,
    request: Request,
) -> Result<Json<TaskAnswer>, Refusal> {
    let began = Instant::now();
    let Query(mut options) =
        query.map_err(|e| Refusal::bad(StatusCode::UNPROCESSABLE_ENTITY, "query", e.body_text()))?;
    let headers = request.headers().clone();
    let body = Body::read(request, &mut options, api.service.settings.gateway.body_limit_bytes).await?;
    let form = decoded(body, options).await?;
    let peer = peer.map(|axum::Extension(ConnectInfo(address))| address);
    let mut answer = send(&api, &headers, peer, form).await?;
    answer.processing_time_ms = began.elapsed().as_secs_f64() * 1_000.0;
    Ok(Json(answer))
}

/// Decodes a body, a large one on a thread of its own.
pub async fn decoded(body: Body, options: Options) -> Result<Form, Refusal> {
    if body.len() < LARGE_BODY {
        return body.decode(options);
    }
    tokio::task::spawn_blocking(move || body.decode(options))
        .await
        .map_err(|e| Refusal::unavailable("decoding", format!("decoding was stopped: {e}")))?
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
        status: "success",
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
    struct Detail {
        detail: String,
    }
    let detail = serde_json::from_slice::<Detail>(body).map_or_else(|_| status.to_string(), |d| d.detail);
    let retry_after_s = headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
    Refusal::passed_on(status, code_of(status), detail, retry_after_s)
}

const fn code_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "bad_request",
        StatusCode::UNPROCESSABLE_ENTITY => "unprocessable",
        StatusCode::GATEWAY_TIMEOUT => "deadline",
        StatusCode::SERVICE_UNAVAILABLE => "tasks_unavailable",
        StatusCode::BAD_GATEWAY => "workers_failed",
        _ => "task",
    }
}

/// A coordinator's answer that breaks off or makes no sense.
pub fn unreadable(error: impl std::fmt::Display) -> Refusal {
    tracing::warn!(%error, "the answer of a coordinator cannot be read");
    Refusal::unavailable("coordinator", "the coordinator's answer cannot be read; try again")
}
