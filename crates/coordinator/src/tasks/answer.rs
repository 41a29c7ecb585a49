//! Answers to tasks.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vtox_balancing::routing::Standing;
use vtox_protocol::FaultSet;
use vtox_protocol::task::{ATTEMPTS_HEADER, WORKER_HEADER};

/// Verdicts by fault type, as workers write them.
pub type Verdicts = BTreeMap<String, Box<RawValue>>;

/// What a worker answers; the verdicts are not looked into.
#[derive(Deserialize)]
pub struct WorkerAnswer {
    /// The verdicts.
    pub verdicts: Verdicts,
}

/// Why a worker got an attempt.
#[derive(Debug, Serialize)]
pub struct Why {
    /// Number of the attempt at its part of the task, from 1.
    pub attempt: u32,
    /// Fault types it was asked for.
    pub fault_types: FaultSet,
    /// The strategy.
    pub strategy: &'static str,
    /// The worker picked.
    pub worker: String,
    /// All workers it could have gone to, as they stood.
    pub candidates: Vec<Standing>,
    /// What came of it.
    pub outcome: String,
}

/// What is known of the way of a task.
#[derive(Debug, Default)]
pub struct Way {
    /// Workers whose verdicts are in the answer.
    pub workers: Vec<String>,
    /// Attempts begun.
    pub attempts: u32,
    /// Why each worker got its attempt; only when it was asked for.
    pub why: Option<Vec<Why>>,
}

/// A task that got no verdicts.
#[derive(Debug)]
pub enum Failed {
    /// The task is wrong; what the worker said of it, passed on.
    Refused(StatusCode, Bytes),
    /// Nobody could do it.
    Here {
        /// Status.
        status: StatusCode,
        /// Short name for metrics and clients.
        code: &'static str,
        /// What happened and what to do.
        detail: String,
        /// When to try again, s.
        retry_after_s: Option<u64>,
    },
}

impl Failed {
    /// The task took too long.
    pub fn deadline(detail: impl Into<String>) -> Self {
        Self::here(StatusCode::GATEWAY_TIMEOUT, "deadline", detail)
    }

    /// Nobody can do it now.
    pub fn unavailable(code: &'static str, retry_after_s: u64, detail: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::Here { status, code, detail: detail.into(), retry_after_s: Some(retry_after_s) }
    }

    /// Any other.
    pub fn here(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Here { status, code, detail: detail.into(), retry_after_s: None }
    }

    /// Name of the outcome in metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(..) => "refused",
            Self::Here { code, .. } => code,
        }
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(status, body) => {
                (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
            }
            Self::Here { status, code, detail, retry_after_s } => {
                let body = axum::Json(serde_json::json!({"detail": detail, "code": code}));
                let mut response = (status, body).into_response();
                if let Some(seconds) = retry_after_s {
                    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                }
                response
            }
        }
    }
}

/// The answer to a task.
pub fn answer(way: Way, end: Result<Verdicts, Failed>) -> Response {
    #[derive(Serialize)]
    struct Answer {
        status: &'static str,
        verdicts: Verdicts,
        #[serde(skip_serializing_if = "Option::is_none")]
        explain: Option<Vec<Why>>,
    }
    let (workers, attempts) = (way.workers.join(","), way.attempts);
    let mut response = match end {
        Ok(verdicts) => axum::Json(Answer { status: "success", verdicts, explain: way.why }).into_response(),
        Err(failed) => failed.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(ATTEMPTS_HEADER, HeaderValue::from(attempts));
    if let Some(workers) = HeaderValue::from_str(&workers).ok().filter(|w| !w.is_empty()) {
        headers.insert(WORKER_HEADER, workers);
    }
    response
}
