//! Air-gap eccentricity: lines at f0 +- k fr in the current (mixed eccentricity), fr = shaft frequency, the same lines beside
//! the harmonics of the supply, and the principal slot harmonics where the number of rotor bars is known.
//!
//! S. Nandi, H. A. Toliyat and X. Li, "Condition monitoring and fault diagnosis of electrical motors - a review", IEEE
//! Trans. Energy Convers. 20 (2005) 719-729, eqs. (5) and (6). An oscillating load or an unbalanced rotor makes the same
//! lines beside the fundamental, but lower ones; that is why the level decides and not the mere presence. Cannot be seen:
//! purely static eccentricity without rotor bars in the profile.

use serde::{Deserialize, Serialize};
use vtox_protocol::{FaultType, MotorType, Verdict};

use crate::broken_bar::{self, SLIP_MAX, coincide, contradictory};
use crate::findings::{Findings, WARNING_SCORE, insufficient, line};
use crate::fundamental::Fundamental;
use crate::prepared::Prepared;
use crate::scale::Scale;
use crate::sidebands::{
    LINE_ERROR, LOBE, NO_FUNDAMENTAL, Sideband, confirmed, current_fundamental, height_db, hidden_in_noise,
    pole_pairs, sideband,
};
use crate::spectrum::{Spectrum, db};
use crate::speed::{Shaft, Source};

const FAULT: FaultType = FaultType::Eccentricity;

/// Figures at which the verdict changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Level of the stronger of f0 +- fr below the fundamental, dB. Every rotor is a little eccentric and a little unbalanced: up to
    /// -55 dB is common in sound machines, -50 dB and above is what is reported for eccentricity of tens of percent of the gap.
    pub level_db: Scale,
    /// Both lines of a pair must stand this far out of the floor of one phase to be one, dB: in a search over a few places
    /// noise does so in one of some hundred thousand blocks. Where phases are averaged noise scatters less, and less is asked for.
    pub pair_above_floor_db: f64,
    /// A line whose partner is missing (with one pole pair f0 - fr lies near zero, where a motor hardly answers) must this
    /// far, dB.
    pub alone_above_floor_db: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            level_db: Scale::new(-62.0, -53.0, -46.0),
            pair_above_floor_db: 10.0,
            alone_above_floor_db: 16.0,
        }
    }
}

/// Resolutions between f0 and f0 +- fr that keep the main lobes and a bit of floor apart.
const RESOLUTIONS_MIN: f64 = 4.0;
/// Closer to a harmonic than this no block is long enough, Hz.
const SYNCHRONOUS_HZ: f64 = 0.1;
/// Largest slip looked for when there is no speed reading.
const SLIP_LOADED: f64 = 0.08;
/// Orders k of f0 +- k fr that are measured.
const ORDERS: [f64; 2] = [1.0, 2.0];
/// Harmonics v of v f0 +- fr: the gap modulates their fields too (eq. (5) without the rotor's slots), a load that oscillates hardly,
/// since their slip is near 1 whatever the speed does.
const HARMONICS: [f64; 3] = [3.0, 5.0, 7.0];

pub(crate) fn diagnose(prepared: &Prepared<'_>) -> Verdict {
    let f0 = match current_fundamental(prepared) {
        Ok(f0) => f0,
        Err(reason) => return insufficient(FAULT, reason),
    };
    // Where the block is too short there is no need for a spectrum.
    match begin(prepared, f0, f0.resolution_hz()) {
        Err(verdict) => *verdict,
        Ok(_) => match prepared.residual() {
            Some(spectrum) => judge(prepared, spectrum, f0),
            None => insufficient(FAULT, NO_FUNDAMENTAL),
        },
    }
}

/// Distance fr of the first lines from the fundamental, Hz; None where it is not known.
pub(crate) fn distance_hz(prepared: &Prepared<'_>, f0: Fundamental) -> Option<f64> {
    shaft(prepared, f0).ok().map(|(shaft, _)| shaft.frequency_hz)
}

/// Judges a current spectrum from which the fundamental was taken out: of one block, or of blocks joined.
pub(crate) fn judge(prepared: &Prepared<'_>, spectrum: &Spectrum, f0: Fundamental) -> Verdict {
    let (mut findings, shaft, known) = match begin(prepared, f0, spectrum.resolution_hz) {
        Ok(begun) => begun,
        Err(verdict) => return *verdict,
    };
    let thresholds = &prepared.thresholds.eccentricity;
    let mut lines = measure(spectrum, f0, &shaft);
    if !lines.iter().any(|l| l.order == 1.0) {
        return findings.insufficient(FAULT, "the lines at f0 +- fr fall outside the spectrum");
    }
    findings.feature("shaft_frequency_hz", shaft.frequency_hz);
    findings.feature("dynamic_ecc_ratio", measured(&lines, 1.0));
    findings.feature("second_order_ratio", measured(&lines, 2.0));
    findings.feature("eccentricity_index", index(&lines));
    findings.feature_if("static_ecc_ratio", slot_harmonic(prepared, spectrum, f0, &shaft).map(|s| s.ratio));
    match standing_out(thresholds, spectrum, &lines) {
        Some(strongest) => {
            findings.score = thresholds.level_db.score(db(strongest.found.without_noise()));
            if findings.score >= WARNING_SCORE {
                let distance_hz = (strongest.found.frequency_hz - f0.frequency_hz).abs();
                if beside_broken_bars(prepared, spectrum, f0, (distance_hz, strongest.found.ratio)) {
                    return findings.insufficient(
                        FAULT,
                        "at this slip the shaft's frequency lies upon 2 s f0 or 4 s f0, where broken bars make lines too: another \
                         load or a longer block is needed",
                    );
                }
                let families = further_families(prepared, spectrum, f0, distance_hz, &mut lines);
                findings.feature("agreeing_families", families as f64);
                findings.score = confirmed(findings.score, families);
                if families == 0 {
                    findings.remark(
                        "no further family of lines agrees: a load that oscillates once a turn looks the same",
                    );
                }
            }
        }
        None => {
            let hidden_db = hidden_db(thresholds, spectrum, &lines);
            if hidden_db > thresholds.level_db.end() {
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
    findings.evidence = lines.iter().map(EccentricityLine::evidence).collect();
    findings.advice = Some(
        "Check air gap, alignment of the coupling or pedestal and the bearing seats; balance the rotor and compare, since \
         an oscillating load makes the same lines."
            .to_owned(),
    );
    findings.verdict(FAULT)
}

/// The shaft frequency and whether it is known, or the verdict when its lines cannot be told.
fn begin(
    prepared: &Prepared<'_>,
    f0: Fundamental,
    resolution_hz: f64,
) -> Result<(Findings, Shaft, bool), Box<Verdict>> {
    let mut findings = Findings::default();
    findings.feature("fundamental_frequency_hz", f0.frequency_hz);
    let (shaft, known) = match shaft(prepared, f0) {
        Ok(found) => found,
        Err(reason) => return Err(Box::new(findings.insufficient(FAULT, reason))),
    };
    if shaft.frequency_hz < RESOLUTIONS_MIN * resolution_hz {
        let reason = format!(
            "lines {:.1} Hz from the fundamental need a block of at least {:.2} s; this one has {:.2} s",
            shaft.frequency_hz,
            RESOLUTIONS_MIN / shaft.frequency_hz,
            1.0 / resolution_hz
        );
        return Err(Box::new(findings.insufficient(FAULT, reason)));
    }
    let harmonic_hz = (shaft.frequency_hz / f0.frequency_hz).round() * f0.frequency_hz;
    let apart_hz = (shaft.frequency_hz - harmonic_hz).abs();
    if apart_hz < LOBE * resolution_hz {
        let reason = beside_harmonics(apart_hz, resolution_hz);
        return Err(Box::new(findings.insufficient(FAULT, reason)));
    }
    Ok((findings, shaft, known))
}

/// Why no line at f0 +- fr can be told from the harmonics of the supply.
fn beside_harmonics(apart_hz: f64, resolution_hz: f64) -> String {
    if apart_hz < SYNCHRONOUS_HZ {
        return "the lines at f0 +- fr coincide with harmonics of the supply (one pole pair, no slip)"
            .to_owned();
    }
    format!(
        "lines {apart_hz:.1} Hz from a harmonic of the supply need a block of at least {:.2} s; this one has {:.2} s",
        LOBE / apart_hz,
        1.0 / resolution_hz
    )
}

/// The shaft frequency, or where it may be.
fn shaft(prepared: &Prepared<'_>, f0: Fundamental) -> Result<(Shaft, bool), String> {
    if let Some(shaft) = prepared.shaft() {
        let pairs = pole_pairs(prepared, f0, shaft.frequency_hz);
        if (f0.frequency_hz - pairs * shaft.frequency_hz).abs() > SLIP_MAX * f0.frequency_hz {
            return Err(contradictory(shaft.frequency_hz, f0));
        }
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
        frequency_hz: synchronous_hz * (1.0 - SLIP_LOADED / 2.0),
        tolerance_hz: synchronous_hz * SLIP_LOADED / 2.0,
        source: Source::Supply,
    };
    Ok((shaft, false))
}

struct EccentricityLine {
    /// Harmonic v and order k of v f0 +- k fr.
    harmonic: f64,
    order: f64,
    sign: char,
    expected_hz: f64,
    found: Sideband,
}

impl EccentricityLine {
    fn evidence(&self) -> vtox_protocol::Evidence {
        let times = |n: f64| if n == 1.0 { String::new() } else { format!("{n:.0} ") };
        let (v, k) = (times(self.harmonic), times(self.order));
        line(
            format!("{v}f0 {} {k}fr, {:.1} dB", self.sign, self.found.level_db()),
            "Hz",
            Some(self.expected_hz),
            Some(self.found.frequency_hz),
            Some(self.found.above_floor_db),
        )
    }
}

/// The lines of a harmonic and an order, as far as they are within the spectrum.
fn beside(
    spectrum: &Spectrum,
    f0: Fundamental,
    harmonic: f64,
    order: f64,
    distance_hz: f64,
    tolerance_hz: f64,
) -> Vec<EccentricityLine> {
    let lines = [('+', 1.0), ('-', -1.0)].into_iter().filter_map(|(sign, factor)| {
        // A negative frequency is its mirror image in the spectrum of one phase.
        let expected_hz = (harmonic * f0.frequency_hz + factor * order * distance_hz).abs();
        let tolerance_hz = order * tolerance_hz + LINE_ERROR * spectrum.resolution_hz;
        let found = sideband(spectrum, f0, expected_hz, tolerance_hz)?;
        Some(EccentricityLine { harmonic, order, sign, expected_hz, found })
    });
    lines.collect()
}

fn measure(spectrum: &Spectrum, f0: Fundamental, shaft: &Shaft) -> Vec<EccentricityLine> {
    let of_order = |order| beside(spectrum, f0, 1.0, order, shaft.frequency_hz, shaft.tolerance_hz);
    ORDERS.into_iter().flat_map(of_order).collect()
}

/// Families other than f0 +- fr with a line that stands out where that one puts it. Adds the lines of those not measured yet.
fn further_families(
    prepared: &Prepared<'_>,
    spectrum: &Spectrum,
    f0: Fundamental,
    distance_hz: f64,
    lines: &mut Vec<EccentricityLine>,
) -> usize {
    let height = height_db(prepared.thresholds.eccentricity.pair_above_floor_db, spectrum);
    let stands_out = |l: &EccentricityLine| l.found.above_floor_db >= height;
    // With one pole pair f0 - 2 fr is where broken bars have theirs, and f0 + 2 fr where those have it beside 3 f0.
    let own = pole_pairs(prepared, f0, distance_hz) > 1.5;
    let second = own && lines.iter().any(|l| l.order == 2.0 && stands_out(l));
    let mut families = usize::from(second);
    for harmonic in HARMONICS {
        let found = beside(spectrum, f0, harmonic, 1.0, distance_hz, LINE_ERROR * spectrum.resolution_hz);
        let before = lines.len();
        lines.extend(found.into_iter().filter(stands_out));
        families += usize::from(lines.len() > before);
    }
    families
}

/// Whether broken bars have their lines where these are: distance from the fundamental, and height over it.
fn beside_broken_bars(
    prepared: &Prepared<'_>,
    spectrum: &Spectrum,
    f0: Fundamental,
    found: (f64, f64),
) -> bool {
    let bars = prepared.profile.motor_type != MotorType::PermanentMagnet;
    let slip_hz = broken_bar::distance_hz(prepared, f0).filter(|_| bars);
    slip_hz.is_some_and(|slip_hz| coincide(spectrum, f0, found, slip_hz))
}

/// Amplitude of the stronger line of an order, noise or not.
fn measured(lines: &[EccentricityLine], order: f64) -> f64 {
    lines.iter().filter(|l| l.order == order).map(|l| l.found.ratio).fold(f64::NAN, f64::max)
}

/// All orders together; one outside the spectrum adds nothing.
fn index(lines: &[EccentricityLine]) -> f64 {
    ORDERS.map(|order| measured(lines, order)).into_iter().filter(|r| r.is_finite()).fold(0.0, f64::hypot)
}

/// Level up to which the first-order lines could be there without standing out.
fn hidden_db(thresholds: &Thresholds, spectrum: &Spectrum, lines: &[EccentricityLine]) -> f64 {
    let floors: Vec<f64> = lines.iter().filter(|l| l.order == 1.0).map(|l| l.found.floor_db()).collect();
    match floors[..] {
        [one, other] => one.max(other) + height_db(thresholds.pair_above_floor_db, spectrum),
        _ => {
            db(floors.iter().map(|f| 10f64.powf(f / 20.0)).fold(0.0, f64::max))
                + height_db(thresholds.alone_above_floor_db, spectrum)
        }
    }
}

/// The stronger one of the lines f0 +- fr that are beyond the noise.
fn standing_out<'a>(
    thresholds: &Thresholds,
    spectrum: &Spectrum,
    lines: &'a [EccentricityLine],
) -> Option<&'a EccentricityLine> {
    let first: Vec<&EccentricityLine> = lines.iter().filter(|l| l.order == 1.0).collect();
    let pair_db = height_db(thresholds.pair_above_floor_db, spectrum);
    let alone_db = height_db(thresholds.alone_above_floor_db, spectrum);
    let pair = first.len() == 2 && first.iter().all(|l| l.found.above_floor_db >= pair_db);
    let beyond = first.into_iter().filter(|l| pair || l.found.above_floor_db >= alone_db);
    beyond.max_by(|a, b| a.found.ratio.total_cmp(&b.found.ratio))
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
    let tolerance_hz = bars * shaft.tolerance_hz.min(0.002 * shaft.frequency_hz) + spectrum.resolution_hz;
    let found = sideband(spectrum, f0, expected_hz, tolerance_hz)?;
    let height = height_db(prepared.thresholds.eccentricity.alone_above_floor_db, spectrum);
    (found.above_floor_db >= height).then_some(found)
}
