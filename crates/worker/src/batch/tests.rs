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
        for (name, value) in [("replay", faults), ("replay_of", "1-0"), ("attempt", "2"), ("message_id", "m")]
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
    assert_eq!((result.replay_of, result.verdict.status), (Some(EntryId { ms: 1, seq: 0 }), Status::Fault));
    let (letter, _) = &insulation.dead_letters[0];
    assert_eq!((letter.entry.ms, letter.original.ms, letter.attempt), (3, 1, 2));
    // What no fault type can be read from is everybody's.
    assert_eq!((insulation.dead_letters.len(), bearing.dead_letters.len()), (2, 1));
    assert!(bearing.dead_letters[0].0.reason.contains("field replay"));
}

#[test]
fn a_panic_is_a_reason() {
    assert_eq!(guarded("diagnosing", || panic!("boom")), Err::<(), _>("diagnosing crashed: boom".to_owned()));
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
