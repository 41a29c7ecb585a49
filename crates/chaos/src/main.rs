//! Breaks a real cluster, fault by fault, while a fleet sends; then holds every accepted message against its results.

mod arena;
mod faults;
mod schedule;
mod table;

use std::process::ExitCode;

use clap::Parser;

use crate::schedule::Schedule;

/// Breaks a real cluster in every way it promises to survive.
#[derive(Parser)]
#[command(name = "vtox-chaos")]
struct Cli {
    /// The short set, some minutes.
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Everything, in an order and with choices drawn from the seed.
    #[arg(long)]
    full: bool,
    /// Of the order and the choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only faults whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Faults that cannot be made on this machine do not count against it.
    #[arg(long)]
    allow_skips: bool,
    /// Print the schedule and stop.
    #[arg(long)]
    list: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut schedule = if cli.full { Schedule::full(cli.seed) } else { Schedule::quick(cli.seed) };
    if let Some(text) = &cli.only {
        schedule.retain(text);
        if schedule.runs.is_empty() {
            eprintln!("vtox-chaos: no fault is called {text:?}; --list shows them");
            return ExitCode::FAILURE;
        }
    }
    println!("{schedule}");
    if cli.list {
        return ExitCode::SUCCESS;
    }
    let rows = schedule.run().await;
    println!("{}", table::render(&rows));
    let passes = |row: &table::Row| row.holds() || (cli.allow_skips && row.is_skipped());
    if rows.iter().all(passes) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
