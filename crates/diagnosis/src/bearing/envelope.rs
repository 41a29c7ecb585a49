//! Squared-envelope spectra of dyadic bands of a vibration signal.
//!
//! J. Antoni, "Fast computation of the kurtogram for the detection of transient faults", MSSP 21 (2007) 108-124, for the
//! dyadic bands.

use realfft::num_complex::Complex;

use crate::signal::Signal;
use crate::spectrum::{Spectrum, median, rfft, squared_envelope};

/// A frequency band, Hz.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Band {
    pub(super) low_hz: f64,
    pub(super) high_hz: f64,
}

/// Squared envelope of one band.
pub(super) struct Envelope {
    pub(super) band: Band,
    /// |analytic signal|^2, sampled at `rate_hz`.
    pub(super) squared: Vec<f64>,
    pub(super) rate_hz: f64,
}

impl Envelope {
    fn mean(&self) -> f64 {
        self.squared.iter().sum::<f64>() / self.squared.len() as f64
    }

    /// Spectral kurtosis of the band: 0 for Gaussian noise.
    pub(super) fn kurtosis(&self) -> f64 {
        let n = self.squared.len() as f64;
        let mean_square = self.squared.iter().map(|e| e * e).sum::<f64>() / n;
        mean_square / self.mean().powi(2) - 2.0
    }

    /// Spectrum of the squared envelope over its mean: the depth of modulation at each frequency.
    pub(super) fn spectrum(&self) -> Spectrum {
        let mean = self.mean();
        let relative: Vec<f64> = self.squared.iter().map(|e| e / mean - 1.0).collect();
        Spectrum::new(&relative, self.rate_hz)
    }
}

/// Envelopes of the bands of all levels whose width is at least `width_min_hz`, the whole band first.
pub(super) fn envelopes(signal: &Signal, width_min_hz: f64, levels_max: u32) -> Vec<Envelope> {
    let n = signal.samples.len();
    let padded = n.next_power_of_two();
    let spectrum = rfft(&signal.samples, padded);
    let mut envelopes = Vec::new();
    for level in 0..=levels_max {
        let bands = 1usize << level;
        let bins = (padded / 2) >> level;
        if bins < 32 || (bins as f64) * signal.rate_hz / (padded as f64) < width_min_hz {
            break;
        }
        for b in 0..bands {
            let part = &spectrum[b * bins..(b + 1) * bins];
            envelopes.push(envelope(part, b * bins, padded, signal));
        }
    }
    envelopes.retain(|e| e.mean() > 0.0);
    envelopes
}

fn envelope(part: &[Complex<f64>], first_bin: usize, padded: usize, signal: &Signal) -> Envelope {
    let bins = part.len();
    let mut squared = squared_envelope(part);
    let points = squared.len();
    squared.truncate((signal.samples.len() * points / padded).max(1));
    let bin_hz = signal.rate_hz / padded as f64;
    Envelope {
        band: Band { low_hz: first_bin as f64 * bin_hz, high_hz: (first_bin + bins) as f64 * bin_hz },
        squared,
        rate_hz: points as f64 * bin_hz,
    }
}

/// Power of each bin of a spectrum over the local mean of noise, up to `top_hz`. Of pure noise each is exponentially
/// distributed with mean 1; the mean is taken from the median (ln 2 of it), which lines do not move.
pub(super) fn over_noise(spectrum: &Spectrum, top_hz: f64) -> Vec<f64> {
    /// Resolutions per stretch whose median is taken.
    const STRETCH: f64 = 24.0;
    let bins = ((top_hz / spectrum.bin_hz).ceil() as usize).clamp(1, spectrum.amplitude.len());
    let power: Vec<f64> = spectrum.amplitude[..bins].iter().map(|a| a * a).collect();
    let stretch = ((STRETCH * spectrum.resolution_hz / spectrum.bin_hz).round() as usize).clamp(1, bins);
    let mut scratch = Vec::with_capacity(2 * stretch);
    let floors: Vec<f64> = (0..bins)
        .step_by(stretch)
        .map(|start| {
            let centre = start + stretch / 2;
            scratch.clear();
            scratch.extend_from_slice(&power[centre.saturating_sub(stretch)..(centre + stretch).min(bins)]);
            median(&mut scratch) / std::f64::consts::LN_2
        })
        .collect();
    power
        .iter()
        .enumerate()
        .map(|(i, p)| {
            let at = (i as f64 / stretch as f64 - 0.5).clamp(0.0, (floors.len() - 1) as f64);
            let (left, share) = (at.floor() as usize, at.fract());
            let right = (left + 1).min(floors.len() - 1);
            let floor = floors[left] * (1.0 - share) + floors[right] * share;
            if floor > 0.0 { p / floor } else { 0.0 }
        })
        .collect()
}
