//! Metrics of the bridge.

use prometheus::{IntCounter, IntGauge, Registry};
use vtox_service_kit::metrics::added;

/// Metrics of the bridge.
#[derive(Clone)]
pub struct Metrics {
    /// Dashboards connected.
    pub clients: IntGauge,
    /// Frames handed to dashboards.
    pub sent: IntCounter,
    /// Frames a dashboard was too slow for.
    pub dropped: IntCounter,
    /// Results aggregated.
    pub aggregated: IntCounter,
    /// Results and dead letters forwarded from the slots of a Redis Cluster.
    pub forwarded: IntCounter,
    /// Tries to forward that failed.
    pub forward_errors: IntCounter,
    /// 1 while this bridge aggregates.
    pub aggregating: IntGauge,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &Registry) -> anyhow::Result<Self> {
        Ok(Self {
            clients: added(registry, IntGauge::new("bridge_clients", "Dashboards connected."))?,
            sent: added(
                registry,
                IntCounter::new("bridge_frames_sent_total", "Frames handed to dashboards."),
            )?,
            dropped: added(
                registry,
                IntCounter::new("bridge_frames_dropped_total", "Frames a dashboard was too slow for."),
            )?,
            aggregated: added(
                registry,
                IntCounter::new("bridge_results_aggregated_total", "Results aggregated."),
            )?,
            forwarded: added(
                registry,
                IntCounter::new(
                    "bridge_entries_forwarded_total",
                    "Results and dead letters forwarded from the slots of a Redis Cluster.",
                ),
            )?,
            forward_errors: added(
                registry,
                IntCounter::new("bridge_forward_errors_total", "Tries to forward that failed."),
            )?,
            aggregating: added(
                registry,
                IntGauge::new("bridge_aggregating", "1 while this bridge aggregates."),
            )?,
        })
    }
}
