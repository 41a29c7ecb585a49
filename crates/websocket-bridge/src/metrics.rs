//! Metrics of the bridge.

use prometheus::{IntCounter, IntGauge, Registry};

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
    /// 1 while this bridge aggregates.
    pub aggregating: IntGauge,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &Registry) -> anyhow::Result<Self> {
        let metrics = Self {
            clients: IntGauge::new("bridge_clients", "Dashboards connected.")?,
            sent: IntCounter::new("bridge_frames_sent_total", "Frames handed to dashboards.")?,
            dropped: IntCounter::new("bridge_frames_dropped_total", "Frames a dashboard was too slow for.")?,
            aggregated: IntCounter::new("bridge_results_aggregated_total", "Results aggregated.")?,
            aggregating: IntGauge::new("bridge_aggregating", "1 while this bridge aggregates.")?,
        };
        registry.register(Box::new(metrics.clients.clone()))?;
        registry.register(Box::new(metrics.sent.clone()))?;
        registry.register(Box::new(metrics.dropped.clone()))?;
        registry.register(Box::new(metrics.aggregated.clone()))?;
        registry.register(Box::new(metrics.aggregating.clone()))?;
        Ok(metrics)
    }
}
