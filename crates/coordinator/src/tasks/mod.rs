//! Diagnosis on demand: a task waits for its turn, goes to a worker that the strategy picks, and to the next best one when that
//! fails. Blocks are passed on as they are. Every coordinator routes, whether it leads or not.

mod answer;
mod attempt;
mod crew;
mod dispatch;
mod http;
mod metrics;
mod queue;
mod routing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::watch;
use vtox_balancing::ScoreWeights;
use vtox_balancing::routing::{Router, Routing};
use vtox_registry::{Registry, RoutingStore, watch_members};
use vtox_service_kit::{Lifecycle, Service};

use crew::Crew;
pub use http::routes;
use metrics::Metrics;
use queue::Queue;

/// Time between two looks at the members and at what operators have set.
const LOOK: Duration = Duration::from_millis(250);
/// A worker on the same network that does not take a connection within this time is as good as gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// What the tasks share.
pub struct Tasks {
    router: Mutex<Router>,
    queue: Queue,
    crew: watch::Sender<Arc<Crew>>,
    client: reqwest::Client,
    store: RoutingStore,
    metrics: Metrics,
    /// Weights of the score where operators set none.
    placement_score: ScoreWeights,
    worker_lease_ms: u64,
    per_core: f64,
    started: Instant,
}

impl Tasks {
    /// Opens everything and reads what operators have set.
    pub async fn open(service: &Service) -> anyhow::Result<Arc<Self>> {
        let settings = &service.settings.tasks;
        let store = RoutingStore::new(service.redis.control.clone());
        let configured = Routing { strategy: settings.strategy, ..Routing::default() };
        let routing = match store.read::<Routing>().await {
            Ok(Some(stored)) if stored.validate().is_ok() => stored,
            Ok(_) => configured,
            Err(error) => {
                tracing::warn!(%error, strategy = configured.strategy.name(), "starting with the configured strategy");
                configured
            }
        };
        let client = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .context("an HTTP client")?;
        Ok(Arc::new(Self {
            router: Mutex::new(Router::new(settings.routing, routing)),
            queue: Queue::new(1, settings.queue),
            crew: watch::Sender::default(),
            client,
            store,
            metrics: Metrics::register(&service.metrics)?,
            placement_score: service.settings.placement.score,
            worker_lease_ms: service.settings.coordinator.worker_lease_ms,
            per_core: settings.per_core,
            started: Instant::now(),
        }))
    }

    /// Follows members and settings until the soft token is cancelled.
    pub async fn follow(self: Arc<Self>, registry: Registry, lifecycle: Lifecycle) -> anyhow::Result<()> {
        let members = watch_members(registry, LOOK);
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                () = lifecycle.soft.cancelled() => return Ok(()),
                _ = tick.tick() => {}
            }
            match self.store.read::<Routing>().await {
                Ok(Some(stored)) => self.take_over(stored),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "the strategy stays"),
            }
            let weights = self.router().routing().score.unwrap_or(self.placement_score);
            let crew = Crew::of(&members.borrow(), self.worker_lease_ms, &weights);
            self.queue.set_limit((self.per_core * crew.cores()) as usize);
            self.router().retain(|worker| crew.get(worker).is_some());
            self.metrics.show(&self.router(), self.now_ms(), self.queue.lengths());
            self.crew.send_replace(Arc::new(crew));
        }
    }

    /// The strategy in force.
    pub fn routing(&self) -> Routing {
        self.router().routing().clone()
    }

    fn take_over(&self, stored: Routing) {
        let mut router = self.router();
        if *router.routing() != stored && stored.validate().is_ok() {
            tracing::info!(strategy = stored.strategy.name(), "tasks are routed by another strategy");
            router.set_routing(stored);
        }
    }

    fn router(&self) -> MutexGuard<'_, Router> {
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ms on a clock that never steps.
    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}
