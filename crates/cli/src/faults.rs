//! `vtox faults`: which fault types are diagnosed.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use vtox_protocol::FaultType;
use vtox_service_kit::config::Settings;
use vtox_streams::topology;

use crate::connect::connect;
use crate::output::outln;

#[derive(Args)]
pub struct Arguments {
    /// Redis of the cluster.
    #[arg(long, global = true, value_name = "URL")]
    redis: Option<String>,
    #[command(subcommand)]
    change: Option<Change>,
}

#[derive(Subcommand)]
enum Change {
    /// Diagnose a fault type, from the messages that are accepted next.
    Enable { fault: FaultType },
    /// Stop diagnosing a fault type: messages no longer wait for it.
    Disable { fault: FaultType },
}

/// Shows or changes the enabled fault types.
pub async fn run(arguments: &Arguments, settings: &Settings) -> anyhow::Result<ExitCode> {
    let connection = connect(arguments.redis.as_deref(), settings).await?;
    let topology = match &arguments.change {
        None => topology::load(&connection).await?.context("no cluster has run on this Redis yet")?,
        Some(Change::Enable { fault }) => topology::set_enabled(&connection, *fault, true).await?,
        Some(Change::Disable { fault }) => topology::set_enabled(&connection, *fault, false).await?,
    };
    for fault in FaultType::ALL {
        outln!(
            "{:<14} {}",
            fault.name(),
            if topology.enabled.contains(fault) { "enabled" } else { "disabled" }
        );
    }
    Ok(ExitCode::SUCCESS)
}
