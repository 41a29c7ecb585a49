//! The detectors on simulated windows. `VTOX_TEST_WINDOWS` says how many healthy ones (1,000 without it).

use vtox_diagnosis::Thresholds;
use vtox_evaluation::simulated::{Options, sweep};
use vtox_evaluation::tables;

#[test]
fn healthy_machines_stay_quiet_and_moderate_faults_are_found() {
    let windows = std::env::var("VTOX_TEST_WINDOWS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000);
    let sweeps = sweep(Options { windows, seed: 1 }, &Thresholds::default());
    for table in tables(None, Some(&sweeps)) {
        println!("{table}");
    }
    for e in &sweeps.examples {
        println!("{} score {:.2}: {}\n    {:?}", e.fault.name(), e.score, e.window, e.features);
    }
    let allowed = (windows as f64 / 1000.0).ceil() as u32;
    assert!(sweeps.false_alarms <= allowed, "{} false alarms in {windows} windows", sweeps.false_alarms);
    for row in &sweeps.moderate {
        assert!(row.found() >= 0.95, "{}, voltages {}: {:.3} found", row.fault, row.voltages, row.found());
    }
    for (name, verdicts) in &sweeps.counterfeits {
        // A load that oscillates at just the shaft's or twice the slip frequency is what a rotor fault looks like.
        let share = if name.starts_with("load oscillation") { 0.04 } else { 0.005 };
        for (fault, tally) in verdicts {
            let most = (share * f64::from(tally.windows)).ceil() as u32;
            assert!(tally.alarms <= most, "{name}: {fault} {tally:?}");
        }
    }
}

#[test]
fn the_seed_alone_decides() {
    let run = |seed| sweep(Options { windows: 40, seed }, &Thresholds::default());
    let first = serde_json::to_string(&run(3)).unwrap();
    assert_eq!(first, serde_json::to_string(&run(3)).unwrap());
    assert_ne!(first, serde_json::to_string(&run(4)).unwrap());
}
