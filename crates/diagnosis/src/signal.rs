//! One channel made ready for analysis: checked, without its mean, scaled to unit RMS.

use vtox_protocol::{Channel, Quantity};

use crate::spectrum::median;

/// Fewer samples than this carry no spectrum worth looking at.
const SAMPLES_MIN: usize = 64;
/// A channel whose AC part is below this fraction of its largest value is constant: f32 resolves 6e-8.
const FLAT_RATIO: f64 = 1e-6;
/// Within this fraction of the extremes a sample counts as being at the rail.
const RAIL: f64 = 0.998;
/// A pure sine spends 4 % of its time at the rail, one of an 8-bit converter at half scale 11 %; a
/// sine clipped at 95 % of its peak spends 20 %.
const CLIPPED_FRACTION_MAX: f64 = 0.18;
/// A sine clipped so hard that it spends more than this at the rail (below 60 % of its peak) has lost its shape.
const RAILED_FRACTION_MAX: f64 = 0.6;
/// Fewer equal samples in a row may come from a coarse converter.
const HELD_MIN: usize = 8;
/// A held value that was lost ends in a jump of at least this many RMS; a coarse converter moves by one step.
const HELD_JUMP: f64 = 0.1;
/// Held samples that are still no dropout, as a fraction of the block.
const HELD_FRACTION_MAX: f64 = 0.02;
/// Longest stretch of one and the same value, as a fraction of the block, that is no dropout.
const DROPOUT_FRACTION_MAX: f64 = 0.05;
/// A current this many times its typical magnitude for one sample is no current: the peak of a sine is 1.4 times the
/// median of its magnitude.
const SPIKE_RATIO: f64 = 6.0;
/// More spikes than this, as a fraction of the block, are left alone: they may be the signal.
const SPIKE_FRACTION_MAX: f64 = 0.01;

/// Why a channel cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    Absent,
    TooShort,
    NotFinite,
    Flat,
    Dropout,
    Railed,
    BadRate,
    ContradictoryRate,
}

impl Defect {
    /// Completes "the channel ...".
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Absent => "is missing",
            Self::TooShort => "has fewer than 64 samples",
            Self::NotFinite => "holds values that are not finite",
            Self::Flat => "is constant (sensor not connected?)",
            Self::Dropout => "stands still in between (dropout)",
            Self::Railed => "is at the limit of its range most of the time (sensor range too small?)",
            Self::BadRate => "has no usable sampling rate",
            Self::ContradictoryRate => {
                "has a sampling rate that its times contradict: correct one of the two"
            }
        }
    }
}

/// What limits a channel that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flaws {
    /// The tops are cut off.
    pub(crate) clipped: bool,
    /// Short stretches in which the value stands still.
    pub(crate) dropouts: usize,
    /// Single wild samples that were replaced.
    pub(crate) spikes: usize,
}

/// A checked channel.
#[derive(Debug, Clone)]
pub(crate) struct Signal {
    /// Samples without their mean, scaled to unit RMS: squares and fourth powers cannot overflow, and
    /// every figure taken from them is free of scale.
    pub(crate) samples: Vec<f64>,
    /// Mean in the channel's unit.
    pub(crate) mean: f64,
    /// RMS of the AC part in the channel's unit.
    pub(crate) rms: f64,
    /// Sampling rate, Hz.
    pub(crate) rate_hz: f64,
    /// What limits it.
    pub(crate) flaws: Flaws,
}

impl Signal {
    pub(crate) fn new(channel: &Channel) -> Result<Self, Defect> {
        let rate_hz = channel.rate_hz;
        if !(rate_hz.is_finite() && rate_hz > 0.0) {
            return Err(Defect::BadRate);
        }
        if channel.samples.len() < SAMPLES_MIN {
            return Err(Defect::TooShort);
        }
        let mut samples: Vec<f64> = channel.samples.iter().map(|&x| f64::from(x)).collect();
        let mut flaws = Flaws::default();
        let current = Quantity::CURRENTS.contains(&channel.quantity);
        let mut span = centre(&mut samples)?;
        let mut mean = span.mean;
        if current && span.high.max(-span.low) > 0.5 * SPIKE_RATIO * span.rms {
            flaws.spikes = replace_spikes(&mut samples);
            span = centre(&mut samples)?;
            mean += span.mean;
        }
        // Inverter voltages jump between levels by nature; other channels are waveforms.
        if current || Quantity::VIBRATIONS.contains(&channel.quantity) {
            let held = Held::find(&samples, &span);
            let n = samples.len() as f64;
            if held.longest as f64 > DROPOUT_FRACTION_MAX * n || held.samples as f64 > HELD_FRACTION_MAX * n {
                return Err(Defect::Dropout);
            }
            flaws.dropouts = held.stretches;
            let railed = railed_fraction(&samples, &span);
            if railed > RAILED_FRACTION_MAX {
                return Err(Defect::Railed);
            }
            flaws.clipped = railed > CLIPPED_FRACTION_MAX;
        }
        let per_rms = 1.0 / span.rms;
        samples.iter_mut().for_each(|x| *x *= per_rms);
        Ok(Self { samples, mean, rms: span.rms, rate_hz, flaws })
    }

    /// Length, s.
    pub(crate) fn duration_s(&self) -> f64 {
        self.samples.len() as f64 / self.rate_hz
    }
}

/// Mean that was taken off, RMS and extremes of what remains.
struct Span {
    mean: f64,
    rms: f64,
    low: f64,
    high: f64,
}

impl Span {
    fn is_rail(&self, x: f64) -> bool {
        x >= RAIL * self.high || x <= RAIL * self.low
    }
}

/// Takes the mean off.
fn centre(samples: &mut [f64]) -> Result<Span, Defect> {
    let n = samples.len() as f64;
    let sum: f64 = samples.iter().sum();
    if !sum.is_finite() {
        return Err(Defect::NotFinite);
    }
    let mean = sum / n;
    let mut power = 0.0;
    let (mut low, mut high) = (0.0f64, 0.0f64);
    for x in samples.iter_mut() {
        *x -= mean;
        power += *x * *x;
        low = if *x < low { *x } else { low };
        high = if *x > high { *x } else { high };
    }
    let rms = (power / n).sqrt();
    let offset = mean.abs().max(high).max(-low);
    if !rms.is_finite() || rms <= offset * FLAT_RATIO || rms < f64::MIN_POSITIVE {
        return Err(Defect::Flat);
    }
    Ok(Span { mean, rms, low, high })
}

/// Replaces single samples far beyond a current's typical magnitude by the mean of their neighbours (interference, bit
/// errors); gives their number.
fn replace_spikes(samples: &mut [f64]) -> usize {
    let middle = median(&mut samples.to_vec());
    let typical = median(&mut samples.iter().map(|x| (x - middle).abs()).collect::<Vec<_>>());
    let limit = SPIKE_RATIO * typical;
    let wild: Vec<usize> = (0..samples.len()).filter(|&i| (samples[i] - middle).abs() > limit).collect();
    let alone = wild.windows(2).all(|w| w[1] - w[0] > 1);
    if limit <= 0.0 || !alone || wild.len() as f64 > SPIKE_FRACTION_MAX * samples.len() as f64 {
        return 0;
    }
    for &i in &wild {
        let before = if i > 0 { samples[i - 1] } else { samples[i + 1] };
        let after = samples.get(i + 1).copied().unwrap_or(before);
        samples[i] = 0.5 * (before + after);
    }
    wild.len()
}

/// Stretches in which the value stands still and not at the limit of its range.
struct Held {
    /// Samples of the longest, whatever its end.
    longest: usize,
    /// Of those that end in a jump: how many, and their samples.
    stretches: usize,
    samples: usize,
}

impl Held {
    fn find(samples: &[f64], span: &Span) -> Self {
        let mut held = Self { longest: 0, stretches: 0, samples: 0 };
        let mut start = 0;
        for i in 1..=samples.len() {
            if i < samples.len() && samples[i] == samples[start] {
                continue;
            }
            let (length, value) = (i - start, samples[start]);
            if length >= HELD_MIN && !span.is_rail(value) {
                let jumps = |at: Option<&f64>| at.is_some_and(|x| (x - value).abs() > HELD_JUMP * span.rms);
                held.longest = held.longest.max(length);
                if jumps(samples.get(i)) || jumps(start.checked_sub(1).and_then(|b| samples.get(b))) {
                    held.stretches += 1;
                    held.samples += length;
                }
            }
            start = i;
        }
        held
    }
}

fn railed_fraction(samples: &[f64], span: &Span) -> f64 {
    let railed = samples.iter().filter(|x| span.is_rail(**x)).count();
    railed as f64 / samples.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut railed = sine.clone();
        railed.iter_mut().for_each(|x| *x = x.clamp(-0.3, 0.3));
        assert_eq!(Signal::new(&channel(railed)).unwrap_err(), Defect::Railed);
        let mut bad = sine;
        bad[7] = f32::NAN;
        assert_eq!(Signal::new(&channel(bad)).unwrap_err(), Defect::NotFinite);
    }

    #[test]
    fn a_cut_sine_is_clipped_and_a_coarse_one_is_not() {
        let sine = |cut: f32, step: f32| -> Vec<f32> {
            (0..4000).map(|i| ((i as f32 * 0.0713).sin().clamp(-cut, cut) / step).round() * step).collect()
        };
        assert!(Signal::new(&channel(sine(0.9, 1e-4))).unwrap().flaws.clipped);
        assert!(!Signal::new(&channel(sine(1.0, 1.0 / 60.0))).unwrap().flaws.clipped);
    }

    #[test]
    fn lost_samples_are_told_from_a_coarse_converter() {
        let sine: Vec<f32> = (0..8000).map(|i| (i as f32 * 0.0393).sin()).collect();
        let mut holed = sine.clone();
        for start in [1030, 5040] {
            holed[start..start + 30].fill(sine[start]);
        }
        let signal = Signal::new(&channel(holed.clone())).unwrap();
        assert_eq!(signal.flaws, Flaws { dropouts: 2, ..Flaws::default() });
        for start in (0..8000).step_by(400) {
            holed[start + 40..start + 60].fill(0.0);
        }
        assert_eq!(Signal::new(&channel(holed)).unwrap_err(), Defect::Dropout);
        // 5 Hz through an 8-bit converter: many samples per step.
        let coarse = (0..8000).map(|i| ((i as f32 * 0.0039).sin() * 60.0).round() / 60.0).collect();
        assert_eq!(Signal::new(&channel(coarse)).unwrap().flaws.dropouts, 0);
    }

    #[test]
    fn single_wild_samples_of_a_current_are_replaced() {
        let sine: Vec<f32> = (0..800).map(|i| 10.0 * (i as f32 * 0.0393).sin()).collect();
        let clean = Signal::new(&channel(sine.clone())).unwrap();
        let mut spiked = sine.clone();
        spiked[123] = 1e6;
        spiked[456] = -500.0;
        let repaired = Signal::new(&channel(spiked)).unwrap();
        assert_eq!(repaired.flaws.spikes, 2);
        assert!((repaired.rms / clean.rms - 1.0).abs() < 1e-3, "{} {}", repaired.rms, clean.rms);
        // A vibration may be nothing but impacts.
        let mut impact = sine;
        impact[123] = 1e6;
        let vibration = Channel { quantity: Quantity::VibrationX, rate_hz: 8000.0, samples: impact };
        assert_eq!(Signal::new(&vibration).unwrap().flaws.spikes, 0);
    }
}
