//! The control plane: elects a leader, scores workers, places partitions on them and notices death, and routes
//! diagnosis on demand. It never touches signal blocks on the stream; while it is away, workers keep what they own.

mod fleet;
mod http;
mod lanes;
mod leader;
mod metrics;
mod tasks;
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
    let tasks = tasks::Tasks::open(&service).await?;
    let registry = vtox_registry::Registry::new(service.redis.control.clone());
    service.lifecycle.spawn_vital("tasks", tasks.clone().follow(registry, service.lifecycle.clone()));
    service.readiness.ready();
    Ok(http::routes(service, views, tasks.clone()).merge(tasks::routes(tasks)))
}
