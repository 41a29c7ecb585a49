//! Diagnosing recordings as the stream would, and counting.

use std::collections::BTreeMap;

use serde::Serialize;
use vtox_diagnosis::{FoldedState, Prepared, follow};
use vtox_protocol::{FaultType, MotorProfile, SignalBlock, Status, Verdict};

use crate::manifest::{Confidence, Label, Recording};

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
    /// Of a recording in several blocks: number of the first block from which on the alarm stood to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm_since_block: Option<usize>,
    /// Of a recording in several blocks: alarms among the blocks of its first half.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarms_in_first_half: Option<usize>,
}

/// All verdicts on one recording.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordOutcome {
    /// Name of the recording.
    pub id: String,
    /// Its label.
    pub label: Label,
    /// The verdicts.
    pub verdicts: BTreeMap<FaultType, Outcome>,
}

/// What was counted for one fault type. A warning and a fault are both an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Counts {
    /// Recordings that have the fault.
    pub with_fault: u32,
    /// Of these, those with an alarm.
    pub found: u32,
    /// Of these, those where the verdict was `fault` and not `warning`.
    pub found_as_fault: u32,
    /// Recordings with the fault on which the detector abstained (they count as missed).
    pub missed_by_abstaining: u32,
    /// Recordings without the fault for which there was a verdict.
    pub without_fault: u32,
    /// Of these, those with an alarm.
    pub false_alarms: u32,
    /// Recordings of either kind on which the detector abstained.
    pub abstained: u32,
}

/// Counts with what follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scores {
    /// What was counted.
    #[serde(flatten)]
    pub counts: Counts,
    /// Share of the alarms that are right; none without alarms.
    pub precision: Option<f64>,
    /// Share of the faults found; none without faults.
    pub recall: Option<f64>,
    /// Harmonic mean of the two; none without faults.
    pub f1: Option<f64>,
}

/// Result of an evaluation. Counted are the recordings marked to be scored whose label has high or medium confidence; listed are
/// all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Per fault type.
    pub per_fault: BTreeMap<FaultType, Scores>,
    /// Means over the fault types that occur.
    pub precision: f64,
    /// See `precision`.
    pub recall: f64,
    /// See `precision`.
    pub f1: f64,
    /// Healthy recordings counted.
    pub healthy: u32,
    /// Healthy recordings with an alarm of any kind, per thousand.
    pub false_alarms_per_1000_healthy: f64,
    /// Abstentions over all fault types and counted recordings.
    pub abstained: u32,
    /// Dataset, then fault type.
    pub per_dataset: BTreeMap<String, BTreeMap<FaultType, Scores>>,
    /// Every recording.
    pub records: Vec<RecordOutcome>,
}

/// Takes the blocks of one motor through `Prepared` and `follow`, as the stream does: per fault type the verdict
/// published after each block.
pub fn diagnose_blocks<'a>(
    blocks: impl IntoIterator<Item = &'a SignalBlock>,
    profile: &MotorProfile,
) -> BTreeMap<FaultType, Vec<Verdict>> {
    let mut states: BTreeMap<FaultType, FoldedState> = BTreeMap::new();
    let mut published: BTreeMap<FaultType, Vec<Verdict>> = BTreeMap::new();
    for block in blocks {
        let prepared = Prepared::new(block, profile);
        for fault in FaultType::ALL {
            let state = states.entry(fault).or_default();
            let (verdict, next) = follow(&prepared, fault, state);
            *state = next;
            published.entry(fault).or_default().push(verdict);
        }
    }
    published
}

/// Diagnoses recordings and scores the verdicts against the labels.
pub fn evaluate(recordings: impl IntoIterator<Item = Recording>) -> Evaluation {
    let mut per_fault: BTreeMap<FaultType, Counts> = FaultType::ALL.map(|f| (f, Counts::default())).into();
    let mut per_dataset: BTreeMap<String, BTreeMap<FaultType, Counts>> = BTreeMap::new();
    let (mut healthy, mut healthy_alarms) = (0, 0);
    let mut records = Vec::new();
    for recording in recordings {
        let verdicts = outcomes(&recording);
        if recording.score && recording.label_confidence >= Confidence::Medium {
            let dataset = per_dataset.entry(recording.dataset.clone()).or_default();
            for (fault, outcome) in &verdicts {
                count(per_fault.entry(*fault).or_default(), &recording, *fault, outcome);
                count(dataset.entry(*fault).or_default(), &recording, *fault, outcome);
            }
            if recording.label == Label::Healthy {
                healthy += 1;
                healthy_alarms += u32::from(verdicts.values().any(|o| is_alarm(o.status)));
            }
        }
        records.push(RecordOutcome { id: recording.id, label: recording.label, verdicts });
    }
    let per_fault: BTreeMap<FaultType, Scores> = per_fault.into_iter().map(|(f, c)| (f, scores(c))).collect();
    let mean = |figure: fn(&Scores) -> Option<f64>| {
        let occurring: Vec<f64> = per_fault
            .values()
            .filter(|s| s.counts.with_fault > 0)
            .map(|s| figure(s).unwrap_or(0.0))
            .collect();
        occurring.iter().sum::<f64>() / occurring.len().max(1) as f64
    };
    Evaluation {
        precision: mean(|s| s.precision),
        recall: mean(|s| s.recall),
        f1: mean(|s| s.f1),
        healthy,
        false_alarms_per_1000_healthy: 1000.0 * f64::from(healthy_alarms) / f64::from(healthy.max(1)),
        abstained: per_fault.values().map(|s| s.counts.abstained).sum(),
        per_dataset: per_dataset
            .into_iter()
            .map(|(dataset, counts)| (dataset, counts.into_iter().map(|(f, c)| (f, scores(c))).collect()))
            .collect(),
        per_fault,
        records,
    }
}

const fn is_alarm(status: Status) -> bool {
    matches!(status, Status::Warning | Status::Fault)
}

fn outcomes(recording: &Recording) -> BTreeMap<FaultType, Outcome> {
    let published = diagnose_blocks(recording.blocks.iter().map(|(_, block)| block), &recording.profile);
    published
        .into_iter()
        .filter_map(|(fault, mut verdicts)| {
            let several = verdicts.len() > 1;
            let half = verdicts.len() / 2;
            let early = verdicts[..half].iter().filter(|v| is_alarm(v.status)).count();
            let quiet_until = verdicts.iter().rposition(|v| !is_alarm(v.status)).map_or(0, |i| i + 1);
            let since = Some(quiet_until).filter(|i| several && *i < verdicts.len());
            let last = verdicts.pop()?;
            let outcome = Outcome {
                status: last.status,
                score: last.score,
                reason: last.reason,
                alarm_since_block: since,
                alarms_in_first_half: several.then_some(early),
            };
            Some((fault, outcome))
        })
        .collect()
}

fn count(counts: &mut Counts, recording: &Recording, fault: FaultType, outcome: &Outcome) {
    let alarm = is_alarm(outcome.status);
    let abstained = !outcome.status.is_evidence();
    counts.abstained += u32::from(abstained);
    if recording.label.fault() == Some(fault) {
        counts.with_fault += 1;
        counts.found += u32::from(alarm);
        counts.found_as_fault += u32::from(outcome.status == Status::Fault);
        counts.missed_by_abstaining += u32::from(abstained);
    } else if !abstained && !recording.secondary_labels.iter().any(|l| l.fault() == Some(fault)) {
        counts.without_fault += 1;
        counts.false_alarms += u32::from(alarm);
    }
}

fn scores(counts: Counts) -> Scores {
    let ratio = |part: u32, whole: u32| (whole > 0).then(|| f64::from(part) / f64::from(whole));
    let missed = counts.with_fault - counts.found;
    Scores {
        counts,
        precision: ratio(counts.found, counts.found + counts.false_alarms),
        recall: ratio(counts.found, counts.with_fault),
        f1: ratio(2 * counts.found, 2 * counts.found + counts.false_alarms + missed)
            .filter(|_| counts.with_fault > 0),
    }
}
