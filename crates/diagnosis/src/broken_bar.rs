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
    LINE_ERROR, LOBE, NO_FUNDAMENTAL, Sideband, amplitude_share, confirmed, current_fundamental,
    forward_share, hidden_in_noise, pole_pairs, sideband,
};
use crate::spectrum::{Spectrum, db};
use crate::speed::Source;

const FAULT: FaultType = FaultType::BrokenBar;

/// Figures at which the verdict changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Sum of the side bands below the fundamental, dB: sound rotors stay below about -54 dB, -50 to -45 dB calls for
    /// watching, above -45 dB at least one bar is broken or cracked (Thomson and Fenger).
    pub level_db: Scale,
    /// A lower side band alone must stand this far out of the floor, dB: noise does so in 1 of 1000 places. Averaging phases
    /// does not help: so close to the fundamental the noise is that of supply and load, and the same in all of them.
    pub alone_above_floor_db: f64,
    /// Each of two lines that mirror each other must, dB: noise does so in 1 of 1000 pairs.
    pub pair_above_floor_db: f64,
    /// Error of the speed reading as a fraction of synchronous speed (3 r/min of 1500). Wider, and oscillating loads come
    /// in.
    pub speed_error: f64,
    /// An oscillating torque modulates the phase of the current (M. Bloedt, J. Regnier and J. Faucher, IEEE Trans. Ind.
    /// Appl. 45 (2009) 1991-2000), an asymmetric rotor its amplitude at least as much; a share of 1 is amplitude only,
    /// 0 phase only. Below this it is more likely a load.
    pub amplitude_share_min: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            level_db: Scale::new(-60.0, -50.0, -45.0),
            alone_above_floor_db: 10.0,
            pair_above_floor_db: 7.0,
            speed_error: 0.002,
            amplitude_share_min: 0.1,
        }
    }
}

/// With one pole pair a lower side band must be this many times the sister of the eccentricity line that may hide in it.
const ECCENTRICITY_SHARE: f64 = 2.0;
/// Two lines closer than this, in resolutions, have one maximum; a single one has it in its own place.
const MERGED: f64 = 1.0;
/// Beyond this slip speed and pole pairs contradict each other.
pub(crate) const SLIP_MAX: f64 = 0.25;
/// What phase modulation alone is worth at the most.
const SCORE_MAX_OF_PHASE_MODULATION: f64 = 0.5;
/// Without a speed reading a pair of side bands may just as well come from an oscillating load.
const SCORE_MAX_WITHOUT_SPEED: f64 = 0.5;
/// Lines (k - (k -+ 1) s) f0 of the winding's space harmonics k: the harmonic, and the distance from it in units of s f0. A load that
/// oscillates at 2 s f0 makes none of them.
const SPACE_HARMONICS: [(f64, f64); 4] = [(5.0, 4.0), (5.0, 6.0), (7.0, 6.0), (7.0, 8.0)];

pub(crate) fn diagnose(prepared: &Prepared<'_>) -> Verdict {
    if prepared.profile.motor_type == MotorType::PermanentMagnet {
        return not_applicable(FAULT, "a permanent-magnet motor has no rotor cage");
    }
    let f0 = match current_fundamental(prepared) {
        Ok(f0) => f0,
        Err(reason) => return insufficient(FAULT, reason),
    };
    // Most blocks are too short, and need no further spectrum to tell.
    match begin(prepared, f0, f0.resolution_hz()) {
        Err(verdict) => *verdict,
        Ok(_) => match prepared.residual() {
            Some(spectrum) => judge(prepared, spectrum, f0, |hz| amplitude_share(prepared, f0, hz)),
            None => insufficient(FAULT, NO_FUNDAMENTAL),
        },
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
    let (mut findings, distance) = match begin(prepared, f0, spectrum.resolution_hz) {
        Ok(begun) => begun,
        Err(verdict) => return *verdict,
    };
    let thresholds = &prepared.thresholds.broken_bar;
    let Some(pair) = Pair::find(prepared, spectrum, f0, &distance) else {
        return findings.insufficient(FAULT, "the side bands fall outside the spectrum");
    };
    let lower = pair.lower;
    findings.feature("sideband_ratio", lower.ratio);
    findings.feature("lower_sideband_db", lower.level_db());
    findings.feature_if("upper_sideband_db", pair.upper.map(|u| u.level_db()));
    findings.feature("sideband_above_floor_db", lower.above_floor_db);
    findings.feature("normalized_fault_index", pair.sum());
    let mut confirming = Vec::new();
    if pair.stands_out {
        findings.score = thresholds.level_db.score(db(pair.sum()));
        findings.feature_if("broken_bar_count", bar_count(prepared, f0, &distance, lower));
        confirming = further_families(prepared, spectrum, f0, &pair);
    } else {
        let hidden_db = lower.floor_db() + thresholds.alone_above_floor_db;
        if hidden_db > thresholds.level_db.end() {
            return findings.insufficient(FAULT, hidden_in_noise(hidden_db));
        }
        findings.remark(&format!(
            "no side band stands out of the noise, which hides those below {hidden_db:.0} dB"
        ));
    }
    if !distance.from_speed && confirming.is_empty() {
        return findings.insufficient(
            FAULT,
            "the speed (r/min) is needed: without it side bands cannot be told from an oscillating load",
        );
    }
    if findings.score >= WARNING_SCORE {
        if beside_eccentricity(prepared, spectrum, f0, &pair) {
            return findings.insufficient(
                FAULT,
                "at this slip 2 s f0 lies upon the shaft's frequency, where eccentricity makes lines too: another load or a \
                 longer block is needed",
            );
        }
        let share = pair.upper.filter(|_| pair.mirrored).and_then(|_| amplitude_share(pair.distance_hz(f0)));
        findings.feature_if("amplitude_modulation_share", share);
        findings.score = confirmed(findings.score, confirming.len());
        if confirming.is_empty() && share.is_some_and(|s| s < thresholds.amplitude_share_min) {
            findings.score = findings.score.min(SCORE_MAX_OF_PHASE_MODULATION);
            findings.remark(
                "the side bands modulate the phase: more likely an oscillating load than broken bars",
            );
        }
    }
    if !distance.from_speed {
        findings.score = findings.score.min(SCORE_MAX_WITHOUT_SPEED);
        findings.remark("no speed reading: an oscillating load can look the same");
    }
    findings.evidence = pair.evidence(f0, &distance);
    findings.evidence.extend(confirming.into_iter().map(|(name, expected_hz, found)| {
        let name = format!("{name}, {:.1} dB", found.level_db());
        line(name, "Hz", Some(expected_hz), Some(found.frequency_hz), Some(found.above_floor_db))
    }));
    findings.advice = Some(
        "Repeat at a load above 50 % and compare; if the side bands grow with load, inspect rotor bars and end rings. \
         Avoid frequent starts until then."
            .to_owned(),
    );
    findings.verdict(FAULT)
}

/// Where the side bands must be, or the verdict when that cannot be told or not be resolved.
fn begin(
    prepared: &Prepared<'_>,
    f0: Fundamental,
    resolution_hz: f64,
) -> Result<(Findings, Distance), Box<Verdict>> {
    let mut findings = Findings::default();
    findings.feature("fundamental_frequency_hz", f0.frequency_hz);
    let distance = match expected_distance(prepared, f0) {
        Ok(distance) => distance,
        Err(reason) => return Err(Box::new(findings.insufficient(FAULT, reason))),
    };
    findings.feature("slip", distance.expected_hz / (2.0 * f0.frequency_hz));
    if distance.expected_hz < LOBE * resolution_hz {
        let reason = format!(
            "side bands {:.2} Hz from the fundamental need a block of at least {:.2} s; this one has {:.2} s",
            distance.expected_hz,
            LOBE / distance.expected_hz.max(1e-3),
            1.0 / resolution_hz
        );
        return Err(Box::new(findings.insufficient(FAULT, reason)));
    }
    Ok((findings, distance))
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
            return Err(contradictory(shaft.frequency_hz, f0));
        }
        let slip_error_hz = match shaft.source {
            Source::Reading => prepared.thresholds.broken_bar.speed_error * f0.frequency_hz,
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

/// What is wrong when pole pairs, speed and supply give a slip that no motor runs at.
pub(crate) fn contradictory(shaft_hz: f64, f0: Fundamental) -> String {
    format!(
        "speed ({:.0} r/min) and supply frequency ({:.1} Hz) do not go together: check pole pairs and speed",
        shaft_hz * 60.0,
        f0.frequency_hz
    )
}

/// Whether side bands at `distance_hz` cannot be told from those of another fault, the first of which are `other_hz` away
/// and the second ones, which are no higher, twice that.
pub(crate) fn coincide(
    spectrum: &Spectrum,
    f0: Fundamental,
    (distance_hz, ratio): (f64, f64),
    other_hz: f64,
) -> bool {
    let near = |hz: f64| (distance_hz - hz).abs() < MERGED * spectrum.resolution_hz;
    let first_is_higher = || {
        let tolerance_hz = LINE_ERROR * spectrum.resolution_hz;
        let at = |hz: f64| sideband(spectrum, f0, hz.abs(), tolerance_hz);
        let both = [at(f0.frequency_hz - other_hz), at(f0.frequency_hz + other_hz)];
        both.into_iter().flatten().any(|s| s.ratio >= ratio)
    };
    near(other_hz) || (near(2.0 * other_hz) && first_is_higher())
}

/// Whether eccentricity has its lines where the side bands are.
fn beside_eccentricity(prepared: &Prepared<'_>, spectrum: &Spectrum, f0: Fundamental, pair: &Pair) -> bool {
    let found = (pair.distance_hz(f0), pair.lower.ratio);
    prepared.shaft_hz().is_some_and(|shaft_hz| coincide(spectrum, f0, found, shaft_hz))
}

/// The first side bands.
struct Pair {
    lower: Sideband,
    upper: Option<Sideband>,
    /// Both stand out and mirror each other.
    mirrored: bool,
    /// Beyond the noise.
    stands_out: bool,
}

impl Pair {
    /// None where the lower one falls outside the spectrum.
    fn find(
        prepared: &Prepared<'_>,
        spectrum: &Spectrum,
        f0: Fundamental,
        distance: &Distance,
    ) -> Option<Self> {
        let thresholds = &prepared.thresholds.broken_bar;
        let near = LINE_ERROR * spectrum.resolution_hz;
        let at = |offset_hz: f64, tolerance| sideband(spectrum, f0, f0.frequency_hz + offset_hz, tolerance);
        let mut lower = at(-distance.expected_hz, distance.tolerance_hz + near)?;
        // The upper one is looked for where the lower one's mirror image is.
        let upper = at(f0.frequency_hz - lower.frequency_hz, 2.0 * near);
        let lowest_db = lower.above_floor_db.min(upper.map_or(0.0, |u| u.above_floor_db));
        let mirrored = lowest_db >= thresholds.pair_above_floor_db;
        let alone = lower.above_floor_db >= thresholds.alone_above_floor_db;
        let mut stands_out = alone || mirrored;
        if stands_out && may_be_image(prepared, f0) {
            let share = forward_share(prepared, f0, lower.frequency_hz, spectrum.resolution_hz);
            lower.ratio *= share.unwrap_or(1.0).sqrt();
            if let Some(sister) = sister(prepared, spectrum, f0) {
                stands_out = lower.ratio > ECCENTRICITY_SHARE * sister;
            }
        }
        Some(Self { lower, upper, mirrored, stands_out })
    }

    fn distance_hz(&self, f0: Fundamental) -> f64 {
        f0.frequency_hz - self.lower.frequency_hz
    }

    /// Sum of the amplitudes over the fundamental; the upper one counts when it mirrors the lower.
    fn sum(&self) -> f64 {
        let upper = self.upper.filter(|_| self.mirrored);
        self.lower.without_noise() + upper.map_or(0.0, |u| u.without_noise())
    }

    fn evidence(&self, f0: Fundamental, distance: &Distance) -> Vec<vtox_protocol::Evidence> {
        let bands = [
            ("lower side band (1-2s)f0", -1.0, Some(self.lower)),
            ("upper side band (1+2s)f0", 1.0, self.upper),
        ];
        let evidence = bands.into_iter().filter_map(|(name, sign, found)| {
            let found = found?;
            Some(line(
                format!("{name}, {:.1} dB", found.level_db()),
                "Hz",
                Some(f0.frequency_hz + sign * distance.expected_hz),
                Some(found.frequency_hz),
                Some(found.above_floor_db),
            ))
        });
        evidence.collect()
    }
}

/// Other families that stand out where the first side bands put them: the lower of the second ones, and those of the space harmonics.
fn further_families(
    prepared: &Prepared<'_>,
    spectrum: &Spectrum,
    f0: Fundamental,
    pair: &Pair,
) -> Vec<(String, f64, Sideband)> {
    let slip_hz = pair.distance_hz(f0) / 2.0;
    let height = prepared.thresholds.broken_bar.alone_above_floor_db;
    let second = (1.0, 4.0, "lower side band (1-4s)f0".to_owned());
    let space = SPACE_HARMONICS.map(|(k, slips)| (k, slips, format!("({k:.0}-{slips:.0}s)f0")));
    let found = std::iter::once(second).chain(space).filter_map(|(harmonic, slips, name)| {
        let expected_hz = harmonic * f0.frequency_hz - slips * slip_hz;
        // The slip found is off by a line's error times half the slips.
        let tolerance_hz = 0.5 * slips * LINE_ERROR * spectrum.resolution_hz;
        let found = sideband(spectrum, f0, expected_hz, tolerance_hz)?;
        (found.above_floor_db >= height).then_some((name, expected_hz, found))
    });
    found.collect()
}

/// With one pole pair f0 - 2 fr = -(1 - 2s) f0: the second-order line of eccentricity falls onto the lower side band, but
/// rotates backward.
fn may_be_image(prepared: &Prepared<'_>, f0: Fundamental) -> bool {
    prepared.shaft_hz().is_some_and(|hz| pole_pairs(prepared, f0, hz) < 1.5)
}

/// The sister f0 + 2 fr of that line, which shows how strong it is.
fn sister(prepared: &Prepared<'_>, spectrum: &Spectrum, f0: Fundamental) -> Option<f64> {
    let thresholds = &prepared.thresholds.broken_bar;
    let tolerance_hz = 2.0 * thresholds.speed_error * f0.frequency_hz + 0.5 * spectrum.resolution_hz;
    let found = sideband(spectrum, f0, f0.frequency_hz + 2.0 * prepared.shaft_hz()?, tolerance_hz)?;
    (found.above_floor_db >= thresholds.alone_above_floor_db).then_some(found.ratio)
}

/// Estimated number of broken bars n = 2 R / (10^(N / 20) + p), N the distance of the lower side band to the
/// fundamental in dB, R the rotor bars (Thomson and Fenger).
fn bar_count(prepared: &Prepared<'_>, f0: Fundamental, distance: &Distance, lower: Sideband) -> Option<f64> {
    let bars = f64::from(prepared.profile.rotor_bars?);
    let shaft_hz = prepared.shaft_hz().filter(|_| distance.from_speed)?;
    let pairs = pole_pairs(prepared, f0, shaft_hz);
    Some(2.0 * bars / (1.0 / lower.ratio.max(1e-6) + pairs))
}
