//! Diagnosing a batch: each block is decoded once, and every fault type of the partition that has not answered it yet
//! diagnoses it, in stream order. Runs on a thread of its own, touches no Redis.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use vtox_diagnosis::{FoldedState, Prepared, Thresholds, charts, follow, model_version};
use vtox_protocol::{
    DiagnosisResult, EntryId, FaultType, Message, MotorProfile, Replay, Status, Undecodable, VehicleId,
    Verdict, decode_entry, message_id_of, timestamp,
};
use vtox_service_kit::trace;
use vtox_streams::{DeadLetter, Entry};

/// What a lane keeps of a vehicle between batches.
#[derive(Clone, Default)]
pub struct VehicleState {
    /// Folded state, as the last commit left it.
    pub folded: FoldedState,
    /// When the last charts went out, ms on our clock.
    pub charts_ms: u64,
}

/// A lane's part of a batch.
pub struct LaneJob {
    /// Its fault type.
    pub fault: FaultType,
    /// Entries up to here have been answered.
    pub cursor: EntryId,
    /// Vehicles of the batch.
    pub vehicles: HashMap<VehicleId, VehicleState>,
    /// The entry of the batch that took three owners with it.
    pub poison: Option<EntryId>,
    /// What came of it.
    pub output: LaneOutput,
}

/// What is to be committed for a lane.
#[derive(Default)]
pub struct LaneOutput {
    /// Results, in stream order.
    pub results: Vec<DiagnosisResult>,
    /// Dead letters, in stream order, each with the fields of its entry.
    pub dead_letters: Vec<(DeadLetter, HashMap<String, Vec<u8>>)>,
    /// Entries answered, or read over because they are replays for other fault types.
    pub entries: usize,
    /// Last of them.
    pub last: EntryId,
    /// Time the detector took.
    pub diagnosing: Duration,
    /// Verdicts counted.
    pub verdicts: BTreeMap<Status, u64>,
}

/// Charts go out at most this often per vehicle and fault type, ms.
const CHARTS_INTERVAL_MS: u64 = 1_000;

/// Diagnoses a batch for all lanes of a partition.
pub fn run(
    stream: &str,
    entries: &[Entry],
    jobs: &mut [LaneJob],
    thresholds: &Thresholds,
    worker: &str,
    now_ms: u64,
) {
    for entry in entries {
        if !jobs.iter().any(|job| entry.id > job.cursor) {
            continue;
        }
        let (decoded, replay) = read(stream, entry);
        let _traced = decoded.as_ref().ok().and_then(|m| m.traceparent.as_deref()).map(|parent| {
            let span = tracing::info_span!("diagnose", entry = %entry.id);
            trace::continue_from(&span, parent);
            span.entered()
        });
        let metadata = entry.fields.get("metadata").map_or(&[][..], Vec::as_slice);
        let location = location_of(metadata);
        let profile = MotorProfile::default();
        let block = decoded.as_ref().ok().and_then(|m| m.block.as_ref().ok());
        let prepared = block.map(|b| Prepared::with_thresholds(b, &profile, thresholds));
        for job in jobs.iter_mut().filter(|job| entry.id > job.cursor) {
            job.output.entries += 1;
            job.output.last = entry.id;
            if replay.as_ref().is_some_and(|r| !r.faults.contains(job.fault)) {
                continue;
            }
            let answered = match &decoded {
                Ok(message) => answer(job, message, prepared.as_ref(), entry.id, replay.is_some(), now_ms),
                Err(undecodable) => Err(undecodable.clone()),
            };
            match answered {
                Ok((verdict, took)) => {
                    let Ok(message) = &decoded else { continue };
                    job.output.diagnosing += took;
                    *job.output.verdicts.entry(verdict.status).or_default() += 1;
                    job.output.results.push(DiagnosisResult {
                        vehicle_id: message.vehicle_id.clone(),
                        fault_type: job.fault,
                        timestamp: timestamp::iso8601(now_ms),
                        verdict,
                        consumer_id: worker.to_owned(),
                        processing_time_s: took.as_secs_f64(),
                        original_message_id: entry.id,
                        message_id: message.message_id.clone(),
                        location: location.clone(),
                        replay_of: replay.as_ref().map(|r| r.of),
                    });
                }
                Err(Undecodable { vehicle_id, reason }) => {
                    let letter = DeadLetter {
                        stream: stream.to_owned(),
                        entry: entry.id,
                        fault: job.fault,
                        vehicle_id: vehicle_id.map(|id| id.to_string()).unwrap_or_default(),
                        message_id: Some(message_id_of(stream, entry.id, &entry.fields)),
                        attempt: replay.as_ref().map_or(1, |r| r.attempt),
                        original: replay.as_ref().map_or(entry.id, |r| r.of),
                        reason,
                        consumer_id: worker.to_owned(),
                        timestamp: timestamp::iso8601(now_ms),
                    };
                    job.output.dead_letters.push((letter, entry.fields.clone()));
                }
            }
        }
    }
}

/// The message of an entry, and for which fault types it is tried again, if it is.
fn read(stream: &str, entry: &Entry) -> (Result<Message, Undecodable>, Option<Replay>) {
    match Replay::from_fields(&entry.fields) {
        Ok(replay) => {
            let decoded = guarded("decoding", || decode_entry(stream, entry.id, &entry.fields))
                .unwrap_or_else(|reason| Err(Undecodable { vehicle_id: None, reason }));
            (decoded, replay)
        }
        Err(reason) => (Err(Undecodable { vehicle_id: None, reason }), None),
    }
}

/// The verdict of a lane on a message, with the vehicle's state moved on. A replay is out of its place among the blocks
/// of the vehicle: its verdict is that of the block alone, and the state stays.
fn answer(
    job: &mut LaneJob,
    message: &Message,
    prepared: Option<&Prepared<'_>>,
    entry: EntryId,
    replay: bool,
    now_ms: u64,
) -> Result<(Verdict, Duration), Undecodable> {
    let dead = |reason: String| Undecodable { vehicle_id: Some(message.vehicle_id.clone()), reason };
    if job.poison == Some(entry) {
        return Err(dead("the entry ended three workers that tried it alone".to_owned()));
    }
    let vehicle = job.vehicles.entry(message.vehicle_id.clone()).or_default();
    let began = Instant::now();
    let fault = job.fault;
    let fresh = FoldedState::default();
    let previous = if replay { &fresh } else { &vehicle.folded };
    let (mut verdict, folded) = match (&message.block, prepared) {
        (Ok(_), Some(prepared)) => {
            guarded("diagnosing", || follow(prepared, fault, previous)).map_err(dead)?
        }
        (block, _) => {
            let reason = block.as_ref().err().cloned().unwrap_or_default();
            (insufficient(fault, reason), previous.after_unreadable())
        }
    };
    let changed = folded.status() != previous.status();
    let shown = matches!(verdict.status, Status::Warning | Status::Fault)
        || (verdict.status.is_evidence() && changed);
    if let Some(prepared) = prepared
        && shown
        && now_ms.saturating_sub(vehicle.charts_ms) >= CHARTS_INTERVAL_MS
    {
        verdict.charts = guarded("drawing", || charts(prepared, fault)).ok();
        vehicle.charts_ms = now_ms;
    }
    if !replay {
        vehicle.folded = folded;
    }
    Ok((verdict, began.elapsed()))
}

/// A verdict for signals a detector can do nothing with.
fn insufficient(fault: FaultType, reason: String) -> Verdict {
    Verdict {
        status: Status::InsufficientData,
        score: 0.0,
        severity: None,
        features: BTreeMap::new(),
        evidence: Vec::new(),
        reason: Some(reason),
        advice: None,
        model_version: model_version(fault).to_owned(),
        charts: None,
    }
}

/// Runs `work`; a panic becomes a reason instead of taking the partition with it.
fn guarded<T>(what: &str, work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        format!("{what} crashed: {text}")
    })
}

/// `location` in the sender's metadata, without reading metadata that has none.
fn location_of(metadata: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Located {
        location: Option<String>,
    }
    const KEY: &[u8] = b"\"location\"";
    metadata
        .windows(KEY.len())
        .any(|w| w == KEY)
        .then(|| serde_json::from_slice::<Located>(metadata).ok()?.location)
        .flatten()
}

#[cfg(test)]
mod tests;
