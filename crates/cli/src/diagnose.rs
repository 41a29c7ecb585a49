//! `vtox diagnose`: one file through the detectors, without a cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use vtox_diagnosis::{Prepared, Thresholds, pictures};
use vtox_evaluation::{Measurement, Record, diagnose_blocks, records};
use vtox_protocol::codec::{decode_binary, decode_csv, decode_json};
use vtox_protocol::{FaultType, MotorProfile, SignalBlock, Verdict};
use vtox_report::{Report, Section, html};

use crate::motor::{Motor, lacking};
use crate::output::outln;

#[derive(Args)]
pub struct Arguments {
    /// A .csv, .json (sensor_data), .msgpack or .npy file; a .npy beside its manifest.json, or with --rate and --channels.
    file: PathBuf,
    /// Sampling rate, Hz, where the file does not say it.
    #[arg(long, value_name = "HZ")]
    rate: Option<f64>,
    /// What the columns of a .npy are, such as ia,ib,ic,vibration_x.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    channels: Vec<String>,
    #[command(flatten)]
    motor: Motor,
    /// Write a report with charts to a self-contained HTML file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A fault type, the verdict at the end of the file, and what would make it (more) certain.
struct Judged {
    fault: FaultType,
    verdict: Verdict,
    lacking: Vec<String>,
}

/// Diagnoses the file; the exit code is 0 whatever the verdicts.
pub fn run(arguments: &Arguments, thresholds: &Thresholds) -> anyhow::Result<ExitCode> {
    if arguments.rate.is_some_and(|hz| !(hz.is_finite() && hz > 0.0)) {
        bail!("--rate must be a positive number of Hz");
    }
    let (mut blocks, mut profile) = load(arguments)?;
    arguments.motor.apply(&mut blocks, &mut profile)?;
    let last = blocks.last().with_context(|| format!("{} holds no block", arguments.file.display()))?;
    // What the file says of the motor counts where nothing was said on the command line.
    let known = last.profile.as_ref().map_or_else(|| profile.clone(), |file| profile.or(file));
    let judged: Vec<Judged> = diagnose_blocks(&blocks, &profile, thresholds)
        .into_iter()
        .filter_map(|(fault, mut verdicts)| {
            let verdict = verdicts.pop()?;
            let lacking = lacking(fault, &verdict, last, &known);
            Some(Judged { fault, verdict, lacking })
        })
        .collect();
    if let Some(path) = &arguments.report {
        let page = report(arguments, last, blocks.len(), &known, thresholds, &judged);
        std::fs::write(path, page).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    if arguments.json {
        let verdicts: BTreeMap<_, _> = judged.iter().map(|j| (j.fault, &j.verdict)).collect();
        let lacking: BTreeMap<_, _> =
            judged.iter().filter(|j| !j.lacking.is_empty()).map(|j| (j.fault, &j.lacking)).collect();
        outln!(
            "{}",
            json!({"file": arguments.file, "blocks": blocks.len(), "verdicts": verdicts, "lacking": lacking})
        );
    } else {
        print(&judged);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(judged: &[Judged]) {
    for Judged { fault, verdict, .. } in judged {
        outln!("{:<14} {:<18} score {:.2}", fault.name(), verdict.status.name(), verdict.score);
        for line in &verdict.evidence {
            let at = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.2}"));
            let floor =
                line.above_floor_db.map_or_else(String::new, |db| format!(", {db:.1} dB over the floor"));
            outln!(
                "    {}: expected {} found {} {}{floor}",
                line.line,
                at(line.expected),
                at(line.found),
                line.unit
            );
        }
        for text in [&verdict.reason, &verdict.advice].into_iter().flatten() {
            outln!("    {text}");
        }
    }
    let asking = |unsure: bool, title: &str| {
        let these =
            judged.iter().filter(|j| j.verdict.status.is_evidence() != unsure && !j.lacking.is_empty());
        for (n, Judged { fault, lacking, .. }) in these.enumerate() {
            if n == 0 {
                outln!("\n{title}");
            }
            outln!("  {:<14} {}", fault.name(), lacking.join("; "));
        }
    };
    asking(true, "A verdict needs");
    asking(false, "A verdict would be more certain with");
}

fn report(
    arguments: &Arguments,
    block: &SignalBlock,
    blocks: usize,
    profile: &MotorProfile,
    thresholds: &Thresholds,
    judged: &[Judged],
) -> String {
    let prepared = Prepared::with_thresholds(block, profile, thresholds);
    let sections = judged.iter().map(|Judged { fault, verdict, lacking }| Section {
        fault: *fault,
        verdict,
        lacking,
        pictures: pictures(&prepared, *fault, verdict),
    });
    let file = arguments.file.file_name().unwrap_or(arguments.file.as_os_str()).to_string_lossy();
    html(&Report { file: &file, block, blocks, profile, sections: sections.collect() })
}

fn load(arguments: &Arguments) -> anyhow::Result<(Vec<SignalBlock>, MotorProfile)> {
    let Arguments { file, rate, channels, .. } = arguments;
    let named = || format!("{} cannot be read", file.display());
    let read = || std::fs::read(file).with_context(named);
    let kind = file.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let block = match kind.as_str() {
        "csv" | "tsv" | "txt" => decode_csv(&read()?, *rate)
            .with_context(|| format!("{} (--rate gives a sampling rate the file does not have)", named()))?,
        "json" => decode_json(sensor_data_of(&read()?)).with_context(named)?,
        "msgpack" | "bin" => decode_binary(&read()?).with_context(named)?,
        "npy" => {
            let Measurement { blocks, profile, .. } = load_npy(file, channels, *rate)?;
            return Ok((blocks, profile));
        }
        _ => bail!("{}: give a .csv, .json, .msgpack or .npy file", file.display()),
    };
    Ok((vec![block], MotorProfile::default()))
}

/// `sensor_data` alone, or out of the body that is sent to the gateway.
fn sensor_data_of(text: &[u8]) -> &[u8] {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        sensor_data: &'a serde_json::value::RawValue,
    }
    serde_json::from_slice::<Body<'_>>(text).map_or(text, |body| body.sensor_data.get().as_bytes())
}

/// A .npy says nothing of its channels: they are said on the command line, or are in the manifest beside it.
fn load_npy(file: &Path, channels: &[String], rate_hz: Option<f64>) -> anyhow::Result<Measurement> {
    if !channels.is_empty() {
        let rate_hz = rate_hz.context("--channels needs the sampling rate beside it: --rate HZ")?;
        return Ok(Record::of_array(file, channels, rate_hz).measurement()?);
    }
    let manifest = file.with_file_name("manifest.json");
    let described = records(&manifest)
        .context("a .npy does not say what it holds: give --rate HZ and --channels ia,ib,ic, or put a manifest.json beside it")?;
    let record = described.iter().find(|r| r.path().is_some_and(|path| path.file_name() == file.file_name()));
    match record {
        Some(record) => Ok(record.measurement()?),
        None => bail!(
            "{} does not describe {}: give --rate HZ and --channels ia,ib,ic",
            manifest.display(),
            file.display()
        ),
    }
}
