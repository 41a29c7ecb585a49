//! Inter-turn short circuit: a shorted turn makes one phase draw more, which shows as negative-sequence current.
//!
//! Fundamental phasors of the three currents -> symmetrical components -> I2 / I1 with its angle; see S. Williamson and
//! K. Mirzoian, "Analysis of cage induction motors with stator winding faults", IEEE Trans. PAS-104 (1985) 1838-1842. An
//! unbalanced supply does the same: where voltages are measured, what they can explain is taken off ([`supply`]), and where
//! they are not, it sets the threshold. The angle of I2 against V1 or I1 names the phase. Cannot be seen in one block: a
//! fault that draws less than an unbalanced supply may, where voltages are not measured; over time it shows as a growth
//! out of the vehicle's own unbalance.

mod currents;
mod supply;

use std::f64::consts::{PI, TAU};

use realfft::num_complex::Complex;
use serde::{Deserialize, Serialize};
use vtox_protocol::{FaultType, MotorType, Verdict};

pub(crate) use self::currents::PHASE_NAMES;
use self::currents::{Measured, measure};
use self::supply::{Explained, Reference, allowance, explain};
use crate::findings::{Findings, insufficient, line};
use crate::fundamental::{Fundamental, phasor};
use crate::prepared::Prepared;
use crate::scale::Scale;
use crate::spectrum::wrap;

const FAULT: FaultType = FaultType::TurnFault;

/// Negative-sequence current over the reference current at which the verdict changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// IEC 60034-1 allows 1 % negative-sequence voltage for long. A cage motor answers with about Z1 / Z2 = 6 times as much in
    /// its current (its starting current in multiples of the rated one), so up to 6 % needs no fault in the winding.
    pub unknown_supply: Scale,
    /// With what the supply explains taken off, what remains comes from sensor errors (class 1: below 1 %) and the winding
    /// itself.
    pub known_supply: Scale,
    /// Growth out of the vehicle's own unbalance at comparable load and speed. Sensors and winding do not change; the supply
    /// may by some tenths of a percent over a day, times 6.
    pub growth: Scale,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            unknown_supply: Scale::new(0.02, 0.06, 0.08),
            known_supply: Scale::new(0.01, 0.03, 0.05),
            growth: Scale::new(0.01, 0.03, 0.05),
        }
    }
}

/// Negative-sequence voltage up to which [`Thresholds::unknown_supply`] holds at rated current; at half of it, half as much.
const SUPPLY_ALLOWED: f64 = 0.01;
/// I2 is related to no less than this share of the rated current: what 1 % of V2 draws is some 6 % of that, at any load.
const LIGHT_LOAD: f64 = 0.9;
/// Outside this share of the rated current the samples are not in amperes.
const RATED_SHARE_PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.02..=10.0;
/// Magnetising over rated current of a cage motor.
const MAGNETISING_SHARE: f64 = 0.35;
/// Angle by which the fault current lags the voltage that drives it: 0 for a resistive short, up to 60 degrees.
const LOOP_LAG: f64 = 25.0 * PI / 180.0;
/// Power-factor angle where the load is not known: 20 degrees at full load, 85 at none.
const POWER_FACTOR_ANGLE: f64 = 70.0 * PI / 180.0;

pub(crate) fn diagnose(prepared: &Prepared<'_>) -> Verdict {
    // Asked for first: without synchronous channels nothing else has to be computed.
    if !prepared.block.synchronous {
        return insufficient(
            FAULT,
            "the channels were not sampled at the same instants: phase relations mean nothing",
        );
    }
    let Some(f0) = prepared.fundamental() else {
        return insufficient(FAULT, no_fundamental(prepared));
    };
    let mut findings = Findings::default();
    findings.feature("fundamental_frequency_hz", f0.frequency_hz);
    let currents = match measure(prepared, f0) {
        Ok(currents) => currents,
        Err(reason) => return findings.insufficient(FAULT, reason),
    };
    describe(&mut findings, prepared, &currents, f0);

    let reference = reference(prepared, &currents, f0);
    let explained = explain(prepared, &currents, reference, f0.frequency_hz).unwrap_or_else(|useless| {
        findings.remark(useless);
        None
    });
    let per_reference = currents.sequence.positive.norm() / reference.current;
    let sensed = beyond_sensors(&currents) * per_reference;
    let thresholds = &prepared.thresholds.turn_fault;
    let allowed = reference.speed.map_or(1.0, allowance);
    let (residual, against_voltage) = match &explained {
        Some(known) => {
            findings.feature("supply_unbalance", known.unbalance);
            findings.feature("negative_sequence_excess", known.excess);
            findings.score = thresholds.known_supply.score(known.excess);
            // Measured voltages must not hide what would be seen without them.
            let covered =
                SUPPLY_ALLOWED * reference.rated_current.map_or(1.0, |r| (reference.current / r).min(1.0));
            let unexplained = if known.unbalance <= covered { sensed } else { sensed.min(known.unexplained) };
            if known.unbalance <= SUPPLY_ALLOWED {
                findings.score = findings.score.max(thresholds.unknown_supply.score(unexplained / allowed));
            }
            if known.line_to_line {
                findings.remark("the voltages are taken for line-to-line voltages");
            }
            (known.residual, true)
        }
        None => {
            findings.feature("negative_sequence_excess", sensed);
            findings.score = thresholds.unknown_supply.score(sensed / allowed);
            if prepared
                .block
                .channels
                .iter()
                .all(|c| !vtox_protocol::Quantity::VOLTAGES.contains(&c.quantity))
            {
                findings.remark(
                    "no phase voltages: an unbalanced supply cannot be told from a small winding fault",
                );
            }
            (currents.sequence.negative / currents.sequence.positive * per_reference, false)
        }
    };
    findings.feature("winding_residual", residual.norm());
    findings.feature("winding_residual_angle_deg", residual.arg().to_degrees());
    findings.feature("winding_residual_by_voltage", f64::from(u8::from(against_voltage)));

    let phase_a = phase_a_angle(prepared, &currents, against_voltage, reference);
    findings.feature("phase_a_angle_deg", phase_a.to_degrees());
    findings.feature("phases_reversed", f64::from(u8::from(currents.reversed)));
    let phase = faulted_phase(residual, phase_a, currents.reversed);
    findings.feature("faulted_phase", phase as f64);
    let name = PHASE_NAMES[phase];
    findings.evidence = evidence(&currents, explained.as_ref(), thresholds, name, residual, allowed);
    findings.advice = Some(format!(
        "Compare the phase resistances and do a surge test, phase {name} first; check the supply for unbalance. A turn \
         fault grows within hours: do not run the motor at high load until it is checked."
    ));
    findings.verdict(FAULT)
}

fn no_fundamental(prepared: &Prepared<'_>) -> String {
    match (0..3).find_map(|phase| prepared.current(phase).err().map(|defect| (phase, defect))) {
        Some((phase, defect)) if prepared.phases().next().is_none() => {
            format!("at least two phase currents are needed: phase {} {}", PHASE_NAMES[phase], defect.describe())
        }
        _ => "no fundamental found in the currents: at least 2 cycles of the supply frequency are needed, and it must \
              dominate"
            .to_owned(),
    }
}

/// Figures that describe the currents, whatever the verdict.
fn describe(findings: &mut Findings, prepared: &Prepared<'_>, currents: &Measured, f0: Fundamental) {
    let sequence = &currents.sequence;
    let ratio = sequence.negative_ratio();
    findings.feature("negative_sequence_ratio", ratio);
    findings
        .feature("negative_sequence_angle_deg", (sequence.negative / sequence.positive).arg().to_degrees());
    // Modulus of Park's vector: I1^2 + I2^2 with 2 I1 I2 at twice the supply frequency.
    findings.feature("park_second_harmonic_ratio", 2.0 * ratio / (1.0 + ratio * ratio));
    findings.feature("positive_sequence_current", sequence.positive.norm() / 2f64.sqrt());
    findings.feature_if("third_harmonic_ratio", third_harmonic(prepared, currents, f0));
    let sizes = rms_sizes(currents);
    let mean = sizes.iter().sum::<f64>() / 3.0;
    // Largest deviation from the mean, over the mean (NEMA MG 1).
    findings.feature("current_imbalance", sizes.iter().map(|s| (s - mean).abs()).fold(0.0, f64::max) / mean);
    if let Some(phase) = currents.worked_out {
        findings.remark(&format!(
            "the current of phase {} is missing or unusable and was worked out from the other two, which have to add up to \
             zero with it: errors of the sensors cannot be checked",
            PHASE_NAMES[phase]
        ));
    } else {
        findings.feature("zero_sequence_ratio", sequence.zero_ratio());
    }
    if currents.reversed {
        findings.remark(
            "the phases follow each other as A, C, B: the motor runs backward or two sensors are exchanged",
        );
    }
}

/// Fundamentals of the three phases; one that was worked out follows from the sequence components.
fn rms_sizes(currents: &Measured) -> [f64; 3] {
    let mut phasors = [None; 3];
    for (phase, phasor) in &currents.signals {
        phasors[*phase] = Some(*phasor);
    }
    let known: Complex<f64> = phasors.iter().flatten().sum();
    phasors.map(|p| p.unwrap_or(-known).norm())
}

/// Largest third harmonic of the phases, over the fundamental.
fn third_harmonic(prepared: &Prepared<'_>, currents: &Measured, f0: Fundamental) -> Option<f64> {
    let third_hz = 3.0 * f0.frequency_hz;
    if third_hz >= 0.45 * currents.rate_hz {
        return None;
    }
    let ratios = currents.signals.iter().filter_map(|(phase, fundamental)| {
        let signal = prepared.current(*phase).ok()?;
        Some(phasor(signal, third_hz).norm() * signal.rms / fundamental.norm())
    });
    ratios.max_by(f64::total_cmp)
}

/// I2 over I1 that errors of the sensors do not account for. Without a neutral I0 is such an error, and makes one of its own
/// size in I2: the conjugate of I0 / I1 for errors of gain, its negative for errors of time, as currents do not add up to zero
/// by the same shares by which they are off. Errors of both kinds add in squares.
fn beyond_sensors(currents: &Measured) -> f64 {
    let sequence = &currents.sequence;
    let (i2, i0) = (sequence.negative / sequence.positive, (sequence.zero / sequence.positive).conj());
    let of_any_kind = (i2.norm_sqr() - i0.norm_sqr()).max(0.0).sqrt();
    of_any_kind.min((i2 - i0).norm()).min((i2 + i0).norm())
}

/// What I2 is related to. What an unbalanced supply and a shorted turn draw in amperes does not depend on the load, so below
/// [`LIGHT_LOAD`] of the rated current it is related to that instead of I1.
fn reference(prepared: &Prepared<'_>, currents: &Measured, f0: Fundamental) -> Reference {
    let profile = &prepared.profile;
    let positive = currents.sequence.positive.norm();
    let rated_current = profile
        .rated_current_a
        .map(|a| 2f64.sqrt() * a)
        .filter(|a| a.is_finite() && *a > 0.0 && RATED_SHARE_PLAUSIBLE.contains(&(positive / a)));
    let speed = profile
        .rated_frequency_hz
        .map(|hz| f0.frequency_hz / hz)
        .filter(|speed| speed.is_finite() && *speed > 0.0);
    let current = rated_current.map_or(positive, |rated| positive.max(LIGHT_LOAD * rated));
    Reference { current, rated_current, speed }
}

/// Angle of I2 against V1 or I1 for a fault in phase A.
fn phase_a_angle(
    prepared: &Prepared<'_>,
    currents: &Measured,
    against_voltage: bool,
    reference: Reference,
) -> f64 {
    let power_factor = if against_voltage { 0.0 } else { power_factor_angle(prepared, currents, reference) };
    power_factor - LOOP_LAG
}

/// Phase 0..3 whose sector an angle of I2 falls into, from that for phase A. The fault current of phase k points along its
/// voltage, so both sequences see it turned by k times -120 degrees: I2 moves by +120 degrees against I1 or V1 from A to B,
/// and again to C.
pub(crate) fn faulted_phase(residual: Complex<f64>, phase_a_angle: f64, reversed: bool) -> usize {
    let angle = wrap(residual.arg() - phase_a_angle);
    let sector = (angle / (TAU / 3.0)).round().rem_euclid(3.0) as usize;
    if reversed { (3 - sector) % 3 } else { sector }
}

/// Angle by which I1 lags V1: the lower the load, the more of the current magnetises.
fn power_factor_angle(prepared: &Prepared<'_>, currents: &Measured, reference: Reference) -> f64 {
    let Some(rated) = reference.rated_current else { return POWER_FACTOR_ANGLE };
    let share = currents.sequence.positive.norm() / rated;
    match prepared.profile.motor_type {
        MotorType::PermanentMagnet => (0.5 * share).atan(),
        _ => (MAGNETISING_SHARE / share).min(1.0).asin(),
    }
}

fn evidence(
    currents: &Measured,
    explained: Option<&Explained>,
    thresholds: &Thresholds,
    name: &str,
    residual: Complex<f64>,
    allowed: f64,
) -> Vec<vtox_protocol::Evidence> {
    let ratio = currents.sequence.negative_ratio();
    let healthy = thresholds.unknown_supply.healthy * allowed;
    let mut lines =
        vec![line("negative-sequence current over positive", "", Some(healthy), Some(ratio), None)];
    if let Some(known) = explained {
        let expected = Some(thresholds.known_supply.healthy);
        lines.push(line("I2 that V2 cannot explain, over I1", "", expected, Some(known.excess), None));
    }
    let against = if explained.is_some() { "V1" } else { "I1" };
    let angle_deg = residual.arg().to_degrees();
    lines.push(line(
        format!("angle of I2 to {against} points to phase {name}"),
        "deg",
        None,
        Some(angle_deg),
        None,
    ));
    lines
}
