//! Inter-turn short circuit: a shorted turn makes one phase draw more, which shows as negative-sequence current.
//!
//! Fundamental phasors of the three currents -> symmetrical components -> |I2| / |I1|; see S. Williamson and K. Mirzoian,
//! "Analysis of cage induction motors with stator winding faults", IEEE Trans. PAS-104 (1985) 1838-1842. The angle of
//! I2 against I1 (or V1) names the phase. An unbalanced supply does the same: it is taken off where voltages are measured,
//! and sets the threshold where they are not. Cannot be seen: a fault that draws less than an unbalanced supply may.

use std::f64::consts::{PI, TAU};

use realfft::num_complex::Complex;
use serde::{Deserialize, Serialize};
use vtox_protocol::{FaultType, Quantity, Verdict};

use crate::findings::{Findings, insufficient, line};
use crate::fundamental::{Fundamental, phasor};
use crate::prepared::Prepared;
use crate::scale::Scale;
use crate::signal::Signal;
use crate::spectrum::wrap;
use crate::symmetrical::Sequence;

const FAULT: FaultType = FaultType::TurnFault;

/// Negative- over positive-sequence current at which the verdict changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// IEC 60034-1 allows 1 % negative-sequence voltage for long. A cage motor answers with about Z1 / Z2 = 6 times as much in
    /// its current (its starting current in multiples of the rated one), so up to 6 % needs no fault in the winding.
    pub unknown_supply: Scale,
    /// With the supply's part taken off, what remains comes from sensor errors (class 1: below 1 %) and the winding itself.
    pub known_supply: Scale,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { unknown_supply: Scale::new(0.02, 0.06, 0.08), known_supply: Scale::new(0.01, 0.03, 0.05) }
    }
}

/// Negative-sequence impedance in units of the positive-sequence one, at its smallest: see above.
const SUPPLY_GAIN: f64 = 6.0;
/// Share of the rated current below which the load counts as light; no-load currents of cage motors are 0.25 to 0.5 of it.
const LIGHT_LOAD: f64 = 0.5;
/// Outside this share of the rated current the samples are not in amperes.
const RATED_SHARE_PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.02..=10.0;
/// Without a neutral the three currents add up to nothing; a sum above this is a sensor that is turned round, missing or
/// wrongly scaled, and what it does to I2 is as large.
const ZERO_SEQUENCE_MAX: f64 = 0.15;
/// Above this ratio of the smaller to the larger sequence there is no sense of rotation: a phase is missing.
const LOST_PHASE_RATIO: f64 = 0.6;
/// Angle of I2 against I1 for a fault in phase A: power-factor angle (20..85 degrees from full to no load) less that of
/// the shorted loop (0..40 degrees); the middle of it.
const PHASE_A_ANGLE: f64 = 50.0 * PI / 180.0;
/// Angle of I2 against V1 for a fault in phase A: the shorted loop lags by 0..60 degrees.
const PHASE_A_ANGLE_TO_VOLTAGE: f64 = -30.0 * PI / 180.0;

pub(crate) fn diagnose(prepared: &Prepared<'_>) -> Verdict {
    let signals = match three_currents(prepared) {
        Ok(signals) => signals,
        Err(reason) => return insufficient(FAULT, reason),
    };
    let Some(f0) = prepared.fundamental() else {
        return insufficient(
            FAULT,
            "no fundamental found in the currents: at least 2 cycles of the supply frequency are needed, and it must \
             dominate",
        );
    };
    let mut findings = Findings::default();
    findings.feature("fundamental_frequency_hz", f0.frequency_hz);
    findings.feature("current_imbalance", rms_imbalance(&signals));
    let phasors: [Complex<f64>; 3] =
        std::array::from_fn(|k| prepared.phasor(k, signals[k], f0.frequency_hz) * signals[k].rms);
    findings.feature("third_harmonic_ratio", third_harmonic(&signals, &phasors, f0));

    let measured = Sequence::of(phasors);
    let reversed = measured.negative.norm() > measured.positive.norm();
    let current = if reversed { measured.reversed() } else { measured };
    let ratio = current.negative_ratio();
    findings.feature("negative_sequence_ratio", ratio);
    findings.feature("zero_sequence_ratio", current.zero_ratio());
    findings.feature("park_second_harmonic_ratio", 2.0 * ratio / (1.0 + ratio * ratio));

    if current.zero_ratio() > ZERO_SEQUENCE_MAX {
        return findings.insufficient(
            FAULT,
            format!(
                "the three currents do not add up to zero ({:.0} % of the positive sequence): a sensor is turned round, \
                 wrongly scaled or missing",
                100.0 * current.zero_ratio()
            ),
        );
    }
    if ratio > LOST_PHASE_RATIO {
        return findings.insufficient(
            FAULT,
            "positive and negative sequence are about equal: a phase is missing or its sensor is turned round",
        );
    }

    let voltage = voltage_sequence(prepared, &signals, f0, reversed);
    let light_load = light_load_factor(prepared, current.positive.norm());
    // A gain error of one sensor raises I2 and I0 by the same amount; independent errors add in squares.
    let sensed = (ratio.powi(2) - current.zero_ratio().powi(2)).max(0.0).sqrt() * light_load;
    let (excess, scale) = match &voltage {
        Some(v) => {
            findings.feature("supply_unbalance", v.negative_ratio());
            (
                (sensed - SUPPLY_GAIN * light_load * v.negative_ratio()).max(0.0),
                prepared.thresholds.turn_fault.known_supply,
            )
        }
        None => (sensed, prepared.thresholds.turn_fault.unknown_supply),
    };
    findings.feature("negative_sequence_excess", excess);
    findings.score = scale.score(excess);
    if voltage.is_none() {
        findings.remark("no phase voltages: an unbalanced supply cannot be told from a small winding fault");
    }

    let phase = faulted_phase(&current, voltage.as_ref(), reversed);
    findings.feature("faulted_phase", phase as f64);
    let name = ["A", "B", "C"][phase];
    findings.evidence = vec![
        line("negative-sequence current over positive", "", Some(scale.healthy), Some(ratio), None),
        line(format!("angle of I2 points to phase {name}"), "deg", None, Some(angle_deg(&current)), None),
    ];
    findings.advice = Some(format!(
        "Compare the phase resistances and do a surge test, phase {name} first; check the supply for unbalance. A turn \
         fault grows within hours: do not run the motor at high load until it is checked."
    ));
    findings.verdict(FAULT)
}

fn three_currents<'a>(prepared: &'a Prepared<'_>) -> Result<[&'a Signal; 3], String> {
    if !prepared.block.synchronous {
        return Err(
            "the channels were not sampled at the same instants: phase relations mean nothing".to_owned()
        );
    }
    let mut signals = [None; 3];
    for (phase, slot) in signals.iter_mut().enumerate() {
        let signal = prepared.current(phase).map_err(|defect| {
            format!("three phase currents are needed: phase {} {}", ["A", "B", "C"][phase], defect.describe())
        })?;
        *slot = Some(signal);
    }
    let [Some(a), Some(b), Some(c)] = signals else {
        return Err("three phase currents are needed".to_owned());
    };
    if [b, c].iter().any(|s| s.rate_hz != a.rate_hz || s.samples.len() != a.samples.len()) {
        return Err("the three currents differ in sampling rate or length".to_owned());
    }
    Ok([a, b, c])
}

/// By how much the negative sequence counts less at light load. What an unbalanced supply (and a shorted turn) draws in
/// amperes does not depend on the load, so below [`LIGHT_LOAD`] of the rated current it is related to that instead of I1. 1 where the
/// rated current is unknown or cannot be in the unit of the samples.
fn light_load_factor(prepared: &Prepared<'_>, positive_peak_a: f64) -> f64 {
    let Some(rated_a) = prepared.profile.rated_current_a.filter(|a| a.is_finite() && *a > 0.0) else {
        return 1.0;
    };
    let share = positive_peak_a / (2f64.sqrt() * rated_a);
    if RATED_SHARE_PLAUSIBLE.contains(&share) { (share / LIGHT_LOAD).min(1.0) } else { 1.0 }
}

/// Largest deviation of an RMS current from their mean, over the mean (NEMA MG 1, unbalance).
fn rms_imbalance(signals: &[&Signal; 3]) -> f64 {
    let mean = signals.iter().map(|s| s.rms).sum::<f64>() / 3.0;
    signals.iter().map(|s| (s.rms - mean).abs()).fold(0.0, f64::max) / mean
}

/// Largest third harmonic of the three phases, over the fundamental.
fn third_harmonic(signals: &[&Signal; 3], fundamentals: &[Complex<f64>; 3], f0: Fundamental) -> f64 {
    let third_hz = 3.0 * f0.frequency_hz;
    if third_hz >= 0.45 * signals[0].rate_hz {
        return f64::NAN;
    }
    let pairs = signals.iter().zip(fundamentals);
    pairs.map(|(s, f)| phasor(s, third_hz).norm() * s.rms / f.norm()).fold(0.0, f64::max)
}

/// Sequence components of the phase voltages, when they are measured along with the currents and dominated by the
/// same fundamental.
fn voltage_sequence(
    prepared: &Prepared<'_>,
    currents: &[&Signal; 3],
    f0: Fundamental,
    reversed: bool,
) -> Option<Sequence> {
    let mut phasors = [Complex::default(); 3];
    for (slot, quantity) in phasors.iter_mut().zip(Quantity::VOLTAGES) {
        let signal = prepared.signal(quantity).ok()?;
        if signal.rate_hz != currents[0].rate_hz || signal.samples.len() != currents[0].samples.len() {
            return None;
        }
        *slot = phasor(&signal, f0.frequency_hz) * signal.rms;
    }
    let sequence = Sequence::of(phasors);
    let sequence = if reversed { sequence.reversed() } else { sequence };
    (sequence.negative_ratio() < LOST_PHASE_RATIO).then_some(sequence)
}

/// Phase 0..3 whose sector the angle of I2 falls into. The fault current of phase k points along its voltage, so both
/// sequences see it turned by k times -120 degrees: I2 moves by +120 degrees against I1 from A to B, and again to C.
fn faulted_phase(current: &Sequence, voltage: Option<&Sequence>, reversed: bool) -> usize {
    let (reference, zero) = match voltage {
        Some(v) => (v.positive, PHASE_A_ANGLE_TO_VOLTAGE),
        None => (current.positive, PHASE_A_ANGLE),
    };
    let angle = wrap((current.negative / reference).arg() - zero);
    let sector = (angle / (TAU / 3.0)).round().rem_euclid(3.0) as usize;
    if reversed { (3 - sector) % 3 } else { sector }
}

fn angle_deg(current: &Sequence) -> f64 {
    (current.negative / current.positive).arg().to_degrees()
}
