//! Prometheus metrics of a process. Labels are bounded: never a vehicle id.

use prometheus::{Encoder, Gauge, IntGauge, Opts, Registry, TextEncoder};

/// Makes the registry with what every service shows.
pub fn registry(service: &str) -> anyhow::Result<Registry> {
    let labels = [("service".to_owned(), service.to_owned())].into();
    let registry = Registry::new_custom(Some("vtox".to_owned()), Some(labels))?;
    let info = IntGauge::with_opts(
        Opts::new("build_info", "1; the version is a label.").const_label("version", crate::VERSION),
    )?;
    info.set(1);
    registry.register(Box::new(info))?;
    let started = Gauge::new("start_time_seconds", "When the process started, epoch s.")?;
    started.set(crate::clock::epoch_ms() as f64 / 1_000.0);
    registry.register(Box::new(started))?;
    Ok(registry)
}

/// The metrics in Prometheus' text format.
pub fn render(registry: &Registry) -> String {
    let mut out = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&registry.gather(), &mut out) {
        tracing::error!(%error, "metrics cannot be rendered");
    }
    String::from_utf8(out).unwrap_or_default()
}
