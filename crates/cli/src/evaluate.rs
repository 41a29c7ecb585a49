//! `vtox evaluate`: recordings with labels, or simulated windows, through the detectors, and the score.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use vtox_diagnosis::Thresholds;
use vtox_evaluation::simulated::{Options, Sweeps, sweep};
use vtox_evaluation::{Evaluation, evaluate, markdown, tables};

use crate::output::outln;

#[derive(Args)]
pub struct Arguments {
    /// The manifest.json of the recordings, or the directory it is in.
    #[arg(required_unless_present = "simulated")]
    manifest: Option<PathBuf>,
    /// Diagnose simulated windows: healthy ones over the whole operating range, and each fault from slight to strong.
    #[arg(long)]
    simulated: bool,
    /// Healthy windows to simulate.
    #[arg(long, value_name = "N", default_value_t = 10_000, requires = "simulated")]
    windows: usize,
    /// Seed of everything random in the simulation.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "simulated")]
    seed: u64,
    /// Print JSON: the evaluation of the recordings, with the simulation under `simulated`.
    #[arg(long)]
    json: bool,
    /// Write the tables to a Markdown file.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

#[derive(Serialize)]
struct Everything<'a> {
    #[serde(flatten)]
    recordings: Option<&'a Evaluation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulated: Option<&'a Sweeps>,
}

/// Evaluates. The exit code tells of recordings that could not be read, not of how good the verdicts are.
pub fn run(arguments: &Arguments, thresholds: &Thresholds) -> anyhow::Result<ExitCode> {
    if arguments.simulated && arguments.windows == 0 {
        bail!("--windows 0 leaves nothing to count; give at least 1");
    }
    let recordings = match &arguments.manifest {
        Some(path) if path.is_dir() => Some(evaluate(&path.join("manifest.json"), thresholds)?),
        Some(path) => Some(evaluate(path, thresholds)?),
        None => None,
    };
    let options = Options { windows: arguments.windows, seed: arguments.seed };
    let simulated = arguments.simulated.then(|| sweep(options, thresholds));
    let (recordings, simulated) = (recordings.as_ref(), simulated.as_ref());
    if let Some(path) = &arguments.markdown {
        std::fs::write(path, markdown(recordings, simulated))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    if arguments.json {
        outln!("{}", serde_json::to_string(&Everything { recordings, simulated })?);
    } else {
        for table in tables(recordings, simulated) {
            outln!("{table}");
        }
    }
    let errors = recordings.map_or(&[][..], |r| &r.errors);
    for error in errors {
        eprintln!("vtox: {}: {}", error.id, error.error);
    }
    Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
