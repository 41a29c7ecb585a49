//! Contiguous short blocks joined: the fundamental as phasors on an even grid, of which a spectrum around it can be made as
//! of one long block.

use std::f64::consts::TAU;

use realfft::num_complex::Complex;
use serde::{Deserialize, Serialize};

use super::current::{Current, Grid, Source};
use super::packed;
use crate::fundamental::Fundamental;
use crate::spectrum::{Spectrum, for_each_rotation, hann, rfft};

/// Phasors kept at the most; the oldest go first.
const PHASORS_MAX: usize = 256;
/// Fewer make no spectrum.
const PHASORS_MIN: usize = 16;
/// A stored phasor of this size is the fundamental of the first block: leaves a factor of two above.
const UNIT: f64 = 16_384.0;
/// Beside the fundamental, its slow drift taken off, at most this share of its power: four broken bars of 28 make 1 %, a
/// load that swings by a fifth 2 %. A step of frequency or phase makes more.
const UNEXPLAINED_MAX: f64 = 0.04;
/// Share of the grid's band that is looked at: beyond it the means attenuate too much.
const BAND: f64 = 0.8;

/// Phasors of the fundamental over contiguous blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Track {
    grid: Grid,
    source: Source,
    /// Fundamental of the first block, A.
    magnitude: f64,
    #[serde(with = "packed")]
    phasors: Vec<[i16; 2]>,
}

impl Track {
    /// A track without phasors. `quarters`: distance of the phasors in quarter cycles.
    pub(super) fn new(current: &Current<'_>, quarters: u16) -> Option<Self> {
        Some(Self {
            grid: Grid::new(current.rate_hz, current.f0_hz, quarters)?,
            source: current.source,
            magnitude: current.magnitude,
            phasors: Vec::new(),
        })
    }

    pub(super) fn usable(&self) -> bool {
        self.grid.usable()
            && self.magnitude > 0.0
            && self.magnitude.is_finite()
            && self.phasors.len() <= PHASORS_MAX
    }

    /// Adds a block.
    pub(super) fn push(&mut self, current: &Current<'_>) {
        let quantised = |v: f64| (v / self.magnitude * UNIT).round() as i16;
        let fresh = self.grid.push(&current.samples());
        self.phasors.extend(fresh.into_iter().map(|z| [quantised(z.re), quantised(z.im)]));
        let surplus = self.phasors.len().saturating_sub(PHASORS_MAX);
        self.phasors.drain(..surplus);
    }

    /// Seconds joined so far.
    pub(super) fn duration_s(&self) -> f64 {
        self.phasors.len() as f64 * self.grid.step_s()
    }

    /// Seconds that can be joined.
    pub(super) fn duration_max_s(&self) -> f64 {
        PHASORS_MAX as f64 * self.grid.step_s()
    }

    /// Whether the oldest phasors go for new ones.
    pub(super) fn full(&self) -> bool {
        self.phasors.len() == PHASORS_MAX
    }

    pub(super) fn source(&self) -> Source {
        self.source
    }

    /// Spectrum around the fundamental, relative to it and with it taken out, and the fundamental.
    pub(super) fn spectrum(&self) -> Result<(Spectrum, Fundamental), Unclear> {
        let n = self.phasors.len();
        if n < PHASORS_MIN {
            return Err(Unclear::TooShort);
        }
        let (rest, carrier, offset) = self.without_carrier();
        let height = carrier.norm();
        let unexplained = rest.iter().map(Complex::norm_sqr).sum::<f64>() / n as f64;
        if !(height > 0.0 && unexplained <= UNEXPLAINED_MAX * height * height) {
            return Err(Unclear::Unsteady);
        }
        let step_s = self.grid.step_s();
        let f0_hz = self.grid.reference_hz + offset / (TAU * step_s);
        if f0_hz <= 0.0 {
            return Err(Unclear::Unsteady);
        }
        let f0 = Fundamental { frequency_hz: f0_hz, cycles: f0_hz * n as f64 * step_s };
        Ok((self.around(&rest, &hann(n), f0_hz, height), f0))
    }

    /// Share of amplitude modulation in the side bands `distance_hz` to either side: 1 amplitude alone, 0 phase alone.
    pub(super) fn amplitude_share(&self, distance_hz: f64) -> Option<f64> {
        let (rest, carrier, _) = self.without_carrier();
        let (mut lower, mut upper) = (Complex::new(0.0, 0.0), Complex::new(0.0, 0.0));
        let window = hann(rest.len());
        for_each_rotation(rest.len(), TAU * distance_hz * self.grid.step_s(), |k, cos, sin| {
            let z = rest[k] / carrier * window[k];
            upper += z * Complex::new(cos, -sin);
            lower += z * Complex::new(cos, sin);
        });
        let (amplitude, phase) = ((upper + lower.conj()).norm_sqr(), (upper - lower.conj()).norm_sqr());
        (amplitude + phase > 0.0).then(|| amplitude / (amplitude + phase))
    }

    /// What is left beside the fundamental and its drift, the fundamental, and its rotation per phasor against the reference.
    fn without_carrier(&self) -> (Vec<Complex<f64>>, Complex<f64>, f64) {
        let mut phasors: Vec<Complex<f64>> =
            self.phasors.iter().map(|[re, im]| Complex::new(f64::from(*re), f64::from(*im)) / UNIT).collect();
        if matches!(self.source, Source::Phase(_)) {
            self.grid.without_image(&mut phasors);
        }
        let offset = straighten(&mut phasors);
        let carrier = without_drift(&mut phasors, &hann(self.phasors.len()));
        (phasors, carrier, offset)
    }

    /// Spectrum of what is left beside the fundamental at `f0_hz` of this height.
    fn around(&self, rest: &[Complex<f64>], window: &[f64], f0_hz: f64, height: f64) -> Spectrum {
        let (n, step_s) = (rest.len(), self.grid.step_s());
        let padded = n.next_power_of_two();
        let bin_hz = 1.0 / (padded as f64 * step_s);
        // Turned by less than a bin, so that the bins are multiples of the distance of two.
        let carrier = (f0_hz / bin_hz).floor();
        let turn = Complex::from_polar(1.0, TAU * (f0_hz / bin_hz - carrier) / padded as f64);
        let mut rotation = Complex::new(1.0, 0.0);
        let (mut re, mut im) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for (z, w) in rest.iter().zip(window) {
            let turned = z * rotation * w;
            re.push(turned.re);
            im.push(turned.im);
            rotation *= turn;
        }
        let (re, im) = (rfft(&re, padded), rfft(&im, padded));
        let gain = height * window.iter().sum::<f64>();
        let reach = (0.5 * BAND * padded as f64) as usize;
        let carrier = carrier as usize;
        let lowest = carrier.saturating_sub(reach);
        let mut amplitude = vec![0.0; carrier + reach + 1];
        self.grid.for_each_gain(
            lowest as f64 * bin_hz,
            bin_hz,
            reach + carrier - lowest + 1,
            |k, attenuation| {
                let bin = lowest + k;
                let m = bin.abs_diff(carrier);
                // The halves of the spectrum of a complex signal from those of its real and imaginary part.
                let (re, im) = (re[m], im[m]);
                let z = if bin >= carrier {
                    Complex::new(re.re - im.im, re.im + im.re)
                } else {
                    Complex::new(re.re + im.im, im.re - re.im)
                };
                amplitude[bin] = z.norm_sqr().sqrt() / (gain * attenuation);
            },
        );
        Spectrum {
            amplitude,
            bin_hz,
            low_hz: lowest as f64 * bin_hz,
            resolution_hz: 1.0 / (n as f64 * step_s),
            averaged: 1,
        }
    }
}

/// Why there is no spectrum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unclear {
    TooShort,
    /// The fundamental is not one line: the operating point changed.
    Unsteady,
}

/// Takes the mean rotation and a slow change of it off; gives the rotation per phasor in the middle, radians. A supply that drifts by
/// a hundredth of a hertz would otherwise smear into the side bands.
fn straighten(phasors: &mut [Complex<f64>]) -> f64 {
    let mean: Complex<f64> = phasors.windows(2).map(|z| z[1] * z[0].conj()).sum();
    let rotation = mean.arg();
    turn(phasors, rotation, 0.0);
    // Phases of three thirds: their slope and curvature.
    let third = phasors.len() / 3;
    let sum = |from: usize| phasors[from..from + third].iter().sum::<Complex<f64>>();
    let (first, middle, last) = (sum(0), sum((phasors.len() - third) / 2), sum(phasors.len() - third));
    let (before, after) = ((middle * first.conj()).arg(), (last * middle.conj()).arg());
    let distance = (phasors.len() - third) as f64 / 2.0;
    let (slope, curvature) = ((before + after) / (2.0 * distance), (after - before) / (distance * distance));
    turn(phasors, slope, curvature);
    rotation + slope
}

/// Turns phasor k back by `slope` x + `curvature` x^2 / 2, x counted from the middle.
fn turn(phasors: &mut [Complex<f64>], slope: f64, curvature: f64) {
    let middle = (phasors.len() - 1) as f64 / 2.0;
    let mut rotation = Complex::from_polar(1.0, slope * middle - 0.5 * curvature * middle * middle);
    let mut step = Complex::from_polar(1.0, -slope + curvature * (middle - 0.5));
    let step_step = Complex::from_polar(1.0, -curvature);
    for z in phasors {
        *z *= rotation;
        rotation *= step;
        step *= step_step;
    }
}

/// Takes off what is constant and what grows linearly, under the window; gives the constant.
fn without_drift(phasors: &mut [Complex<f64>], window: &[f64]) -> Complex<f64> {
    let middle = (phasors.len() - 1) as f64 / 2.0;
    let (mut weight, mut spread) = (0.0, 0.0);
    let (mut constant, mut linear) = (Complex::default(), Complex::default());
    for (k, (z, w)) in phasors.iter().zip(window).enumerate() {
        let x = k as f64 - middle;
        weight += w;
        spread += w * x * x;
        constant += z * w;
        linear += z * (w * x);
    }
    let (constant, linear): (Complex<f64>, Complex<f64>) = (constant / weight, linear / spread);
    for (k, z) in phasors.iter_mut().enumerate() {
        *z -= constant + linear * (k as f64 - middle);
    }
    constant
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(wave: impl Fn(f64) -> Complex<f64>) -> Track {
        let mut grid = Grid::new(8000.0, 50.2, 8).unwrap();
        let samples: Vec<Complex<f64>> = (0..40_000).map(|i| wave(f64::from(i) / 8000.0)).collect();
        let quantised = |v: f64| (v * UNIT).round() as i16;
        let phasors = grid.push(&samples).into_iter().map(|z| [quantised(z.re), quantised(z.im)]).collect();
        Track { grid, source: Source::SpaceVector, magnitude: 1.0, phasors }
    }

    fn line(hz: f64, height: f64, t: f64) -> Complex<f64> {
        Complex::from_polar(height, TAU * hz * t + 10.0 * hz)
    }

    #[test]
    fn lines_come_out_at_their_frequency_with_their_height() {
        let track = track(|t| line(50.0, 1.0, t) + line(47.3, 0.02, t) + line(52.7, 0.004, t));
        let (spectrum, f0) = track.spectrum().unwrap();
        assert!((f0.frequency_hz - 50.0).abs() < 5e-3, "{f0:?}");
        for (hz, height) in [(47.3, 0.02), (52.7, 0.004)] {
            let found = spectrum.line(hz - 0.3, hz + 0.3).unwrap();
            assert!(
                (found.frequency_hz - hz).abs() < 0.03 && (found.amplitude / height - 1.0).abs() < 0.05,
                "{found:?}"
            );
        }
        assert!(spectrum.peak(spectrum.low_hz, 46.0).unwrap().amplitude < 1e-4);
    }

    #[test]
    fn amplitude_is_told_from_phase() {
        let modulated = |t: f64, turn: f64| {
            let z = Complex::new(1.0, 0.0) + Complex::from_polar(0.03, turn) * (TAU * 3.0 * t + 0.4).cos();
            line(50.0, 1.0, t) * z
        };
        let amplitude = track(|t| modulated(t, 0.0)).amplitude_share(3.0).unwrap();
        let phase = track(|t| modulated(t, 0.25 * TAU)).amplitude_share(3.0).unwrap();
        assert!(amplitude > 0.98 && phase < 0.02, "{amplitude} {phase}");
    }

    #[test]
    fn a_slow_drift_is_taken_off_and_a_step_is_noticed() {
        // 0.04 Hz and a tenth of the height in 5 s.
        let drifting = track(|t| line(50.0 + 0.004 * t, 1.0 + 0.02 * t, t) + line(47.0, 0.01, t));
        let (spectrum, _) = drifting.spectrum().unwrap();
        assert!(spectrum.peak(51.0, 55.0).unwrap().amplitude < 1e-3, "{:?}", spectrum.peak(51.0, 55.0));
        assert!((spectrum.line(46.7, 47.3).unwrap().amplitude / 0.01 - 1.0).abs() < 0.1);
        let stepped = track(|t| line(if t < 2.0 { 50.0 } else { 50.4 }, 1.0, t));
        assert_eq!(stepped.spectrum().unwrap_err(), Unclear::Unsteady);
    }
}
