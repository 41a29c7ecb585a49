//! The one public entrance: validates, limits and accepts signal blocks, and answers queries. It analyses nothing.

#![expect(unused_qualifications, reason = "utoipa's macros write them")]

mod admission;
mod api;
mod cluster;
mod credentials;
mod door;
mod durability;
mod ingest;
mod input;
mod login;
mod metrics;
mod motors;
mod openapi;
mod queries;
mod reply;
mod routes;
mod schema;
mod switches;
mod tasks;
mod ws;

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use vtox_protocol::{FaultSet, ServiceType};
use vtox_service_kit::{Report, Service, service};

fn main() -> ExitCode {
    service::main_checked(ServiceType::ApiGateway, credentials::check, door::headers::around, start)
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
    service.lifecycle.spawn_vital("motors", motors::watch(api.clone()));
    service.lifecycle.spawn_vital("buckets", door::limits::tidy(api.clone()));
    let (auth, soft) = (api.auth.clone(), service.lifecycle.soft.clone());
    service.lifecycle.spawn_vital("credentials", async move {
        auth.watch(soft).await;
        Ok(())
    });
    routes::routes(api)
}
