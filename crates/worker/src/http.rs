//! Diagnosis on demand: the same detectors, without a stream and without state.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use vtox_diagnosis::{FoldedState, Prepared, charts, follow};
use vtox_protocol::codec::{decode_binary, decode_json};
use vtox_protocol::{FaultSet, MotorProfile};

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

/// Diagnoses one block, JSON (`sensor_data`) or `application/msgpack`.
async fn on_demand(
    State(work): State<Arc<Work>>,
    Query(which): Query<Which>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let faults = match which.fault_type.as_deref().map(str::parse::<FaultSet>) {
        None => work.faults,
        Some(Ok(asked)) => asked,
        Some(Err(error)) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    if faults.intersection(work.faults) != faults {
        return refuse(StatusCode::NOT_FOUND, &format!("this worker serves {} only", work.faults));
    }
    let binary = headers.get(header::CONTENT_TYPE).is_some_and(|t| t == "application/msgpack");
    let Ok(permit) = work.threads.clone().acquire_owned().await else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "stopping");
    };
    let diagnosed = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let block = if binary { decode_binary(&body) } else { decode_json(&body) }?;
        let prepared = Prepared::with_thresholds(&block, &MotorProfile::default(), &work.thresholds);
        let verdicts: BTreeMap<&str, _> = faults
            .iter()
            .map(|fault| {
                let (mut verdict, _) = follow(&prepared, fault, &FoldedState::default());
                verdict.charts = Some(charts(&prepared, fault));
                (fault.name(), verdict)
            })
            .collect();
        Ok::<_, vtox_protocol::codec::BlockError>(verdicts)
    });
    match diagnosed.await {
        Ok(Ok(verdicts)) => Json(json!({"status": "success", "verdicts": verdicts})).into_response(),
        Ok(Err(error)) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
        Err(error) => {
            tracing::error!(%error, "a diagnosis on demand crashed");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "the diagnosis crashed")
        }
    }
}

fn refuse(status: StatusCode, detail: &str) -> Response {
    (status, Json(json!({"detail": detail}))).into_response()
}
