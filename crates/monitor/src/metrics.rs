//! What the monitor exports: the cluster's figures, the backlog that scaling follows among them.

use prometheus::{Gauge, GaugeVec, IntGauge, IntGaugeVec, Opts, Registry};
use vtox_protocol::MonitorSnapshot;
use vtox_service_kit::metrics::added;

/// Metrics of the monitor.
pub struct Metrics {
    throughput: Gauge,
    accepted_rate: Gauge,
    oldest_age: Gauge,
    lag: IntGaugeVec,
    rate: GaugeVec,
    recommended: IntGaugeVec,
    healthy_services: IntGauge,
    total_services: IntGauge,
    alerts: IntGauge,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &Registry) -> anyhow::Result<Self> {
        let by_fault = ["fault_type"];
        Ok(Self {
            throughput: added(
                registry,
                Gauge::new("throughput_messages_per_second", "Messages answered per s."),
            )?,
            accepted_rate: added(
                registry,
                Gauge::new("accepted_messages_per_second", "Messages accepted per s."),
            )?,
            oldest_age: added(
                registry,
                Gauge::new("backlog_oldest_age_seconds", "Age of the oldest message without all results."),
            )?,
            lag: added(
                registry,
                IntGaugeVec::new(Opts::new("backlog_entries", "Messages without a result."), &by_fault),
            )?,
            rate: added(
                registry,
                GaugeVec::new(Opts::new("results_per_second", "Results per s."), &by_fault),
            )?,
            recommended: added(
                registry,
                IntGaugeVec::new(Opts::new("recommended_workers", "Workers needed."), &by_fault),
            )?,
            healthy_services: added(registry, IntGauge::new("healthy_services", "Services that live."))?,
            total_services: added(registry, IntGauge::new("total_services", "Services the registry knows."))?,
            alerts: added(registry, IntGauge::new("standing_alerts", "Alerts on the system that stand."))?,
        })
    }

    /// Shows a snapshot.
    pub fn show(&self, seen: &MonitorSnapshot) {
        self.throughput.set(seen.throughput);
        self.accepted_rate.set(seen.accepted_rate);
        self.oldest_age.set(seen.oldest_age_ms as f64 / 1_000.0);
        self.healthy_services.set(i64::from(seen.healthy_services));
        self.total_services.set(i64::from(seen.total_services));
        self.alerts.set(seen.alerts.len() as i64);
        for (fault, flow) in &seen.by_fault {
            self.lag.with_label_values(&[fault.name()]).set(flow.lag as i64);
            self.rate.with_label_values(&[fault.name()]).set(flow.rate);
            self.recommended.with_label_values(&[fault.name()]).set(i64::from(flow.recommended_workers));
        }
    }
}
