//! The result of an evaluation.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use vtox_protocol::{FaultType, Status};

use crate::held_out::{HeldOut, held_out};
use crate::outcome::{Outcome, RecordOutcome};
use crate::recording::Label;
use crate::scores::{Macro, Scores, per_fault};

/// What an evaluation found. Counted are the recordings marked to be scored whose label has high or medium confidence; listed
/// are all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Per fault type.
    pub per_fault: BTreeMap<FaultType, Scores>,
    /// Means over the fault types that occur.
    #[serde(rename = "macro")]
    pub means: Macro,
    /// The same beside `per_fault`: `precision`, `recall`, `f1`.
    #[serde(flatten)]
    pub beside: Macro,
    /// Healthy recordings counted.
    pub healthy: u32,
    /// Healthy recordings with an alarm of any kind, per thousand.
    pub false_alarms_per_1000_healthy: f64,
    /// Abstentions over all fault types and counted recordings.
    pub abstained: u32,
    /// Of these, those where the data suffice, which count as wrong.
    pub abstained_wrongly: u32,
    /// Runs to failure: alarms in early life.
    pub early_life: EarlyLife,
    /// Label, then what the recordings with it were taken for.
    pub confusion: BTreeMap<Label, Confused>,
    /// Dataset, then fault type.
    pub per_dataset: BTreeMap<String, BTreeMap<FaultType, Scores>>,
    /// Machine, then fault type.
    pub per_machine: BTreeMap<String, BTreeMap<FaultType, Scores>>,
    /// Thresholds chosen without the machine they judge.
    pub held_out_machines: BTreeMap<FaultType, HeldOut>,
    /// Every recording.
    pub records: Vec<RecordOutcome>,
    /// Recordings that could not be read.
    pub errors: Vec<Unreadable>,
}

/// A recording that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Its name.
    pub id: String,
    /// What is wrong with it.
    pub error: String,
}

/// Alarms among the blocks of the first halves of recordings in several blocks, where they are early.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct EarlyLife {
    /// Recordings in several blocks.
    pub runs: usize,
    /// Verdicts of all detectors in their first halves.
    pub verdicts: usize,
    /// Of these, alarms: all false.
    pub false_alarms: usize,
    /// False alarms per thousand verdicts.
    pub false_alarms_per_1000: f64,
}

/// What the recordings with one label were taken for: each counts once, by its highest-scored alarm.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Confused {
    /// Recordings.
    pub recordings: u32,
    /// Highest-scored alarm.
    pub taken_for: BTreeMap<FaultType, u32>,
    /// No alarm from any detector.
    pub quiet: u32,
    /// No alarm, and no verdict from the detector of the label (of any detector, where the label is none of the five).
    pub abstained: u32,
}

impl Evaluation {
    /// Scores what was diagnosed.
    pub fn of(records: Vec<RecordOutcome>, errors: Vec<Unreadable>) -> Self {
        let faults = per_fault(&records, |_| true);
        let means = Macro::of(&faults);
        let counted = || records.iter().filter(|r| r.counted);
        let healthy: Vec<_> = counted().filter(|r| r.label == Label::Healthy).collect();
        let alarms = healthy.iter().filter(|r| r.verdicts.values().any(Outcome::is_alarm)).count();
        let names =
            |name: fn(&RecordOutcome) -> &String| counted().map(name).cloned().collect::<BTreeSet<_>>();
        let tables = |name: fn(&RecordOutcome) -> &String| {
            names(name).into_iter().map(|n| (n.clone(), per_fault(&records, |r| *name(r) == n))).collect()
        };
        Self {
            means,
            beside: means,
            healthy: healthy.len() as u32,
            false_alarms_per_1000_healthy: 1000.0 * alarms as f64 / healthy.len().max(1) as f64,
            abstained: faults.values().map(|s| s.abstained).sum(),
            abstained_wrongly: faults
                .values()
                .map(|s| s.counts.missed_by_abstaining + s.counts.abstained_wrongly)
                .sum(),
            early_life: early_life(counted()),
            confusion: confusion(counted()),
            per_dataset: tables(|r| &r.dataset),
            per_machine: tables(|r| &r.machine_id),
            held_out_machines: held_out(&records),
            per_fault: faults,
            records,
            errors,
        }
    }
}

fn early_life<'a>(records: impl Iterator<Item = &'a RecordOutcome>) -> EarlyLife {
    let mut early = EarlyLife::default();
    for record in records {
        let runs =
            record.verdicts.values().filter_map(|o| o.alarms_in_first_half.zip(o.verdicts_in_first_half));
        let (mut alarms, mut verdicts, mut detectors) = (0, 0, 0);
        for (a, v) in runs {
            (alarms, verdicts, detectors) = (alarms + a, verdicts + v, detectors + 1);
        }
        early.runs += usize::from(detectors > 0);
        early.false_alarms += alarms;
        early.verdicts += verdicts;
    }
    early.false_alarms_per_1000 = 1000.0 * early.false_alarms as f64 / early.verdicts.max(1) as f64;
    early
}

fn confusion<'a>(records: impl Iterator<Item = &'a RecordOutcome>) -> BTreeMap<Label, Confused> {
    let mut table: BTreeMap<Label, Confused> = BTreeMap::new();
    for record in records {
        let row = table.entry(record.label).or_default();
        row.recordings += 1;
        let loudest = record.verdicts.iter().filter(|(_, o)| o.is_alarm()).max_by(|a, b| {
            a.1.score
                .total_cmp(&b.1.score)
                .then((a.1.status == Status::Fault).cmp(&(b.1.status == Status::Fault)))
        });
        let silent = match record.label.fault() {
            Some(fault) => record.verdicts.get(&fault).is_none_or(Outcome::abstained),
            None => record.verdicts.values().all(Outcome::abstained),
        };
        match loudest {
            Some((fault, _)) => *row.taken_for.entry(*fault).or_default() += 1,
            None if silent => row.abstained += 1,
            None => row.quiet += 1,
        }
    }
    table
}
