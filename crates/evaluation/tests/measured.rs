//! The detectors on measured recordings, where they are at hand: in the directory named by `VTOX_RECORDINGS`, else in
//! `../shared/data/recordings` beside the workspace.

use std::path::PathBuf;

use vtox_diagnosis::Thresholds;
use vtox_evaluation::{Evaluation, Label, evaluate};
use vtox_protocol::{FaultType, Status};

/// The evaluation, or None with a note where the recordings are absent.
fn evaluation() -> Option<Evaluation> {
    let directory = std::env::var_os("VTOX_RECORDINGS")
        .map_or_else(|| PathBuf::from("../../../shared/data/recordings"), PathBuf::from);
    let manifest = directory.join("manifest.json");
    if !manifest.exists() {
        println!("no recordings at {}: set VTOX_RECORDINGS; skipped", directory.display());
        return None;
    }
    let evaluation = evaluate(&manifest, &Thresholds::default()).unwrap();
    assert!(evaluation.errors.is_empty(), "{:?}", evaluation.errors);
    Some(evaluation)
}

#[test]
fn faults_are_found_and_healthy_machines_stay_quiet() {
    let Some(evaluation) = evaluation() else { return };
    for (fault, recall, precision) in [
        (FaultType::TurnFault, 0.95, 0.95),
        (FaultType::Bearing, 0.88, 0.95),
        (FaultType::Eccentricity, 0.9, 0.9),
        (FaultType::BrokenBar, 0.8, 0.8),
    ] {
        let scores = &evaluation.per_fault[&fault];
        assert!(scores.recall.unwrap() >= recall, "{fault}: {scores:?}");
        assert!(scores.precision.unwrap() >= precision, "{fault}: {scores:?}");
        assert_eq!(
            scores.counts.missed_by_abstaining + scores.counts.abstained_wrongly,
            0,
            "{fault}: {scores:?}"
        );
    }
    assert!(evaluation.means.f1 >= 0.95, "{}", evaluation.means.f1);
    assert!(evaluation.false_alarms_per_1000_healthy < 50.0, "{}", evaluation.false_alarms_per_1000_healthy);
}

#[test]
fn every_recording_is_listed_with_all_five_verdicts() {
    let Some(evaluation) = evaluation() else { return };
    assert!(!evaluation.records.is_empty());
    for record in &evaluation.records {
        assert_eq!(record.verdicts.len(), 5, "{}", record.id);
        for (fault, outcome) in &record.verdicts {
            assert!((0.0..=1.0).contains(&outcome.score), "{} {fault}", record.id);
            assert_eq!(outcome.status == Status::InsufficientData, !outcome.status.is_evidence());
            assert!(outcome.status.is_evidence() || outcome.reason.is_some(), "{} {fault}", record.id);
        }
        // Nobody measured insulation.
        assert_eq!(record.verdicts[&FaultType::Insulation].status, Status::InsufficientData);
    }
    let text = serde_json::to_value(&evaluation).unwrap();
    assert!(text["per_fault"]["bearing"]["recall"].is_number());
    assert!(text["records"][0]["verdicts"]["turn_fault"]["status"].is_string());
}

#[test]
fn runs_to_failure_end_in_an_alarm_that_does_not_come_early() {
    let Some(evaluation) = evaluation() else { return };
    let runs = evaluation.records.iter().filter_map(|record| {
        let outcome = &record.verdicts[&FaultType::Bearing];
        Some((record, outcome, outcome.alarms_in_first_half?))
    });
    let mut ended_in_alarm = 0;
    let mut count = 0;
    for (record, outcome, early) in runs {
        assert_eq!(record.label, Label::Bearing);
        assert!(early <= 2, "{}: {early} alarms in early life", record.id);
        count += 1;
        ended_in_alarm += usize::from(outcome.alarm_since_block.is_some());
    }
    assert!(ended_in_alarm + 1 >= count, "{ended_in_alarm} of {count}");
}
