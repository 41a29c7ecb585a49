//! `vtox drain`: everything a worker owns is given to others, and it gets nothing new.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use vtox_connection::ConnectionManager;
use vtox_protocol::ServiceType;
use vtox_protocol::token::incarnation_of;
use vtox_registry::{Members, Placement, Registry};
use vtox_service_kit::config::Settings;
use vtox_streams::{Lane, Ownership, topology};

use crate::connect::connect;
use crate::output::outln;

#[derive(Args)]
pub struct Arguments {
    /// Id of the worker, as `vtox status` shows it.
    worker: String,
    /// Let it have its share again.
    #[arg(long)]
    undo: bool,
    /// How long to wait until it owns nothing, s.
    #[arg(long, value_name = "S", default_value_t = 30)]
    timeout: u64,
    /// Redis of the cluster.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
}

/// Time between two looks at what the worker still owns.
const LOOK: Duration = Duration::from_millis(50);

/// Asks for the drain and waits until the worker owns nothing, or takes the drain back.
pub async fn run(arguments: &Arguments, settings: &Settings) -> anyhow::Result<ExitCode> {
    let connection = connect(arguments.redis.as_deref(), settings).await?;
    let registry = Registry::new(connection.clone());
    let placement = Placement::new(connection.clone());
    let members = registry.members().await?;
    let worker = &arguments.worker;
    if arguments.undo {
        let was = registry.undo_drain(worker).await?;
        placement.notify("drain").await?;
        outln!("{worker} {}", if was { "gets its share again" } else { "was not being drained" });
        return Ok(ExitCode::SUCCESS);
    }
    known(worker, &members)?;
    let owned = owned(&connection, worker, &members).await?;
    let began = Instant::now();
    registry.drain(worker, members.redis_now_ms).await?;
    placement.notify("drain").await?;
    loop {
        let members = registry.members().await?;
        if known(worker, &members).is_err() {
            outln!("{worker} has left the cluster");
            return Ok(ExitCode::SUCCESS);
        }
        let left = self::owned(&connection, worker, &members).await?;
        if left.is_empty() {
            break;
        }
        if began.elapsed() > Duration::from_secs(arguments.timeout) {
            bail!(
                "{worker} still owns {} after {} s; is a coordinator running, and does another worker serve these fault \
                 types? The drain stays in force; `vtox drain {worker} --undo` takes it back",
                counted(&left),
                arguments.timeout
            );
        }
        tokio::time::sleep(LOOK).await;
    }
    outln!(
        "{worker} owns nothing: it handed over {} in {:.1} s and gets nothing new. Stop it, or let it work again with \
         `vtox drain {worker} --undo`",
        counted(&owned),
        began.elapsed().as_secs_f64()
    );
    Ok(ExitCode::SUCCESS)
}

fn known(worker: &str, members: &Members) -> anyhow::Result<()> {
    let workers = || members.services.values().filter(|s| s.service_type == ServiceType::Worker);
    if workers().any(|s| s.service_id == worker) {
        return Ok(());
    }
    let ids: Vec<&str> = workers().map(|s| s.service_id.as_str()).collect();
    bail!(
        "there is no worker {worker}; the workers are: {}",
        if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }
    );
}

/// The lanes whose token was made for the worker as it runs now.
async fn owned(connection: &ConnectionManager, worker: &str, members: &Members) -> anyhow::Result<Vec<Lane>> {
    let Some(run) = members.loads.get(worker).map(|load| load.incarnation.as_str()) else {
        return Ok(Vec::new());
    };
    let topology = topology::current(connection).await?;
    let lanes = Lane::all(&topology);
    let owners = Ownership::new(connection.clone()).owners(&lanes).await?;
    let is_ours = |token: &str| incarnation_of(token) == Some(run);
    Ok(lanes.into_iter().zip(owners).filter(|(_, token)| is_ours(token)).map(|(lane, _)| lane).collect())
}

fn counted(lanes: &[Lane]) -> String {
    let partitions: std::collections::BTreeSet<_> = lanes.iter().map(|lane| lane.partition).collect();
    format!("{} fault types of partitions ({} partitions)", lanes.len(), partitions.len())
}
