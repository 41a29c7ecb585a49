//! What the handlers share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::{Semaphore, watch};
use vtox_auth::Authenticator;
use vtox_protocol::keys::Topology;
use vtox_registry::{Motors, Registry};
use vtox_service_kit::{RedisClock, Service};
use vtox_streams::views::Views;
use vtox_streams::{Durability, Janitor, Publisher, topology};

use crate::admission::Admission;
use crate::credentials;
use crate::door::body::Memory;
use crate::door::limits::Buckets;
use crate::door::places::Places;
use crate::metrics::Metrics;
use crate::motors::Known;
use crate::queries::Index;
use crate::tasks::Coordinators;

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
    /// Who calls.
    pub auth: Arc<Authenticator>,
    /// What is known of the motors.
    pub motors: Known,
    /// Which vehicles there are.
    pub index: Index,
    /// Memory that bodies may take.
    pub bodies: Memory,
    /// Places for decoding large bodies.
    pub decoders: Arc<Semaphore>,
    /// Places for dashboards, and for data sources.
    pub dashboards: Places,
    pub sources: Places,
    /// How often a vehicle may send.
    pub vehicle_buckets: Buckets,
    /// How often a key or user may call.
    pub key_buckets: Buckets,
    /// How often the password of a user may be tried.
    pub user_buckets: Buckets,
    /// How often passwords may be tried from an address.
    pub address_buckets: Buckets,
}

impl Api {
    /// Reads the topology and opens everything.
    pub async fn open(service: Arc<Service>, clock: RedisClock) -> anyhow::Result<Arc<Self>> {
        let (redis, settings) = (&service.redis, &service.settings);
        let topology = topology::agree_at_start(&redis.control, &settings.topology())
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
            auth: credentials::open(&service).await?,
            motors: Known::new(Motors::new(redis.control.clone())),
            index: Index::default(),
            bodies: Memory::new(settings.gateway.bodies_limit_bytes, settings.gateway.largest_share),
            decoders: Arc::new(Semaphore::new(
                std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            )),
            dashboards: Places::new(settings.gateway.ws_max_connections, settings.gateway.largest_share),
            sources: Places::new(settings.gateway.ws_max_connections, settings.gateway.largest_share),
            vehicle_buckets: Buckets::new(
                "vehicle",
                settings.gateway.rate_per_vehicle,
                settings.gateway.rate_per_vehicle_burst,
            ),
            key_buckets: Buckets::new(
                "key",
                settings.gateway.rate_per_key,
                settings.gateway.rate_per_key_burst,
            ),
            user_buckets: Buckets::per_minute("user", settings.gateway.logins_per_user_per_min),
            address_buckets: Buckets::per_minute("address", settings.gateway.logins_per_address_per_min),
            service,
        }))
    }

    /// The topology as of the last look.
    pub fn topology(&self) -> Topology {
        self.topology.borrow().clone()
    }
}
