//! Side bands of the fundamental in the current spectrum: what broken bars and eccentricity have in common.

use crate::fundamental::{Fundamental, dominates, phasor, without_line};
use crate::prepared::Prepared;
use crate::signal::Signal;
use crate::spectrum::{Line, Spectrum, db};

/// Half the main lobe of the Hann window, in units of the resolution: two lines closer than this are one.
pub(crate) const LOBE: f64 = 2.0;
/// The local floor is taken from this many resolutions to either side.
const FLOOR_SPAN: f64 = 20.0;
/// Sampling instants this far off (in sampling periods) smear every line and make side bands of their own.
const JITTER_MAX: f64 = 0.5;

/// A line next to the fundamental.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sideband {
    pub(crate) frequency_hz: f64,
    /// Amplitude over that of the fundamental.
    pub(crate) ratio: f64,
    /// Height over the local noise floor, dB.
    pub(crate) above_floor_db: f64,
}

impl Sideband {
    /// Level relative to the fundamental, dB.
    pub(crate) fn level_db(&self) -> f64 {
        db(self.ratio)
    }

    /// Local noise floor relative to the fundamental, dB.
    pub(crate) fn floor_db(&self) -> f64 {
        self.level_db() - self.above_floor_db
    }
}

/// Why nothing can be said where lines up to `hidden_db` would not be seen.
pub(crate) fn hidden_in_noise(hidden_db: f64) -> String {
    format!(
        "noise hides lines below {hidden_db:.0} dB of the fundamental: a block ten times as long shows 10 dB more, a current \
         sensor of finer resolution too"
    )
}

/// The current spectrum and its fundamental, or why there is none.
pub(crate) fn current_spectrum<'a>(
    prepared: &'a Prepared<'_>,
) -> Result<(&'a Spectrum, Fundamental), String> {
    if let Some(jitter) = prepared.block.clock_jitter
        && (jitter > JITTER_MAX || jitter.is_nan())
    {
        return Err(format!(
            "the sampling instants are uneven by {jitter:.2} periods: side bands cannot be trusted"
        ));
    }
    if prepared.phases().next().is_none() {
        let defect = prepared.current(0).err().map_or("is missing", |d| d.describe());
        return Err(format!("at least one phase current is needed: phase A {defect}"));
    }
    prepared.fundamental().zip(prepared.residual()).map(|(f0, spectrum)| (spectrum, f0)).ok_or_else(|| {
        "no fundamental found in the currents: at least 2 cycles of the supply frequency are needed, and it must dominate"
            .to_owned()
    })
}

/// The strongest line within `expected_hz` +- `tolerance_hz`, with its height over the floor. None where the line
/// would fall below two resolutions, beyond Nyquist, or so close to a harmonic of the supply that it cannot be told
/// from it.
pub(crate) fn sideband(
    spectrum: &Spectrum,
    f0: Fundamental,
    expected_hz: f64,
    tolerance_hz: f64,
) -> Option<Sideband> {
    let lobe = LOBE * spectrum.resolution_hz;
    let harmonic_hz = (expected_hz / f0.frequency_hz).round() * f0.frequency_hz;
    if (expected_hz - harmonic_hz).abs() < lobe {
        return None;
    }
    let (mut low, mut high) = (expected_hz - tolerance_hz, expected_hz + tolerance_hz);
    if expected_hz > harmonic_hz {
        low = low.max(harmonic_hz + lobe);
    } else {
        high = high.min(harmonic_hz - lobe);
    }
    if low < lobe.max(spectrum.low_hz) || high > 0.98 * spectrum.nyquist_hz() {
        return None;
    }
    let harmonics: Vec<f64> = (-1..=1).map(|k| harmonic_hz + f64::from(k) * f0.frequency_hz).collect();
    let guard = lobe + tolerance_hz;
    let span = FLOOR_SPAN * spectrum.resolution_hz;
    let floor = spectrum.floor(expected_hz, guard, span, &harmonics)?;
    // Without a line there is the floor.
    let nothing = Line { frequency_hz: expected_hz, amplitude: floor };
    let found = spectrum.line(low, high).unwrap_or(nothing);
    Some(Sideband {
        frequency_hz: found.frequency_hz,
        ratio: found.amplitude,
        above_floor_db: db(found.amplitude) - db(floor),
    })
}

/// Share of amplitude modulation in the side bands `distance_hz` to either side of the fundamental: 1 when they modulate the
/// amplitude alone, 0 the phase alone, a half for a single one. None where the lower one is beyond zero frequency.
pub(crate) fn amplitude_share(prepared: &Prepared<'_>, f0: Fundamental, distance_hz: f64) -> Option<f64> {
    if distance_hz >= f0.frequency_hz {
        return None;
    }
    let (mut amplitude, mut phase) = (0.0, 0.0);
    for (k, signal) in prepared.phases() {
        let carrier = prepared.phasor(k, signal, f0.frequency_hz);
        if !dominates(carrier) {
            continue;
        }
        // Without the carrier, whose leakage would be as large.
        let rest = Signal { samples: without_line(signal, f0.frequency_hz, carrier), ..signal.clone() };
        let lower = phasor(&rest, f0.frequency_hz - distance_hz) / carrier;
        let upper = phasor(&rest, f0.frequency_hz + distance_hz) / carrier;
        amplitude += (upper + lower.conj()).norm_sqr();
        phase += (upper - lower.conj()).norm_sqr();
    }
    (amplitude + phase > 0.0).then(|| amplitude / (amplitude + phase))
}

/// Pole pairs: from the profile, else the number that makes the slip smallest at the given speed.
pub(crate) fn pole_pairs(prepared: &Prepared<'_>, f0: Fundamental, shaft_hz: f64) -> f64 {
    prepared.profile.pole_pairs.map_or_else(|| (f0.frequency_hz / shaft_hz).round().max(1.0), f64::from)
}
