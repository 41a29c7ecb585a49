//! Winding insulation: resistance, leakage current, dielectric loss and temperature against standards.
//!
//! IEEE Std 43-2013 (recommended minimum insulation resistance; correction to 40 degC), ISO 6469-3 (isolation of electric road
//! vehicles: 100 ohm/V for DC, 500 ohm/V for AC circuits), Montsinger's rule (life halves per 10 K; V. M. Montsinger,
//! Trans. AIEE 49 (1930) 776-790), which around the limit of class F is what Arrhenius' law gives with 1.1 eV (T. W. Dakin,
//! Trans. AIEE 67 (1948) 113-122). Currents alone say nothing of insulation. How the resistance goes over time, and how long it
//! lasts at that, is followed per vehicle.

use std::f64::consts::{SQRT_2, TAU};

use realfft::num_complex::Complex;
use serde::{Deserialize, Serialize};
use vtox_protocol::{FaultType, Quantity, Verdict};

use crate::findings::{Findings, insufficient, line};
use crate::fundamental::{self, phasor};
use crate::prepared::Prepared;
use crate::scale::Scale;
use crate::signal::Signal;
use crate::spectrum::Spectrum;

const FAULT: FaultType = FaultType::Insulation;

/// Figures at which the verdict changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// lg of the resistance at 40 degC in Mohm. 100 is what IEEE 43 asks of form-wound coils, 5 of random-wound ones and of machines
    /// below 1 kV, and below about 1 (its oldest rule: 1 + rated kV) a winding is not to be energised.
    pub lg_resistance: Scale,
    /// Multiples of the ISO 6469-3 limit: below 1 the vehicle may not be driven, below 2 there is no margin left.
    pub isolation_multiple: Scale,
    /// Leakage that the limits of ISO 6469-3 allow at any voltage: 1 V / 500 ohm for AC circuits, 1 V / 100 ohm for DC.
    pub leakage_a: Scale,
    /// The resistive part alone has no business beyond the AC limit.
    pub resistive_leakage_a: Scale,
    /// tan delta: sound insulation stays below some percent (IEC 60034-27-3 for new windings: 2 to 5 %).
    pub tan_delta: Scale,
    /// Kelvin above the limit of the insulation class; 20 K too much leave a quarter of the life.
    pub overtemperature_k: Scale,
    /// Hours until the resistance, falling as it does, reaches the fault point of `lg_resistance`. 1000 h are a service interval or
    /// two; a trend alone never gives a fault.
    pub remaining_life_h: Scale,
    /// Decades by which the resistance fell within the time looked at (a quarter of a year). Moisture and season move it by
    /// a factor of three to ten.
    pub fall_decades: Scale,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            lg_resistance: Scale::new(2.0, 0.69897, 0.0),
            isolation_multiple: Scale::new(10.0, 2.0, 1.0),
            leakage_a: Scale::new(0.0, 2e-3, 10e-3),
            resistive_leakage_a: Scale::new(0.0, 1e-3, 2e-3),
            tan_delta: Scale::new(0.01, 0.05, 0.1),
            overtemperature_k: Scale::new(-20.0, 0.0, 20.0),
            remaining_life_h: Scale::new(5_000.0, 1_000.0, 100.0),
            fall_decades: Scale::new(0.5, 1.5, 3.0),
        }
    }
}

/// A motor winding is an AC circuit connected to the DC bus: 500 ohm/V.
const ISOLATION_OHM_PER_VOLT: f64 = 500.0;
/// Class F (IEC 60085), where the profile does not say.
const CLASS_DEFAULT_C: f64 = 155.0;
/// From this class on insulation is resin (thermosetting), below thermoplastic.
const THERMOSETTING_FROM_C: f64 = 155.0;
/// Where the standard's formulas for resin hold; outside, the factor of the limit is taken.
const CORRECTION_RANGE_C: (f64, f64) = (10.0, 85.0);
/// Temperatures beyond these are no winding's.
const PLAUSIBLE_C: std::ops::RangeInclusive<f64> = -60.0..=350.0;
/// The dielectric-loss angle needs this share of the leakage power in its fundamental.
const LEAKAGE_FUNDAMENTAL_SHARE: f64 = 0.1;
/// The capacitance in a profile may be off by so much.
const CAPACITANCE_TOLERANCE: f64 = 0.2;
/// The leakage counts as capacitive when its resistive part is within this of zero; sensors have angle errors of a degree.
const ANGLE_TOLERANCE: f64 = 0.05;

pub(crate) fn diagnose(prepared: &Prepared<'_>) -> Verdict {
    let resistance = prepared.value(Quantity::InsulationResistance).filter(|r| *r >= 0.0);
    let leakage = leakage_a(prepared);
    let temperature = prepared.value(Quantity::Temperature).filter(|t| PLAUSIBLE_C.contains(t));
    let mut findings = Findings::default();
    findings.feature_if("insulation_resistance", resistance);
    findings.feature_if("leakage_current", leakage);

    if let Some(celsius) = temperature {
        judge_temperature(&mut findings, prepared, celsius);
    }
    if let Some(r) = resistance {
        judge_resistance(&mut findings, prepared, r, temperature);
    }
    if let Some(amperes) = leakage {
        judge_leakage(&mut findings, prepared, amperes, temperature);
    }
    if resistance.is_none() && leakage.is_none() {
        if temperature.is_none() {
            return insufficient(
                FAULT,
                "insulation resistance (Mohm), leakage current (A) or temperature (degC) is needed; currents alone say \
                 nothing of insulation",
            );
        }
        if findings.score < crate::WARNING_SCORE {
            return findings.insufficient(
                FAULT,
                "the temperature is within its limit, but insulation resistance or leakage current is needed to judge the \
                 insulation",
            );
        }
        findings.remark("judged by temperature alone");
    }
    findings.advice = Some(
        "Measure insulation resistance and polarisation index with the inverter disconnected; look for moisture, \
         contamination and worn cables before condemning the winding."
            .to_owned(),
    );
    findings.verdict(FAULT)
}

fn raise(findings: &mut Findings, score: f64) {
    findings.score = findings.score.max(score);
}

fn class_c(prepared: &Prepared<'_>) -> f64 {
    prepared.profile.insulation_class_c.filter(|c| c.is_finite()).unwrap_or(CLASS_DEFAULT_C)
}

fn judge_temperature(findings: &mut Findings, prepared: &Prepared<'_>, celsius: f64) {
    let limit = class_c(prepared);
    let excess_k = celsius - limit;
    findings.feature("temperature_c", celsius);
    findings.feature("temp_anomaly", excess_k.max(0.0));
    // Life at this temperature over that at the limit of the class (Montsinger).
    findings.feature("relative_life", 2f64.powf((-excess_k / 10.0).clamp(-10.0, 10.0)));
    raise(findings, prepared.thresholds.insulation.overtemperature_k.score(excess_k));
    if excess_k > 0.0 {
        if prepared.profile.insulation_class_c.is_none() {
            findings.remark("insulation class unknown: 155 degC (class F) assumed");
        }
        findings.evidence.push(line("temperature", "degC", Some(limit), Some(celsius), None));
    }
}

/// Factor from the resistance at a temperature to that at 40 degC (IEEE Std 43-2013, 6.3). Resin: exp(-B (1 / T - 1 / 313)), T in
/// kelvin, B = 4230 K above 40 degC and 1245 K below; thermoplastic: 2 per 10 K.
fn to_40c(celsius: f64, class_c: f64) -> f64 {
    let celsius = celsius.clamp(CORRECTION_RANGE_C.0, CORRECTION_RANGE_C.1);
    if class_c < THERMOSETTING_FROM_C {
        return 0.5f64.powf((40.0 - celsius) / 10.0);
    }
    let b = if celsius > 40.0 { 4230.0 } else { 1245.0 };
    (-b * (1.0 / (celsius + 273.0) - 1.0 / 313.0)).exp()
}

fn judge_resistance(findings: &mut Findings, prepared: &Prepared<'_>, mohm: f64, temperature: Option<f64>) {
    let in_range = |t: f64| (CORRECTION_RANGE_C.0..=CORRECTION_RANGE_C.1).contains(&t);
    let corrected = match temperature {
        Some(t) => {
            if !in_range(t) {
                findings.remark(
                    "the temperature is outside the 10 to 85 degC for which IEEE 43 corrects the resistance: corrected to the \
                     limit",
                );
            }
            mohm * to_40c(t, class_c(prepared))
        }
        None => {
            findings.remark("no usable temperature: resistance not corrected to 40 degC");
            mohm
        }
    };
    findings.feature("insulation_resistance_40c", corrected);
    findings.feature("resistance_corrected", f64::from(u8::from(temperature.is_some_and(in_range))));
    let scale = prepared.thresholds.insulation.lg_resistance;
    raise(findings, scale.score(corrected.clamp(1e-6, 1e12).log10()));
    findings.evidence.push(line(
        "insulation resistance at 40 degC (IEEE 43)",
        "Mohm",
        Some(10f64.powf(scale.warning)),
        Some(corrected),
        None,
    ));
    match voltage_v(prepared) {
        Some(volts) => {
            let limit = ISOLATION_OHM_PER_VOLT * volts * 1e-6;
            findings.feature("isolation_ohm_per_volt", mohm * 1e6 / volts);
            findings.feature("isolation_limit_multiple", mohm / limit);
            raise(findings, prepared.thresholds.insulation.isolation_multiple.score(mohm / limit));
            findings.evidence.push(line(
                "isolation (ISO 6469-3: 500 ohm/V for AC circuits, 100 for DC)",
                "Mohm",
                Some(limit),
                Some(mohm),
                None,
            ));
        }
        None => findings.remark(
            "no bus or rated voltage: judged by IEEE 43 alone, not by the isolation limit of ISO 6469-3",
        ),
    }
}

fn judge_leakage(findings: &mut Findings, prepared: &Prepared<'_>, amperes: f64, temperature: Option<f64>) {
    let thresholds = &prepared.thresholds.insulation;
    if let Some((resistive, capacitive)) = split_by_angle(prepared) {
        findings.feature("resistive_leakage_current", resistive);
        findings.feature("capacitive_leakage_current", capacitive);
        findings.feature("dielectric_loss", resistive / capacitive);
        raise(findings, thresholds.resistive_leakage_a.score(resistive));
        // The standard's figures hold for a cool winding; the part that conduction adds grows as the resistance falls.
        let heat = temperature.map_or(1.0, |t| to_40c(t, class_c(prepared)).max(1.0));
        raise(findings, thresholds.tan_delta.score(resistive / capacitive / heat));
        findings.evidence.push(line(
            "resistive leakage",
            "A",
            Some(thresholds.resistive_leakage_a.fault),
            Some(resistive),
            None,
        ));
        return;
    }
    let whole = thresholds.leakage_a.score(amperes);
    // The fundamental is worth its cost only where it may make a difference.
    if whole >= 0.5 * crate::WARNING_SCORE
        && let Some(resistive) = split_by_capacitance(prepared, amperes)
    {
        findings.feature("resistive_leakage_current", resistive);
        findings.remark("leakage split by the capacitance in the profile, taken to be off by up to a fifth");
        let score = thresholds.resistive_leakage_a.score(resistive);
        raise(findings, score.min(whole));
        let expected = Some(thresholds.resistive_leakage_a.fault);
        findings.evidence.push(line("resistive leakage", "A", expected, Some(resistive), None));
        return;
    }
    raise(findings, whole);
    findings.remark(
        "leakage not split into resistive and capacitive part: that takes waveforms of it and of a voltage",
    );
    findings.evidence.push(line(
        "leakage current",
        "A",
        Some(thresholds.leakage_a.warning),
        Some(amperes),
        None,
    ));
}

/// RMS of the leakage current: of the waveform with its mean where it is sampled, else the reading.
fn leakage_a(prepared: &Prepared<'_>) -> Option<f64> {
    let read = prepared.value(Quantity::LeakageCurrent)?.abs();
    let amperes = match prepared.signal(Quantity::LeakageCurrent) {
        Ok(waveform) => waveform.mean.hypot(waveform.rms),
        Err(_) => read,
    };
    Some(amperes).filter(|a| a.is_finite())
}

/// Voltage the isolation must stand: the bus, else the rated one.
fn voltage_v(prepared: &Prepared<'_>) -> Option<f64> {
    let measured = prepared.value(Quantity::DcBusVoltage).filter(|v| *v > 1.0);
    measured.or(prepared.profile.rated_voltage_v.filter(|v| v.is_finite() && *v > 1.0))
}

/// Fundamental of the leakage split by the phase voltage it is most in phase with: resistive and capacitive RMS, A.
fn split_by_angle(prepared: &Prepared<'_>) -> Option<(f64, f64)> {
    if !prepared.block.synchronous {
        return None;
    }
    let leakage = prepared.signal(Quantity::LeakageCurrent).ok()?;
    let voltages: Vec<Signal> = Quantity::VOLTAGES
        .into_iter()
        .filter_map(|q| prepared.signal(q).ok())
        .filter(|v| v.rate_hz == leakage.rate_hz && v.samples.len() == leakage.samples.len())
        .collect();
    let first = voltages.first()?;
    // Currents and voltages share their fundamental; only without currents it has to be looked for.
    let f0 = match prepared.fundamental() {
        Some(found) => found,
        None => fundamental::find(first, &Spectrum::new(&first.samples, first.rate_hz))?,
    };
    let at_f0 = phasor(&leakage, f0.frequency_hz);
    if at_f0.norm_sqr() / 2.0 < LEAKAGE_FUNDAMENTAL_SHARE {
        return None;
    }
    let amperes = at_f0 * leakage.rms / SQRT_2;
    let against = |v: &Signal| -> Complex<f64> {
        let volts = phasor(v, f0.frequency_hz);
        amperes * volts.conj() / volts.norm()
    };
    // Leakage leads its voltage by just under 90 degrees; anything else is not capacitive.
    let sound = |part: &Complex<f64>| part.im > 0.0 && part.re >= -ANGLE_TOLERANCE * part.im;
    let parts = voltages.iter().map(against).filter(sound);
    let part = parts.max_by(|a, b| a.re.total_cmp(&b.re))?;
    Some((part.re.max(0.0), part.im))
}

/// Resistive RMS where the profile's capacitance says how much is capacitive: what is left when that is taken off in squares.
fn split_by_capacitance(prepared: &Prepared<'_>, amperes: f64) -> Option<f64> {
    let profile = &prepared.profile;
    let positive = |value: Option<f64>| value.filter(|v| v.is_finite() && *v > 0.0);
    let (farad, volts) = (positive(profile.winding_capacitance_f)?, positive(profile.rated_voltage_v)?);
    let f0_hz = prepared.fundamental()?.frequency_hz;
    let flux = positive(profile.rated_frequency_hz).map_or(1.0, |rated| (f0_hz / rated).min(1.0));
    let capacitive = TAU * f0_hz * farad * volts / 3f64.sqrt() * flux * (1.0 + CAPACITANCE_TOLERANCE);
    Some((amperes * amperes - capacitive * capacitive).max(0.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correction_follows_the_two_rules_within_their_range() {
        assert!((to_40c(40.0, 155.0) - 1.0).abs() < 1e-12 && (to_40c(40.0, 130.0) - 1.0).abs() < 1e-12);
        assert!((to_40c(60.0, 130.0) - 4.0).abs() < 1e-9);
        assert!((to_40c(80.0, 155.0) - 4.62).abs() < 0.02);
        assert!((to_40c(10.0, 155.0) - 0.656).abs() < 0.002);
        assert_eq!(to_40c(150.0, 155.0), to_40c(85.0, 155.0));
        assert_eq!(to_40c(-30.0, 130.0), to_40c(10.0, 130.0));
    }
}
