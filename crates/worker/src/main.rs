//! The data plane: reads the partitions it owns for the fault types it serves, diagnoses, and commits results. It may be
//! killed at any moment: everything that must outlive it is in Redis.

mod assignment;
mod batch;
mod feed;
mod http;
mod inbox;
mod partition;
mod stats;
mod trim;
mod work;

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use vtox_protocol::ServiceType;
use vtox_service_kit::{Report, Service, service};

fn main() -> ExitCode {
    service::main(ServiceType::Worker, start)
}

async fn start(service: Arc<Service>) -> anyhow::Result<Router> {
    let faults = service.settings.worker.faults();
    let name = match faults.len() {
        1 => format!("worker_{faults}"),
        _ => "worker".to_owned(),
    };
    let member = service.member(faults, name);
    let work = work::Work::open(&service, faults, member.clock()).await?;
    service.lifecycle.spawn_vital("member", {
        let (lifecycle, work) = (service.lifecycle.clone(), work.clone());
        member.run(lifecycle, move || Report {
            healthy: work.stats.healthy(),
            metadata: [("incarnation".to_owned(), work.incarnation.clone().into())].into(),
            load: Some(work.load()),
        })
    });
    // Each with a connection of its own: no read may name streams of two slots.
    for tag in work.topology.tags() {
        service.lifecycle.spawn_vital("feed of partitions", feed::run(work.clone(), tag));
    }
    service.lifecycle.spawn_vital("trim", trim::run(work.clone()));
    service.lifecycle.spawn_vital("assignment", assignment::run(service.clone(), work.clone()));
    service
        .lifecycle
        .spawn_vital("performance", stats::note_performance(work.clone(), service.lifecycle.clone()));
    Ok(http::routes(work))
}
