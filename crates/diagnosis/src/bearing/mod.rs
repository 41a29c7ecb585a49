//! Rolling-element bearing damage: impacts at the rates geometry and speed give, found in the envelope of the vibration.
//!
//! R. B. Randall and J. Antoni, "Rolling element bearing diagnostics - a tutorial", MSSP 25 (2011) 485-520. The vibration is
//! cut into dyadic bands; in each, the spectrum of the squared envelope is searched for the harmonics of BPFO, BPFI, 2 BSF and FTF.
//! A family of lines must be beyond what noise makes, must modulate noise rather than be the beat of tones, and its depth of modulation gives
//! the score. All of it is free of scale. Cannot be seen: a defect that modulates less than a sound bearing under load does,
//! and anything while the shaft turns less than about twice per block.

mod envelope;
mod lines;

use serde::{Deserialize, Serialize};
use vtox_protocol::{BearingGeometry, FaultType, Verdict};

use self::envelope::{Band, envelopes};
use self::lines::{Family, HARMONICS, Part, families};
use crate::findings::{Findings, insufficient, line};
use crate::prepared::Prepared;
use crate::scale::Scale;
use crate::signal::Signal;
use crate::spectrum::{Spectrum, median};

const FAULT: FaultType = FaultType::Bearing;

/// Figures at which the verdict changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Depth of modulation at BPFO. Also in a sound bearing the elements pass under the load at this rate (variable
    /// compliance): modulating an amplitude fully and smoothly gives 4/3 + 1/3 = 1.67, misalignment somewhat more. Impacts go
    /// towards 2 for each of the lines.
    pub outer_race_depth: Scale,
    /// Depth of modulation at BPFI, 2 BSF and FTF, at which nothing passes under the load of a sound bearing.
    pub other_depth: Scale,
    /// Kurtosis of a turn or so of the waveform, median over the block so that single impacts do not count: 3 for noise.
    pub typical_kurtosis: Scale,
    /// ln of the level of vibration over its level in healthy running. Neighbouring zones of ISO 10816-3 / 20816-3 are about
    /// a factor 1.6 to 2.5 apart: one zone of 2.5 up is a warning, two are a fault.
    pub ln_growth: Scale,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            outer_race_depth: Scale::new(1.0, 2.3, 3.0),
            other_depth: Scale::new(0.6, 1.2, 1.8),
            typical_kurtosis: Scale::new(3.5, 5.0, 9.0),
            ln_growth: Scale::new(0.4, 0.916, 1.83),
        }
    }
}

/// A family less surprising than this (-ln of its probability under noise) is none: about 6 in a million blocks.
const SURPRISE_MIN: f64 = 12.0;
/// Lines of depths A give modulated noise a kurtosis of their sum of A^2; beating tones have less than 0. At least this share
/// of the former must be there.
const NOISE_SHARE_MIN: f64 = 0.5;
/// Stretches the median kurtosis is taken over.
const STRETCHES: usize = 8;
/// Impulsiveness alone may come from other things that knock: at most a warning where no rates can be looked for, and
/// not even that where they could be and are not there.
const IMPULSIVE_SCORE_MAX: f64 = 0.5;
const IMPULSIVE_WITHOUT_LINES_MAX: f64 = 0.29;
/// Levels of the dyadic bands: 15 bands.
const LEVELS_MAX: u32 = 3;
/// A band must hold the third harmonic of the fastest rate and side bands.
const BAND_WIDTH_MIN: f64 = 4.0;

pub(crate) fn diagnose(prepared: &Prepared<'_>) -> Verdict {
    let axes: Vec<&Signal> = prepared.axes().map(|(_, signal)| signal).collect();
    let Some(worst) = axes.iter().max_by(|a, b| typical_kurtosis(a).total_cmp(&typical_kurtosis(b))) else {
        let defect = prepared.vibration(0).err().map_or("is missing", |d| d.describe());
        return insufficient(FAULT, format!("a vibration channel is needed: the first {defect}"));
    };
    let mut findings = Findings::default();
    findings.feature("kurtosis", kurtosis(&worst.samples));
    findings.feature("typical_kurtosis", typical_kurtosis(worst));
    findings.feature("crest_factor", worst.samples.iter().fold(0.0, |peak, x| x.abs().max(peak)));
    findings.feature("vibration_rms", axes.iter().map(|s| s.rms * s.rms).sum::<f64>().sqrt());
    let shaft_hz = prepared.shaft_hz();
    findings.feature_if("speed_rpm", shaft_hz.map(|hz| 60.0 * hz));

    let impulsive = prepared.thresholds.bearing.typical_kurtosis.score(typical_kurtosis(worst));
    let searched = prepared
        .profile
        .bearing
        .filter(usable)
        .zip(shaft_hz)
        .and_then(|(b, hz)| search(&prepared.thresholds.bearing, &axes, &b, hz));
    match searched {
        Some(found) => {
            findings.score = impulsive.min(IMPULSIVE_WITHOUT_LINES_MAX);
            match found {
                Some(found) => {
                    let depth = score(&prepared.thresholds.bearing, &found.family);
                    if found.family.depth >= scale(&prepared.thresholds.bearing, found.family.part).healthy {
                        // Impulsive at the right rate is no foreign knocking: two signs that agree.
                        findings.score = 1.0 - (1.0 - depth) * (1.0 - impulsive);
                    }
                    report(&mut findings, &found);
                }
                None if impulsive > IMPULSIVE_WITHOUT_LINES_MAX => {
                    findings.remark("impulsive, but not at the rates of this bearing");
                }
                None => {}
            }
        }
        None => {
            findings.score = impulsive.min(IMPULSIVE_SCORE_MAX);
            findings.remark(match (prepared.profile.bearing.is_some(), shaft_hz.is_some()) {
                (false, _) => "bearing geometry unknown: judged by impulsiveness alone, with less confidence",
                (true, false) => "speed unknown: judged by impulsiveness alone, with less confidence",
                (true, true) => {
                    "block too short or sampled too slowly to resolve the defect rates: judged by impulsiveness alone, \
                     with less confidence"
                }
            });
        }
    }
    findings.evidence.push(line("typical kurtosis", "", Some(3.0), Some(typical_kurtosis(worst)), None));
    findings.advice.get_or_insert_with(|| {
        "Listen to the bearing and compare with a spectrum from a longer block; check lubrication and fastenings.".to_owned()
    });
    findings.verdict(FAULT)
}

/// The deepest family of lines and where it was found.
struct Found {
    family: Family,
    band: Band,
    kurtosis: f64,
}

/// None where no part's lines can be resolved; Some(None) where none are there.
fn search(
    thresholds: &Thresholds,
    axes: &[&Signal],
    bearing: &BearingGeometry,
    shaft_hz: f64,
) -> Option<Option<Found>> {
    let width_min_hz = BAND_WIDTH_MIN * bearing.bpfi_per_rev().max(2.0 * bearing.bsf_per_rev()) * shaft_hz;
    let mut candidates = Vec::new();
    for signal in axes {
        for envelope in envelopes(signal, width_min_hz, LEVELS_MAX) {
            for family in families(&envelope, bearing, shaft_hz) {
                candidates.push(Found { family, band: envelope.band, kurtosis: envelope.kurtosis() });
            }
        }
    }
    if candidates.is_empty() {
        return None;
    }
    let looked_at = (candidates.len() as f64).ln();
    Some(
        candidates
            .into_iter()
            .filter(|c| c.family.surprise - looked_at >= SURPRISE_MIN)
            .filter(|c| c.kurtosis >= NOISE_SHARE_MIN * c.family.depth_squared)
            .max_by(|a, b| {
                score(thresholds, &a.family)
                    .total_cmp(&score(thresholds, &b.family))
                    .then(a.family.depth.total_cmp(&b.family.depth))
            }),
    )
}

fn scale(thresholds: &Thresholds, part: Part) -> Scale {
    match part {
        Part::OuterRace => thresholds.outer_race_depth,
        Part::InnerRace | Part::Element | Part::Cage => thresholds.other_depth,
    }
}

fn score(thresholds: &Thresholds, family: &Family) -> f64 {
    scale(thresholds, family.part).score(family.depth)
}

fn report(findings: &mut Findings, found: &Found) {
    let family = &found.family;
    findings.feature("bearing_characteristic_frequency", family.found_hz);
    findings.feature("modulation_depth", family.depth);
    findings.feature("band_low_hz", found.band.low_hz);
    findings.feature("band_high_hz", found.band.high_hz);
    findings.feature("spectral_kurtosis", found.kurtosis);
    for (h, power) in (1..=HARMONICS).zip(family.over_noise) {
        findings.evidence.push(line(
            format!(
                "{} x{h} of the envelope, {:.0} to {:.0} Hz",
                family.part.symbol(),
                found.band.low_hz,
                found.band.high_hz
            ),
            "Hz",
            Some(h as f64 * family.expected_hz),
            Some(h as f64 * family.found_hz),
            Some(10.0 * power.max(1e-10).log10()),
        ));
    }
    findings.advice = Some(format!(
        "Lines at {} of the bearing ({}): check lubrication, plan its replacement and watch the trend; inspect the races \
         for spalls and for marks of current passing.",
        family.part.symbol(),
        family.part.name()
    ));
}

/// Whether the dimensions describe a bearing.
fn usable(bearing: &BearingGeometry) -> bool {
    let ratio = bearing.element_diameter_mm / bearing.pitch_diameter_mm;
    bearing.elements >= 3 && ratio > 0.01 && ratio < 0.9 && bearing.contact_angle_deg.abs() < 90.0
}

fn kurtosis(samples: &[f64]) -> f64 {
    let n = samples.len() as f64;
    let square = samples.iter().map(|x| x * x).sum::<f64>() / n;
    samples.iter().map(|x| x.powi(4)).sum::<f64>() / n / square.powi(2).max(f64::MIN_POSITIVE)
}

fn typical_kurtosis(signal: &Signal) -> f64 {
    let length = (signal.samples.len() / STRETCHES).max(1);
    median(&mut signal.samples.chunks_exact(length).map(kurtosis).collect::<Vec<_>>())
}

/// Spectrum of the squared envelope of the vibration, over its mean: what the lines are searched in. Of the band, Hz, that is
/// asked for where it is one of those looked at, else of the whole one.
pub(crate) fn envelope_spectrum(
    prepared: &Prepared<'_>,
    band_hz: Option<(f64, f64)>,
) -> Option<((f64, f64), Spectrum)> {
    let asked = |band: Band| {
        band_hz.is_some_and(|(low, high)| (band.low_hz - low).abs() < 0.5 && (band.high_hz - high).abs() < 0.5)
    };
    let (_, signal) = prepared.axes().max_by(|a, b| typical_kurtosis(a.1).total_cmp(&typical_kurtosis(b.1)))?;
    let all = envelopes(signal, 0.0, LEVELS_MAX);
    let shown = all.iter().find(|e| asked(e.band)).or(all.first())?;
    Some(((shown.band.low_hz, shown.band.high_hz), shown.spectrum()))
}
