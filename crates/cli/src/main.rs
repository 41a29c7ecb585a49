//! The command line: runs a cluster on one machine, shows it, simulates a fleet, diagnoses files.

mod connect;
mod diagnose;
mod dlq;
mod doctor;
mod drain;
mod evaluate;
mod explain;
mod faults;
mod gateway;
mod http;
mod motor;
mod output;
mod replay;
mod simulate;
mod status;
mod tail;
mod token;
mod up;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use vtox_diagnosis::Thresholds;
use vtox_service_kit::config::{self, ConfigError, Settings};
use vtox_service_kit::service::BAD_SETTINGS;

use crate::output::outln;

#[derive(Parser)]
#[command(name = "vtox", version, about = "Watches the electric motors of vehicle fleets.")]
struct Cli {
    /// File with settings.
    #[arg(long, global = true, env = "VTOX_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a whole cluster on this machine until Ctrl-C.
    Up(up::Arguments),
    /// Show the state of the cluster.
    Status(status::Arguments),
    /// Show results as they come.
    Tail(tail::Arguments),
    /// Send the signals of a simulated fleet, or recordings.
    Simulate(simulate::Arguments),
    /// Diagnose a file.
    Diagnose(diagnose::Arguments),
    /// Diagnose the recordings of a manifest and score the verdicts.
    Evaluate(evaluate::Arguments),
    /// Look for what is wrong, and say how to mend it.
    Doctor(doctor::Arguments),
    /// Move everything away from a worker, and give it nothing new.
    Drain(drain::Arguments),
    /// Say why a worker owns what it owns.
    Explain(explain::Arguments),
    /// Show or change which fault types are diagnosed.
    Faults(faults::Arguments),
    /// Show, replay or drop entries that got no diagnosis.
    Dlq(dlq::Arguments),
    /// Diagnose messages again that were answered without a result, as by a fault type that was disabled.
    Replay(replay::Arguments),
    /// Make, show or revoke API keys and tokens, and the keys that sign tokens.
    Token(token::Arguments),
    /// Add, show or remove people who may log in.
    User(user::Arguments),
    /// Show every setting with its default.
    Config,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("vtox: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("vtox: {error:#}");
            let settings = error.chain().any(<dyn std::error::Error>::is::<ConfigError>);
            if settings { ExitCode::from(BAD_SETTINGS) } else { ExitCode::FAILURE }
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let settings = || -> anyhow::Result<Settings> {
        config::load(cli.config.as_deref(), std::env::vars()).context("the settings cannot be used")
    };
    let thresholds = || settings()?.diagnosis.read::<Thresholds>().context("thresholds in [diagnosis]");
    match cli.command {
        Command::Up(arguments) => up::run(arguments, cli.config.as_deref()).await,
        Command::Status(arguments) => status::run(&arguments, &settings()?).await,
        Command::Tail(arguments) => tail::run(arguments, &settings()?).await,
        Command::Simulate(arguments) => simulate::run(arguments, &settings()?).await,
        Command::Diagnose(arguments) => diagnose::run(&arguments, &thresholds()?),
        Command::Evaluate(arguments) => evaluate::run(&arguments, &thresholds()?),
        Command::Doctor(arguments) => doctor::run(&arguments, &settings()?).await,
        Command::Drain(arguments) => drain::run(&arguments, &settings()?).await,
        Command::Explain(arguments) => explain::run(&arguments, &settings()?).await,
        Command::Faults(arguments) => faults::run(&arguments, &settings()?).await,
        Command::Dlq(arguments) => dlq::run(&arguments, &settings()?).await,
        Command::Replay(arguments) => replay::run(&arguments, &settings()?).await,
        Command::Token(arguments) => token::run(arguments, settings).await,
        Command::User(arguments) => user::run(&arguments, &settings()?).await,
        Command::Config => {
            outln!("{}", config::documented_defaults().trim_end());
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn commands_and_options_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
