//! Broken rotor bars of a cage motor: side bands of the fundamental at (1 +- 2ks) f0, s = slip.
//!
//! W. T. Thomson and M. Fenger, "Current signature analysis to detect induction motor faults", IEEE Ind. Appl. Mag. 7(4)
//! (2001) 26-34, for levels and the number of bars; the sum of both side bands is used because inertia moves amplitude
//! from one to the other but not their sum: A. Bellini et al., "On-field experience with online diagnosis of large
//! induction motors cage failures using MCSA", IEEE Trans. Ind. Appl. 38 (2002) 1045-1053. Cannot be seen: anything at
//! a slip the block is too short to resolve.

use serde::{Deserialize, Serialize};
use vtox_protocol::{FaultType, MotorType, Verdict};

use crate::findings::{Findings, WARNING_SCORE, insufficient, line, not_applicable};
use crate::fundamental::Fundamental;
use crate::prepared::Prepared;
use crate::scale::Scale;
use crate::sidebands::{
    LOBE, Sideband, amplitude_share, current_spectrum, hidden_in_noise, pole_pairs, sideband,
};
use crate::spectrum::{Spectrum, db};
use crate::speed::Source;

const FAULT: FaultType = FaultType::BrokenBar;

/// Levels at which the verdict changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Sum of the side bands below the fundamental, dB: sound rotors stay below about -54 dB, -50 to -45 dB calls for
    /// watching, above -45 dB at least one bar is broken or cracked (Thomson and Fenger).
    pub level_db: Scale,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { level_db: Scale::new(-60.0, -50.0, -45.0) }
    }
}

/// A lower side band alone must stand this far out of the floor: noise does so in 1 of 1000 bins.
const ALONE_ABOVE_FLOOR_DB: f64 = 10.0;
/// Each of two lines that mirror each other must stand this far out of it,
const PAIR_ABOVE_FLOOR_DB: f64 = 5.0;
/// and the powers of both over the mean of the noise must add up to this: noise alone does so in 1 of 800 pairs.
const PAIR_POWER_MIN: f64 = 9.0;
/// Error of the speed reading as a fraction of synchronous speed (3 r/min of 1500). Wider, and oscillating loads come in.
const SPEED_ERROR: f64 = 0.002;
/// Beyond this slip speed and pole pairs contradict each other.
const SLIP_MAX: f64 = 0.25;
/// Mirror lines may differ by this many resolutions in their distance from the fundamental.
const MIRROR_TOLERANCE: f64 = 0.5;
/// An oscillating torque modulates the phase of the current (M. Bloedt, J. Regnier and J. Faucher, IEEE Trans. Ind. Appl. 45
/// (2009) 1991-2000), an asymmetric rotor its amplitude at least as much; a share of 1 is amplitude only, 0 phase only.
const AMPLITUDE_SHARE_MIN: f64 = 0.1;
/// What phase modulation alone is worth at the most.
const SCORE_MAX_OF_PHASE_MODULATION: f64 = 0.5;
/// Without a speed reading a pair of side bands may just as well come from an oscillating load.
const SCORE_MAX_WITHOUT_SPEED: f64 = 0.5;

pub(crate) fn diagnose(prepared: &Prepared<'_>) -> Verdict {
    if prepared.profile.motor_type == MotorType::PermanentMagnet {
        return not_applicable(FAULT, "a permanent-magnet motor has no rotor cage");
    }
    match current_spectrum(prepared) {
        Ok((spectrum, f0)) => judge(prepared, spectrum, f0, |hz| amplitude_share(prepared, f0, hz)),
        Err(reason) => insufficient(FAULT, reason),
    }
}

/// Distance 2 s f0 of the side bands from the fundamental, Hz; None where it is not known.
pub(crate) fn distance_hz(prepared: &Prepared<'_>, f0: Fundamental) -> Option<f64> {
    expected_distance(prepared, f0).ok().map(|distance| distance.expected_hz)
}

/// Judges a current spectrum from which the fundamental was taken out: of one block, or of blocks joined. `amplitude_share`
/// gives the share of amplitude modulation in side bands this far from the fundamental, where it can be told.
pub(crate) fn judge(
    prepared: &Prepared<'_>,
    spectrum: &Spectrum,
    f0: Fundamental,
    amplitude_share: impl Fn(f64) -> Option<f64>,
) -> Verdict {
    let mut findings = Findings::default();
    findings.feature("fundamental_frequency_hz", f0.frequency_hz);
    let distance = match expected_distance(prepared, f0) {
        Ok(distance) => distance,
        Err(reason) => return findings.insufficient(FAULT, reason),
    };
    findings.feature("slip", distance.expected_hz / (2.0 * f0.frequency_hz));
    let needed_hz = LOBE * spectrum.resolution_hz;
    if distance.expected_hz < needed_hz {
        let seconds = LOBE / distance.expected_hz.max(1e-3);
        return findings.insufficient(
            FAULT,
            format!(
                "side bands {:.2} Hz from the fundamental need a block of at least {seconds:.2} s; this one has {:.2} s",
                distance.expected_hz,
                1.0 / spectrum.resolution_hz
            ),
        );
    }

    let mut pair = find_pair(spectrum, f0, &distance);
    pair.lower_is_eccentricity = eccentricity_line(prepared, spectrum, f0);
    let Some(lower) = pair.lower else {
        return findings.insufficient(FAULT, "the side bands fall outside the spectrum");
    };
    let level_db = db(pair.sum());
    findings.feature("sideband_ratio", lower.ratio);
    findings.feature("lower_sideband_db", lower.level_db());
    findings.feature_if("upper_sideband_db", pair.upper.map(|u| u.level_db()));
    findings.feature("sideband_above_floor_db", lower.above_floor_db);
    findings.score =
        if pair.stands_out() { prepared.thresholds.broken_bar.level_db.score(level_db) } else { 0.0 };
    findings.feature("normalized_fault_index", pair.sum());
    if pair.stands_out() {
        findings.feature_if("broken_bar_count", bar_count(prepared, f0, &distance, lower));
    } else {
        let hidden_db = lower.floor_db() + ALONE_ABOVE_FLOOR_DB;
        if hidden_db > prepared.thresholds.broken_bar.level_db.end() {
            return findings.insufficient(FAULT, hidden_in_noise(hidden_db));
        }
        findings.remark(&format!(
            "no side band stands out of the noise, which hides those below {hidden_db:.0} dB"
        ));
    }
    let second = second_family(spectrum, f0, &pair);
    let told = distance.from_speed || (pair.stands_out() && second.is_some());
    if !told {
        return findings.insufficient(
            FAULT,
            "the speed (r/min) is needed: without it side bands cannot be told from an oscillating load",
        );
    }
    if !distance.from_speed {
        findings.score = findings.score.min(SCORE_MAX_WITHOUT_SPEED);
        findings.remark("no speed reading: an oscillating load can look the same");
    }
    if pair.is_pair() && findings.score >= WARNING_SCORE {
        let share = pair.distance_hz(f0).and_then(amplitude_share);
        findings.feature_if("amplitude_modulation_share", share);
        if second.is_none() && share.is_some_and(|s| s < AMPLITUDE_SHARE_MIN) {
            findings.score = findings.score.min(SCORE_MAX_OF_PHASE_MODULATION);
            findings.remark(
                "the side bands modulate the phase: more likely an oscillating load than broken bars",
            );
        }
    }
    findings.evidence = evidence(&pair, f0, &distance);
    findings.evidence.extend(second.map(|s| {
        let expected = f0.frequency_hz - 2.0 * (f0.frequency_hz - lower.frequency_hz);
        let name = format!("lower side band (1-4s)f0, {:.1} dB", s.level_db());
        line(name, "Hz", Some(expected), Some(s.frequency_hz), Some(s.above_floor_db))
    }));
    findings.advice = Some(
        "Repeat at a load above 50 % and compare; if the side bands grow with load, inspect rotor bars and end rings. \
         Avoid frequent starts until then."
            .to_owned(),
    );
    findings.verdict(FAULT)
}

/// Distance 2 s f0 of the first side bands from the fundamental.
struct Distance {
    expected_hz: f64,
    tolerance_hz: f64,
    from_speed: bool,
}

fn expected_distance(prepared: &Prepared<'_>, f0: Fundamental) -> Result<Distance, String> {
    let profile = &prepared.profile;
    if let Some(shaft) = prepared.shaft() {
        let pairs = pole_pairs(prepared, f0, shaft.frequency_hz);
        let slip_hz = (f0.frequency_hz - pairs * shaft.frequency_hz).abs();
        if slip_hz > SLIP_MAX * f0.frequency_hz {
            return Err(format!(
                "speed ({:.0} r/min) and supply frequency ({:.1} Hz) do not go together: check pole pairs and speed",
                shaft.frequency_hz * 60.0,
                f0.frequency_hz
            ));
        }
        let slip_error_hz = match shaft.source {
            Source::Reading => SPEED_ERROR * f0.frequency_hz,
            Source::Lines | Source::Supply => pairs * shaft.tolerance_hz,
        };
        return Ok(Distance {
            expected_hz: 2.0 * slip_hz,
            tolerance_hz: 2.0 * slip_error_hz,
            from_speed: true,
        });
    }
    // The slip frequency of a given load hardly depends on the supply frequency; from a fifth of the rated load to a bit
    // more than all of it.
    let rated = profile.rated_speed_rpm.zip(profile.rated_frequency_hz).zip(profile.pole_pairs);
    if let Some(((rpm, rated_hz), pairs)) = rated {
        let slip_hz = rated_hz - f64::from(pairs) * rpm / 60.0;
        if slip_hz > 0.0 && slip_hz < SLIP_MAX * rated_hz {
            return Ok(Distance {
                expected_hz: 1.3 * slip_hz,
                tolerance_hz: 0.9 * slip_hz,
                from_speed: false,
            });
        }
    }
    Err("the speed (r/min) is needed: from it follow the slip and the place of the side bands".to_owned())
}

/// The first side bands.
#[derive(Debug, Clone, Copy)]
struct Pair {
    lower: Option<Sideband>,
    upper: Option<Sideband>,
    mirrored: bool,
    /// A line of eccentricity falls onto the lower side band, and another of the same order is there.
    lower_is_eccentricity: bool,
}

impl Pair {
    fn stands_out(&self) -> bool {
        let alone = self.lower.is_some_and(|l| l.above_floor_db >= ALONE_ABOVE_FLOOR_DB);
        (alone && !self.lower_is_eccentricity) || self.is_pair()
    }

    fn is_pair(&self) -> bool {
        let lines = [self.lower, self.upper].into_iter().flatten();
        let high = lines.clone().filter(|s| s.above_floor_db >= PAIR_ABOVE_FLOOR_DB).count();
        // The floor is a median: ln 2 of the mean power of noise.
        let power = |s: Sideband| std::f64::consts::LN_2 * 10f64.powf(s.above_floor_db / 10.0);
        self.mirrored && high == 2 && lines.map(power).sum::<f64>() >= PAIR_POWER_MIN
    }

    fn distance_hz(&self, f0: Fundamental) -> Option<f64> {
        self.lower.map(|lower| f0.frequency_hz - lower.frequency_hz)
    }

    /// Sum of the amplitudes over the fundamental; the upper one counts when it mirrors the lower, the lower one no more than the
    /// upper when eccentricity adds to it.
    fn sum(&self) -> f64 {
        let upper = self.upper.filter(|_| self.is_pair()).map_or(0.0, |u| u.ratio);
        let lower = self.lower.map_or(0.0, |l| l.ratio);
        if self.lower_is_eccentricity { lower.min(upper) + upper } else { lower + upper }
    }
}

fn find_pair(spectrum: &Spectrum, f0: Fundamental, distance: &Distance) -> Pair {
    let tolerance = distance.tolerance_hz + 0.5 * spectrum.resolution_hz;
    let at = |sign: f64, offset: f64, tolerance: f64| {
        sideband(spectrum, f0, f0.frequency_hz + sign * offset, tolerance)
    };
    let lower = at(-1.0, distance.expected_hz, tolerance);
    // The upper one is looked for where the lower one's mirror image is.
    let mirror = lower.map(|l| f0.frequency_hz - l.frequency_hz);
    let near = MIRROR_TOLERANCE * spectrum.resolution_hz;
    let upper = mirror.and_then(|offset| at(1.0, offset, near.max(spectrum.bin_hz)));
    let mirrored = mirror
        .zip(upper)
        .is_some_and(|(offset, u)| (u.frequency_hz - f0.frequency_hz - offset).abs() <= near + 0.01);
    Pair { lower, upper, mirrored, lower_is_eccentricity: false }
}

/// The lower one of the second side bands (1 - 4s) f0, if it stands out where the first ones put it.
fn second_family(spectrum: &Spectrum, f0: Fundamental, pair: &Pair) -> Option<Sideband> {
    let offset = 2.0 * pair.distance_hz(f0)?;
    sideband(spectrum, f0, f0.frequency_hz - offset, MIRROR_TOLERANCE * spectrum.resolution_hz)
        .filter(|s| s.above_floor_db >= ALONE_ABOVE_FLOOR_DB)
}

/// With one pole pair f0 - 2 fr = -(1 - 2s) f0: the second-order line of eccentricity falls onto the lower side band. Its sister f0 + 2 fr
/// shows that it is there.
fn eccentricity_line(prepared: &Prepared<'_>, spectrum: &Spectrum, f0: Fundamental) -> bool {
    let Some(shaft_hz) = prepared.shaft_hz().filter(|hz| pole_pairs(prepared, f0, *hz) < 1.5) else {
        return false;
    };
    let tolerance_hz = 2.0 * SPEED_ERROR * f0.frequency_hz + 0.5 * spectrum.resolution_hz;
    sideband(spectrum, f0, f0.frequency_hz + 2.0 * shaft_hz, tolerance_hz)
        .is_some_and(|found| found.above_floor_db >= ALONE_ABOVE_FLOOR_DB)
}

/// Estimated number of broken bars n = 2 R / (10^(N / 20) + p), N the distance of the lower side band to the
/// fundamental in dB, R the rotor bars (Thomson and Fenger).
fn bar_count(prepared: &Prepared<'_>, f0: Fundamental, distance: &Distance, lower: Sideband) -> Option<f64> {
    let bars = f64::from(prepared.profile.rotor_bars?);
    let shaft_hz = prepared.shaft_hz().filter(|_| distance.from_speed)?;
    let pairs = pole_pairs(prepared, f0, shaft_hz);
    Some(2.0 * bars / (1.0 / lower.ratio.max(1e-6) + pairs))
}

fn evidence(pair: &Pair, f0: Fundamental, distance: &Distance) -> Vec<vtox_protocol::Evidence> {
    [("lower side band (1-2s)f0", -1.0, pair.lower), ("upper side band (1+2s)f0", 1.0, pair.upper)]
        .into_iter()
        .filter_map(|(name, sign, found)| {
            let found = found?;
            Some(line(
                format!("{name}, {:.1} dB", found.level_db()),
                "Hz",
                Some(f0.frequency_hz + sign * distance.expected_hz),
                Some(found.frequency_hz),
                Some(found.above_floor_db),
            ))
        })
        .collect()
}
