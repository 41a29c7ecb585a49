//! Diagnosis on demand: the same detectors, without a stream and without state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use vtox_diagnosis::{FoldedState, Prepared, charts, follow};
use vtox_protocol::codec::{BlockError, decode_binary, decode_json};
use vtox_protocol::task::{DEFAULT_TIMEOUT_MS, OUTCOME_HEADER, TIMEOUT_HEADER, parse_timeout_ms};
use vtox_protocol::{FaultSet, MotorProfile, Verdict};
use vtox_service_kit::trace;

use crate::work::Work;

/// Largest block for a diagnosis on demand, bytes.
const BODY_LIMIT: usize = 32 << 20;

/// The routes of a worker.
pub fn routes(work: Arc<Work>) -> Router {
    Router::new()
        .route("/diagnose", post(on_demand))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(work)
}

#[derive(Deserialize)]
struct Which {
    fault_type: Option<String>,
}

type Verdicts = BTreeMap<&'static str, Verdict>;

/// Diagnoses one block, JSON (`sensor_data`) or `application/msgpack`, unless it cannot begin within `vtox-timeout-ms`.
async fn on_demand(
    State(work): State<Arc<Work>>,
    Query(which): Query<Which>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let arrived = Instant::now();
    let task = work.stats.on_demand();
    let faults = match which.fault_type.as_deref().map(str::parse::<FaultSet>) {
        None => work.faults,
        Some(Ok(asked)) => asked,
        Some(Err(error)) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    if faults.intersection(work.faults) != faults {
        return refuse(StatusCode::NOT_FOUND, &format!("this worker serves {} only", work.faults));
    }
    let timeout_ms =
        match headers.get(TIMEOUT_HEADER).map(|v| parse_timeout_ms(v.to_str().unwrap_or_default())) {
            None => DEFAULT_TIMEOUT_MS,
            Some(Ok(ms)) => ms,
            Some(Err(error)) => return refuse(StatusCode::BAD_REQUEST, &error),
        };
    let span = tracing::info_span!("diagnose on demand");
    if let Some(parent) = trace::of_headers(&headers) {
        trace::continue_from(&span, &parent);
    }
    let binary = headers.get(header::CONTENT_TYPE).is_some_and(|t| t == "application/msgpack");
    let permits = match timeout_at(arrived + Duration::from_millis(timeout_ms), work.permits()).await {
        Ok(Some(permits)) => permits,
        Ok(None) => return refuse(StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        Err(_) => {
            let detail = format!("no thread was free within {timeout_ms} ms; give it more time or try later");
            return refuse(StatusCode::GATEWAY_TIMEOUT, &detail);
        }
    };
    let diagnosed = tokio::task::spawn_blocking(move || {
        // Whoever asked may be gone; what has begun counts until it is done.
        let _held = (permits, task);
        span.in_scope(|| diagnose(&work, faults, &body, binary))
    });
    match diagnosed.await {
        Ok(Ok(verdicts)) => Json(json!({"status": "success", "verdicts": verdicts})).into_response(),
        Ok(Err(error)) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
        Err(error) => {
            tracing::error!(%error, "a diagnosis on demand crashed");
            let mut response =
                refuse(StatusCode::INTERNAL_SERVER_ERROR, "the diagnosis of this block crashed");
            response.headers_mut().insert(OUTCOME_HEADER, HeaderValue::from_static("crashed"));
            response
        }
    }
}

fn diagnose(work: &Work, faults: FaultSet, body: &[u8], binary: bool) -> Result<Verdicts, BlockError> {
    let block = if binary { decode_binary(body) } else { decode_json(body) }?;
    // What the block says of its motor counts; nothing else is known of it.
    let profile = MotorProfile::default();
    let prepared = Prepared::with_thresholds(&block, &profile, &work.thresholds);
    let verdict = |fault| {
        let (mut verdict, _) = follow(&prepared, fault, &FoldedState::default());
        verdict.charts = Some(charts(&prepared, fault));
        verdict
    };
    Ok(faults.iter().map(|fault| (fault.name(), verdict(fault))).collect())
}

fn refuse(status: StatusCode, detail: &str) -> Response {
    (status, Json(json!({"detail": detail}))).into_response()
}
