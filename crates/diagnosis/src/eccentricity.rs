//! Air-gap eccentricity: lines at f0 +- k fr in the current (mixed eccentricity), fr = shaft frequency, and the principal
//! slot harmonics where the number of rotor bars is known.
//!
//! S. Nandi, H. A. Toliyat and X. Li, "Condition monitoring and fault diagnosis of electrical motors - a review", IEEE
//! Trans. Energy Convers. 20 (2005) 719-729, eqs. (5) and (6). An oscillating load or an unbalanced rotor makes the same
//! lines, but lower ones; that is why the level decides and not the mere presence. Cannot be seen: purely static
//! eccentricity without rotor bars in the profile.

use serde::{Deserialize, Serialize};
use vtox_protocol::{FaultType, Verdict};

use crate::findings::{Findings, insufficient, line};
use crate::fundamental::Fundamental;
use crate::prepared::Prepared;
use crate::scale::Scale;
use crate::sidebands::{LOBE, Sideband, current_spectrum, hidden_in_noise, pole_pairs, sideband};
use crate::spectrum::{Spectrum, db};
use crate::speed::{Shaft, Source};

const FAULT: FaultType = FaultType::Eccentricity;

/// Levels at which the verdict changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Level of the stronger of f0 +- fr below the fundamental, dB. Every rotor is a little eccentric and a little unbalanced: up to
    /// -55 dB is common in sound machines, -50 dB and above is what is reported for eccentricity of tens of percent of the gap.
    pub level_db: Scale,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { level_db: Scale::new(-62.0, -53.0, -46.0) }
    }
}

/// Both lines of a pair must stand this far out of the floor to be one: in a search over a few bins noise does so in one of
/// some thousand blocks.
const PAIR_ABOVE_FLOOR_DB: f64 = 10.0;
/// A line whose partner is missing (with one pole pair f0 - fr lies near zero, where a motor hardly answers) must this far.
const ALONE_ABOVE_FLOOR_DB: f64 = 16.0;
/// Resolutions between f0 and f0 +- fr that keep the main lobes and a bit of floor apart.
const RESOLUTIONS_MIN: f64 = 4.0;
/// Closer to a harmonic than this no block is long enough, Hz.
const SYNCHRONOUS_HZ: f64 = 0.1;
/// Largest slip looked for when there is no speed reading.
const SLIP_MAX: f64 = 0.08;
/// Orders k of f0 +- k fr that are measured.
const ORDERS: [f64; 2] = [1.0, 2.0];

pub(crate) fn diagnose(prepared: &Prepared<'_>) -> Verdict {
    match current_spectrum(prepared) {
        Ok((spectrum, f0)) => judge(prepared, spectrum, f0),
        Err(reason) => insufficient(FAULT, reason),
    }
}

/// Distance fr of the first lines from the fundamental, Hz; None where it is not known.
pub(crate) fn distance_hz(prepared: &Prepared<'_>, f0: Fundamental) -> Option<f64> {
    shaft(prepared, f0).ok().map(|(shaft, _)| shaft.frequency_hz)
}

/// Judges a current spectrum from which the fundamental was taken out: of one block, or of blocks joined.
pub(crate) fn judge(prepared: &Prepared<'_>, spectrum: &Spectrum, f0: Fundamental) -> Verdict {
    let mut findings = Findings::default();
    findings.feature("fundamental_frequency_hz", f0.frequency_hz);
    let (shaft, known) = match shaft(prepared, f0) {
        Ok(found) => found,
        Err(reason) => return findings.insufficient(FAULT, reason),
    };
    if shaft.frequency_hz < RESOLUTIONS_MIN * spectrum.resolution_hz {
        return findings.insufficient(
            FAULT,
            format!(
                "lines {:.1} Hz from the fundamental need a block of at least {:.2} s; this one has {:.2} s",
                shaft.frequency_hz,
                RESOLUTIONS_MIN / shaft.frequency_hz,
                1.0 / spectrum.resolution_hz
            ),
        );
    }
    let lines = measure(spectrum, f0, &shaft);
    if !lines.iter().any(|l| l.order == 1.0) {
        return findings.insufficient(FAULT, beside_harmonics(spectrum, f0, &shaft));
    }
    findings.feature("shaft_frequency_hz", shaft.frequency_hz);
    findings.feature("dynamic_ecc_ratio", measured(&lines, 1.0));
    findings.feature("second_order_ratio", measured(&lines, 2.0));
    findings.feature("eccentricity_index", measured(&lines, 1.0).hypot(measured(&lines, 2.0)));
    findings.feature_if("static_ecc_ratio", slot_harmonic(prepared, spectrum, f0, &shaft).map(|s| s.ratio));
    match standing_out(&lines, 1.0) {
        Some(ratio) => findings.score = prepared.thresholds.eccentricity.level_db.score(db(ratio)),
        None => {
            let hidden_db = hidden_db(&lines);
            if hidden_db > prepared.thresholds.eccentricity.level_db.end() {
                return findings.insufficient(FAULT, hidden_in_noise(hidden_db));
            }
            findings.remark(&format!(
                "no line at f0 +- fr stands out of the noise, which hides those below {hidden_db:.0} dB"
            ));
        }
    }
    if !known {
        findings.remark(
            "no speed reading: the shaft frequency was taken from pole pairs and the strongest lines",
        );
    }
    findings.evidence = lines
        .iter()
        .map(|l| {
            line(
                format!("f0 {} {:.0} fr, {:.1} dB", l.sign, l.order, l.found.level_db()),
                "Hz",
                Some(l.expected_hz),
                Some(l.found.frequency_hz),
                Some(l.found.above_floor_db),
            )
        })
        .collect();
    findings.advice = Some(
        "Check air gap, alignment of the coupling or pedestal and the bearing seats; balance the rotor and compare, since \
         an oscillating load makes the same lines."
            .to_owned(),
    );
    findings.verdict(FAULT)
}

/// Why no line at f0 +- fr can be told from the harmonics of the supply.
fn beside_harmonics(spectrum: &Spectrum, f0: Fundamental, shaft: &Shaft) -> String {
    let line_hz = f0.frequency_hz + shaft.frequency_hz;
    let distance_hz = (line_hz - (line_hz / f0.frequency_hz).round() * f0.frequency_hz).abs();
    if distance_hz < SYNCHRONOUS_HZ {
        return "the lines at f0 +- fr coincide with harmonics of the supply (one pole pair, no slip)"
            .to_owned();
    }
    format!(
        "lines {distance_hz:.1} Hz from a harmonic of the supply need a block of at least {:.2} s; this one has {:.2} s",
        LOBE / distance_hz,
        1.0 / spectrum.resolution_hz
    )
}

/// The shaft frequency, or where it may be.
fn shaft(prepared: &Prepared<'_>, f0: Fundamental) -> Result<(Shaft, bool), String> {
    if let Some(shaft) = prepared.shaft() {
        return Ok((shaft, true));
    }
    let Some(pairs) = prepared.profile.pole_pairs else {
        return Err(
            "the speed (r/min) or at least the pole pairs are needed to know the shaft frequency".to_owned()
        );
    };
    let synchronous_hz = f0.frequency_hz / f64::from(pairs);
    // In the middle of no and full slip; the strongest line in between is taken.
    let shaft = Shaft {
        frequency_hz: synchronous_hz * (1.0 - SLIP_MAX / 2.0),
        tolerance_hz: synchronous_hz * SLIP_MAX / 2.0,
        source: Source::Supply,
    };
    Ok((shaft, false))
}

struct EccentricityLine {
    order: f64,
    sign: char,
    expected_hz: f64,
    found: Sideband,
}

fn measure(spectrum: &Spectrum, f0: Fundamental, shaft: &Shaft) -> Vec<EccentricityLine> {
    let mut lines = Vec::new();
    for order in ORDERS {
        for (sign, factor) in [('+', 1.0), ('-', -1.0)] {
            // A negative frequency is its mirror image in the spectrum of one phase.
            let expected_hz = (f0.frequency_hz + factor * order * shaft.frequency_hz).abs();
            let tolerance_hz = order * shaft.tolerance_hz + 0.5 * spectrum.resolution_hz;
            if let Some(found) = sideband(spectrum, f0, expected_hz, tolerance_hz) {
                lines.push(EccentricityLine { order, sign, expected_hz, found });
            }
        }
    }
    lines
}

/// Amplitude of the stronger line of an order, noise or not.
fn measured(lines: &[EccentricityLine], order: f64) -> f64 {
    lines.iter().filter(|l| l.order == order).map(|l| l.found.ratio).fold(f64::NAN, f64::max)
}

/// Level up to which the first-order lines could be there without standing out.
fn hidden_db(lines: &[EccentricityLine]) -> f64 {
    let floors: Vec<f64> = lines.iter().filter(|l| l.order == 1.0).map(|l| l.found.floor_db()).collect();
    match floors[..] {
        [one, other] => one.max(other) + PAIR_ABOVE_FLOOR_DB,
        _ => floors.iter().copied().fold(f64::INFINITY, f64::min) + ALONE_ABOVE_FLOOR_DB,
    }
}

/// Amplitude of the stronger line of an order that is beyond the noise.
fn standing_out(lines: &[EccentricityLine], order: f64) -> Option<f64> {
    let found: Vec<&Sideband> = lines.iter().filter(|l| l.order == order).map(|l| &l.found).collect();
    let pair = found.len() == 2 && found.iter().all(|s| s.above_floor_db >= PAIR_ABOVE_FLOOR_DB);
    let beyond = found.iter().filter(|s| pair || s.above_floor_db >= ALONE_ABOVE_FLOOR_DB);
    beyond.map(|s| s.ratio).max_by(f64::total_cmp)
}

/// Principal slot harmonic f0 (R (1 - s) / p + 1) = R fr + f0, which static eccentricity raises.
fn slot_harmonic(
    prepared: &Prepared<'_>,
    spectrum: &Spectrum,
    f0: Fundamental,
    shaft: &Shaft,
) -> Option<Sideband> {
    let bars = f64::from(prepared.profile.rotor_bars?);
    if shaft.source == Source::Supply || pole_pairs(prepared, f0, shaft.frequency_hz) < 1.0 {
        return None;
    }
    let expected_hz = bars * shaft.frequency_hz + f0.frequency_hz;
    sideband(
        spectrum,
        f0,
        expected_hz,
        bars * shaft.tolerance_hz.min(0.002 * shaft.frequency_hz) + spectrum.resolution_hz,
    )
    .filter(|s| s.above_floor_db >= ALONE_ABOVE_FLOOR_DB)
}
