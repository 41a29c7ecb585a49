//! Which currents a verdict can rest on, and their sequence components.

use realfft::num_complex::Complex;

use crate::fundamental::Fundamental;
use crate::prepared::Prepared;
use crate::signal::Signal;
use crate::symmetrical::Sequence;

pub(crate) const PHASE_NAMES: [&str; 3] = ["A", "B", "C"];
/// Without a neutral the three currents add up to nothing; a sum above this (I0 / I1) is a sensor that is turned round, dead or
/// wrongly scaled, and what it does to I2 is as large.
const ZERO_SEQUENCE_MAX: f64 = 0.15;
/// Above this ratio of the smaller to the larger sequence there is no sense of rotation: a phase is missing.
const LOST_PHASE_RATIO: f64 = 0.6;
/// I2 / I1 that two currents show when one of the two sensors is turned round is 0.5; no fault reaches this.
const TURNED_OF_TWO_RATIO: f64 = 0.4;
/// A current below this share of the largest one is none.
const DEAD_SHARE: f64 = 0.1;
/// What remains of I0 / I1 when the one sensor that is turned round is turned back.
const TURNED_BACK_MAX: f64 = 0.1;

/// Sequence components of the currents, positive being the larger one.
pub(super) struct Measured {
    pub(super) sequence: Sequence,
    /// Whether the currents rotate A, C, B.
    pub(super) reversed: bool,
    /// Phase whose current was worked out from the other two.
    pub(super) worked_out: Option<usize>,
    /// Usable signals, for figures per phase.
    pub(super) signals: Vec<(usize, Complex<f64>)>,
    /// E(|error of I2|^2) / |I1|^2 that noise and harmonics in the block can account for.
    pub(super) noise_variance: f64,
    /// Samples and rate, which voltages must share.
    pub(super) samples: usize,
    pub(super) rate_hz: f64,
}

/// Phasors of the usable currents, in the channels' unit (peak).
pub(super) fn measure(prepared: &Prepared<'_>, f0: Fundamental) -> Result<Measured, String> {
    let (usable, mut rejected) = usable(prepared)?;
    let (samples, rate_hz) = (usable[0].1.samples.len(), usable[0].1.rate_hz);
    if usable.iter().any(|(_, s)| s.rate_hz != rate_hz || s.samples.len() != samples) {
        return Err("the currents differ in sampling rate or length".to_owned());
    }
    let mut signals: Vec<(usize, Complex<f64>)> = usable
        .iter()
        .map(|(phase, s)| (*phase, prepared.phasor(*phase, s, f0.frequency_hz) * s.rms))
        .collect();
    let largest = signals.iter().map(|(_, p)| p.norm()).fold(0.0, f64::max);
    // A dead sensor looks like an open phase; which of the two it is, the other two currents tell.
    if let (3, Some(dead)) =
        (signals.len(), signals.iter().position(|(_, p)| p.norm() < DEAD_SHARE * largest))
    {
        rejected = Some(signals.remove(dead).0);
    }
    let mut phasors = [Complex::default(); 3];
    for (phase, phasor) in &signals {
        phasors[*phase] = *phasor;
    }
    if let Some(phase) = rejected {
        phasors[phase] = -(phasors[0] + phasors[1] + phasors[2]);
    }
    let residual: f64 = usable
        .iter()
        .map(|(phase, s)| 1.0 - 0.5 * prepared.phasor(*phase, s, f0.frequency_hz).norm_sqr())
        .sum::<f64>()
        / usable.len() as f64;
    let (sequence, reversed) = rotation(phasors)?;
    if rejected.is_some() && sequence.negative_ratio() > TURNED_OF_TWO_RATIO {
        return Err("only two currents are usable, and they are not a third of a turn apart: one of the two sensors may \
                    be turned round"
            .to_owned());
    }
    let noise_variance = residual.clamp(0.0, 1.0) / samples as f64;
    Ok(Measured { sequence, reversed, worked_out: rejected, signals, noise_variance, samples, rate_hz })
}

type Usable<'a> = (Vec<(usize, &'a Signal)>, Option<usize>);

/// The currents that can be used, at least two, and the phase of the one that cannot. A clipped one is worse than none.
fn usable<'a>(prepared: &'a Prepared<'_>) -> Result<Usable<'a>, String> {
    if !prepared.block.synchronous {
        return Err(
            "the channels were not sampled at the same instants: phase relations mean nothing".to_owned()
        );
    }
    let mut good = Vec::with_capacity(3);
    let mut bad = Vec::new();
    for (phase, name) in PHASE_NAMES.iter().enumerate() {
        match prepared.current(phase) {
            Ok(signal) if signal.flaws.clipped => bad.push((phase, format!("phase {name} is clipped"))),
            Ok(signal) => good.push((phase, signal)),
            Err(defect) => bad.push((phase, format!("phase {name} {}", defect.describe()))),
        }
    }
    if good.len() < 2 {
        let what: Vec<&str> = bad.iter().map(|(_, why)| why.as_str()).collect();
        return Err(format!("at least two phase currents are needed: {}", what.join(", ")));
    }
    Ok((good, bad.first().map(|(phase, _)| *phase)))
}

/// Sequence components with the larger one as the positive, or what is wrong with the currents.
fn rotation(phasors: [Complex<f64>; 3]) -> Result<(Sequence, bool), String> {
    let (sequence, reversed) = forward(phasors);
    if sequence.zero_ratio() > ZERO_SEQUENCE_MAX {
        let turned = (0..3).find(|phase| {
            let mut back = phasors;
            back[*phase] = -back[*phase];
            let (back, _) = forward(back);
            back.zero_ratio() < TURNED_BACK_MAX && back.negative_ratio() < LOST_PHASE_RATIO
        });
        return Err(match turned {
            Some(phase) => format!(
                "the current sensor of phase {} is turned round: with its sign changed the currents add up to zero",
                PHASE_NAMES[phase]
            ),
            None => format!(
                "the three currents do not add up to zero ({:.0} % of the positive sequence): a sensor is wrongly scaled",
                100.0 * sequence.zero_ratio()
            ),
        });
    }
    if sequence.negative_ratio() > LOST_PHASE_RATIO {
        let lost = (0..3).min_by(|&a, &b| phasors[a].norm().total_cmp(&phasors[b].norm())).unwrap_or(0);
        return Err(format!(
            "positive and negative sequence are about equal: phase {} carries next to no current (open circuit?)",
            PHASE_NAMES[lost]
        ));
    }
    Ok((sequence, reversed))
}

fn forward(phasors: [Complex<f64>; 3]) -> (Sequence, bool) {
    let measured = Sequence::of(phasors);
    let reversed = measured.negative.norm() > measured.positive.norm();
    (if reversed { measured.reversed() } else { measured }, reversed)
}
