//! When the cluster is ready.

use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use hyper::Method;
use serde_json::Value;
use vtox_connection::Endpoint;
use vtox_registry::Switchboard;
use vtox_streams::topology;

use crate::gateway::{Gateway, public_cas};
use crate::http::Http;

/// How long the cluster may take until it is ready.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(2);

/// Ready: every service says so, and every lane has an owner.
pub async fn wait_until_ready(
    gateway: &Gateway,
    coordinator: &str,
    redis: &Endpoint,
    workers: bool,
) -> anyhow::Result<()> {
    let services = Http::new(public_cas()?);
    let began = Instant::now();
    let mut missing = String::new();
    while began.elapsed() < READY_LIMIT {
        match is_ready(&services, gateway, coordinator, redis, workers).await {
            Ok(()) => return Ok(()),
            Err(error) => missing = format!("{error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("not ready after {READY_LIMIT:?}: {missing}; the logs say more")
}

async fn is_ready(
    services: &Http,
    gateway: &Gateway,
    coordinator: &str,
    redis: &Endpoint,
    workers: bool,
) -> anyhow::Result<()> {
    let answer = gateway.send(gateway.request(Method::GET, "/ready"), Bytes::new(), LIMIT).await?;
    anyhow::ensure!(answer.status().is_success(), "the gateway is not ready");
    if !workers {
        return Ok(());
    }
    if stopped_by(redis).await.is_some() {
        return Ok(());
    }
    let connection = redis.manager(Duration::from_secs(2));
    // What the cluster on this Redis began with, whatever the settings say now.
    let topology = topology::current(&connection).await?;
    let lanes = topology.all().count() * topology.enabled.len();
    let answer = services.get(&format!("{coordinator}/assignments"), LIMIT).await;
    let answer: Value = serde_json::from_slice(answer.context("the coordinator does not answer")?.body())?;
    let owned: usize = answer["assignments"]
        .as_object()
        .into_iter()
        .flat_map(|a| a.values())
        .map(|a| a["grants"].as_array().map_or(0, Vec::len))
        .sum();
    anyhow::ensure!(owned >= lanes, "{owned} of {lanes} fault types times partitions have an owner");
    Ok(())
}

/// Who stopped consumption, if it is stopped: then no lane has an owner.
pub async fn stopped_by(redis: &Endpoint) -> Option<String> {
    let connection = redis.manager(Duration::from_secs(2));
    let consumption = Switchboard::new(connection).read().await.ok()?.consumption;
    (!consumption.value.is_running()).then_some(consumption.by)
}
