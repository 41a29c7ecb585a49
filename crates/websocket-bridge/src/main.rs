//! Aggregates results to vehicle health and fans results out to dashboards. It holds the only copy of nothing.

mod aggregate;
mod aggregator;
mod fanout;
mod forward;
mod frames;
mod metrics;
mod socket;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use vtox_protocol::{FaultSet, ServiceType};
use vtox_registry::{Switchboard, watch_switches};
use vtox_service_kit::{Report, Service, service};

/// Time between two looks at the operators' switches.
const SWITCHES_INTERVAL: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    service::main(ServiceType::Bridge, start)
}

async fn start(service: Arc<Service>) -> anyhow::Result<Router> {
    let metrics = metrics::Metrics::register(&service.metrics)?;
    let switches = watch_switches(Switchboard::new(service.redis.control.clone()), SWITCHES_INTERVAL);
    let hub = Arc::new(fanout::Hub::new(service.clone(), metrics.clone(), switches.clone()));
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
    service.lifecycle.spawn_vital("aggregation", aggregator::run(service.clone(), metrics, switches));
    service.readiness.ready();
    Ok(Router::new().route("/ws/frontend", get(socket::connect)).with_state(hub))
}
