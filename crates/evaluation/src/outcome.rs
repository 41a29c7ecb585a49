//! Diagnosing recordings as the stream would.

use std::collections::BTreeMap;

use serde::Serialize;
use vtox_diagnosis::{FoldedState, Prepared, Thresholds, follow};
use vtox_protocol::{FaultType, MotorProfile, SignalBlock, Status, Verdict};

use crate::recording::{Label, Measurement, Recording, Truth};
use crate::sufficiency::suffices;

/// Verdict on one recording and fault type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// What is published after the last block.
    pub status: Status,
    /// Its score.
    pub score: f64,
    /// What is missing or limits the verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the recording holds what this diagnosis needs; see [`suffices`].
    pub data_suffice: bool,
    /// Of a recording in several blocks: number of the first block from which on the alarm stood to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm_since_block: Option<usize>,
    /// Of a recording in several blocks: alarms among the blocks of its first half, and the blocks there with a verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarms_in_first_half: Option<usize>,
    /// See `alarms_in_first_half`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdicts_in_first_half: Option<usize>,
}

impl Outcome {
    /// A warning and a fault are both an alarm.
    pub const fn is_alarm(&self) -> bool {
        is_alarm(self.status)
    }

    /// No verdict.
    pub const fn abstained(&self) -> bool {
        !self.status.is_evidence()
    }
}

/// All verdicts on one recording.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordOutcome {
    /// Name of the recording.
    pub id: String,
    /// Its label.
    pub label: Label,
    /// Where it comes from.
    pub dataset: String,
    /// The motor.
    pub machine_id: String,
    /// Whether it counts: marked to be scored, with a label of high or medium confidence.
    pub counted: bool,
    /// Further faults for which an alarm is right too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secondary_labels: Vec<Label>,
    /// The verdicts.
    pub verdicts: BTreeMap<FaultType, Outcome>,
}

impl RecordOutcome {
    /// Diagnoses a recording. The detectors see the measurement alone.
    pub fn of(recording: &Recording, thresholds: &Thresholds) -> Self {
        let Recording { truth, measurement } = recording;
        let verdicts = outcomes(measurement, thresholds);
        let Truth { id, dataset, machine_id, label, secondary_labels, .. } = truth.clone();
        Self { id, label, dataset, machine_id, counted: truth.counts(), secondary_labels, verdicts }
    }
}

const fn is_alarm(status: Status) -> bool {
    matches!(status, Status::Warning | Status::Fault)
}

/// Takes the blocks of one motor through `Prepared` and `follow`, as the stream does: per fault type the verdict
/// published after each block.
pub fn diagnose_blocks<'a>(
    blocks: impl IntoIterator<Item = &'a SignalBlock>,
    profile: &MotorProfile,
    thresholds: &Thresholds,
) -> BTreeMap<FaultType, Vec<Verdict>> {
    let mut states: BTreeMap<FaultType, FoldedState> = BTreeMap::new();
    let mut published: BTreeMap<FaultType, Vec<Verdict>> = BTreeMap::new();
    for block in blocks {
        let prepared = Prepared::with_thresholds(block, profile, thresholds);
        for fault in FaultType::ALL {
            let state = states.entry(fault).or_default();
            let (verdict, next) = follow(&prepared, fault, state);
            *state = next;
            published.entry(fault).or_default().push(verdict);
        }
    }
    published
}

/// The verdicts on a measurement: what is published at its end.
pub fn outcomes(measurement: &Measurement, thresholds: &Thresholds) -> BTreeMap<FaultType, Outcome> {
    diagnose_blocks(&measurement.blocks, &measurement.profile, thresholds)
        .into_iter()
        .filter_map(|(fault, mut verdicts)| {
            let several = verdicts.len() > 1;
            let early = &verdicts[..verdicts.len() / 2];
            let early_alarms = early.iter().filter(|v| is_alarm(v.status)).count();
            let early_verdicts = early.iter().filter(|v| v.status.is_evidence()).count();
            let quiet_until = verdicts.iter().rposition(|v| !is_alarm(v.status)).map_or(0, |i| i + 1);
            let since = Some(quiet_until).filter(|i| several && *i < verdicts.len());
            let last = verdicts.pop()?;
            let outcome = Outcome {
                status: last.status,
                score: last.score,
                reason: last.reason,
                data_suffice: suffices(fault, measurement),
                alarm_since_block: since,
                alarms_in_first_half: several.then_some(early_alarms),
                verdicts_in_first_half: several.then_some(early_verdicts),
            };
            Some((fault, outcome))
        })
        .collect()
}
