//! The access log: one line per request, without secrets, bodies, queries or whole vehicle ids. An accepted message has its line at
//! debug; `/health`, `/ready` and `/metrics` have none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{ConnectInfo, MatchedPath, RawPathParams, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use ring::digest::{SHA256, digest};

use super::headers::RequestId;
use super::session::{Caller, named_vehicle};
use crate::api::Api;
use crate::reply::Refusal;

/// Logs a request and counts it.
pub async fn access(
    State(api): State<Arc<Api>>,
    path: Option<MatchedPath>,
    parameters: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let method = name_of(request.method());
    let peer =
        request.extensions().get::<ConnectInfo<SocketAddr>>().map(|c| tracing::field::display(c.0.ip()));
    let id = request.extensions().get::<RequestId>().cloned();
    let vehicle = parameters.as_ref().ok().and_then(named_vehicle).map(tag_of);
    let path = path.as_ref().map_or("(none)", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status();
    let took = began.elapsed();
    api.metrics.calls.inc();
    api.metrics.requests.with_label_values(&[&path, method, status.as_str()]).inc();
    let refused = response.extensions().get::<Refusal>().map(|r| r.code.name());
    let caller = response.extensions().get::<Caller>().map(|c| c.0.as_str());
    let request_id = id.as_ref().and_then(|i| i.0.to_str().ok());
    let took_ms = took.as_secs_f64() * 1_000.0;
    // Sends are many and all alike: they show only where something is wrong.
    if status.is_server_error() {
        tracing::warn!(target: "access", method, path, status = status.as_u16(), took_ms, refused, request_id, caller, vehicle, peer);
    } else if refused.is_some() || !path.ends_with("/data") {
        tracing::info!(target: "access", method, path, status = status.as_u16(), took_ms, refused, request_id, caller, vehicle, peer);
    } else {
        tracing::debug!(target: "access", method, path, status = status.as_u16(), took_ms, request_id, caller, vehicle, peer);
    }
    response
}

/// A method; those that clients make up are all one, in metrics as in the log.
fn name_of(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("(other)")
}

/// Tells vehicles apart in a log without naming them.
fn tag_of(vehicle: &str) -> String {
    digest(&SHA256, vehicle.as_bytes()).as_ref().iter().take(4).map(|b| format!("{b:02x}")).collect()
}
