//! `vtox evaluate`: recordings with labels through the detectors, and the score.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use vtox_evaluation::{Evaluation, evaluate, recordings};

use crate::output::outln;

#[derive(Args)]
pub struct Arguments {
    /// The manifest.json of the recordings, or the directory it is in.
    manifest: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Evaluates the recordings of a manifest.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let manifest = match arguments.manifest.is_dir() {
        true => arguments.manifest.join("manifest.json"),
        false => arguments.manifest.clone(),
    };
    let loaded = recordings(&manifest)?.collect::<Result<Vec<_>, _>>()?;
    let evaluation = evaluate(loaded);
    if arguments.json {
        outln!("{}", serde_json::to_string(&evaluation)?);
    } else {
        print(&evaluation);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(evaluation: &Evaluation) {
    let share = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"));
    outln!(
        "{:<14} {:>6} {:>6} {:>6} {:>9} {:>9} {:>9}",
        "fault type",
        "faults",
        "found",
        "false",
        "precision",
        "recall",
        "F1"
    );
    for (fault, s) in &evaluation.per_fault {
        outln!(
            "{:<14} {:>6} {:>6} {:>6} {:>9} {:>9} {:>9}",
            fault.name(),
            s.counts.with_fault,
            s.counts.found,
            s.counts.false_alarms,
            share(s.precision),
            share(s.recall),
            share(s.f1)
        );
    }
    outln!("\nmacro F1 {:.3}, {} recordings", evaluation.f1, evaluation.records.len());
    outln!(
        "false alarms per 1000 healthy recordings {:.0} (of {}), abstained {}",
        evaluation.false_alarms_per_1000_healthy,
        evaluation.healthy,
        evaluation.abstained
    );
}
