//! Rolling-element bearing damage: impacts at the rates geometry and speed give, found in the envelope of the vibration.
//!
//! R. B. Randall and J. Antoni, "Rolling element bearing diagnostics - a tutorial", MSSP 25 (2011) 485-520. The vibration is
//! cut into dyadic bands, and once whitened by linear prediction; in each, the spectrum of the squared envelope is searched for
//! the harmonics of BPFO, BPFI, 2 BSF and FTF. A family of lines must be beyond what noise makes, must modulate noise rather
//! than be the beat of tones, and its depth of modulation gives the score. All of it is free of scale. Cannot be seen: a defect
//! that modulates less than a sound bearing under load does, and anything while the shaft turns less than about twice per
//! block.

mod envelope;
mod lines;
mod parts;
mod prediction;
mod search;

use serde::{Deserialize, Serialize};
use vtox_protocol::{FaultType, Quantity, Verdict};

use self::envelope::{Band, envelopes, kurtosis, typical_kurtosis};
use self::lines::{HARMONICS, ShaftRate};
use self::parts::{Part, usable};
use self::search::{Found, at_any_rate, at_rates};
use crate::findings::{Findings, WARNING_SCORE, insufficient, line};
use crate::prepared::Prepared;
use crate::scale::Scale;
use crate::signal::Signal;
use crate::spectrum::Spectrum;
use crate::speed::Source;

const FAULT: FaultType = FaultType::Bearing;

/// Figures at which the verdict changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Impulsiveness at BPFO: geometric mean of the depth of modulation and the kurtosis it gives the band. Also in a sound
    /// bearing the elements pass under the load at this rate (variable compliance): modulating an amplitude fully and
    /// smoothly as 1 + cos gives depths of 4/3 + 1/3 and a kurtosis of 17/9, which is 1.78. Damage is told from that by a
    /// factor of 1.4 for a warning and of 2 for a fault; impacts reach 4 and more.
    pub outer_race_impulsiveness: Scale,
    /// Depth of modulation at BPFI, 2 BSF and FTF, at which nothing passes under the load of a sound bearing. Faint lines are
    /// there because no race is perfectly round: two thirds of what full smooth modulation gives (1.67) are a warning, all of
    /// it a fault.
    pub other_depth: Scale,
    /// Kurtosis of the whitened waveform as far as a family of lines accounts for it: a second sign beside the depth of the
    /// lines. 3 for noise. Elements that share the load never unload the race: modulating noise smoothly as 1 + 0.6 cos gives
    /// 4.6, which is no warning; even full modulation, 5.8, is no fault. Impacts give 8 and more.
    pub kurtosis_at_rate: Scale,
    /// Kurtosis of a turn or so of the waveform, median over the block so that single impacts do not count: 3 for noise.
    pub typical_kurtosis: Scale,
    /// ln of the level of vibration over its level in healthy running. Neighbouring zones of ISO 10816-3 / 20816-3 are about
    /// a factor 1.6 to 2.5 apart: one zone of 2.5 up is a warning, two are a fault.
    pub ln_growth: Scale,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            outer_race_impulsiveness: Scale::new(1.2, 2.5, 3.5),
            other_depth: Scale::new(0.6, 1.1, 1.7),
            kurtosis_at_rate: Scale::new(3.8, 5.0, 8.0),
            typical_kurtosis: Scale::new(3.5, 5.0, 9.0),
            ln_growth: Scale::new(0.4, 0.916, 1.83),
        }
    }
}

/// Knocks that follow no rate come from elsewhere: no warning.
const IRREGULAR_SCORE_MAX: f64 = 0.29;
/// Error of a speed that may be a nominal one and that no line of the shaft confirms.
const UNCONFIRMED_SPEED_ERROR: f64 = 0.015;

pub(crate) fn diagnose(prepared: &Prepared<'_>) -> Verdict {
    let axes: Vec<(usize, &Signal)> = prepared.axes().collect();
    let most_impulsive =
        axes.iter().map(|(_, s)| (typical_kurtosis(&s.samples), *s)).max_by(|a, b| a.0.total_cmp(&b.0));
    let Some((typical_kurtosis, worst)) = most_impulsive else {
        let defect = prepared.vibration(0).err().map_or("is missing", |d| d.describe());
        return insufficient(FAULT, format!("a vibration channel is needed: the first {defect}"));
    };
    let thresholds = &prepared.thresholds.bearing;
    let mut findings = Findings::default();
    findings.feature("kurtosis", kurtosis(&worst.samples));
    findings.feature("typical_kurtosis", typical_kurtosis);
    findings.feature("crest_factor", worst.samples.iter().fold(0.0, |peak, x| x.abs().max(peak)));
    findings.feature("vibration_rms", axes.iter().map(|(_, s)| s.rms * s.rms).sum::<f64>().sqrt());
    findings.feature_if("speed_rpm", prepared.shaft_hz().map(|hz| 60.0 * hz));

    let impulsive = thresholds.typical_kurtosis.score(typical_kurtosis);
    findings.score = impulsive.min(IRREGULAR_SCORE_MAX);
    let resolved = look_at_known_rates(prepared, &axes, &mut findings);
    if !resolved || (findings.score < WARNING_SCORE && impulsive >= WARNING_SCORE) {
        look_at_any_rate(prepared, &axes, resolved, &mut findings);
        if findings.score < WARNING_SCORE && impulsive >= WARNING_SCORE {
            findings.remark("impulsive, but at no steady rate that could be told: knocks from elsewhere?");
        }
    }
    findings.evidence.push(line("typical kurtosis", "", Some(3.0), Some(typical_kurtosis), None));
    findings.verdict(FAULT)
}

/// Judges the lines at the rates of the bearing. False where these are not known or not resolved.
fn look_at_known_rates(prepared: &Prepared<'_>, axes: &[(usize, &Signal)], findings: &mut Findings) -> bool {
    let bearing = prepared.profile.bearing.filter(usable);
    let shaft = shaft(prepared);
    let (Some(bearing), Some((shaft, speed_error))) = (bearing, shaft) else {
        findings.remark(match bearing {
            None => "bearing geometry unknown: judged by impacts at any steady rate, with less confidence",
            Some(_) => "speed unknown: judged by impacts at any steady rate, with less confidence",
        });
        return false;
    };
    let thresholds = &prepared.thresholds.bearing;
    let searched = at_rates(thresholds, axes, &bearing, shaft, speed_error);
    if !searched.resolved {
        findings.remark(
            "block too short or sampled too slowly to resolve the defect rates: judged by impacts at any steady rate, with \
             less confidence",
        );
    }
    if let Some(found) = searched.best {
        findings.score = findings.score.max(found.score(thresholds));
        if found.family.near_shaft && findings.score >= WARNING_SCORE {
            findings.remark("block too short to tell the rate from a multiple of the speed: a longer one makes it certain");
        }
        report(findings, &found, axes.len());
    }
    searched.resolved
}

/// Judges impacts at a steady rate that need not be one of the bearing's.
fn look_at_any_rate(
    prepared: &Prepared<'_>,
    axes: &[(usize, &Signal)],
    others_known: bool,
    findings: &mut Findings,
) {
    let thresholds = &prepared.thresholds.bearing;
    let Some(found) = at_any_rate(thresholds, axes, shaft(prepared).map(|(rate, _)| rate)).best else {
        return;
    };
    let score = found.score(thresholds);
    if score <= findings.score {
        return;
    }
    findings.score = score;
    report(findings, &found, axes.len());
    if others_known && score >= WARNING_SCORE {
        findings.remark("impacts at a steady rate that is none of this bearing's: another bearing, or wrong geometry or speed?");
    }
}

/// Shaft frequency, and the relative error to allow for it.
fn shaft(prepared: &Prepared<'_>) -> Option<(ShaftRate, f64)> {
    let shaft = prepared.shaft()?;
    let error = match shaft.source {
        Source::Reading => UNCONFIRMED_SPEED_ERROR,
        Source::Supply | Source::Lines => shaft.tolerance_hz / shaft.frequency_hz,
    };
    let rate = ShaftRate { hz: shaft.frequency_hz, tolerance_hz: shaft.tolerance_hz };
    Some((rate, error))
}

fn report(findings: &mut Findings, found: &Found, axes: usize) {
    let Found { family, band, .. } = found;
    let rate = if found.part.is_some() { "bearing_characteristic_frequency" } else { "impact_rate_hz" };
    findings.feature(rate, family.rate_hz);
    findings.feature("modulation_depth", family.depth);
    findings.feature("impulsiveness", found.impulsiveness());
    findings.feature("band_low_hz", band.low_hz);
    findings.feature("band_high_hz", band.high_hz);
    findings.feature("spectral_kurtosis", found.kurtosis);
    findings.feature_if("whitened_kurtosis", found.whitened_kurtosis);
    let symbol = found.part.map_or("impacts", |(part, _)| part.symbol());
    let whitened = if found.whitened { "whitened " } else { "" };
    let axis =
        if axes > 1 { format!(" of {}", Quantity::VIBRATIONS[found.axis].name()) } else { String::new() };
    findings.evidence.clear();
    for (h, power) in (1..=HARMONICS).zip(family.over_noise) {
        findings.evidence.push(line(
            format!(
                "{symbol} x{h} of the {whitened}envelope{axis}, {:.0} to {:.0} Hz",
                band.low_hz, band.high_hz
            ),
            "Hz",
            found.part.map(|(_, expected_hz)| h as f64 * expected_hz),
            Some(h as f64 * family.rate_hz),
            Some(10.0 * power.max(1e-10).log10()),
        ));
    }
    findings.advice = Some(match found.part {
        Some((Part::Cage, _)) => "Lines at FTF of the bearing (cage): check lubrication, and replace the bearing soon: a broken \
                                  cage blocks it without further warning."
            .to_owned(),
        Some((part, _)) => format!(
            "Lines at {} of the bearing ({}): check lubrication, plan its replacement and watch the trend; inspect the races \
             for spalls and for marks of current passing.",
            part.symbol(),
            part.name()
        ),
        None => "Impacts at a steady rate: listen to the bearing and check lubrication and fastenings; with the bearing's \
                 designation and the speed in the profile the damaged part can be told."
            .to_owned(),
    });
}

/// Spectrum of the squared envelope of the vibration, over its mean: what the lines are searched in. Of the band, Hz, that is
/// asked for where it is one of those looked at, else of the whole one.
pub(crate) fn envelope_spectrum(
    prepared: &Prepared<'_>,
    band_hz: Option<(f64, f64)>,
) -> Option<((f64, f64), Spectrum)> {
    let asked = |band: Band| {
        band_hz
            .is_some_and(|(low, high)| (band.low_hz - low).abs() < 0.5 && (band.high_hz - high).abs() < 0.5)
    };
    let kurtosis_of = |signal: &Signal| typical_kurtosis(&signal.samples);
    let (_, signal) = prepared.axes().max_by(|a, b| kurtosis_of(a.1).total_cmp(&kurtosis_of(b.1)))?;
    let all = envelopes(signal, 0.0, 0.2 * signal.rate_hz);
    let shown = all.iter().find(|e| asked(e.band)).or(all.first())?;
    Some(((shown.band.low_hz, shown.band.high_hz), shown.spectrum()))
}
