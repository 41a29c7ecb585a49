//! The routes, and what their handlers share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::error_handling::HandleErrorLayer;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::watch;
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use vtox_protocol::keys::Topology;
use vtox_registry::Registry;
use vtox_service_kit::{RedisClock, Service};
use vtox_streams::views::Views;
use vtox_streams::{Durability, Janitor, Publisher, topology};

use crate::admission::Admission;
use crate::metrics::Metrics;
use crate::reply::Refusal;
use crate::tasks::Coordinators;
use crate::{cluster, ingest, queries, tasks};

/// What the handlers share.
pub struct Api {
    /// The service.
    pub service: Arc<Service>,
    /// Partitions and enabled fault types; the latter as they were at the last look.
    pub topology: watch::Sender<Topology>,
    /// Appends messages.
    pub publisher: Publisher,
    /// Reads progress.
    pub janitor: Janitor,
    /// Reads results.
    pub views: Views,
    /// Reads services.
    pub registry: Registry,
    /// Where tasks go.
    pub coordinators: Coordinators,
    /// Whether messages are accepted.
    pub admission: watch::Sender<Admission>,
    /// Metrics.
    pub metrics: Metrics,
    /// Redis' clock.
    pub clock: RedisClock,
    /// When the gateway started.
    pub started: Instant,
}

impl Api {
    /// Reads the topology and opens everything.
    pub async fn open(service: Arc<Service>, clock: RedisClock) -> anyhow::Result<Arc<Self>> {
        let (redis, settings) = (&service.redis, &service.settings);
        let topology = topology::agree(&redis.control, &settings.topology())
            .await
            .context("agreeing on the topology")?;
        let remember = Duration::from_secs(settings.gateway.idempotency_window_s);
        let publisher = match settings.redis.durability {
            Durability::Everysec | Durability::Always => Publisher::new(redis.data.clone(), remember),
            Durability::Replicated => Publisher::replicated(
                redis.client.clone(),
                settings.redis.replicas,
                Duration::from_millis(settings.redis.replica_timeout_ms),
                remember,
            ),
        };
        Ok(Arc::new(Self {
            topology: watch::Sender::new(topology),
            publisher,
            janitor: Janitor::new(redis.control.clone()),
            views: Views::new(redis.control.clone()),
            registry: Registry::new(redis.control.clone()),
            coordinators: Coordinators::open(
                Registry::new(redis.control.clone()),
                settings.coordinator.worker_lease_ms,
            )?,
            admission: watch::Sender::new(Admission::Unavailable("starting".to_owned())),
            metrics: Metrics::register(&service.metrics)?,
            clock,
            started: Instant::now(),
            service,
        }))
    }
}

impl Api {
    /// The topology as of the last look.
    pub fn topology(&self) -> Topology {
        self.topology.borrow().clone()
    }
}

/// Prefix of the seeds' routes.
pub const PREFIX: &str = "/api/v1/diagnosis-stream";

/// All routes of the gateway.
pub fn routes(api: Arc<Api>) -> Router {
    let settings = &api.service.settings.gateway;
    // Over the limit a request is refused at once instead of queueing.
    let limits = || {
        ServiceBuilder::new()
            .layer(HandleErrorLayer::new(|_| async {
                Refusal::unavailable("overload", "too many requests at once; try again in a moment")
            }))
            .layer(LoadShedLayer::new())
            .layer(GlobalConcurrencyLimitLayer::new(settings.max_in_flight))
    };
    let ingest = Router::new()
        .route("/vehicles/{vehicle_id}/data", post(ingest::accept))
        .route("/simulator/vehicles/{vehicle_id}/data", post(ingest::accept_simulated))
        .layer(DefaultBodyLimit::max(settings.body_limit_bytes))
        .layer(limits());
    // A limit of their own: tasks take long, and must not keep messages out.
    let tasks = tasks::routes().layer(DefaultBodyLimit::max(settings.body_limit_bytes)).layer(limits());
    let queries = Router::new()
        .route("/vehicles/{vehicle_id}/health", get(queries::health))
        .route("/vehicles/{vehicle_id}/diagnosis-history", get(queries::history))
        .route("/alerts/critical", get(queries::alerts))
        .route("/system/performance", get(queries::performance))
        .route("/system/status", get(queries::system_status))
        .route("/fault-types", get(queries::fault_types))
        .route("/fleet/overview", get(queries::fleet));
    Router::new()
        .nest(PREFIX, ingest.merge(queries))
        .merge(tasks)
        .route("/", get(cluster::root))
        .route("/api/v1/cluster/status", get(cluster::status))
        .fallback(|| async {
            Refusal::bad(StatusCode::NOT_FOUND, "route", "no such path; GET / lists what there is")
        })
        .method_not_allowed_fallback(|| async {
            Refusal::bad(StatusCode::METHOD_NOT_ALLOWED, "method", "this path does not take this method")
        })
        .layer(middleware::from_fn_with_state(api.clone(), count))
        .with_state(api)
}

async fn count(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    api.metrics.calls.inc();
    let peer = request.extensions().get::<axum::extract::ConnectInfo<SocketAddr>>().map(|c| c.0);
    let (method, path_length) = (request.method().clone(), request.uri().path().len());
    let response = next.run(request).await.into_response();
    // Without the path: it names the vehicle.
    tracing::debug!(%method, path_length, ?peer, status = response.status().as_u16(), "answered");
    response
}
