//! What every service answers beside its routes: the service kit serves it, from the first moment.

use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

/// The process is there.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `healthy`.
    status: String,
    /// Id of this gateway.
    service: String,
    version: String,
    /// ISO 8601.
    timestamp: String,
}

/// Whether requests are served.
#[derive(Serialize, ToSchema)]
struct Readiness {
    /// `ready` or `not_ready`.
    status: String,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Whether the process lives
///
/// Asks nobody else: for a liveness probe.
#[utoipa::path(
    get,
    path = "/health",
    tag = "System",
    responses((status = 200, description = "It does.", body = inline(Health))),
)]
#[expect(dead_code, reason = "describes what the service kit serves")]
fn health() {}

/// Whether requests are served
///
/// For a readiness probe and load balancers.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "System",
    responses(
        (status = 200, description = "They are.", body = inline(Readiness)),
        (status = 503, description = "They are not, and why.", body = inline(Readiness)),
    ),
)]
#[expect(dead_code, reason = "describes what the service kit serves")]
fn ready() {}

/// Metrics
///
/// In the text format of Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "System",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain")),
)]
#[expect(dead_code, reason = "describes what the service kit serves")]
fn metrics() {}

/// Their description.
#[derive(OpenApi)]
#[openapi(paths(health, ready, metrics))]
pub struct Probes;
