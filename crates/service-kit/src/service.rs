//! The common course of a service: settings, telemetry, listener, Redis, registry, work, drain.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use clap::{Parser, Subcommand};
use tokio::net::TcpListener;
use tokio::sync::watch;
use vtox_protocol::{FaultSet, ServiceRecord, ServiceStatus, ServiceType};
use vtox_registry::Registry;

use crate::config::{self, Settings};
use crate::healthcheck;
use crate::server::{self, Listening};
use crate::{Connections, Lifecycle, Member, VERSION, clock, metrics, telemetry};

/// Exit code for settings that cannot be used (EX_USAGE of sysexits).
pub const BAD_SETTINGS: u8 = 64;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// File with settings.
    #[arg(long, env = "VTOX_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// Say whether the service that runs here with the same settings is ready: exit code 0, else 1
    Healthcheck,
}

/// Whether the service can do its work, and why not.
#[derive(Clone)]
pub struct Readiness(watch::Sender<Result<(), String>>);

impl Readiness {
    /// It can.
    pub fn ready(&self) {
        let _ = self.0.send_replace(Ok(()));
    }

    /// It cannot.
    pub fn not_ready(&self, why: impl Into<String>) {
        let _ = self.0.send_replace(Err(why.into()));
    }

    /// Why it cannot, if it cannot.
    pub fn reason(&self) -> Option<String> {
        self.0.borrow().clone().err()
    }
}

/// What a service may touch.
pub struct Service {
    /// Its kind.
    pub kind: ServiceType,
    /// Its id in the registry.
    pub id: String,
    /// Which run of it this is.
    pub incarnation: String,
    /// Its settings.
    pub settings: Arc<Settings>,
    /// Its connections.
    pub redis: Connections,
    /// Its metrics.
    pub metrics: prometheus::Registry,
    /// Its tasks.
    pub lifecycle: Lifecycle,
    /// Whether it is ready.
    pub readiness: Readiness,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Service {
    /// A membership in the registry with this service's record.
    pub fn member(&self, capabilities: FaultSet, name: impl Into<String>) -> Member {
        let record = ServiceRecord {
            service_id: self.id.clone(),
            service_type: self.kind,
            service_name: name.into(),
            host: advertised_host(&self.settings),
            port: self.address.port(),
            status: ServiceStatus::Starting,
            capabilities,
            metadata: Default::default(),
            last_heartbeat: 0.0,
            registered_at: 0.0,
            version: VERSION.to_owned(),
        };
        Member::new(Registry::new(self.redis.control.clone()), record)
    }
}

/// What goes around all routes of a service.
pub type Around = Box<dyn Fn(Router) -> Router + Send + Sync>;

/// Runs a service: `start` is called once Redis answers and gives back the routes it serves beside `/health`, `/ready`
/// and `/metrics`.
pub fn main<S, F>(kind: ServiceType, start: S) -> ExitCode
where
    S: FnOnce(Arc<Service>) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<Router>> + Send + 'static,
{
    let bare: Around = Box::new(|router| router);
    main_checked(kind, |_| Ok(()), |_| bare, start)
}

/// The same for a service that can tell by itself that it could not work with its settings, and has something that all answers
/// pass, those of `/health`, `/ready` and `/metrics` too.
pub fn main_checked<S, F>(
    kind: ServiceType,
    check: impl FnOnce(&Settings) -> anyhow::Result<()>,
    around: impl FnOnce(&Settings) -> Around,
    start: S,
) -> ExitCode
where
    S: FnOnce(Arc<Service>) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<Router>> + Send + 'static,
{
    let arguments = Arguments::parse();
    let settings = match config::load(arguments.config.as_deref(), std::env::vars()) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("vtox: {error}");
            return ExitCode::from(BAD_SETTINGS);
        }
    };
    if let Some(Task::Healthcheck) = arguments.task {
        return healthcheck::run(&settings, port_of(kind, &settings), listening(kind, &settings).tls);
    }
    let redis = settings.redis.check(settings.mode).map_err(anyhow::Error::from);
    if let Err(error) = redis.and_then(|()| check(&settings)) {
        eprintln!("vtox: {error:#}");
        return ExitCode::from(BAD_SETTINGS);
    }
    let around = around(&settings);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("vtox: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let guard = match telemetry::start(&settings.telemetry, kind.name()) {
            Ok(guard) => guard,
            Err(error) => {
                eprintln!("vtox: {error:#}");
                return ExitCode::from(BAD_SETTINGS);
            }
        };
        let code = match run(kind, settings, around, start).await {
            Ok(code) => code,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "cannot start");
                ExitCode::FAILURE
            }
        };
        // The exporter blocks while it sends what is left.
        drop(tokio::task::spawn_blocking(move || guard.shutdown()).await);
        code
    })
}

fn port_of(kind: ServiceType, settings: &Settings) -> u16 {
    match kind {
        ServiceType::ApiGateway => settings.gateway.port,
        ServiceType::Coordinator => settings.coordinator.port,
        ServiceType::Worker => settings.worker.port,
        ServiceType::Monitor => settings.monitor.port,
        ServiceType::Bridge => settings.bridge.port,
    }
}

async fn run<S, F>(
    kind: ServiceType,
    settings: Settings,
    around: Around,
    start: S,
) -> anyhow::Result<ExitCode>
where
    S: FnOnce(Arc<Service>) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<Router>> + Send + 'static,
{
    let port = port_of(kind, &settings);
    let listener = TcpListener::bind((settings.host.as_str(), port)).await.with_context(|| {
        format!("port {port} on {} is not free; stop what uses it or set another", settings.host)
    })?;
    let address = listener.local_addr()?;
    let deadline = Duration::from_secs(settings.shutdown_deadline_s);
    let service = Arc::new(Service {
        kind,
        id: service_id(kind, &settings, address.port()),
        incarnation: uuid::Uuid::new_v4().simple().to_string(),
        redis: Connections::open(&settings.redis)?,
        metrics: metrics::registry(kind.name())?,
        lifecycle: Lifecycle::default(),
        readiness: Readiness(watch::Sender::new(Err("starting".to_owned()))),
        address,
        settings: Arc::new(settings),
    });
    tracing::info!(
        service = kind.name(),
        id = service.id,
        version = VERSION,
        address = %service.address,
        mode = service.settings.mode.name(),
        "started"
    );
    let (routes, starting) = watch::channel(None::<Router>);
    let lifecycle = service.lifecycle.clone();
    lifecycle.spawn_vital("http", serve(service.clone(), listener, starting, around));
    lifecycle.spawn_vital("work", {
        let service = service.clone();
        async move {
            let soft = service.lifecycle.soft.clone();
            let router = tokio::select! {
                () = soft.cancelled() => return Ok(()),
                router = async { service.redis.wait().await; start(service.clone()).await } => router?,
            };
            routes.send_replace(Some(router));
            soft.cancelled().await;
            Ok(())
        }
    });
    let readiness = service.readiness.clone();
    Ok(lifecycle.run(deadline, async move { readiness.not_ready("stopping") }).await)
}

/// Serves `/health`, `/ready` and `/metrics` from the first moment and the service's routes once it has them.
async fn serve(
    service: Arc<Service>,
    listener: TcpListener,
    mut starting: watch::Receiver<Option<Router>>,
    around: Around,
) -> anyhow::Result<()> {
    let (readiness, registry) = (service.readiness.clone(), service.metrics.clone());
    let routes = starting.clone();
    let id = service.id.clone();
    let operations = Router::new()
        .route(
            "/health",
            get(move || async move {
                axum::Json(serde_json::json!({
                    "status": "healthy", "service": id, "version": VERSION, "timestamp": clock::timestamp(),
                }))
            }),
        )
        .route(
            "/ready",
            get(move || async move {
                // Whoever is told that it is ready may call at once.
                let served = routes.borrow().is_some();
                match readiness.reason().or((!served).then(|| "starting".to_owned())) {
                    None => (StatusCode::OK, axum::Json(serde_json::json!({"status": "ready"}))),
                    Some(why) => (
                        StatusCode::SERVICE_UNAVAILABLE,
                        axum::Json(serde_json::json!({"status": "not_ready", "detail": why})),
                    ),
                }
            }),
        )
        .route(
            "/metrics",
            get(move || async move {
                ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics::render(&registry))
                    .into_response()
            }),
        );
    // Until there are routes, a router of its own answers; the listener is shared, so no connection is refused.
    let early = operations.clone().fallback(|| async {
        let refusal = serde_json::json!({
            "detail": "starting: waiting for Redis", "code": "starting", "fix": "Try again in a moment.",
        });
        (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], axum::Json(refusal))
    });
    let dispatch = tower_service(around(early), operations, starting.clone(), around);
    // The first look marks the initial value as seen.
    starting.borrow_and_update();
    server::serve(
        listener,
        listening(service.kind, &service.settings),
        dispatch,
        service.lifecycle.soft.clone(),
    )
    .await
}

/// What the listener of a service allows; only the gateway's is open to the world.
fn listening(kind: ServiceType, settings: &Settings) -> Listening {
    let gateway = &settings.gateway;
    let tls = (kind == ServiceType::ApiGateway && !gateway.tls_certificate.is_empty())
        .then(|| (gateway.tls_certificate.clone(), gateway.tls_key.clone()));
    Listening {
        max_connections: gateway.max_connections,
        largest_share: if kind == ServiceType::ApiGateway { gateway.largest_share } else { 1.0 },
        header_timeout: Duration::from_secs(gateway.header_timeout_s),
        tls,
    }
}

fn tower_service(
    early: Router,
    operations: Router,
    starting: watch::Receiver<Option<Router>>,
    around: Around,
) -> Router {
    let around = Arc::new(around);
    let full = Arc::new(std::sync::OnceLock::<Router>::new());
    Router::new().fallback(move |request: axum::extract::Request| {
        let (early, operations, full, starting, around) =
            (early.clone(), operations.clone(), full.clone(), starting.clone(), around.clone());
        async move {
            use tower::ServiceExt;
            if full.get().is_none()
                && let Some(routes) = starting.borrow().clone()
            {
                drop(full.set(around(operations.merge(routes))));
            }
            match full.get() {
                Some(router) => router.clone().oneshot(request).await,
                None => early.oneshot(request).await,
            }
        }
    })
}

fn service_id(kind: ServiceType, settings: &Settings, port: u16) -> String {
    match kind {
        ServiceType::Worker if !settings.worker.id.is_empty() => settings.worker.id.clone(),
        _ => format!("{}-{}-{port}", kind.name(), advertised_host(settings)),
    }
}

fn advertised_host(settings: &Settings) -> String {
    if !settings.advertise_host.is_empty() {
        return settings.advertise_host.clone();
    }
    match settings.host.as_str() {
        "0.0.0.0" | "::" => sysinfo::System::host_name().unwrap_or_else(|_| "127.0.0.1".to_owned()),
        host => host.to_owned(),
    }
}
