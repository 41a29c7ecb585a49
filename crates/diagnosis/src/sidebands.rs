//! Side bands of the fundamental in the current spectrum: what broken bars and eccentricity have in common.

use std::f64::consts::TAU;

use realfft::num_complex::Complex;

use crate::fundamental::{Fundamental, dominates, phasor, without_line};
use crate::prepared::Prepared;
use crate::signal::Signal;
use crate::spectrum::{Line, Spectrum, db};

/// Half the main lobe of the Hann window, in units of the resolution: two lines closer than this are one.
pub(crate) const LOBE: f64 = 2.0;
/// The local floor is taken from this many resolutions to either side.
const FLOOR_SPAN: f64 = 20.0;
/// Error of an interpolated line that stands out of the noise, in resolutions.
pub(crate) const LINE_ERROR: f64 = 0.3;
/// What several families that agree leave of the doubt, each.
const DOUBT_LEFT: f64 = 0.75;
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

    /// Amplitude over that of the fundamental without the noise that adds to it.
    pub(crate) fn without_noise(&self) -> f64 {
        self.ratio * (1.0 - 10f64.powf(-self.above_floor_db.max(0.0) / 10.0)).sqrt()
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

/// The fundamental of the currents, or why their side bands cannot be looked at.
pub(crate) fn current_fundamental(prepared: &Prepared<'_>) -> Result<Fundamental, String> {
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
    prepared.fundamental().ok_or_else(|| NO_FUNDAMENTAL.to_owned())
}

pub(crate) const NO_FUNDAMENTAL: &str = "no fundamental found in the currents: at least 2 cycles of the supply frequency are needed, and it must dominate";

/// How far a line must stand out of the floor of a spectrum where it would have to stand `alone_db` out of that of a
/// single one: the power of noise scatters less by the root of the spectra averaged.
pub(crate) fn height_db(alone_db: f64, spectrum: &Spectrum) -> f64 {
    let excess = 10f64.powf(alone_db / 10.0) - 1.0;
    10.0 * (1.0 + excess / (spectrum.averaged as f64).sqrt()).log10()
}

/// A score that stands for a fault at all, raised by the families of lines that agree with it: each takes a share of the
/// doubt.
pub(crate) fn confirmed(score: f64, families: usize) -> f64 {
    1.0 - (1.0 - score) * DOUBT_LEFT.powi(families as i32)
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
    let within = |l: &Line| (low..=high).contains(&l.frequency_hz);
    let found = spectrum.line(low, high).filter(within).unwrap_or(nothing);
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

/// Share of the power at `frequency_hz` that rotates the way the fundamental does: 1 all of it, 0 none. None where the three
/// phases were not sampled together, or for less long than `resolution_hz` asks.
pub(crate) fn forward_share(
    prepared: &Prepared<'_>,
    f0: Fundamental,
    frequency_hz: f64,
    resolution_hz: f64,
) -> Option<f64> {
    /// Power of one sequence over the other from which the sense of rotation is clear.
    const SENSE_MIN: f64 = 10.0;
    let phases: Vec<(usize, &Signal)> = prepared.phases().collect();
    let [(_, a), (_, b), (_, c)] = phases[..] else { return None };
    let alike = |s: &Signal| s.rate_hz == a.rate_hz && s.samples.len() == a.samples.len();
    if !prepared.block.synchronous || !alike(b) || !alike(c) || a.duration_s() * resolution_hz < 0.9 {
        return None;
    }
    // Power forward and backward of three phasors.
    let sequences = |p: [Complex<f64>; 3]| {
        let turned = |sense: f64| {
            (p[0]
                + Complex::from_polar(1.0, sense * TAU / 3.0) * p[1]
                + Complex::from_polar(1.0, -sense * TAU / 3.0) * p[2])
                .norm_sqr()
        };
        (turned(1.0), turned(-1.0))
    };
    let mut carriers = [Complex::default(); 3];
    let mut lines = [Complex::default(); 3];
    for (k, signal) in phases {
        let carrier = prepared.phasor(k, signal, f0.frequency_hz);
        let rest = Signal { samples: without_line(signal, f0.frequency_hz, carrier), ..signal.clone() };
        carriers[k] = carrier * signal.rms;
        lines[k] = phasor(&rest, frequency_hz) * signal.rms;
    }
    let (with, against) = sequences(carriers);
    let (forward, backward) = sequences(lines);
    let (forward, backward) = if with >= against { (forward, backward) } else { (backward, forward) };
    // A sensor turned round leaves no clear sense of rotation.
    let clear = with.max(against) > SENSE_MIN * with.min(against);
    (clear && forward + backward > 0.0).then(|| forward / (forward + backward))
}

/// Pole pairs: from the profile, else the number that makes the slip smallest at the given speed.
pub(crate) fn pole_pairs(prepared: &Prepared<'_>, f0: Fundamental, shaft_hz: f64) -> f64 {
    prepared.profile.pole_pairs.map_or_else(|| (f0.frequency_hz / shaft_hz).round().max(1.0), f64::from)
}
