//! Forwarding of results under Redis Cluster, by the bridge that aggregates.

use std::time::Duration;

use tokio::task::JoinSet;
use vtox_service_kit::Service;
use vtox_streams::{Durability, Forwarder, topology};

use crate::metrics::Metrics;

/// Wait after a failure.
const RETRY: Duration = Duration::from_millis(200);

/// Forwards until it is dropped; without anything to forward it only waits.
pub async fn run(service: &Service, metrics: &Metrics) -> anyhow::Result<()> {
    let topology = loop {
        match topology::load(&service.redis.control).await {
            Ok(Some(topology)) => break topology,
            // The other services agree on one when they start.
            Ok(None) | Err(_) => tokio::time::sleep(RETRY).await,
        }
    };
    let redis = &service.settings.redis;
    let confirmation = (redis.durability == Durability::Replicated)
        .then(|| (redis.replicas, Duration::from_millis(redis.replica_timeout_ms)));
    let mut tasks = JoinSet::new();
    for forwarder in Forwarder::all(&service.redis.client, &topology, confirmation) {
        tasks.spawn(forward(forwarder, metrics.clone()));
    }
    match tasks.join_next().await {
        Some(ended) => Ok(ended?),
        None => std::future::pending().await,
    }
}

async fn forward(mut forwarder: Forwarder, metrics: Metrics) {
    loop {
        match forwarder.step().await {
            Ok(forwarded) => metrics.forwarded.inc_by(forwarded as u64),
            Err(error) => {
                metrics.forward_errors.inc();
                tracing::warn!(%error, stream = forwarder.source(), "results are not forwarded; trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
