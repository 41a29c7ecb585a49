//! What the detectors say when the blocks of each vehicle are diagnosed once more, in the order of its stream.

use std::collections::{BTreeMap, HashMap};

use vtox_diagnosis::{FoldedState, Prepared, Thresholds, follow};
use vtox_protocol::{DiagnosisResult, EntryId, FaultType, MotorProfile, VehicleId};

use crate::answers::{Answer, digest};
use crate::book::Book;

/// How many results were compared, and those that differ, in words. A vehicle takes part when the ledger has all blocks
/// of the messages it has results of.
pub(crate) fn differences(book: &Book, results: &[Answer]) -> (u64, Vec<String>) {
    let mut by_vehicle: HashMap<&VehicleId, Vec<&Answer>> = HashMap::new();
    for answer in results {
        by_vehicle.entry(&answer.vehicle_id).or_default().push(answer);
    }
    let (mut compared, mut differing) = (0, Vec::new());
    for answers in by_vehicle.into_values() {
        let known = |a: &&Answer| book.sent.get(&a.message_id).is_some_and(|s| s.block.is_some());
        if answers.iter().all(known) {
            compared += answers.len() as u64;
            differing.extend(differing_of(book, &answers));
        }
    }
    (compared, differing)
}

fn differing_of(book: &Book, answers: &[&Answer]) -> Vec<String> {
    let mut by_entry: BTreeMap<EntryId, Vec<&Answer>> = BTreeMap::new();
    for answer in answers {
        by_entry.entry(answer.entry).or_default().push(answer);
    }
    let thresholds = Thresholds::default();
    let profile = MotorProfile::default();
    let mut states: BTreeMap<FaultType, FoldedState> = BTreeMap::new();
    let mut differing = Vec::new();
    for (entry, answers) in by_entry {
        let Some(block) = answers.first().and_then(|a| book.sent.get(&a.message_id)?.block.clone()) else {
            continue;
        };
        let prepared = Prepared::with_thresholds(&block, &profile, &thresholds);
        for fault in FaultType::ALL {
            let mut of_fault = answers.iter().filter(|a| a.fault == fault).peekable();
            // A result that is missing is lost, not wrong: nothing was folded for it.
            let Some(first) = of_fault.peek() else { continue };
            let (verdict, folded) = follow(&prepared, fault, &states.remove(&fault).unwrap_or_default());
            states.insert(fault, folded);
            let expected = DiagnosisResult {
                vehicle_id: first.vehicle_id.clone(),
                fault_type: fault,
                timestamp: String::new(),
                verdict,
                consumer_id: String::new(),
                processing_time_s: 0.0,
                original_message_id: entry,
                message_id: vtox_protocol::MessageId::mint(0),
                location: None,
                replay_of: None,
            };
            let fields = expected.fields();
            let said = digest(|name| {
                fields.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone()).unwrap_or_default()
            });
            for answer in of_fault.filter(|a| a.digest != said) {
                differing.push(format!(
                    "{fault} of {} at {entry} says {}, the detector {} with score {:.4}",
                    answer.vehicle_id, answer.status, expected.verdict.status, expected.verdict.score
                ));
            }
        }
    }
    differing
}
