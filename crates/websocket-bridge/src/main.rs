//! Aggregates results to vehicle health and fans results out to dashboards. It holds the only copy of nothing.

mod aggregate;
mod aggregator;
mod fanout;
mod frames;
mod metrics;
mod socket;

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use vtox_protocol::{FaultSet, ServiceType};
use vtox_service_kit::{Report, Service, service};

fn main() -> ExitCode {
    service::main(ServiceType::Bridge, start)
}

async fn start(service: Arc<Service>) -> anyhow::Result<Router> {
    let metrics = metrics::Metrics::register(&service.metrics)?;
    let hub = Arc::new(fanout::Hub::new(service.clone(), metrics.clone()));
    let member = service.member(FaultSet::EMPTY, "websocket_bridge");
    service.lifecycle.spawn_vital("member", {
        let (lifecycle, metrics) = (service.lifecycle.clone(), metrics.clone());
        member.run(lifecycle, move || Report {
            healthy: true,
            metadata: [("clients".to_owned(), metrics.clients.get().into())].into(),
            load: None,
        })
    });
    service.lifecycle.spawn_vital("fan-out", fanout::run(hub.clone()));
    service.lifecycle.spawn_vital("aggregation", aggregator::run(service.clone(), metrics));
    service.readiness.ready();
    Ok(Router::new().route("/ws/frontend", get(socket::connect)).with_state(hub))
}
