//! `vtox diagnose`: one file through the detectors, without a cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use vtox_evaluation::{diagnose_blocks, read_csv, recordings};
use vtox_protocol::codec::{decode_binary, decode_json};
use vtox_protocol::{FaultType, MotorProfile, MotorType, Quantity, SignalBlock, Verdict};

use crate::output::outln;

#[derive(Args)]
pub struct Arguments {
    /// A .csv, .json (sensor_data) or .msgpack file, or a .npy beside its manifest.json.
    file: PathBuf,
    /// Sampling rate, Hz, where the file does not say it.
    #[arg(long, value_name = "HZ")]
    rate: Option<f64>,
    /// Shaft speed, r/min.
    #[arg(long)]
    rpm: Option<f64>,
    /// Pole pairs of the motor.
    #[arg(long, value_name = "N")]
    pole_pairs: Option<u8>,
    /// induction or permanent_magnet.
    #[arg(long, value_name = "TYPE")]
    motor_type: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Diagnoses the file; the exit code is 0 whatever the verdicts.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (mut blocks, mut profile) = load(&arguments.file, arguments.rate)?;
    if let Some(rpm) = arguments.rpm {
        for block in &mut blocks {
            block.readings.insert(Quantity::Speed, rpm);
        }
    }
    profile.pole_pairs = arguments.pole_pairs.or(profile.pole_pairs);
    if let Some(name) = &arguments.motor_type {
        profile.motor_type = match name.as_str() {
            "induction" => MotorType::Induction,
            "permanent_magnet" => MotorType::PermanentMagnet,
            other => bail!("--motor-type {other} is not known; induction or permanent_magnet"),
        };
    }
    let verdicts = diagnose_blocks(&blocks, &profile);
    let last: BTreeMap<FaultType, &Verdict> =
        verdicts.iter().filter_map(|(fault, all)| Some((*fault, all.last()?))).collect();
    if arguments.json {
        outln!("{}", json!({"file": arguments.file, "blocks": blocks.len(), "verdicts": last}));
        return Ok(ExitCode::SUCCESS);
    }
    for (fault, verdict) in last {
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
    Ok(ExitCode::SUCCESS)
}

fn load(file: &Path, rate_hz: Option<f64>) -> anyhow::Result<(Vec<SignalBlock>, MotorProfile)> {
    let named = || format!("{} cannot be read", file.display());
    let kind = file.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let block = match kind.as_str() {
        "csv" => read_csv(std::fs::File::open(file).with_context(named)?, rate_hz)
            .with_context(|| format!("{} (--rate gives a sampling rate the file does not have)", named()))?,
        "json" => {
            decode_json(sensor_data_of(&std::fs::read(file).with_context(named)?)).with_context(named)?
        }
        "msgpack" => decode_binary(&std::fs::read(file).with_context(named)?).with_context(named)?,
        "npy" => return load_npy(file),
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

/// A .npy says nothing of its channels: they are in the manifest beside it.
fn load_npy(file: &Path) -> anyhow::Result<(Vec<SignalBlock>, MotorProfile)> {
    let manifest = file.with_file_name("manifest.json");
    let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let found = recordings(&manifest)
        .context("a .npy needs the manifest.json that describes its channels beside it")?
        .find(|r| r.as_ref().is_ok_and(|r| r.id == stem));
    match found {
        Some(recording) => {
            let recording = recording?;
            Ok((recording.blocks.into_iter().map(|(_, block)| block).collect(), recording.profile))
        }
        None => bail!("{} has no recording {stem}", manifest.display()),
    }
}
