//! Metrics of the gateway.

use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use vtox_service_kit::metrics::added;

/// Metrics of the gateway.
pub struct Metrics {
    /// Messages received.
    pub received: IntCounter,
    /// Messages answered with success, those that had been accepted before among them.
    pub succeeded: IntCounter,
    /// Messages accepted.
    pub accepted: IntCounter,
    /// Messages that had been accepted before.
    pub repeated: IntCounter,
    /// Messages not accepted, by reason.
    pub rejected: IntCounterVec,
    /// Bytes of accepted bodies.
    pub bytes: IntCounter,
    /// From the whole request to its answer.
    pub duration: Histogram,
    /// Requests being worked on.
    pub in_flight: IntGauge,
    /// Calls of all kinds.
    pub calls: IntCounter,
    /// The same by path, method and status.
    pub requests: IntCounterVec,
    /// 1 while messages are accepted.
    pub accepting: IntGauge,
    /// Memory that Redis uses, of what it may; of a Cluster the fullest primary.
    pub redis_memory: Gauge,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &Registry) -> anyhow::Result<Self> {
        Ok(Self {
            received: added(registry, IntCounter::new("gateway_received_total", "Messages received."))?,
            succeeded: added(
                registry,
                IntCounter::new("gateway_succeeded_total", "Messages answered with success."),
            )?,
            accepted: added(registry, IntCounter::new("gateway_accepted_total", "Messages accepted."))?,
            repeated: added(
                registry,
                IntCounter::new("gateway_repeated_total", "Messages that had been accepted before."),
            )?,
            rejected: added(
                registry,
                IntCounterVec::new(
                    Opts::new("gateway_rejected_total", "Messages not accepted."),
                    &["reason"],
                ),
            )?,
            bytes: added(
                registry,
                IntCounter::new("gateway_accepted_bytes_total", "Bytes of accepted bodies."),
            )?,
            duration: added(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new("gateway_ingest_seconds", "From the whole request to its answer.")
                        .buckets(prometheus::exponential_buckets(0.000_5, 2.0, 14)?),
                ),
            )?,
            in_flight: added(registry, IntGauge::new("gateway_in_flight", "Messages being worked on."))?,
            calls: added(registry, IntCounter::new("gateway_calls_total", "Calls of the API."))?,
            requests: added(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "gateway_requests_total",
                        "Requests by path as it is in the routes, and status.",
                    ),
                    &["path", "method", "status"],
                ),
            )?,
            accepting: added(registry, IntGauge::new("gateway_accepting", "1 while messages are accepted."))?,
            redis_memory: added(
                registry,
                Gauge::new(
                    "redis_memory_share",
                    "Memory that Redis uses, of maxmemory; 0 where that is not set. Of a Cluster the fullest primary.",
                ),
            )?,
        })
    }
}
