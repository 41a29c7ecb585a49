//! What the monitor exports: the cluster's figures, the backlog that scaling follows among them.

use prometheus::{Gauge, GaugeVec, IntGauge, IntGaugeVec, Opts, Registry};
use vtox_protocol::{FaultType, MonitorSnapshot};
use vtox_service_kit::clock::epoch_ms;
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
    looked: Gauge,
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
            looked: added(
                registry,
                Gauge::new("monitor_last_look_timestamp_seconds", "When Redis last answered the monitor."),
            )?,
        })
    }

    /// Shows a snapshot that has just been taken.
    pub fn show(&self, seen: &MonitorSnapshot) {
        self.looked.set(epoch_ms() as f64 / 1_000.0);
        self.throughput.set(seen.throughput);
        self.accepted_rate.set(seen.accepted_rate);
        self.oldest_age.set(seen.oldest_age_ms as f64 / 1_000.0);
        self.healthy_services.set(i64::from(seen.healthy_services));
        self.total_services.set(i64::from(seen.total_services));
        self.alerts.set(seen.alerts.len() as i64);
        // Nothing must scale by what was once behind.
        for disabled in FaultType::ALL.iter().filter(|fault| !seen.by_fault.contains_key(fault)) {
            let label = [disabled.name()];
            // An error says that there was none.
            let _ = self.lag.remove_label_values(&label);
            let _ = self.rate.remove_label_values(&label);
            let _ = self.recommended.remove_label_values(&label);
        }
        for (fault, flow) in &seen.by_fault {
            self.lag.with_label_values(&[fault.name()]).set(flow.lag as i64);
            self.rate.with_label_values(&[fault.name()]).set(flow.rate);
            self.recommended.with_label_values(&[fault.name()]).set(i64::from(flow.recommended_workers));
        }
    }
}

#[cfg(test)]
mod tests {
    use vtox_protocol::FaultFlow;

    use super::*;

    #[test]
    fn a_fault_type_that_is_disabled_is_shown_no_more() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let shown = || -> usize {
            let families = registry.gather();
            families.iter().filter(|f| f.name() == "backlog_entries").map(|f| f.get_metric().len()).sum()
        };
        let by_fault = FaultType::ALL.into_iter().map(|fault| (fault, FaultFlow::default())).collect();
        let mut seen = MonitorSnapshot { by_fault, ..MonitorSnapshot::default() };
        metrics.show(&seen);
        assert_eq!(shown(), 5);
        seen.by_fault.remove(&FaultType::Bearing);
        metrics.show(&seen);
        assert_eq!(shown(), 4);
    }
}
