//! Squared envelopes of bands of a vibration signal, and their spectra.
//!
//! J. Antoni, "Fast computation of the kurtogram for the detection of transient faults", MSSP 21 (2007) 108-124, for the
//! dyadic bands; N. Sawalhi, R. B. Randall and H. Endo, "The enhancement of fault detection and diagnosis in rolling element
//! bearings using minimum entropy deconvolution combined with spectral kurtosis", MSSP 21 (2007) 2616-2633, for the residual
//! of a linear prediction.

use realfft::num_complex::Complex;

use super::prediction::residual;
use crate::signal::Signal;
use crate::spectrum::{Spectrum, hann, median, rfft, squared_envelope};

/// Levels of dyadic bands of a signal of fewer than so many samples: 3 bands of a short one, whose narrower bands would hold
/// too few independent samples to say anything, to 31 of a long one, which may hold a resonance in a wide range.
const LEVELS_MAX: [(usize, u32); 4] = [(2048, 1), (8192, 2), (32_768, 3), (usize::MAX, 4)];
/// Bins that a band must have.
const BINS_MIN: usize = 32;
/// Share of the signal at either end that is faded in and out. The ends of a cut line would be impacts.
const FADED: usize = 64;
/// An envelope is averaged down to this many times the highest frequency looked at.
const OVERSAMPLING: f64 = 2.5;

/// Stretches the median kurtosis is taken over.
const STRETCHES: usize = 8;

/// A frequency band, Hz.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Band {
    pub(super) low_hz: f64,
    pub(super) high_hz: f64,
}

/// Squared envelope of one band.
pub(super) struct Envelope {
    pub(super) band: Band,
    /// Of the residual of a linear prediction instead of the signal itself.
    pub(super) whitened: bool,
    /// Spectral kurtosis of the band: 0 for Gaussian noise, -1 for a tone, above 0 when the power comes in bursts.
    pub(super) kurtosis: f64,
    /// Kurtosis of the whitened waveform, median over stretches: 3 for noise. None where it is not whitened.
    pub(super) waveform_kurtosis: Option<f64>,
    /// |analytic signal|^2 over its mean, less 1, sampled at `rate_hz`.
    relative: Vec<f64>,
    rate_hz: f64,
}

/// Squared depth of modulation at each frequency.
pub(super) struct Modulation {
    pub(super) power: Vec<f64>,
    pub(super) bin_hz: f64,
    pub(super) resolution_hz: f64,
}

impl Envelope {
    /// What the lines are searched in: the squares of [`Self::spectrum`] up to `top_hz`.
    pub(super) fn modulation(&self, top_hz: f64) -> Modulation {
        let n = self.relative.len();
        let window = hann(n);
        let padded = n.next_power_of_two();
        let windowed: Vec<f64> = self.relative.iter().zip(window.iter()).map(|(e, w)| e * w).collect();
        let bin_hz = self.rate_hz / padded as f64;
        let gain = (2.0 / window.iter().sum::<f64>()).powi(2);
        let bins = (top_hz / bin_hz) as usize + 2;
        let power = rfft(&windowed, padded).iter().take(bins).map(|c| gain * c.norm_sqr()).collect();
        Modulation { power, bin_hz, resolution_hz: self.rate_hz / n as f64 }
    }

    /// The depth of modulation at each frequency.
    pub(super) fn spectrum(&self) -> Spectrum {
        Spectrum::new(&self.relative, self.rate_hz)
    }
}

/// Envelopes of the bands of all levels whose width is at least `width_min_hz`, good up to `top_hz`: of the signal, and in its
/// full band of what cannot be predicted from its past, where resonances no longer smear impacts.
pub(super) fn envelopes(signal: &Signal, width_min_hz: f64, top_hz: f64) -> Vec<Envelope> {
    let n = signal.samples.len();
    let levels_max = LEVELS_MAX.iter().find(|(samples, _)| n < *samples).map_or(0, |(_, levels)| *levels);
    let mut envelopes = Vec::with_capacity(1 << (levels_max + 1));
    let mut add = |samples: &[f64], whitened, levels_max| {
        let faded = Faded::new(samples, signal.rate_hz, top_hz);
        for level in 0..=levels_max {
            let bins = (faded.padded / 2) >> level;
            if bins < BINS_MIN || (bins as f64) * faded.bin_hz() < width_min_hz {
                break;
            }
            envelopes.extend((0..1 << level).filter_map(|band| faded.envelope(band * bins, bins, whitened)));
        }
    };
    add(&signal.samples, false, levels_max);
    if let Some(residual) = residual(&signal.samples) {
        add(&residual, true, 0);
        let kurtosis = typical_kurtosis(&residual);
        envelopes.iter_mut().filter(|e| e.whitened).for_each(|e| e.waveform_kurtosis = Some(kurtosis));
    }
    envelopes
}

/// Kurtosis of a turn or so of a waveform, median over the block so that single impacts do not count: 3 for noise.
pub(super) fn typical_kurtosis(samples: &[f64]) -> f64 {
    let length = (samples.len() / STRETCHES).max(1);
    median(&mut samples.chunks_exact(length).map(kurtosis).collect::<Vec<_>>())
}

pub(super) fn kurtosis(samples: &[f64]) -> f64 {
    let n = samples.len() as f64;
    let (squares, fourths) =
        samples.iter().map(|x| x * x).fold((0.0, 0.0), |(s, f), square| (s + square, f + square * square));
    let square = squares / n;
    fourths / n / (square * square).max(f64::MIN_POSITIVE)
}

/// Spectrum of a signal with its ends faded.
struct Faded {
    spectrum: Vec<Complex<f64>>,
    samples: usize,
    padded: usize,
    rate_hz: f64,
    top_hz: f64,
}

impl Faded {
    fn new(samples: &[f64], rate_hz: f64, top_hz: f64) -> Self {
        let n = samples.len();
        let mut faded = samples.to_vec();
        let ends = n / FADED;
        for i in 0..ends {
            let gain = (i as f64 + 0.5) / ends as f64;
            faded[i] *= gain;
            faded[n - 1 - i] *= gain;
        }
        let padded = n.next_power_of_two();
        Self { spectrum: rfft(&faded, padded), samples: n, padded, rate_hz, top_hz }
    }

    fn bin_hz(&self) -> f64 {
        self.rate_hz / self.padded as f64
    }

    /// None where the band is empty.
    fn envelope(&self, first_bin: usize, bins: usize, whitened: bool) -> Option<Envelope> {
        let squared = squared_envelope(&self.spectrum[first_bin..first_bin + bins]);
        let points = squared.len();
        let at = |sample: usize| sample * points / self.padded;
        let ends = self.samples / FADED;
        let squared = &squared[at(ends)..at(self.samples - ends).max(at(ends) + 1)];
        let n = squared.len() as f64;
        let (sum, sum_squares) = squared.iter().fold((0.0, 0.0), |(s, q), e| (s + e, q + e * e));
        let mean = sum / n;
        if mean <= 0.0 {
            return None;
        }
        let rate_hz = points as f64 * self.bin_hz();
        let averaged = ((rate_hz / (OVERSAMPLING * self.top_hz)) as usize).clamp(1, squared.len() / 2);
        let per_sum = 1.0 / (mean * averaged as f64);
        let relative =
            squared.chunks_exact(averaged).map(|c| c.iter().sum::<f64>() * per_sum - 1.0).collect();
        Some(Envelope {
            band: Band {
                low_hz: first_bin as f64 * self.bin_hz(),
                high_hz: (first_bin + bins) as f64 * self.bin_hz(),
            },
            whitened,
            waveform_kurtosis: None,
            kurtosis: sum_squares / n / (mean * mean) - 2.0,
            relative,
            rate_hz: rate_hz / averaged as f64,
        })
    }
}
