//! How much the shipped thresholds depend on the machines at hand.
//!
//! For each machine in turn, the one threshold on the score is chosen that is best on all other machines, and that machine is
//! judged by it. Nothing of this is shipped. Where it comes out better than the shipped threshold, the latter is not where
//! these machines would have it; where the chosen thresholds scatter, the machines do not agree.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use vtox_diagnosis::WARNING_SCORE;
use vtox_protocol::FaultType;

use crate::outcome::RecordOutcome;

/// One detector with thresholds chosen on other machines than the one judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeldOut {
    /// Machines with a verdict.
    pub machines: usize,
    /// The lowest and the highest threshold chosen.
    pub threshold_min: f64,
    /// See `threshold_min`.
    pub threshold_max: f64,
    /// F1 of the verdicts so made, abstentions left out.
    pub f1: f64,
    /// F1 of the verdicts as shipped, abstentions left out.
    pub shipped_f1: f64,
    /// Lowest score of a recording with the fault.
    pub lowest_with_fault: f64,
    /// Highest score of one without it.
    pub highest_without_fault: f64,
}

struct Judged<'a> {
    machine: &'a str,
    has_fault: bool,
    score: f64,
}

/// Per fault type that occurs on some machine and not on another.
pub(crate) fn held_out(records: &[RecordOutcome]) -> BTreeMap<FaultType, HeldOut> {
    FaultType::ALL.into_iter().filter_map(|fault| Some((fault, of_fault(records, fault)?))).collect()
}

fn of_fault(records: &[RecordOutcome], fault: FaultType) -> Option<HeldOut> {
    let judged: Vec<Judged<'_>> = records
        .iter()
        .filter(|r| r.counted && !r.secondary_labels.iter().any(|l| l.fault() == Some(fault)))
        .filter_map(|r| {
            let outcome = r.verdicts.get(&fault).filter(|o| !o.abstained())?;
            Some(Judged {
                machine: &r.machine_id,
                has_fault: r.label.fault() == Some(fault),
                score: outcome.score,
            })
        })
        .collect();
    let machines: BTreeSet<&str> = judged.iter().map(|j| j.machine).collect();
    if machines.len() < 2 || !judged.iter().any(|j| j.has_fault) || judged.iter().all(|j| j.has_fault) {
        return None;
    }
    let chosen: BTreeMap<&str, f64> = machines
        .iter()
        .map(|machine| {
            let others: Vec<&Judged<'_>> = judged.iter().filter(|j| j.machine != *machine).collect();
            (*machine, best_threshold(&others))
        })
        .collect();
    let extreme = |from: f64, pick: fn(f64, f64) -> f64| chosen.values().copied().fold(from, pick);
    let scores = |has_fault: bool| judged.iter().filter(move |j| j.has_fault == has_fault).map(|j| j.score);
    Some(HeldOut {
        machines: machines.len(),
        threshold_min: extreme(1.0, f64::min),
        threshold_max: extreme(0.0, f64::max),
        f1: f1(judged.iter().map(|j| (j.has_fault, j.score >= chosen[j.machine]))),
        shipped_f1: f1(judged.iter().map(|j| (j.has_fault, j.score >= WARNING_SCORE))),
        lowest_with_fault: scores(true).fold(1.0, f64::min),
        highest_without_fault: scores(false).fold(0.0, f64::max),
    })
}

/// The threshold of best F1; of several, the one nearest to the shipped one.
fn best_threshold(judged: &[&Judged<'_>]) -> f64 {
    let mut scores: Vec<f64> = judged.iter().map(|j| j.score).collect();
    scores.sort_by(f64::total_cmp);
    scores.dedup();
    let between = scores.windows(2).map(|w| f64::midpoint(w[0], w[1]));
    let candidates = std::iter::once(WARNING_SCORE).chain(between);
    let rated = candidates.map(|t| (f1(judged.iter().map(|j| (j.has_fault, j.score >= t))), t));
    let distance = |t: f64| (t - WARNING_SCORE).abs();
    rated
        .max_by(|a, b| a.0.total_cmp(&b.0).then(distance(b.1).total_cmp(&distance(a.1))))
        .map_or(WARNING_SCORE, |(_, threshold)| threshold)
}

/// F1 of (truth, alarm); 0 without faults and alarms.
fn f1(verdicts: impl Iterator<Item = (bool, bool)>) -> f64 {
    let (mut found, mut wrong) = (0u32, 0u32);
    for (has_fault, alarm) in verdicts {
        found += u32::from(has_fault && alarm);
        wrong += u32::from(has_fault != alarm);
    }
    if found == 0 { 0.0 } else { 2.0 * f64::from(found) / f64::from(2 * found + wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(all: &[(&'static str, bool, f64)]) -> Vec<Judged<'static>> {
        all.iter()
            .map(|(machine, has_fault, score)| Judged { machine, has_fault: *has_fault, score: *score })
            .collect()
    }

    #[test]
    fn the_shipped_threshold_is_kept_unless_another_is_better() {
        let apart = judged(&[("a", true, 0.9), ("b", false, 0.1)]);
        assert_eq!(best_threshold(&apart.iter().collect::<Vec<_>>()), WARNING_SCORE);
        let low = judged(&[("a", true, 0.2), ("b", false, 0.1)]);
        assert!((best_threshold(&low.iter().collect::<Vec<_>>()) - 0.15).abs() < 1e-12);
        assert_eq!(f1([(true, true), (true, false), (false, true)].into_iter()), 0.5);
    }
}
