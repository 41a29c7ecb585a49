//! Amplitude spectra under a Hann window, and looking for lines in them.

use std::cell::RefCell;
use std::f64::consts::{PI, TAU};
use std::ops::Range;
use std::rc::Rc;

use realfft::RealFftPlanner;
use realfft::num_complex::Complex;

thread_local! {
    // Lengths are padded to powers of two, so the planner holds a few plans and no more.
    static PLANNER: RefCell<RealFftPlanner<f64>> = RefCell::new(RealFftPlanner::new());
}

/// Spectrum of real samples, zero-padded to `padded` (a power of two): bins 0..=padded / 2.
pub(crate) fn rfft(samples: &[f64], padded: usize) -> Vec<Complex<f64>> {
    let fft = PLANNER.with_borrow_mut(|p| p.plan_fft_forward(padded));
    let mut input = fft.make_input_vec();
    input[..samples.len()].copy_from_slice(samples);
    let mut output = fft.make_output_vec();
    // Cannot fail: both buffers come from the plan.
    let _ = fft.process(&mut input, &mut output);
    output
}

/// Squared magnitude of the analytic signal whose one-sided spectrum is `part`, at twice as many points as it has bins
/// (a power of two), which is what squaring needs so as not to alias.
pub(crate) fn squared_envelope(part: &[Complex<f64>]) -> Vec<f64> {
    let fft = PLANNER.with_borrow_mut(|p| p.plan_fft_inverse(2 * part.len()));
    // The real part of the analytic signal has `part` as its spectrum; its Hilbert transform has -j times it.
    let transform = |turn: Complex<f64>| {
        let mut input = fft.make_input_vec();
        for (to, from) in input.iter_mut().zip(part) {
            *to = from * turn;
        }
        input[0].im = 0.0;
        let mut output = fft.make_output_vec();
        // Cannot fail: both buffers come from the plan, and the first and last bin are real.
        let _ = fft.process(&mut input, &mut output);
        output
    };
    let (real, imaginary) = (transform(Complex::new(1.0, 0.0)), transform(Complex::new(0.0, -1.0)));
    real.iter().zip(&imaginary).map(|(r, i)| r * r + i * i).collect()
}

/// Calls `f(i, cos(omega (i - centre)), sin(omega (i - centre)))` for `i` in `0..n`, `centre` = (n - 1) / 2.
pub(crate) fn for_each_rotation(n: usize, omega: f64, mut f: impl FnMut(usize, f64, f64)) {
    // Lanes that do not wait for each other.
    const LANES: usize = 4;
    let start = -omega * (n.saturating_sub(1)) as f64 / 2.0;
    let mut lanes: [(f64, f64); LANES] = std::array::from_fn(|lane| (start + lane as f64 * omega).sin_cos());
    let (step_s, step_c) = (LANES as f64 * omega).sin_cos();
    for first in (0..n).step_by(LANES) {
        for (lane, (s, c)) in lanes.iter_mut().enumerate() {
            if first + lane < n {
                f(first + lane, *c, *s);
            }
            (*c, *s) = (*c * step_c - *s * step_s, *s * step_c + *c * step_s);
        }
    }
}

/// Windows kept per thread, and the longest that is.
const WINDOWS_KEPT: usize = 8;
const WINDOW_KEPT_MAX: usize = 1 << 15;

thread_local! {
    static WINDOWS: RefCell<Vec<Rc<[f64]>>> = const { RefCell::new(Vec::new()) };
}

/// Hann window of `n` points, zero just outside both ends.
pub(crate) fn hann(n: usize) -> Rc<[f64]> {
    WINDOWS.with_borrow_mut(|kept| {
        if let Some(window) = kept.iter().find(|w| w.len() == n) {
            return Rc::clone(window);
        }
        let mut window = vec![0.0; n];
        for_each_rotation(n, TAU / (n + 1) as f64, |i, c, _| window[i] = 0.5 + 0.5 * c);
        let window: Rc<[f64]> = window.into();
        if n <= WINDOW_KEPT_MAX {
            if kept.len() == WINDOWS_KEPT {
                kept.remove(0);
            }
            kept.push(Rc::clone(&window));
        }
        window
    })
}

/// A line of a spectrum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Line {
    pub(crate) frequency_hz: f64,
    pub(crate) amplitude: f64,
}

/// Single-sided amplitude spectrum: a sine of peak amplitude A shows as A.
#[derive(Debug, Clone)]
pub(crate) struct Spectrum {
    pub(crate) amplitude: Vec<f64>,
    /// Distance of two bins, Hz; finer than the resolution by the zero padding.
    pub(crate) bin_hz: f64,
    /// Below this frequency the spectrum says nothing, Hz.
    pub(crate) low_hz: f64,
    /// 1 / length of the signal, Hz: two lines closer than about two of these are one.
    pub(crate) resolution_hz: f64,
    /// Spectra of independent noise that were averaged.
    pub(crate) averaged: usize,
}

impl Spectrum {
    pub(crate) fn new(samples: &[f64], rate_hz: f64) -> Self {
        let n = samples.len();
        let window = hann(n);
        let gain: f64 = window.iter().sum();
        let scale = 2.0 / gain;
        let windowed: Vec<f64> = samples.iter().zip(window.iter()).map(|(x, w)| x * w).collect();
        let padded = n.next_power_of_two();
        let amplitude = rfft(&windowed, padded).iter().map(|c| scale * c.norm_sqr().sqrt()).collect();
        let (bin_hz, resolution_hz) = (rate_hz / padded as f64, rate_hz / n as f64);
        Self { amplitude, bin_hz, low_hz: 0.0, resolution_hz, averaged: 1 }
    }

    /// Root of the mean power of the spectra that share the first one's grid.
    pub(crate) fn rms_of(spectra: &[Self]) -> Option<Self> {
        let mut mean = spectra.first()?.clone();
        let alike: Vec<&Self> = spectra
            .iter()
            .filter(|s| s.bin_hz == mean.bin_hz && s.resolution_hz == mean.resolution_hz)
            .collect();
        for (i, a) in mean.amplitude.iter_mut().enumerate() {
            *a = (alike.iter().map(|s| s.amplitude[i].powi(2)).sum::<f64>() / alike.len() as f64).sqrt();
        }
        mean.averaged = alike.len();
        Some(mean)
    }

    pub(crate) fn nyquist_hz(&self) -> f64 {
        self.bin_hz * (self.amplitude.len() - 1) as f64
    }

    fn bins(&self, low_hz: f64, high_hz: f64) -> Range<usize> {
        let last = self.amplitude.len();
        let low = (low_hz.max(self.low_hz) / self.bin_hz).ceil() as usize;
        let high = (high_hz.max(0.0) / self.bin_hz).floor() as usize;
        low.min(last)..high.saturating_add(1).min(last)
    }

    /// The highest point within `[low, high]`.
    pub(crate) fn peak(&self, low_hz: f64, high_hz: f64) -> Option<Line> {
        let bins = self.bins(low_hz, high_hz);
        let i = bins.max_by(|&a, &b| self.amplitude[a].total_cmp(&self.amplitude[b]))?;
        Some(self.interpolated(i))
    }

    /// The highest line within `[low, high]`, give or take half a bin: a local maximum, and not the skirt of a line beyond.
    pub(crate) fn line(&self, low_hz: f64, high_hz: f64) -> Option<Line> {
        let half = 0.5 * self.bin_hz;
        let maxima = self.bins(low_hz - half, high_hz + half).filter(|&i| self.is_maximum(i));
        let i = maxima.max_by(|&a, &b| self.amplitude[a].total_cmp(&self.amplitude[b]))?;
        Some(self.interpolated(i))
    }

    fn is_maximum(&self, i: usize) -> bool {
        let a = &self.amplitude;
        i > 0 && i + 1 < a.len() && a[i] >= a[i - 1] && a[i] >= a[i + 1] && a[i - 1].min(a[i + 1]) > 0.0
    }

    /// A maximum interpolated by a parabola through the logarithms; any other bin as it is.
    fn interpolated(&self, i: usize) -> Line {
        let here = self.amplitude[i];
        let plain = Line { frequency_hz: i as f64 * self.bin_hz, amplitude: here };
        if !self.is_maximum(i) {
            return plain;
        }
        let (l, m, r) = (self.amplitude[i - 1].ln(), here.ln(), self.amplitude[i + 1].ln());
        let curvature = l - 2.0 * m + r;
        if curvature >= -f64::EPSILON {
            return plain;
        }
        let shift = (0.5 * (l - r) / curvature).clamp(-0.5, 0.5);
        Line { frequency_hz: (i as f64 + shift) * self.bin_hz, amplitude: (m - 0.25 * (l - r) * shift).exp() }
    }

    /// Local noise floor: median amplitude within `span_hz` to either side, leaving out what is closer
    /// than `guard_hz` to the line or to one of `lines_hz`.
    pub(crate) fn floor(
        &self,
        frequency_hz: f64,
        guard_hz: f64,
        span_hz: f64,
        lines_hz: &[f64],
    ) -> Option<f64> {
        let mut around: Vec<f64> = self
            .bins(frequency_hz - span_hz, frequency_hz + span_hz)
            .filter(|&i| i > 0)
            .filter(|&i| {
                let f = i as f64 * self.bin_hz;
                (f - frequency_hz).abs() > guard_hz && lines_hz.iter().all(|l| (f - l).abs() > guard_hz)
            })
            .map(|i| self.amplitude[i])
            .collect();
        (around.len() >= 4).then(|| median(&mut around))
    }
}

/// Median; 0 of nothing. Reorders its argument.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// 20 lg of a ratio of amplitudes; -200 dB at the least, so that it is always finite.
pub(crate) fn db(ratio: f64) -> f64 {
    20.0 * ratio.max(1e-10).log10()
}

/// Angle brought into (-pi, pi].
pub(crate) fn wrap(angle: f64) -> f64 {
    let turned = angle.rem_euclid(TAU);
    if turned > PI { turned - TAU } else { turned }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(n: usize, rate: f64, f: f64, a: f64) -> Vec<f64> {
        (0..n).map(|i| a * (TAU * f * i as f64 / rate + 0.4).sin()).collect()
    }

    #[test]
    fn a_line_is_found_where_it_is_with_its_height() {
        for f in [23.7, 50.0, 87.0, 133.0] {
            let spectrum = Spectrum::new(&sine(3000, 3000.0, f, 2.5), 3000.0);
            let line = spectrum.peak(5.0, 400.0).unwrap();
            assert!((line.frequency_hz - f).abs() < 0.02, "{f}: {line:?}");
            assert!((line.amplitude / 2.5 - 1.0).abs() < 0.02, "{f}: {line:?}");
        }
    }

    #[test]
    fn the_skirt_of_a_line_is_no_line() {
        let spectrum = Spectrum::new(&sine(4096, 4096.0, 500.0, 1.0), 4096.0);
        let line = spectrum.line(500.9, 501.2);
        assert!(line.is_none_or(|l| l.amplitude < 1e-3), "{line:?}");
        assert!(spectrum.line(499.0, 501.0).is_some());
    }

    #[test]
    fn the_floor_ignores_known_lines() {
        let mut x = sine(4096, 4096.0, 500.0, 1.0);
        for (i, v) in sine(4096, 4096.0, 520.0, 1e-3).into_iter().enumerate() {
            x[i] += v;
        }
        let spectrum = Spectrum::new(&x, 4096.0);
        let floor = spectrum.floor(520.0, 4.0, 15.0, &[]).unwrap();
        assert!(db(floor) < -80.0, "{}", db(floor));
    }
}
