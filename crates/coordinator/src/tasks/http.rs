//! `POST /tasks` and `GET/PUT /strategy`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::time::Instant;
use tracing::Instrument;
use vtox_protocol::FaultSet;
use vtox_protocol::task::{
    AFFINITY_HEADER, DEFAULT_TIMEOUT_MS, EXPLAIN_HEADER, MAX_AFFINITY_BYTES, PRIORITY_HEADER, Priority,
    TIMEOUT_HEADER, parse_timeout_ms,
};
use vtox_service_kit::trace;

use super::answer::{Failed, Verdicts, Way, answer};
use super::dispatch::{Task, dispatch};
use super::queue::Refused;
use super::{Tasks, routing};

/// Largest block, bytes: what a worker takes.
const BODY_LIMIT: usize = 32 << 20;

/// The routes of the tasks.
pub fn routes(tasks: Arc<Tasks>) -> Router {
    Router::new()
        .route("/tasks", post(submit).layer(DefaultBodyLimit::max(BODY_LIMIT)))
        .route("/strategy", get(routing::show).put(routing::change))
        .with_state(tasks)
}

#[derive(Deserialize)]
struct Which {
    fault_type: Option<String>,
}

/// Diagnoses a block in binary form (`application/msgpack`).
async fn submit(
    State(tasks): State<Arc<Tasks>>,
    Query(which): Query<Which>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let began = Instant::now();
    let strategy = tasks.routing().strategy;
    let span = tracing::info_span!("task");
    let parent = trace::of_headers(&headers);
    if let Some(parent) = &parent {
        trace::continue_from(&span, parent);
    }
    let mut way =
        Way { why: headers.get(EXPLAIN_HEADER).is_some_and(|v| v == "1").then(Vec::new), ..Way::default() };
    let end = match read(&which, &headers, body, began) {
        Ok((mut task, priority)) => {
            task.traceparent = trace::traceparent(&span).or(parent);
            run(&tasks, &task, priority, &mut way).instrument(span).await
        }
        Err(failed) => Err(failed),
    };
    let outcome = end.as_ref().map_or_else(Failed::outcome, |_| "success");
    tasks.metrics.answered(strategy, outcome, began.elapsed().as_secs_f64());
    answer(way, end)
}

async fn run(tasks: &Arc<Tasks>, task: &Task, priority: Priority, way: &mut Way) -> Result<Verdicts, Failed> {
    let _turn = tasks.queue.turn(priority, task.deadline).await.map_err(|refused| match refused {
        Refused::Full => Failed::unavailable(
            "overload",
            1,
            format!("too many tasks wait with at least priority {}; try again in a moment", priority.name()),
        ),
        Refused::Deadline => {
            Failed::deadline("the time was over before the task had its turn; give it more or try later")
        }
    })?;
    dispatch(tasks, task, way).await
}

fn read(
    which: &Which,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    began: Instant,
) -> Result<(Task, Priority), Failed> {
    let bad = |detail: String| Failed::here(StatusCode::BAD_REQUEST, "bad_request", detail);
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().map_err(|_| bad(format!("{name} is not ASCII"))))
            .transpose()
    };
    let faults = match which.fault_type.as_deref() {
        None => FaultSet::ALL,
        Some(names) => names.parse::<FaultSet>().map_err(|e| bad(e.to_string()))?,
    };
    if faults.is_empty() {
        return Err(bad("fault_type is empty; name a fault type, or all".to_owned()));
    }
    let priority =
        text(PRIORITY_HEADER)?.map(str::parse::<Priority>).transpose().map_err(bad)?.unwrap_or_default();
    let timeout_ms = text(TIMEOUT_HEADER)?.map(parse_timeout_ms).transpose().map_err(bad)?;
    let affinity = text(AFFINITY_HEADER)?.map(str::to_owned);
    if affinity.as_ref().is_some_and(|key| key.len() > MAX_AFFINITY_BYTES) {
        return Err(bad(format!("{AFFINITY_HEADER} is over {MAX_AFFINITY_BYTES} bytes; send a hash of it")));
    }
    let block = body.map_err(|e| Failed::here(e.status(), "body", e.body_text()))?;
    let deadline = began + Duration::from_millis(timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS));
    Ok((Task { faults, block, deadline, affinity, traceparent: None }, priority))
}
