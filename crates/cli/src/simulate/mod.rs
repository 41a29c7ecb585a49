//! `vtox simulate`: a fleet with physically modelled signals, or measured recordings.

pub mod fleet;
pub mod replay;
pub mod sender;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use vtox_auth::Role;
use vtox_service_kit::config::Settings;
use vtox_simulation::Sampling;

use crate::gateway::{Gateway, Target};
use crate::output::outln;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    gateway: Target,
    /// Vehicles.
    #[arg(long, default_value_t = 10)]
    vehicles: u64,
    /// First vehicle of this instance: several instances simulate parts of one fleet. `vtox up --vehicles` has those
    /// from 0 on.
    #[arg(long, default_value_t = 100_000)]
    offset: u64,
    /// Stop after so many seconds; without it, on Ctrl-C.
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Mean time between two blocks of a vehicle, s; each one is up to a third earlier or later.
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    interval: f64,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Share of vehicles with a fault.
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    faulty: f64,
    /// Length and rate of a block.
    #[arg(long, value_enum, default_value_t = BlockKind::Long)]
    block: BlockKind,
    /// Form in which blocks are sent.
    #[arg(long, value_enum, default_value_t = Form::Rows)]
    form: Form,
    /// Redis of the cluster: results are then checked against a ledger of what was accepted.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Send the recordings of this directory instead, and show each verdict beside its label.
    #[arg(long, value_name = "DIRECTORY")]
    replay: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Length and rate of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BlockKind {
    /// 8,192 samples at 4 kHz: long enough for every detector.
    Long,
    /// 1,024 samples at 8 kHz.
    Short,
    /// 800 samples at 8 kHz, as existing vehicles send.
    Seeds,
}

impl BlockKind {
    /// The sampling.
    pub fn sampling(self) -> Sampling {
        match self {
            Self::Long => Sampling::LONG,
            Self::Short => Sampling::SHORT,
            Self::Seeds => Sampling::SEEDS,
        }
    }
}

/// Form in which blocks are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Rows in JSON, as existing vehicles send.
    Rows,
    /// The binary form.
    Binary,
}

/// Sends until the time is over or Ctrl-C; prints what happened.
pub async fn run(arguments: Arguments, settings: &Settings) -> anyhow::Result<ExitCode> {
    let gateway = Gateway::named(&arguments.gateway, settings, Role::Operator)?;
    if let Some(directory) = &arguments.replay {
        return replay::run(directory, gateway, arguments.json).await;
    }
    anyhow::ensure!(arguments.interval > 0.0, "--interval must be positive");
    anyhow::ensure!((0.0..=1.0).contains(&arguments.faulty), "--faulty must be between 0 and 1");
    let plan = fleet::Plan {
        gateway,
        vehicles: arguments.vehicles,
        offset: arguments.offset,
        seed: arguments.seed,
        faulty_share: arguments.faulty,
        interval: Duration::from_secs_f64(arguments.interval),
        block: arguments.block,
        form: arguments.form,
        redis: arguments.redis.as_deref().map(|url| settings.redis.endpoint(Some(url))).transpose()?,
    };
    let stop = async {
        match arguments.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => drop(tokio::signal::ctrl_c().await),
        }
    };
    let report = fleet::run(plan, stop, !arguments.json).await?;
    outln!("{}", report.to_json());
    Ok(if report.complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
