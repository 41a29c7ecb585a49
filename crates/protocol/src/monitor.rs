//! What the monitor sees, as it leaves it in Redis for queries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::FaultType;

/// Where a throughput figure comes from, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ThroughputSource {
    /// Flow measured by the workers' counters.
    WorkerCounters,
    /// Rate at which results appear.
    ResultsStream,
    /// Estimated from the consumers that are active.
    Estimate,
    /// Nothing to go by.
    #[default]
    None,
}

/// One fault type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FaultFlow {
    /// Entries not committed.
    pub lag: u64,
    /// Results per s.
    pub rate: f64,
    /// Mean time of its detector, s.
    pub average_processing_time: f64,
    /// Workers that serve it.
    pub workers: u32,
    /// Workers it needs.
    pub recommended_workers: u32,
}

/// State of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct MonitorSnapshot {
    /// Messages per s.
    pub throughput: f64,
    /// Where that comes from.
    pub throughput_source: ThroughputSource,
    /// Messages per s that were accepted.
    pub accepted_rate: f64,
    /// Mean time from reading an entry to its commit, ms.
    pub latency_ms: f64,
    /// Entries the slowest fault type has not committed.
    pub queue_length: u64,
    /// Age of the oldest of them, ms.
    pub oldest_age_ms: u64,
    /// Messages answered by all enabled fault types since the streams began.
    pub messages_processed: u64,
    /// Dead letters and failed commits of the workers that live.
    pub error_count: u64,
    /// Share of results that succeeded.
    pub success_rate: f64,
    /// Workers that live.
    pub active_consumers: u32,
    /// Each enabled fault type.
    pub by_fault: BTreeMap<FaultType, FaultFlow>,
    /// Services that live.
    pub healthy_services: u32,
    /// Services the registry knows.
    pub total_services: u32,
    /// Alerts that stand.
    pub alerts: Vec<String>,
    /// When, ISO 8601.
    pub timestamp: String,
    /// The same, epoch ms on Redis' clock.
    pub redis_ms: u64,
}
