//! The settings as the services read them; `defaults.toml` explains each.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vtox_balancing::PlacementConfig;
use vtox_balancing::routing::{RoutingConfig, Strategy};
use vtox_connection::{Endpoint, TlsFiles};
use vtox_protocol::keys::{MAX_PARTITIONS, MAX_SLOT_TAGS, Topology};
use vtox_protocol::{FaultSet, FaultType};
use vtox_streams::Durability;

use super::ConfigError;

/// How the cluster is meant to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Mode {
    Development,
    Testing,
    Production,
}

impl Mode {
    /// Name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Testing => "testing",
            Self::Production => "production",
        }
    }
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogFormat {
    Human,
    Json,
}

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "defaults.toml explains each setting")]
pub struct Settings {
    pub mode: Mode,
    pub host: String,
    pub advertise_host: String,
    pub shutdown_deadline_s: u64,
    pub redis: Redis,
    pub cluster: Cluster,
    pub gateway: Gateway,
    pub auth: Auth,
    pub coordinator: Coordinator,
    pub placement: PlacementConfig,
    pub tasks: Tasks,
    pub worker: Worker,
    pub monitor: Monitor,
    pub bridge: Bridge,
    pub diagnosis: Section,
    pub telemetry: Telemetry,
}

/// A section of which only some services know what is in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Section(config::Value);

impl Section {
    /// Its content.
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, ConfigError> {
        Ok(self.0.clone().try_deserialize()?)
    }
}

/// Section `redis`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "defaults.toml explains each setting")]
pub struct Redis {
    pub url: String,
    pub url_file: PathBuf,
    pub ca_file: PathBuf,
    pub client_cert: PathBuf,
    pub client_key: PathBuf,
    pub allow_no_password: bool,
    pub durability: Durability,
    pub replicas: u32,
    pub replica_timeout_ms: u64,
}

impl std::fmt::Debug for Redis {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("durability", &self.durability).finish_non_exhaustive()
    }
}

impl Redis {
    /// Where Redis is when nothing else is said.
    pub const DEFAULT_URL: &str = "redis://127.0.0.1:6379";

    /// The URL to connect to.
    pub fn url(&self) -> &str {
        if self.url.is_empty() { Self::DEFAULT_URL } else { &self.url }
    }

    /// Whether services of a mode may start with this Redis: in production it must ask for a password.
    pub fn check(&self, mode: Mode) -> Result<(), ConfigError> {
        if mode != Mode::Production || self.allow_no_password {
            return Ok(());
        }
        match password(self.url()) {
            Some(password) if password.len() < SHORTEST_PASSWORD => {
                return Err(ConfigError::Invalid(format!(
                    "the password in redis.url has fewer than {SHORTEST_PASSWORD} characters and can be guessed; \
                     deploy/redis/make-users.sh makes users with random ones"
                )));
            }
            Some(_) => return Ok(()),
            None => {}
        }
        Err(ConfigError::Invalid(
            "redis.url has no password, and whoever reaches that Redis could do everything; give each service a user of its own \
             (deploy/redis/make-users.sh writes the URLs), or set redis.allow_no_password = true where only these services \
             can reach it"
                .to_owned(),
        ))
    }

    /// Takes the URL from its file, where one is named.
    pub(super) fn read_url(&mut self) -> Result<(), String> {
        if self.url_file.as_os_str().is_empty() {
            return Ok(());
        }
        let file = self.url_file.display();
        if !self.url.is_empty() {
            return Err(format!("redis.url and redis.url_file ({file}) are both set; set one of them"));
        }
        let text = std::fs::read_to_string(&self.url_file)
            .map_err(|e| format!("redis.url_file {file} cannot be read: {e}"))?;
        text.trim().clone_into(&mut self.url);
        if self.url.is_empty() {
            return Err(format!("redis.url_file {file} is empty; it must hold the URL of Redis"));
        }
        Ok(())
    }

    /// Whether the URL is one of a Redis Cluster.
    pub fn is_cluster(&self) -> bool {
        self.url().starts_with("redis+cluster://") || self.url().starts_with("rediss+cluster://")
    }

    /// The Redis of `url`, or the one of the settings.
    pub fn endpoint(&self, url: Option<&str>) -> redis::RedisResult<Endpoint> {
        let file = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
        let files = TlsFiles {
            ca: file(&self.ca_file),
            client_cert: file(&self.client_cert),
            client_key: file(&self.client_key),
        };
        Endpoint::open_with(url.unwrap_or_else(|| self.url()), &files)
    }
}

/// Shortest password of Redis that production takes: Redis answers some 100,000 tries a second.
const SHORTEST_PASSWORD: usize = 16;

/// The password in a URL of Redis: `scheme://[user]:password@host` or `redis+unix:///path?pass=password`.
fn password(url: &str) -> Option<&str> {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let authority = place.split_once("://").map_or(place, |(_, rest)| rest);
    let login = authority.rsplit_once('@').and_then(|(login, _)| login.split_once(':'));
    let password = login.map(|(_, password)| password);
    password
        .or_else(|| query.split('&').find_map(|pair| pair.strip_prefix("pass=")))
        .filter(|p| !p.is_empty())
}

/// Section `cluster`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "defaults.toml explains each setting")]
pub struct Cluster {
    pub enabled: bool,
    pub workers: u16,
    pub partitions: u16,
    pub slot_tags: u16,
    pub fault_types: String,
}

/// Section `gateway`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "defaults.toml explains each setting")]
pub struct Gateway {
    pub port: u16,
    pub tls_certificate: String,
    pub tls_key: String,
    pub cors_origins: String,
    pub max_connections: usize,
    pub header_timeout_s: u64,
    pub body_timeout_s: u64,
    pub body_least_bytes_per_s: usize,
    pub body_limit_bytes: usize,
    pub bodies_limit_bytes: usize,
    pub batch_items: usize,
    pub batch_limit_bytes: usize,
    pub max_in_flight: usize,
    pub largest_share: f64,
    pub rate_per_vehicle: u32,
    pub rate_per_vehicle_burst: u32,
    pub rate_per_key: u32,
    pub rate_per_key_burst: u32,
    pub logins_per_user_per_min: u32,
    pub logins_per_address_per_min: u32,
    pub backlog_entries: u64,
    pub backlog_age_s: u64,
    pub backlog_memory_share: f64,
    pub ws_max_connections: usize,
    pub ws_idle_s: u64,
    pub ws_in_flight: usize,
    pub idempotency_window_s: u64,
}

/// Section `auth`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "defaults.toml explains each setting")]
pub struct Auth {
    pub required: bool,
    pub keys_dir: String,
    pub signing_kid: String,
    pub audience: String,
    pub issuer: String,
    pub token_lifetime_s: u64,
}

impl Auth {
    /// Checks what only a gateway needs.
    ///
    /// # Errors
    /// In production without a directory of keys.
    pub fn check(&self, mode: Mode) -> Result<(), ConfigError> {
        if mode != Mode::Production || !self.keys_dir.is_empty() {
            return Ok(());
        }
        let text = "auth.keys_dir is empty, and production needs keys for tokens; make one by `vtox token keygen DIR` and \
                    set auth.keys_dir to DIR (VTOX_AUTH__KEYS_DIR=DIR)";
        Err(ConfigError::Invalid(text.to_owned()))
    }
}

/// Section `coordinator`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "defaults.toml explains each setting")]
pub struct Coordinator {
    pub port: u16,
    pub leader_lease_ms: u64,
    pub worker_lease_ms: u64,
    pub handover_deadline_ms: u64,
    pub forget_after_s: u64,
}

/// Section `tasks`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "defaults.toml explains each setting")]
pub struct Tasks {
    pub strategy: Strategy,
    pub per_core: f64,
    pub queue: usize,
    pub routing: RoutingConfig,
}

/// Section `worker`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "defaults.toml explains each setting")]
pub struct Worker {
    pub id: String,
    pub port: u16,
    pub fault_types: String,
    pub threads: usize,
    pub batch_entries: usize,
    pub lane_buffer_entries: usize,
    pub buffer_entries: usize,
    pub raw_retention_s: u64,
    pub raw_retention_bytes: u64,
    pub dead_letter_retention_s: u64,
    pub dead_letter_retention_bytes: u64,
}

impl Worker {
    /// Fault types it serves; checked when the settings were loaded.
    pub fn faults(&self) -> FaultSet {
        self.fault_types.parse().unwrap_or_default()
    }
}

/// Section `monitor`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "defaults.toml explains each setting")]
pub struct Monitor {
    pub port: u16,
    pub interval_s: u64,
    pub backlog_alert_age_s: u64,
}

/// Section `bridge`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "defaults.toml explains each setting")]
pub struct Bridge {
    pub port: u16,
    pub client_queue_frames: usize,
    pub max_clients: usize,
    pub results_retention_s: u64,
    pub results_retention_bytes: u64,
    pub history_per_vehicle: usize,
}

/// Section `telemetry`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "defaults.toml explains each setting")]
pub struct Telemetry {
    pub log_format: LogFormat,
    pub log_level: String,
    pub otlp_endpoint: String,
    pub trace_sample_share: f64,
}

/// Slot tags under Redis Cluster: enough to spread over about as many primaries, few enough for a connection each.
const CLUSTER_SLOT_TAGS: u16 = 16;

impl Settings {
    /// Partitions a new cluster gets.
    pub fn partitions(&self) -> u16 {
        match self.cluster.partitions {
            0 if usize::from(self.cluster.workers) > FaultType::ALL.len() => 64,
            0 => 1,
            n => n,
        }
    }

    /// The topology a new cluster gets.
    pub fn topology(&self) -> Topology {
        Topology {
            partitions: self.partitions(),
            slot_tags: match self.cluster.slot_tags {
                0 if self.redis.is_cluster() => CLUSTER_SLOT_TAGS,
                0 => 1,
                n => n,
            },
            enabled: self.cluster.fault_types.parse().unwrap_or(FaultSet::ALL),
        }
    }

    /// Checks what types cannot say.
    pub(super) fn validate(&self) -> Result<(), String> {
        let check = |ok: bool, text: &str| if ok { Ok(()) } else { Err(text.to_owned()) };
        for (name, list) in [
            ("cluster.fault_types", &self.cluster.fault_types),
            ("worker.fault_types", &self.worker.fault_types),
        ] {
            let set: FaultSet = list.parse().map_err(|e| format!("{name}: {e}"))?;
            check(!set.is_empty(), &format!("{name} is empty; name at least one fault type, or all"))?;
        }
        check(
            self.cluster.partitions <= MAX_PARTITIONS,
            &format!("cluster.partitions is {}; at most {MAX_PARTITIONS}", self.cluster.partitions),
        )?;
        check(
            self.cluster.slot_tags <= MAX_SLOT_TAGS,
            &format!("cluster.slot_tags is {}; at most {MAX_SLOT_TAGS}", self.cluster.slot_tags),
        )?;
        check(
            self.cluster.slot_tags != 1 || !self.redis.is_cluster(),
            "cluster.slot_tags is 1, which is for a single server; under Redis Cluster set it to 0 or at least 2",
        )?;
        check(self.worker.batch_entries > 0, "worker.batch_entries is 0; at least 1")?;
        check(
            self.worker.lane_buffer_entries >= self.worker.batch_entries
                && self.worker.buffer_entries >= self.worker.lane_buffer_entries,
            "worker.buffer_entries must be at least worker.lane_buffer_entries, and that at least worker.batch_entries",
        )?;
        check(
            self.worker.dead_letter_retention_s > 0 && self.worker.dead_letter_retention_bytes >= 8 << 20,
            "worker.dead_letter_retention_s must be at least 1 and worker.dead_letter_retention_bytes at least 8388608: \
             the dead letters of one entry may have copies of 1 MiB each",
        )?;
        check(
            self.gateway.largest_share > 0.0 && self.gateway.largest_share <= 1.0,
            "gateway.largest_share must be above 0 and at most 1",
        )?;
        check(self.gateway.body_limit_bytes >= 1024, "gateway.body_limit_bytes is below 1024")?;
        check(
            self.gateway.batch_limit_bytes >= self.gateway.body_limit_bytes
                && self.gateway.bodies_limit_bytes as f64 * self.gateway.largest_share
                    >= self.gateway.batch_limit_bytes as f64,
            "gateway.bodies_limit_bytes times gateway.largest_share must be at least gateway.batch_limit_bytes, and that at \
             least gateway.body_limit_bytes",
        )?;
        check(self.gateway.batch_items > 0, "gateway.batch_items is 0; at least 1")?;
        check(self.gateway.max_in_flight > 0, "gateway.max_in_flight is 0; at least 1")?;
        check(
            self.gateway.ws_max_connections > 0 && self.gateway.ws_in_flight > 0,
            "gateway.ws_max_connections and gateway.ws_in_flight must be at least 1",
        )?;
        check(self.gateway.ws_idle_s >= 5, "gateway.ws_idle_s is below 5")?;
        check(self.gateway.max_connections > 0, "gateway.max_connections is 0; at least 1")?;
        check(
            self.gateway.header_timeout_s > 0 && self.gateway.body_timeout_s > 0,
            "gateway.header_timeout_s and gateway.body_timeout_s must be at least 1",
        )?;
        check(
            self.gateway.tls_certificate.is_empty() == self.gateway.tls_key.is_empty(),
            "gateway.tls_certificate and gateway.tls_key belong together; set both, or neither",
        )?;
        check(
            (0.0..=1.0).contains(&self.gateway.backlog_memory_share),
            "gateway.backlog_memory_share must be between 0 and 1",
        )?;
        check(
            self.auth.required || self.mode != Mode::Production,
            "auth.required is false, which production does not allow; set it to true, or use development or testing",
        )?;
        check(
            !self.auth.audience.is_empty(),
            "auth.audience is empty; name whom tokens are for, such as vtox",
        )?;
        check(
            (60..=30 * 86_400).contains(&self.auth.token_lifetime_s),
            "auth.token_lifetime_s must be between 60 and 2592000",
        )?;
        check(
            (0.0..=1.0).contains(&self.telemetry.trace_sample_share),
            "telemetry.trace_sample_share must be between 0 and 1",
        )?;
        check(
            self.redis.durability != Durability::Replicated || self.redis.replicas > 0,
            "redis.durability is replicated but redis.replicas is 0; set the number of replicas",
        )?;
        check(
            self.redis.client_cert.as_os_str().is_empty() == self.redis.client_key.as_os_str().is_empty(),
            "redis.client_cert and redis.client_key go together; set both or none",
        )?;
        check(
            self.redis.replica_timeout_ms > 0,
            "redis.replica_timeout_ms is 0, which would wait for ever; set about 1000",
        )?;
        check(self.coordinator.leader_lease_ms >= 500, "coordinator.leader_lease_ms is below 500")?;
        check(self.coordinator.worker_lease_ms >= 1000, "coordinator.worker_lease_ms is below 1000")?;
        self.placement.validate().map_err(|error| error.to_string())?;
        check(
            self.tasks.per_core.is_finite() && self.tasks.per_core > 0.0,
            "tasks.per_core must be a number above 0, such as 2",
        )?;
        self.tasks.routing.validate().map_err(|error| format!("tasks.routing: {error}"))?;
        check(self.monitor.interval_s > 0, "monitor.interval_s is 0; at least 1")?;
        check(self.bridge.client_queue_frames > 0, "bridge.client_queue_frames is 0; at least 1")?;
        check(self.shutdown_deadline_s > 0, "shutdown_deadline_s is 0; at least 1")
    }
}
