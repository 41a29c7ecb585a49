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

/// The verdict of a lane on a message, with the vehicle's state moved on. A replay is out of its place among the blocks of the vehicle: its
/// verdict is that of the block alone, and the state stays.
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
mod tests {
    use super::*;

    fn entry(ms: u64, sensor_data: &str) -> Entry {
        let fields = [("vehicle_id", "V1"), ("sensor_data", sensor_data)];
        Entry {
            id: EntryId { ms, seq: 0 },
            fields: fields.into_iter().map(|(k, v)| (k.to_owned(), v.as_bytes().to_vec())).collect(),
        }
    }

    fn job(fault: FaultType, cursor_ms: u64) -> LaneJob {
        LaneJob {
            fault,
            cursor: EntryId { ms: cursor_ms, seq: 0 },
            vehicles: HashMap::new(),
            poison: None,
            output: LaneOutput::default(),
        }
    }

    #[test]
    fn every_entry_behind_a_cursor_is_answered_once_per_lane() {
        let one_row = r#"{"data":[{"Ia":1}],"sampling_rate":8000}"#;
        let entries = [entry(1, one_row), entry(2, "not json"), entry(3, "{}"), entry(4, one_row)];
        let mut jobs = [job(FaultType::Bearing, 0), job(FaultType::TurnFault, 2)];
        jobs[0].poison = Some(EntryId { ms: 4, seq: 0 });
        run("motor_raw_data", &entries, &mut jobs, &Thresholds::default(), "w", 5_000);
        let ids = |o: &LaneOutput| o.results.iter().map(|r| r.original_message_id.ms).collect::<Vec<_>>();
        let dead = |o: &LaneOutput| o.dead_letters.iter().map(|(d, _)| d.entry.ms).collect::<Vec<_>>();
        assert_eq!((ids(&jobs[0].output), dead(&jobs[0].output)), (vec![1, 3], vec![2, 4]));
        assert_eq!((ids(&jobs[1].output), dead(&jobs[1].output)), (vec![3, 4], vec![]));
        assert_eq!(jobs[0].output.entries, 4);
        assert_eq!(jobs[1].output.last.ms, 4);
        let empty = &jobs[0].output.results[1];
        assert_eq!(empty.verdict.status, Status::InsufficientData);
        assert!(empty.verdict.reason.as_deref().unwrap().contains("data is missing"));
        let (letter, raw) = &jobs[0].output.dead_letters[0];
        assert!(letter.reason.contains("sensor_data cannot be read"));
        assert_eq!((letter.attempt, letter.message().as_str()), (1, "motor_raw_data/2-0"));
        assert_eq!(raw, &entries[1].fields);
    }

    #[test]
    fn a_replay_is_answered_by_the_fault_types_it_names_and_changes_no_state() {
        let text = r#"{"data":[{"Ia":1}],"sampling_rate":8000,"insulation_resistance":0.1}"#;
        let fine = text.replace("0.1", "900");
        let replay = |ms, text: &str, faults: &str| {
            let mut entry = entry(ms, text);
            for (name, value) in
                [("replay", faults), ("replay_of", "1-0"), ("attempt", "2"), ("message_id", "m")]
            {
                entry.fields.insert(name.to_owned(), value.as_bytes().to_vec());
            }
            entry
        };
        let mut jobs = [job(FaultType::Insulation, 0), job(FaultType::Bearing, 0)];
        run("motor_raw_data", &[entry(1, &fine)], &mut jobs, &Thresholds::default(), "w", 5_000);
        let vehicle = VehicleId::new("V1").unwrap();
        let states = |jobs: &[LaneJob; 2]| jobs.each_ref().map(|j| j.vehicles[&vehicle].folded.clone());
        let before = states(&jobs);
        assert_eq!(before[0].blocks(), (1, 0));
        for job in &mut jobs {
            job.cursor = EntryId { ms: 1, seq: 0 };
            job.output = LaneOutput::default();
        }
        let again = [
            replay(2, text, "insulation"),
            replay(3, "not json", "insulation"),
            replay(4, text, "bearing,unknown"),
            replay(5, "not json", "turn_fault"),
        ];
        run("motor_raw_data", &again, &mut jobs, &Thresholds::default(), "w", 5_000);
        assert_eq!(states(&jobs), before);
        let [insulation, bearing] = jobs.map(|j| j.output);
        assert_eq!((insulation.entries, insulation.last.ms), (4, 5));
        assert_eq!((bearing.entries, bearing.last.ms), (4, 5));
        assert_eq!((insulation.results.len(), bearing.results.len()), (1, 0));
        let result = &insulation.results[0];
        assert_eq!((result.message_id.as_str(), result.original_message_id.ms), ("m", 2));
        assert_eq!(
            (result.replay_of, result.verdict.status),
            (Some(EntryId { ms: 1, seq: 0 }), Status::Fault)
        );
        let (letter, _) = &insulation.dead_letters[0];
        assert_eq!((letter.entry.ms, letter.original.ms, letter.attempt), (3, 1, 2));
        // What no fault type can be read from is everybody's.
        assert_eq!((insulation.dead_letters.len(), bearing.dead_letters.len()), (2, 1));
        assert!(bearing.dead_letters[0].0.reason.contains("field replay"));
    }

    #[test]
    fn a_panic_is_a_reason() {
        assert_eq!(
            guarded("diagnosing", || panic!("boom")),
            Err::<(), _>("diagnosing crashed: boom".to_owned())
        );
    }

    #[test]
    fn the_location_is_found_in_the_metadata() {
        assert_eq!(location_of(br#"{"location":"Shenzhen"}"#), Some("Shenzhen".to_owned()));
        assert_eq!(location_of(br#"{"place":"Shenzhen"}"#), None);
    }

    #[test]
    fn results_say_when_the_thresholds_are_not_the_detectors_own() {
        let text = r#"{"data":[{"Ia":1}],"sampling_rate":8000,"insulation_resistance":4}"#;
        let mut jobs = [job(FaultType::Insulation, 0)];
        let stricter = r#"{"insulation":{"lg_resistance":{"healthy":3,"warning":2,"fault":1}}}"#;
        let thresholds = serde_json::from_str(stricter).unwrap();
        run("motor_raw_data", &[entry(1, text)], &mut jobs, &thresholds, "w", 5_000);
        let verdict = &jobs[0].output.results[0].verdict;
        assert_eq!(verdict.status, Status::Fault);
        assert!(verdict.model_version.ends_with("+configured"), "{}", verdict.model_version);
    }
}
