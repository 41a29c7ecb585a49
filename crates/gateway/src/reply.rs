//! Answers that are not success: `{"detail": "..."}` as existing clients read them.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A refusal.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    detail: String,
    retry_after_s: Option<u32>,
    /// Short name of the reason, for metrics.
    pub reason: &'static str,
}

impl Refusal {
    /// The request is wrong; `detail` names the fix.
    pub fn bad(status: StatusCode, reason: &'static str, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), retry_after_s: None, reason }
    }

    /// The backlog is at its mark.
    pub fn backlog(detail: impl Into<String>) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self { status, detail: detail.into(), retry_after_s: Some(5), reason: "backlog" }
    }

    /// What another service refused.
    pub fn passed_on(
        status: StatusCode,
        reason: &'static str,
        detail: impl Into<String>,
        retry_after_s: Option<u32>,
    ) -> Self {
        Self { status, detail: detail.into(), retry_after_s, reason }
    }

    /// Redis does not answer or refuses.
    pub fn unavailable(reason: &'static str, detail: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self { status, detail: detail.into(), retry_after_s: Some(1), reason }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({"detail": self.detail}))).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<vtox_streams::StreamError> for Refusal {
    fn from(error: vtox_streams::StreamError) -> Self {
        Self::unavailable("redis", format!("Redis does not answer this query: {error}"))
    }
}

impl From<vtox_registry::RegistryError> for Refusal {
    fn from(error: vtox_registry::RegistryError) -> Self {
        Self::unavailable("redis", error.to_string())
    }
}
