//! Counting verdicts against labels.

use std::collections::BTreeMap;

use serde::Serialize;
use vtox_protocol::{FaultType, Status};

use crate::outcome::{Outcome, RecordOutcome};

/// What was counted for one fault type. A warning and a fault are both an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Recordings that have the fault, without those where the detector rightly abstained.
    pub with_fault: u32,
    /// Of these, those with an alarm.
    pub found: u32,
    /// Of these, those where the verdict was `fault` and not `warning`.
    pub found_as_fault: u32,
    /// Of these, those on which the detector abstained though the data suffice; they are missed.
    pub missed_by_abstaining: u32,
    /// Recordings without the fault, without those where the detector rightly abstained.
    pub without_fault: u32,
    /// Of these, those with an alarm.
    pub false_alarms: u32,
    /// Of these, those on which the detector abstained though the data suffice; wrong as well.
    pub abstained_wrongly: u32,
    /// Recordings on which the detector abstained and the data do not suffice: not counted above.
    pub abstained_rightly: u32,
}

impl Counts {
    /// Counts one recording.
    pub(crate) fn add(&mut self, record: &RecordOutcome, fault: FaultType, outcome: &Outcome) {
        if outcome.abstained() && !outcome.data_suffice {
            self.abstained_rightly += 1;
        } else if record.label.fault() == Some(fault) {
            self.with_fault += 1;
            self.found += u32::from(outcome.is_alarm());
            self.found_as_fault += u32::from(outcome.status == Status::Fault);
            self.missed_by_abstaining += u32::from(outcome.abstained());
        } else if !record.secondary_labels.iter().any(|l| l.fault() == Some(fault)) {
            self.without_fault += 1;
            self.false_alarms += u32::from(outcome.is_alarm());
            self.abstained_wrongly += u32::from(outcome.abstained());
        }
    }

    /// Abstentions of either kind.
    pub const fn abstained(&self) -> u32 {
        self.missed_by_abstaining + self.abstained_wrongly + self.abstained_rightly
    }
}

/// Counts with what follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scores {
    /// What was counted.
    #[serde(flatten)]
    pub counts: Counts,
    /// Abstentions of either kind.
    pub abstained: u32,
    /// Right alarms over right alarms and wrong verdicts on recordings without the fault (false alarms, and abstentions
    /// where the data suffice); none without either.
    pub precision: Option<f64>,
    /// Share of the faults found; none without faults.
    pub recall: Option<f64>,
    /// Harmonic mean of the two; none without faults.
    pub f1: Option<f64>,
}

impl From<Counts> for Scores {
    fn from(counts: Counts) -> Self {
        let ratio = |part: u32, whole: u32| (whole > 0).then(|| f64::from(part) / f64::from(whole));
        let missed = counts.with_fault - counts.found;
        let wrong = counts.false_alarms + counts.abstained_wrongly;
        Self {
            counts,
            abstained: counts.abstained(),
            precision: ratio(counts.found, counts.found + wrong),
            recall: ratio(counts.found, counts.with_fault),
            f1: ratio(2 * counts.found, 2 * counts.found + wrong + missed).filter(|_| counts.with_fault > 0),
        }
    }
}

/// Scores per fault type of the records that count and that `of_these` lets through.
pub(crate) fn per_fault(
    records: &[RecordOutcome],
    of_these: impl Fn(&RecordOutcome) -> bool,
) -> BTreeMap<FaultType, Scores> {
    let mut counts: BTreeMap<FaultType, Counts> = FaultType::ALL.map(|f| (f, Counts::default())).into();
    for record in records.iter().filter(|r| r.counted && of_these(r)) {
        for (fault, outcome) in &record.verdicts {
            counts.entry(*fault).or_default().add(record, *fault, outcome);
        }
    }
    counts.into_iter().map(|(fault, counts)| (fault, counts.into())).collect()
}

/// Means over the fault types that occur.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Macro {
    /// Mean precision.
    pub precision: f64,
    /// Mean recall.
    pub recall: f64,
    /// Mean of the F1 per fault type.
    pub f1: f64,
}

impl Macro {
    pub(crate) fn of(per_fault: &BTreeMap<FaultType, Scores>) -> Self {
        let mean = |figure: fn(&Scores) -> Option<f64>| {
            let occurring: Vec<f64> = per_fault
                .values()
                .filter(|s| s.counts.with_fault > 0)
                .map(|s| figure(s).unwrap_or(0.0))
                .collect();
            occurring.iter().sum::<f64>() / occurring.len().max(1) as f64
        };
        Self { precision: mean(|s| s.precision), recall: mean(|s| s.recall), f1: mean(|s| s.f1) }
    }
}
