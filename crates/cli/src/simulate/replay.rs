//! Measured recordings through a running cluster: each verdict beside its label.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use vtox_evaluation::{Recording, records};
use vtox_protocol::FaultType;

use super::Form;
use super::sender::{Sender, Sent};
use crate::gateway::Gateway;
use crate::output::outln;

/// How long a recording's results may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends every recording as a vehicle of its own and prints what came of it.
pub async fn run(directory: &Path, gateway: Gateway, as_json: bool) -> anyhow::Result<ExitCode> {
    let manifest = directory.join("manifest.json");
    let sender = Sender::new(gateway.clone(), Form::Binary);
    let run_id = &uuid::Uuid::new_v4().simple().to_string()[..8];
    let mut rows = Vec::new();
    let mut complete = true;
    for (n, recording) in records(&manifest)?.iter().enumerate() {
        let recording = recording.load()?;
        // The id of a recording holds its label, so the vehicle gets a number.
        let vehicle = format!("REPLAY-{run_id}-{n:03}");
        let last = send(&sender, &vehicle, &recording).await?;
        let verdicts = verdicts(&gateway, &vehicle, &last).await?;
        complete &= verdicts.len() == FaultType::ALL.len();
        if !as_json {
            let shown: Vec<String> = verdicts
                .iter()
                .map(|(fault, v)| format!("{fault} {}", v["status"].as_str().unwrap_or("-")))
                .collect();
            outln!("{:<44} {:<12} {}", recording.truth.id, recording.truth.label.name(), shown.join("  "));
        }
        rows.push(json!({"id": recording.truth.id, "vehicle_id": vehicle, "label": recording.truth.label, "verdicts": verdicts}));
    }
    if as_json {
        outln!("{}", json!({"recordings": rows.len(), "complete": complete, "records": rows}));
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends the blocks of a recording in order; answers the id of the last message.
async fn send(sender: &Sender, vehicle: &str, recording: &Recording) -> anyhow::Result<String> {
    let mut last = None;
    let Recording { truth, measurement } = recording;
    for (n, block) in measurement.blocks.iter().enumerate() {
        let mut block = block.clone();
        block.profile = Some(measurement.profile.clone());
        match sender.send(vehicle, &n.to_string(), &block).await? {
            Sent::Accepted { message_id, .. } => last = Some(message_id),
            Sent::Rejected { status, detail } => {
                bail!("{} was refused with {status}: {detail}", truth.id)
            }
            Sent::Unknown => bail!("the gateway did not take {}", truth.id),
        }
    }
    last.with_context(|| format!("{} has no blocks", truth.id))
}

/// The results of a message, once there is one of every fault type.
async fn verdicts(
    gateway: &Gateway,
    vehicle: &str,
    message_id: &str,
) -> anyhow::Result<BTreeMap<String, Value>> {
    let path = format!(
        "/api/v1/diagnosis-stream/vehicles/{}/diagnosis-history?hours=24",
        utf8_percent_encode(vehicle, NON_ALPHANUMERIC)
    );
    let began = Instant::now();
    loop {
        let answer: Value = gateway.get(&path).await?;
        let found: BTreeMap<String, Value> = answer["data"]["diagnosis_history"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|record| record["message_id"] == message_id)
            .filter_map(|record| {
                let verdict = json!({
                    "status": record["status"],
                    "score": record["score"],
                    "reason": record["evidence"]["reason"],
                });
                Some((record["fault_type"].as_str()?.to_owned(), verdict))
            })
            .collect();
        if found.len() == FaultType::ALL.len() || began.elapsed() >= PATIENCE {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
