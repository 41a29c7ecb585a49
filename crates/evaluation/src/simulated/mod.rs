//! Simulated windows through the detectors: false alarms on healthy machines over the whole operating range, and the
//! probability of detection against severity.
//!
//! The truth is known and there can be any number of windows, but they are simulated: what this shows is that a detector
//! has its physics and its noise statistics right, not that it works on machines.

mod calibration;
mod counterfeits;
mod draw;

use std::collections::BTreeMap;

use rand::Rng;
use serde::Serialize;
use vtox_diagnosis::{FoldedState, Prepared, Thresholds, follow};
use vtox_protocol::{FaultType, Status, Verdict};

pub use self::calibration::{Calibration, SCORE_BINS};
pub use self::draw::Window;
use crate::parallel::parallel;

/// Severities of the curves, on the simulation's scale: 0 none, 0.3 visible, 1 strong.
pub const SEVERITIES: [f64; 8] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0];

/// The severity that is meant by moderate: 6 % of a phase's turns shorted, eccentricity of 35 % of the gap, 2 broken bars,
/// impacts of 10 times the vibration, insulation of some 0.6 Mohm at 40 degC.
pub const fn moderate_severity(fault: FaultType) -> f64 {
    match fault {
        FaultType::TurnFault => 0.6,
        FaultType::Eccentricity => 0.35,
        FaultType::Insulation | FaultType::Bearing | FaultType::BrokenBar => 0.5,
    }
}

/// Fundamental over noise of the curves, dB.
const NOISE_DB: [f64; 3] = [20.0, 30.0, 40.0];
/// Side bands of broken bars grow with the load and vanish without it: what is to be found is asked for from here on.
const BROKEN_BAR_LOAD_MIN: f64 = 0.5;

/// How many windows, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Options {
    /// Healthy windows; the curves take half as many per fault type.
    pub windows: usize,
    /// Of everything random: the same seed gives the same windows.
    pub seed: u64,
}

/// What was counted of some windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// Windows.
    pub windows: u32,
    /// Of these, those with an alarm (warning or fault).
    pub alarms: u32,
    /// Of these, those without a verdict.
    pub abstained: u32,
}

impl Tally {
    fn add(&mut self, verdict: &Verdict) {
        self.windows += 1;
        self.alarms += u32::from(matches!(verdict.status, Status::Warning | Status::Fault));
        self.abstained += u32::from(!verdict.status.is_evidence());
    }

    /// Alarms over all windows; abstentions are none. 0 without windows.
    pub fn alarm_share(&self) -> f64 {
        f64::from(self.alarms) / f64::from(self.windows.max(1))
    }
}

/// A window that was judged wrongly, told so that it can be looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Example {
    /// The detector.
    pub fault: FaultType,
    /// Score it gave.
    pub score: f64,
    /// The window: motor, operating point, sampling.
    pub window: String,
    /// What the detector measured.
    pub features: BTreeMap<String, f64>,
}

/// Where in the operating range a window lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Load 10-40, 40-70 or 70-100 %.
    pub load: &'static str,
    /// Speed 20-47, 47-73 or 73-100 %.
    pub speed: &'static str,
    /// Fundamental over noise, dB.
    pub noise_db: u32,
    /// Fed by an inverter.
    pub inverter: bool,
    /// Phase voltages are measured.
    pub voltages: bool,
}

/// Result of the windows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sweeps {
    /// What was asked for.
    pub options: Options,
    /// Detector: verdicts on healthy windows.
    pub healthy: BTreeMap<FaultType, Tally>,
    /// Healthy windows with an alarm of any kind.
    pub false_alarms: u32,
    /// Verdicts at moderate severity.
    pub moderate: Vec<Moderate>,
    /// Counterfeit, then detector: verdicts on sound machines that look like faulty ones.
    pub counterfeits: Vec<(&'static str, BTreeMap<FaultType, Tally>)>,
    /// Fault, then severity: its own detector's verdicts by place.
    pub curves: BTreeMap<FaultType, Vec<Curve>>,
    /// What each detector's score is worth.
    pub calibration: BTreeMap<FaultType, Calibration>,
    /// False alarms, and faults missed at moderate severity; the first few per detector.
    pub examples: Vec<Example>,
}

/// Verdicts on one fault at moderate severity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moderate {
    /// The fault.
    pub fault: FaultType,
    /// On the simulation's scale.
    pub severity: f64,
    /// Whether phase voltages are measured.
    pub voltages: bool,
    /// Detector, and what was counted.
    pub verdicts: BTreeMap<FaultType, Tally>,
}

impl Moderate {
    /// Share of the windows in which the fault was found.
    pub fn found(&self) -> f64 {
        self.verdicts.get(&self.fault).map_or(0.0, Tally::alarm_share)
    }
}

/// Verdicts at one severity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// On the simulation's scale.
    pub severity: f64,
    /// Place in the operating range, and what was counted there.
    pub cells: Vec<(Place, Tally)>,
}

impl Curve {
    /// What was counted in the cells for which `here` holds.
    pub fn tally(&self, here: impl Fn(&Place) -> bool) -> Tally {
        self.cells.iter().filter(|(place, _)| here(place)).fold(Tally::default(), |sum, (_, t)| Tally {
            windows: sum.windows + t.windows,
            alarms: sum.alarms + t.alarms,
            abstained: sum.abstained + t.abstained,
        })
    }
}

/// Examples kept per detector.
const EXAMPLES: usize = 12;

/// Diagnoses simulated windows, each as the first block of a vehicle.
pub fn sweep(options: Options, thresholds: &Thresholds) -> Sweeps {
    let mut examples = Examples::default();
    let mut calibration = BTreeMap::new();
    let (healthy, false_alarms) = sweep_healthy(options, thresholds, &mut calibration, &mut examples);
    Sweeps {
        options,
        healthy,
        false_alarms,
        moderate: FaultType::ALL
            .into_iter()
            .flat_map(|fault| [(fault, false), (fault, true)])
            .map(|(fault, voltages)| sweep_moderate(options, thresholds, fault, voltages, &mut examples))
            .collect(),
        counterfeits: sweep_counterfeits(options, thresholds, &mut examples),
        curves: FaultType::ALL
            .map(|fault| (fault, sweep_severity(options, thresholds, fault, &mut calibration)))
            .into(),
        calibration,
        examples: examples.0,
    }
}

fn sweep_healthy(
    options: Options,
    thresholds: &Thresholds,
    calibration: &mut BTreeMap<FaultType, Calibration>,
    examples: &mut Examples,
) -> (BTreeMap<FaultType, Tally>, u32) {
    let judged = parallel(options.windows, |index| {
        let window = draw::healthy(&mut draw::random(options.seed, 0, index as u64));
        let verdicts = judge(&window, thresholds, &FaultType::ALL);
        (window, verdicts)
    });
    let mut tallies: BTreeMap<FaultType, Tally> = BTreeMap::new();
    let mut false_alarms = 0;
    for (window, verdicts) in &judged {
        let before: u32 = tallies.values().map(|t| t.alarms).sum();
        for (fault, verdict) in verdicts {
            tallies.entry(*fault).or_default().add(verdict);
            calibration.entry(*fault).or_default().add(false, verdict);
            examples.add_if(
                matches!(verdict.status, Status::Warning | Status::Fault),
                *fault,
                verdict,
                window,
            );
        }
        false_alarms += u32::from(tallies.values().map(|t| t.alarms).sum::<u32>() > before);
    }
    (tallies, false_alarms)
}

/// A tenth as many windows as healthy ones, each through all detectors.
fn sweep_moderate(
    options: Options,
    thresholds: &Thresholds,
    fault: FaultType,
    voltages: bool,
    examples: &mut Examples,
) -> Moderate {
    let severity = moderate_severity(fault);
    let stream = 100 + 2 * fault as u64 + u64::from(voltages);
    let judged = parallel((options.windows / 10).max(1), |index| {
        let mut rng = draw::random(options.seed, stream, index as u64);
        let window = loop {
            let window = draw::faulty(fault, severity, 20.0, voltages, &mut rng);
            if fault != FaultType::BrokenBar || window.point.load_fraction >= BROKEN_BAR_LOAD_MIN {
                break window;
            }
        };
        let verdicts = judge(&window, thresholds, &FaultType::ALL);
        (window, verdicts)
    });
    let mut tallies: BTreeMap<FaultType, Tally> = BTreeMap::new();
    for (window, verdicts) in &judged {
        for (detector, verdict) in verdicts {
            tallies.entry(*detector).or_default().add(verdict);
            let missed = *detector == fault && !matches!(verdict.status, Status::Warning | Status::Fault);
            examples.add_if(missed, *detector, verdict, window);
        }
    }
    Moderate { fault, severity, voltages, verdicts: tallies }
}

/// A twentieth as many windows as healthy ones of each.
fn sweep_counterfeits(
    options: Options,
    thresholds: &Thresholds,
    examples: &mut Examples,
) -> Vec<(&'static str, BTreeMap<FaultType, Tally>)> {
    let sweep = |(kind, name): (usize, &&'static str)| {
        let judged = parallel((options.windows / 20).max(1), |index| {
            let window =
                counterfeits::window(kind, &mut draw::random(options.seed, 200 + kind as u64, index as u64));
            let verdicts = judge(&window, thresholds, &FaultType::ALL);
            (window, verdicts)
        });
        let mut tallies: BTreeMap<FaultType, Tally> = BTreeMap::new();
        for (window, verdicts) in &judged {
            for (fault, verdict) in verdicts {
                tallies.entry(*fault).or_default().add(verdict);
                let alarm = matches!(verdict.status, Status::Warning | Status::Fault);
                examples.add_if(alarm, *fault, verdict, window);
            }
        }
        (*name, tallies)
    };
    counterfeits::NAMES.iter().enumerate().map(sweep).collect()
}

fn sweep_severity(
    options: Options,
    thresholds: &Thresholds,
    fault: FaultType,
    calibration: &mut BTreeMap<FaultType, Calibration>,
) -> Vec<Curve> {
    let each = (options.windows / (2 * SEVERITIES.len())).max(1);
    SEVERITIES
        .into_iter()
        .enumerate()
        .map(|(step, severity)| {
            let judged = parallel(each, |index| {
                let mut rng =
                    draw::random(options.seed, 1_000 + 10 * fault as u64 + 100 * step as u64, index as u64);
                let noise_db = NOISE_DB[rng.random_range(0..NOISE_DB.len())];
                let voltages = rng.random_bool(0.5);
                let window = draw::faulty(fault, severity, noise_db, voltages, &mut rng);
                let verdict = judge(&window, thresholds, &[fault]).pop();
                (place(&window), verdict)
            });
            let mut cells: BTreeMap<Place, Tally> = BTreeMap::new();
            for (place, verdict) in &judged {
                if let Some((_, verdict)) = verdict {
                    cells.entry(*place).or_default().add(verdict);
                    calibration.entry(fault).or_default().add(true, verdict);
                }
            }
            Curve { severity, cells: cells.into_iter().collect() }
        })
        .collect()
}

fn place(window: &Window) -> Place {
    let third = |share: f64| ((3.0 * share) as usize).min(2);
    Place {
        load: ["10-40 %", "40-70 %", "70-100 %"][third((window.point.load_fraction - 0.1) / 0.9)],
        speed: ["20-47 %", "47-73 %", "73-100 %"][third((window.speed_fraction - 0.2) / 0.8)],
        noise_db: window.sampling.snr_db as u32,
        inverter: window.point.inverter,
        voltages: window.sampling.voltages,
    }
}

/// Verdicts as a vehicle's first block gets them.
fn judge(window: &Window, thresholds: &Thresholds, detectors: &[FaultType]) -> Vec<(FaultType, Verdict)> {
    let (block, profile) = (window.block(), window.motor.profile());
    let prepared = Prepared::with_thresholds(&block, &profile, thresholds);
    detectors.iter().map(|fault| (*fault, follow(&prepared, *fault, &FoldedState::default()).0)).collect()
}

#[derive(Default)]
struct Examples(Vec<Example>);

impl Examples {
    fn add_if(&mut self, wrong: bool, fault: FaultType, verdict: &Verdict, window: &Window) {
        if wrong && self.0.iter().filter(|e| e.fault == fault).count() < EXAMPLES {
            let Window { motor, point, condition, sampling, .. } = window;
            self.0.push(Example {
                fault,
                score: verdict.score,
                window: format!(
                    "{:?} {} pole pairs, individual {}; {point:?}; {condition:?}; {sampling:?}",
                    motor.motor_type, motor.pole_pairs, motor.individual
                ),
                features: verdict.features.clone(),
            });
        }
    }
}
