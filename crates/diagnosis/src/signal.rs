//! One channel made ready for analysis: checked, without its mean, scaled to unit RMS.

use vtox_protocol::Channel;

/// Fewer samples than this carry no spectrum worth looking at.
const SAMPLES_MIN: usize = 64;
/// A channel whose AC part is below this fraction of its largest value is constant: f32 resolves 6e-8.
const FLAT_RATIO: f64 = 1e-6;
/// Within this fraction of the extremes a sample counts as being at the rail.
const RAIL: f64 = 0.998;
/// A pure sine spends 4 % of its time at the rail, one of an 8-bit converter at half scale 11 %; a
/// sine clipped at 95 % of its peak spends 20 %.
const CLIPPED_FRACTION_MAX: f64 = 0.18;
/// Longest stretch of one and the same value, as a fraction of the block, that is no dropout.
const DROPOUT_FRACTION_MAX: f64 = 0.05;

/// Why a channel cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    Absent,
    TooShort,
    NotFinite,
    Flat,
    Dropout,
    BadRate,
}

impl Defect {
    /// Completes "the channel ...".
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Absent => "is missing",
            Self::TooShort => "has fewer than 64 samples",
            Self::NotFinite => "holds values that are not finite",
            Self::Flat => "is constant (sensor not connected?)",
            Self::Dropout => "stands still for more than 5 % of the block (dropout)",
            Self::BadRate => "has no usable sampling rate",
        }
    }
}

/// A checked channel.
#[derive(Debug, Clone)]
pub(crate) struct Signal {
    /// Samples without their mean, scaled to unit RMS: squares and fourth powers cannot overflow, and
    /// every figure taken from them is free of scale.
    pub(crate) samples: Vec<f64>,
    /// RMS of the AC part in the channel's unit.
    pub(crate) rms: f64,
    /// Sampling rate, Hz.
    pub(crate) rate_hz: f64,
    /// Whether the tops are cut off.
    pub(crate) clipped: bool,
}

impl Signal {
    pub(crate) fn new(channel: &Channel) -> Result<Self, Defect> {
        let rate_hz = channel.rate_hz;
        if !(rate_hz.is_finite() && rate_hz > 0.0) {
            return Err(Defect::BadRate);
        }
        let raw = &channel.samples;
        if raw.len() < SAMPLES_MIN {
            return Err(Defect::TooShort);
        }
        let n = raw.len() as f64;
        let (mut sum, mut largest) = (0.0f64, 0.0f64);
        for &x in raw {
            let x = f64::from(x);
            sum += x;
            largest = largest.max(x.abs());
        }
        if !sum.is_finite() {
            return Err(Defect::NotFinite);
        }
        let mean = sum / n;
        let rms = (raw.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n).sqrt();
        if !rms.is_finite() || rms <= largest * FLAT_RATIO || rms < f64::MIN_POSITIVE {
            return Err(Defect::Flat);
        }
        if longest_run(raw) as f64 > DROPOUT_FRACTION_MAX * n {
            return Err(Defect::Dropout);
        }
        let samples: Vec<f64> = raw.iter().map(|&x| (f64::from(x) - mean) / rms).collect();
        let clipped = is_clipped(&samples);
        Ok(Self { samples, rms, rate_hz, clipped })
    }

    /// Length, s.
    pub(crate) fn duration_s(&self) -> f64 {
        self.samples.len() as f64 / self.rate_hz
    }
}

fn longest_run(samples: &[f32]) -> usize {
    let (mut longest, mut run, mut last) = (0, 0, f32::NAN);
    for &x in samples {
        run = if x == last { run + 1 } else { 1 };
        last = x;
        longest = longest.max(run);
    }
    longest
}

fn is_clipped(samples: &[f64]) -> bool {
    let (low, high) = samples.iter().fold((0.0f64, 0.0f64), |(l, h), &x| (l.min(x), h.max(x)));
    let at_rail = samples.iter().filter(|&&x| x >= RAIL * high || x <= RAIL * low).count();
    at_rail as f64 > CLIPPED_FRACTION_MAX * samples.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use vtox_protocol::Quantity;

    fn channel(samples: Vec<f32>) -> Channel {
        Channel { quantity: Quantity::CurrentA, rate_hz: 8000.0, samples }
    }

    #[test]
    fn defects_are_named() {
        let sine: Vec<f32> = (0..800).map(|i| (i as f32 * 0.04).sin()).collect();
        assert!(Signal::new(&channel(sine.clone())).is_ok());
        assert_eq!(Signal::new(&channel(vec![0.0; 800])).unwrap_err(), Defect::Flat);
        assert_eq!(Signal::new(&channel(vec![5.0; 800])).unwrap_err(), Defect::Flat);
        assert_eq!(Signal::new(&channel(sine[..60].to_vec())).unwrap_err(), Defect::TooShort);
        let mut holed = sine.clone();
        holed[400..500].fill(0.0);
        assert_eq!(Signal::new(&channel(holed)).unwrap_err(), Defect::Dropout);
        let mut bad = sine;
        bad[7] = f32::NAN;
        assert_eq!(Signal::new(&channel(bad)).unwrap_err(), Defect::NotFinite);
    }

    #[test]
    fn a_cut_sine_is_clipped_and_a_coarse_one_is_not() {
        let sine = |cut: f32, step: f32| -> Vec<f32> {
            (0..4000).map(|i| ((i as f32 * 0.0713).sin().clamp(-cut, cut) / step).round() * step).collect()
        };
        assert!(Signal::new(&channel(sine(0.9, 1e-4))).unwrap().clipped);
        assert!(!Signal::new(&channel(sine(1.0, 1.0 / 60.0))).unwrap().clipped);
    }
}
