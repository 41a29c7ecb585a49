//! The control plane: elects a leader, scores workers, places partitions on them and notices death. It never touches
//! signal blocks; while it is away, workers keep what they own.

mod fleet;
mod http;
mod lanes;
mod leader;
mod metrics;
mod view;

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use vtox_protocol::{FaultSet, ServiceType};
use vtox_service_kit::{Report, Service, service};

fn main() -> ExitCode {
    service::main(ServiceType::Coordinator, start)
}

async fn start(service: Arc<Service>) -> anyhow::Result<Router> {
    let views = view::Views::default();
    let member = service.member(FaultSet::EMPTY, "coordinator");
    service.lifecycle.spawn_vital("member", {
        let (lifecycle, views) = (service.lifecycle.clone(), views.clone());
        member.run(lifecycle, move || Report {
            healthy: true,
            metadata: [("role".to_owned(), views.current().role.into())].into(),
            load: None,
        })
    });
    let metrics = metrics::Metrics::register(&service.metrics)?;
    service.lifecycle.spawn_vital("leader", leader::run(service.clone(), views.clone(), metrics));
    service.readiness.ready();
    Ok(http::routes(service, views))
}
