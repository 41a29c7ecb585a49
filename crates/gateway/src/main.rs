//! The one public entrance: validates, limits and accepts signal blocks, and answers queries. It analyses nothing.

mod admission;
mod api;
mod cluster;
mod durability;
mod ingest;
mod metrics;
mod queries;
mod reply;
mod tasks;

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use vtox_protocol::{FaultSet, ServiceType};
use vtox_service_kit::{Report, Service, service};

fn main() -> ExitCode {
    service::main(ServiceType::ApiGateway, start)
}

async fn start(service: Arc<Service>) -> anyhow::Result<Router> {
    let member = service.member(FaultSet::EMPTY, "api_gateway");
    let clock = member.clock();
    let readiness = service.readiness.clone();
    service.lifecycle.spawn_vital(
        "member",
        member.run(service.lifecycle.clone(), move || Report {
            healthy: readiness.reason().is_none(),
            ..Report::default()
        }),
    );
    let api = api::Api::open(service.clone(), clock).await?;
    service.lifecycle.spawn_vital("admission", admission::watch(api.clone()));
    Ok(api::routes(api))
}
