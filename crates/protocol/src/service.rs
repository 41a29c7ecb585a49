//! Services as the registry shows them, and the load workers report.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::keys::Partition;
use crate::{FaultSet, FaultType};

/// Kind of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ServiceType {
    ApiGateway,
    Coordinator,
    Worker,
    Monitor,
    Bridge,
}

impl ServiceType {
    /// Name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiGateway => "api_gateway",
            Self::Coordinator => "coordinator",
            Self::Worker => "worker",
            Self::Monitor => "monitor",
            Self::Bridge => "bridge",
        }
    }
}

/// State of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ServiceStatus {
    Starting,
    Healthy,
    Unhealthy,
    Shutdown,
}

/// Record of one running service instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceRecord {
    /// Unique among all services.
    pub service_id: String,
    /// Kind.
    pub service_type: ServiceType,
    /// Name shown to people, such as `worker_bearing`.
    pub service_name: String,
    /// Where it listens.
    pub host: String,
    /// Where it listens.
    pub port: u16,
    /// State.
    pub status: ServiceStatus,
    /// Fault types it serves.
    pub capabilities: FaultSet,
    /// Further facts, `current_load` among them.
    #[serde(default)]
    pub metadata: BTreeMap<String, Value>,
    /// Epoch s on Redis' clock.
    pub last_heartbeat: f64,
    /// Epoch s on Redis' clock.
    pub registered_at: f64,
    /// Version of the binary.
    pub version: String,
}

impl ServiceRecord {
    /// Its field in the hash of services.
    pub fn field(&self) -> String {
        format!("{}:{}", self.service_type.name(), self.service_id)
    }
}

/// Kind of service event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ServiceEventType {
    ServiceRegistered,
    ServiceDeregistered,
    ServiceHealthy,
    ServiceUnhealthy,
}

/// What happened to a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceEvent {
    /// What.
    pub event_type: ServiceEventType,
    /// Its record then.
    pub service_data: ServiceRecord,
    /// Epoch s on Redis' clock.
    pub timestamp: f64,
}

/// Load of a worker, reported with every heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerLoad {
    /// Its service id.
    pub worker_id: String,
    /// Batches being diagnosed.
    pub current_tasks: u32,
    /// Entries read and not yet committed.
    pub pending_messages: u64,
    /// Mean time from reading an entry to its commit, ms.
    pub avg_processing_time: f64,
    /// CPU of the process, % of the machine's cores it may use.
    pub cpu_usage: f64,
    /// Memory of the machine in use, %.
    pub memory_usage: f64,
    /// Share of the lanes with something to commit whose last try succeeded, 0 to 1.
    pub success_rate: f64,
    /// Results committed since start.
    pub total_completed: u64,
    /// Dead letters and failed commits since start.
    pub total_failed: u64,
    /// s since start.
    pub uptime: f64,
    /// Epoch s on Redis' clock.
    pub last_updated: f64,
    /// Whether it can work.
    pub healthy: bool,
    /// Results committed since start, by fault type.
    #[serde(default)]
    pub completed_by_fault: BTreeMap<FaultType, u64>,
    /// Wall time its detectors took for them, by fault type, ms.
    #[serde(default)]
    pub diagnosis_ms_by_fault: BTreeMap<FaultType, f64>,
    /// Partitions of which something cannot be committed at present.
    #[serde(default)]
    pub failing_partitions: u32,
    /// Which run of the worker this is.
    #[serde(default)]
    pub incarnation: String,
    /// It wants its partitions moved away.
    #[serde(default)]
    pub draining: bool,
    /// Cores the worker may use: its capacity before scoring.
    #[serde(default)]
    pub cores: f64,
}

/// One (fault type, partition) given to a worker, with the token that proves it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// Fault type.
    pub fault: FaultType,
    /// Partition.
    pub partition: Partition,
    /// Opaque ownership token, compared whole.
    pub token: String,
    /// The owner before died while it held the partition: what was in flight is suspect.
    #[serde(default)]
    pub suspect: bool,
}

/// Placement of one worker, its field in the hash of assignments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Assignment {
    /// Run of the worker it is meant for; another run ignores it.
    pub incarnation: String,
    /// What the worker owns. It stops, commits and releases whatever it holds beyond this.
    pub grants: Vec<Grant>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_contracts_names() {
        let record = ServiceRecord {
            service_id: "w1".into(),
            service_type: ServiceType::Worker,
            service_name: "worker_bearing".into(),
            host: "127.0.0.1".into(),
            port: 8002,
            status: ServiceStatus::Healthy,
            capabilities: FaultSet::EMPTY.with(FaultType::Bearing),
            metadata: BTreeMap::from([("current_load".to_owned(), Value::from(3))]),
            last_heartbeat: 1.5,
            registered_at: 1.0,
            version: "0.1.0".into(),
        };
        assert_eq!(record.field(), "worker:w1");
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            r#"{"service_id":"w1","service_type":"worker","service_name":"worker_bearing","host":"127.0.0.1","port":8002,"status":"healthy","capabilities":["bearing"],"metadata":{"current_load":3},"last_heartbeat":1.5,"registered_at":1.0,"version":"0.1.0"}"#
        );
    }
}
