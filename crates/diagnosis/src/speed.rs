//! Shaft frequency: read, or found in the signals, and how well it is known.
//!
//! A reading is often a nominal value. Where the block is long enough, the line that the shaft makes in the current (f0 + fr, f0 - fr:
//! every rotor is a little eccentric) or in the vibration (1 fr: every rotor is a little unbalanced) next to the reading is
//! better. Without a reading the same lines are looked for where the slip of a loaded motor can put them; a
//! synchronous motor has no slip.

use vtox_protocol::{Channel, MotorType, Quantity};

use crate::fundamental::Fundamental;
use crate::prepared::Prepared;
use crate::sidebands::LOBE;
use crate::spectrum::{Line, Spectrum, db};

/// Error of a speed reading: a tachometer is better, a nominal speed as good.
pub(crate) const READING_ERROR: f64 = 0.005;
/// Where the line of the shaft is looked for around a reading: a nominal speed may be off by the slip of another load.
const REFINED_WITHIN: f64 = 0.015;
/// Largest slip looked for when there is no reading.
const SLIP_MAX: f64 = 0.08;
/// A line of the shaft must stand this far out of the floor: noise does so in one of some million bins.
const ABOVE_FLOOR_DB: f64 = 12.0;
/// And this far out of any other within reach, or it could be the other.
const UNAMBIGUOUS_DB: f64 = 6.0;
/// Error of an interpolated line as high as the floor, in resolutions, and of one of any height. It falls with the root of the
/// power over that of the noise; this is three times the standard deviation under a Hann window.
const LINE_ERROR: f64 = 1.6;
const LINE_ERROR_MIN: f64 = 0.1;
/// Shortest block in which a shaft line is looked for, in resolutions within reach to either side.
const REACH_MIN: f64 = 1.5;
/// Below this the motor stands still; no motor turns faster than the other, Hz.
const PLAUSIBLE_HZ: std::ops::Range<f64> = 0.05..1e4;

/// Where a shaft frequency comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The speed reading or channel.
    Reading,
    /// Supply frequency over pole pairs of a synchronous motor.
    Supply,
    /// Lines of the shaft in the current or the vibration.
    Lines,
}

/// Shaft frequency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shaft {
    pub(crate) frequency_hz: f64,
    /// The true one lies within this.
    pub(crate) tolerance_hz: f64,
    pub(crate) source: Source,
}

/// The shaft frequency as well as it can be known. None at standstill and where nothing tells it.
pub(crate) fn find(prepared: &Prepared<'_>) -> Option<Shaft> {
    let known = |frequency_hz: f64, error: f64, source| {
        let shaft = Shaft { frequency_hz, tolerance_hz: error * frequency_hz, source };
        PLAUSIBLE_HZ.contains(&frequency_hz).then_some(shaft)
    };
    if let Some(rpm) = prepared.value(Quantity::Speed) {
        let read = known(rpm.abs() / 60.0, READING_ERROR, Source::Reading)?;
        // Most blocks are too short to know better, and need no spectrum to tell.
        let longest_s = prepared.block.channels.iter().map(Channel::duration_s).fold(0.0, f64::max);
        if 2.0 * REFINED_WITHIN * read.frequency_hz * longest_s < 2.0 * REACH_MIN {
            return Some(read);
        }
        let reach = Reach::around(read.frequency_hz, prepared);
        return Some(from_lines(prepared, &reach).unwrap_or(read));
    }
    let pairs = f64::from(prepared.profile.pole_pairs?);
    let f0 = prepared.fundamental()?;
    let synchronous_hz = f0.frequency_hz / pairs;
    if prepared.profile.motor_type == MotorType::PermanentMagnet {
        return known(synchronous_hz, 1e-4, Source::Supply);
    }
    from_lines(prepared, &Reach { low_hz: synchronous_hz * (1.0 - SLIP_MAX), high_hz: synchronous_hz })
}

/// Where the shaft frequency may be.
struct Reach {
    low_hz: f64,
    high_hz: f64,
}

impl Reach {
    fn around(read_hz: f64, prepared: &Prepared<'_>) -> Self {
        // A motor does not overtake its field; a generator would, but not by more than the reading's own error.
        let synchronous_hz = prepared
            .profile
            .pole_pairs
            .zip(prepared.fundamental())
            .map_or(f64::INFINITY, |(pairs, f0)| f0.frequency_hz / f64::from(pairs));
        let high_hz = (read_hz * (1.0 + REFINED_WITHIN)).min(synchronous_hz.max(read_hz));
        Self { low_hz: read_hz * (1.0 - REFINED_WITHIN), high_hz }
    }

    fn resolved_by(&self, spectrum: &Spectrum) -> bool {
        self.high_hz - self.low_hz >= 2.0 * REACH_MIN * spectrum.resolution_hz
    }
}

fn from_lines(prepared: &Prepared<'_>, reach: &Reach) -> Option<Shaft> {
    let f0 = prepared.fundamental();
    let in_current = f0.and_then(|f0| {
        let residual = prepared.residual().filter(|s| reach.resolved_by(s))?;
        line_in_current(residual, f0, reach)
    });
    let in_vibration = || {
        prepared.axes().find_map(|(axis, signal)| {
            // Not computed for a block too short to use it.
            let resolved = (reach.high_hz - reach.low_hz) * signal.duration_s() >= 2.0 * REACH_MIN;
            let spectrum = resolved.then(|| prepared.vibration_spectrum(axis, signal))?;
            line_in_vibration(spectrum, f0, reach)
        })
    };
    let (frequency_hz, tolerance_hz) = in_current.or_else(in_vibration)?;
    Some(Shaft { frequency_hz, tolerance_hz, source: Source::Lines })
}

/// f0 + fr, confirmed by f0 - fr where that is no harmonic's neighbour.
fn line_in_current(spectrum: &Spectrum, f0: Fundamental, reach: &Reach) -> Option<(f64, f64)> {
    let apart = LOBE * spectrum.resolution_hz;
    let near_harmonic = |hz: f64| {
        let harmonic_hz = (hz / f0.frequency_hz).round() * f0.frequency_hz;
        (hz - harmonic_hz).abs() < apart
    };
    let upper = clear_line(spectrum, f0.frequency_hz + reach.low_hz, f0.frequency_hz + reach.high_hz)?;
    let shaft_hz = upper.frequency_hz - f0.frequency_hz;
    if near_harmonic(upper.frequency_hz) {
        return None;
    }
    let lower_hz = (f0.frequency_hz - shaft_hz).abs();
    // With one pole pair the lower line lies near zero frequency, where a motor hardly answers.
    if shaft_hz < 0.7 * f0.frequency_hz && !near_harmonic(lower_hz) {
        let half = 0.5 * spectrum.resolution_hz;
        let partner = spectrum.line(lower_hz - half, lower_hz + half)?;
        if above_floor_db(spectrum, partner) < ABOVE_FLOOR_DB / 2.0 {
            return None;
        }
    }
    Some((shaft_hz, line_error_hz(spectrum, upper)))
}

/// 1 fr, which must not be what a current sensor or the magnetic field couples in at the supply frequency.
fn line_in_vibration(spectrum: &Spectrum, f0: Option<Fundamental>, reach: &Reach) -> Option<(f64, f64)> {
    let found = clear_line(spectrum, reach.low_hz, reach.high_hz)?;
    let electrical =
        f0.is_some_and(|f0| (found.frequency_hz - f0.frequency_hz).abs() < LOBE * spectrum.resolution_hz);
    (!electrical).then_some((found.frequency_hz, line_error_hz(spectrum, found)))
}

/// The one line that stands out of the noise between two frequencies, if there is just one.
fn clear_line(spectrum: &Spectrum, low_hz: f64, high_hz: f64) -> Option<Line> {
    let found = spectrum.line(low_hz, high_hz)?;
    if above_floor_db(spectrum, found) < ABOVE_FLOOR_DB {
        return None;
    }
    let apart = LOBE * spectrum.resolution_hz;
    let other = [(low_hz, found.frequency_hz - apart), (found.frequency_hz + apart, high_hz)]
        .into_iter()
        .filter(|(low, high)| low < high)
        .filter_map(|(low, high)| spectrum.line(low, high))
        .map(|line| line.amplitude)
        .fold(0.0, f64::max);
    (db(found.amplitude) - db(other) >= UNAMBIGUOUS_DB).then_some(found)
}

fn line_error_hz(spectrum: &Spectrum, line: Line) -> f64 {
    let noise = 10f64.powf(-above_floor_db(spectrum, line) / 20.0);
    (LINE_ERROR * noise).max(LINE_ERROR_MIN) * spectrum.resolution_hz
}

fn above_floor_db(spectrum: &Spectrum, line: Line) -> f64 {
    let resolution_hz = spectrum.resolution_hz;
    let floor = spectrum.floor(line.frequency_hz, LOBE * resolution_hz, 20.0 * resolution_hz, &[]);
    floor.map_or(0.0, |floor| db(line.amplitude) - db(floor))
}
