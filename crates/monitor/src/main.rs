//! Watches: throughput, lag, age of the oldest message, service health; raises alerts; says how many workers each fault
//! type needs. It sits on no data path.

mod alerts;
mod flow;
mod metrics;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::watch::Sender;
use vtox_protocol::{FaultSet, MonitorSnapshot, ServiceType};
use vtox_service_kit::{Report, Service, service};

fn main() -> ExitCode {
    service::main(ServiceType::Monitor, start)
}

async fn start(service: Arc<Service>) -> anyhow::Result<Router> {
    let member = service.member(FaultSet::EMPTY, "monitor");
    let report = || Report { healthy: true, ..Report::default() };
    service.lifecycle.spawn_vital("member", member.run(service.lifecycle.clone(), report));
    let snapshots = Sender::new(MonitorSnapshot::default());
    let metrics = metrics::Metrics::register(&service.metrics)?;
    service.lifecycle.spawn_vital("watch", watch::run(service.clone(), snapshots.clone(), metrics));
    service.readiness.ready();
    Ok(Router::new().route("/status", get(move || async move { Json(snapshots.borrow().clone()) })))
}
