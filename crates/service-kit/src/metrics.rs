//! Prometheus metrics of a process. Labels are bounded: never a vehicle id.

use prometheus::core::Collector;
use prometheus::{Encoder, Gauge, IntGauge, Opts, Registry, TextEncoder};

/// Makes the registry with what every service shows.
pub fn registry(service: &str) -> anyhow::Result<Registry> {
    let labels = [("service".to_owned(), service.to_owned())].into();
    let registry = Registry::new_custom(Some("vtox".to_owned()), Some(labels))?;
    let info = Opts::new("build_info", "1; the version is a label.").const_label("version", crate::VERSION);
    added(&registry, IntGauge::with_opts(info))?.set(1);
    let started = Gauge::new("start_time_seconds", "When the process started, epoch s.");
    added(&registry, started)?.set(crate::clock::epoch_ms() as f64 / 1_000.0);
    Ok(registry)
}

/// Adds a metric to a registry and hands it back.
pub fn added<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> anyhow::Result<M> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// The metrics in Prometheus' text format.
pub fn render(registry: &Registry) -> String {
    let mut out = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&registry.gather(), &mut out) {
        tracing::error!(%error, "metrics cannot be rendered");
    }
    String::from_utf8(out).unwrap_or_default()
}
