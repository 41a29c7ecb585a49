//! Winding insulation: resistance, leakage current, dielectric loss and temperature against standards.
//!
//! IEEE Std 43-2013 (recommended minimum insulation resistance, correction to 40 degC: Rc = Kt R, Kt = 0.5^((40 - T) / 10)
//! for thermoplastic insulation), ISO 6469-3 (isolation of electric road vehicles: 100 ohm/V for DC, 500 ohm/V for AC
//! circuits), Montsinger's rule (life halves per 10 K; V. M. Montsinger, Trans. AIEE 49 (1930) 776-790). Currents alone say
//! nothing of insulation.

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
        }
    }
}

/// A motor winding is an AC circuit connected to the DC bus: 500 ohm/V.
const ISOLATION_OHM_PER_VOLT: f64 = 500.0;
/// Class F (IEC 60085), where the profile does not say.
const CLASS_DEFAULT_C: f64 = 155.0;
/// Where the correction to 40 degC is defined.
const CORRECTION_RANGE_C: std::ops::RangeInclusive<f64> = -10.0..=150.0;
/// The dielectric-loss angle needs this share of the leakage power in its fundamental.
const LEAKAGE_FUNDAMENTAL_SHARE: f64 = 0.1;

pub(crate) fn diagnose(prepared: &Prepared<'_>) -> Verdict {
    let resistance = prepared.value(Quantity::InsulationResistance).filter(|r| *r >= 0.0);
    let leakage = leakage_a(prepared);
    let temperature = prepared.value(Quantity::Temperature);
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
        judge_leakage(&mut findings, prepared, amperes);
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

fn judge_temperature(findings: &mut Findings, prepared: &Prepared<'_>, celsius: f64) {
    let limit = prepared.profile.insulation_class_c.filter(|c| c.is_finite()).unwrap_or(CLASS_DEFAULT_C);
    let excess_k = celsius - limit;
    findings.feature("temperature_c", celsius);
    findings.feature("temp_anomaly", excess_k.max(0.0));
    findings.feature("relative_life", 2f64.powf((-excess_k / 10.0).clamp(-10.0, 10.0)));
    raise(findings, prepared.thresholds.insulation.overtemperature_k.score(excess_k));
    if excess_k > 0.0 {
        if prepared.profile.insulation_class_c.is_none() {
            findings.remark("insulation class unknown: 155 degC (class F) assumed");
        }
        findings.evidence.push(line("temperature", "degC", Some(limit), Some(celsius), None));
    }
}

fn judge_resistance(findings: &mut Findings, prepared: &Prepared<'_>, mohm: f64, temperature: Option<f64>) {
    let corrected = match temperature.filter(|t| CORRECTION_RANGE_C.contains(t)) {
        Some(t) => mohm * 0.5f64.powf((40.0 - t) / 10.0),
        None => {
            findings.remark("no usable temperature: resistance not corrected to 40 degC");
            mohm
        }
    };
    findings.feature("insulation_resistance_40c", corrected);
    raise(findings, prepared.thresholds.insulation.lg_resistance.score(corrected.max(1e-6).log10()));
    findings.evidence.push(line(
        "insulation resistance at 40 degC (IEEE 43)",
        "Mohm",
        Some(5.0),
        Some(corrected),
        None,
    ));
    match voltage_v(prepared) {
        Some(volts) => {
            let limit = ISOLATION_OHM_PER_VOLT * volts * 1e-6;
            findings.feature("isolation_limit_multiple", mohm / limit);
            raise(findings, prepared.thresholds.insulation.isolation_multiple.score(mohm / limit));
            findings.evidence.push(line(
                "isolation (ISO 6469-3, 500 ohm/V)",
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

fn judge_leakage(findings: &mut Findings, prepared: &Prepared<'_>, amperes: f64) {
    match split_leakage(prepared) {
        Some((resistive, capacitive)) => {
            findings.feature("resistive_leakage_current", resistive);
            findings.feature("capacitive_leakage_current", capacitive);
            findings.feature("dielectric_loss", resistive / capacitive);
            raise(findings, prepared.thresholds.insulation.resistive_leakage_a.score(resistive));
            raise(findings, prepared.thresholds.insulation.tan_delta.score(resistive / capacitive));
            findings.evidence.push(line("resistive leakage", "A", Some(2e-3), Some(resistive), None));
        }
        None => {
            raise(findings, prepared.thresholds.insulation.leakage_a.score(amperes));
            findings.remark("leakage not split into resistive and capacitive part: that takes waveforms of it and of a voltage");
            findings.evidence.push(line("leakage current", "A", Some(2e-3), Some(amperes), None));
        }
    }
}

/// RMS of the leakage current: of the waveform with its mean where it is sampled, else the reading.
fn leakage_a(prepared: &Prepared<'_>) -> Option<f64> {
    let mean = prepared.value(Quantity::LeakageCurrent)?.abs();
    let alternating = prepared.signal(Quantity::LeakageCurrent).map_or(0.0, |s| s.rms);
    Some(mean.hypot(alternating)).filter(|a| a.is_finite())
}

/// Voltage the isolation must stand: the bus, else the rated one.
fn voltage_v(prepared: &Prepared<'_>) -> Option<f64> {
    let measured = prepared.value(Quantity::DcBusVoltage).filter(|v| *v > 1.0);
    measured.or(prepared.profile.rated_voltage_v.filter(|v| v.is_finite() && *v > 1.0))
}

/// Fundamental of the leakage split by the phase voltage it is most in phase with: resistive and capacitive RMS, A.
fn split_leakage(prepared: &Prepared<'_>) -> Option<(f64, f64)> {
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
    let f0 = fundamental::find(first, &Spectrum::new(&first.samples, first.rate_hz))?;
    let at_f0 = phasor(&leakage, f0.frequency_hz);
    if at_f0.norm_sqr() / 2.0 < LEAKAGE_FUNDAMENTAL_SHARE {
        return None;
    }
    let amperes = at_f0 * leakage.rms / 2f64.sqrt();
    let against = |v: &Signal| -> Complex<f64> {
        let volts = phasor(v, f0.frequency_hz);
        amperes * volts.conj() / volts.norm()
    };
    let part = voltages.iter().map(against).max_by(|a, b| a.re.total_cmp(&b.re))?;
    // Leakage leads its voltage by just under 90 degrees; anything else is not capacitive.
    (part.re >= 0.0 && part.im > 0.0).then_some((part.re, part.im))
}
