//! Answers that are not success. New endpoints answer problem details (RFC 9457), those of existing clients
//! `{"detail": ...}` with the same information.

mod code;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

pub use code::Code;

use crate::door::limits::Left;

/// A refusal.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What kind.
    pub code: Code,
    /// What was wrong with this request.
    pub detail: String,
    /// When to try again.
    pub retry_after_s: Option<u64>,
    /// The bucket that is empty.
    pub left: Option<Left>,
    /// Whether it is for a share that is used up.
    pub share: bool,
}

/// Longest detail, bytes: errors of parsers quote what they read, which may be as long as a body.
const MAX_DETAIL_BYTES: usize = 600;

impl Refusal {
    /// A refusal that says what was wrong with this request.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        if detail.len() > MAX_DETAIL_BYTES {
            detail.truncate(detail.floor_char_boundary(MAX_DETAIL_BYTES));
            detail.push_str("...");
        }
        Self { code, detail, retry_after_s: code.retry_after_s(), left: None, share: false }
    }

    /// A refusal of who has its share already.
    pub fn share(of: &str) -> Self {
        let detail =
            format!("this key or user has its share of the {of}; the share is gateway.largest_share");
        Self { share: true, ..Self::new(Code::RateLimited, detail).after(1) }
    }

    /// The same, with another time to try again.
    pub fn after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// The same, with the bucket that is empty.
    pub fn out_of(self, left: Left) -> Self {
        Self { left: Some(left), ..self }
    }
}

/// Problem details (RFC 9457): what new endpoints answer instead of success.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem; under it the page of errors explains it.
    #[serde(rename = "type")]
    #[schema(example = "/docs/errors#invalid_vehicle_id")]
    pub kind: String,
    /// The kind in words.
    pub title: &'static str,
    /// HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What was wrong with this request.
    pub detail: String,
    /// Stable name of the kind.
    pub code: &'static str,
    /// What to do.
    pub fix: &'static str,
}

/// What the endpoints of existing clients answer instead of success.
#[derive(Debug, Serialize, ToSchema)]
pub struct Detail {
    /// What was wrong with this request.
    pub detail: String,
    /// Stable name of the kind of problem.
    pub code: &'static str,
    /// What to do.
    pub fix: &'static str,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Problem {
            kind: format!("/docs/errors#{}", self.code.name()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: self.detail.clone(),
            code: self.code.name(),
            fix: self.code.fix(),
        };
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response =
            (self.code.status(), [(header::CONTENT_TYPE, content_type)], Json(body)).into_response();
        self.add_headers(&mut response);
        response.extensions_mut().insert(self);
        response
    }
}

impl Refusal {
    fn add_headers(&self, response: &mut Response) {
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(left) = &self.left {
            left.add_to(response);
        }
        if self.code.status() == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"vtox\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
    }
}

/// Whether existing clients call this path.
pub fn is_seeds_path(path: &str) -> bool {
    const EXACT: [&str; 4] = ["/", "/api/v1/cluster/status", "/api/v1/cluster/start", "/api/v1/cluster/stop"];
    const UNDER: [&str; 4] = ["/api/v1/diagnosis-stream/", "/auth/", "/diagnosis/", "/ws/"];
    EXACT.contains(&path) || UNDER.iter().any(|prefix| path.starts_with(prefix))
}

/// Gives refusals the shape that the clients of their path read.
pub async fn shape(uri: Uri, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if !is_seeds_path(uri.path()) {
        return response;
    }
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        let body =
            Detail { detail: refusal.detail.clone(), code: refusal.code.name(), fix: refusal.code.fix() };
        *response.body_mut() = Json(body).into_response().into_body();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
    }
    response
}

/// In what Redis says where rights, passwords, its version or a foreign key are to blame: waiting does not help.
const FOR_THE_OPERATOR: [&str; 10] = [
    // As the client library writes it, and as Redis does in a script.
    "NoPerm",
    "NOPERM",
    "NOAUTH",
    "WRONGPASS",
    "WRONGTYPE",
    "AuthenticationFailed",
    "authentication failed",
    "ACL failure in script",
    "The user executing the script",
    "unknown command",
];

impl Refusal {
    /// Redis did not do what it was asked. What it said is for the operator's log, not for who calls.
    pub fn of_redis(said: &impl std::fmt::Display) -> Self {
        let said = said.to_string();
        if FOR_THE_OPERATOR.iter().any(|part| said.contains(part)) {
            tracing::error!(said, "Redis refuses what the gateway needs; run vtox doctor");
            return Self::new(Code::RedisRefuses, Code::RedisRefuses.title());
        }
        tracing::debug!(said, "Redis did not do what it was asked");
        Self::new(Code::Redis, Code::Redis.title())
    }
}

impl From<vtox_streams::StreamError> for Refusal {
    fn from(error: vtox_streams::StreamError) -> Self {
        Self::of_redis(&error)
    }
}

impl From<vtox_registry::RegistryError> for Refusal {
    fn from(error: vtox_registry::RegistryError) -> Self {
        Self::of_redis(&error)
    }
}

#[cfg(test)]
mod tests {
    use vtox_streams::StreamError;

    use super::*;

    #[test]
    fn what_redis_says_stays_inside() {
        for (said, code) in [
            (
                "Transaction aborted: [(Index 0, error: NoPerm: this user has no permissions)]",
                Code::RedisRefuses,
            ),
            ("\"WRONGTYPE\": Operation against a key holding the wrong kind of value", Code::RedisRefuses),
            ("Password authentication failed - AuthenticationFailed", Code::RedisRefuses),
            ("OOM command not allowed when used memory > 'maxmemory'", Code::Redis),
            ("Connection refused (os error 111)", Code::Redis),
        ] {
            let refusal = Refusal::from(StreamError::Refused(said.to_owned()));
            assert_eq!((refusal.code, refusal.detail.as_str()), (code, code.title()), "{said}");
            assert_eq!(refusal.retry_after_s, (code == Code::Redis).then_some(1));
        }
    }
}
