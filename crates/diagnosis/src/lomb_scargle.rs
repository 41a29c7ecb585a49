//! Periodicity in unevenly spaced values: the Lomb-Scargle periodogram with a floating mean.
//!
//! M. Zechmeister and M. Kuerster, "The generalised Lomb-Scargle periodogram", Astronomy and Astrophysics 496 (2009) 577-584;
//! false-alarm probability after R. V. Baluev, "Assessing the statistical significance of periodogram peaks", Mon. Not. R.
//! Astron. Soc. 385 (2008) 1279-1285.

use std::f64::consts::{PI, TAU};

/// Frequencies per 1 / span: fine enough for a parabola through three of them to give the height of a peak to 1e-3.
const OVERSAMPLING: f64 = 8.0;

/// A point of the periodogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Peak {
    pub(crate) frequency_hz: f64,
    /// Share of the variance that a sine of this frequency explains, 0 to 1.
    pub(crate) power: f64,
    /// Peak amplitude of that sine, in the unit of the values.
    pub(crate) amplitude: f64,
}

/// Highest point of the periodogram of `values` at `times_s` over `low_hz..=high_hz`, leaving out what `skip` says. None
/// where nothing is left or the values do not vary.
pub(crate) fn highest(
    times_s: &[f64],
    values: &[f64],
    (low_hz, high_hz): (f64, f64),
    skip: impl Fn(f64) -> bool,
) -> Option<Peak> {
    let n = times_s.len().min(values.len()) as f64;
    let span_s = times_s.last()? - times_s.first()?;
    let mean = values.iter().sum::<f64>() / n;
    let deviations: Vec<f64> = values.iter().map(|v| v - mean).collect();
    let variance = deviations.iter().map(|v| v * v).sum::<f64>();
    if !(n >= 6.0 && span_s > 0.0 && variance > 0.0 && variance.is_finite()) {
        return None;
    }
    let step_hz = 1.0 / (OVERSAMPLING * span_s);
    let steps = ((high_hz - low_hz) / step_hz).ceil().clamp(0.0, 1e5) as usize;
    let mut turns: Vec<Turn> = times_s.iter().map(|t| Turn::new(t - times_s[0], low_hz, step_hz)).collect();
    let mut best: Option<Peak> = None;
    let mut raise = |peak: Peak| {
        if best.is_none_or(|b| peak.power > b.power) {
            best = Some(peak);
        }
    };
    let mut last: [Option<Peak>; 2] = [None, None];
    for k in 0..=steps {
        let frequency_hz = low_hz + k as f64 * step_hz;
        let here = if skip(frequency_hz) { None } else { at(&turns, &deviations, variance, frequency_hz) };
        if let Some(here) = here {
            raise(here);
        }
        if let ([Some(left), Some(middle)], Some(right)) = (last, here) {
            raise(top(left, middle, right));
        }
        last = [last[1], here];
        turns.iter_mut().for_each(Turn::advance);
    }
    best
}

/// The highest point of a parabola through three neighbours, where the one in the middle is the highest of them.
fn top(left: Peak, middle: Peak, right: Peak) -> Peak {
    let curvature = left.power - 2.0 * middle.power + right.power;
    if middle.power < left.power.max(right.power) || curvature >= 0.0 {
        return middle;
    }
    let shift = 0.5 * (left.power - right.power) / curvature;
    let power = middle.power - 0.25 * (left.power - right.power) * shift;
    Peak {
        frequency_hz: middle.frequency_hz + shift * (right.frequency_hz - middle.frequency_hz),
        power: power.min(1.0),
        amplitude: middle.amplitude * (power / middle.power).sqrt(),
    }
}

/// Cosine and sine at one time, turned on from frequency to frequency.
struct Turn {
    cos: f64,
    sin: f64,
    step: (f64, f64),
}

impl Turn {
    fn new(t: f64, low_hz: f64, step_hz: f64) -> Self {
        let (sin, cos) = (TAU * low_hz * t).sin_cos();
        Self { cos, sin, step: (TAU * step_hz * t).sin_cos() }
    }

    fn advance(&mut self) {
        let (s, c) = self.step;
        (self.cos, self.sin) = (self.cos * c - self.sin * s, self.sin * c + self.cos * s);
    }
}

/// Least squares of a sine and a constant against deviations from the mean.
fn at(turns: &[Turn], deviations: &[f64], variance: f64, frequency_hz: f64) -> Option<Peak> {
    let n = turns.len() as f64;
    let (mut c, mut s, mut cc, mut cs, mut yc, mut ys) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (Turn { cos, sin, .. }, y) in turns.iter().zip(deviations) {
        c += cos;
        s += sin;
        cc += cos * cos;
        cs += cos * sin;
        yc += y * cos;
        ys += y * sin;
    }
    let ss = n - cc - s * s / n;
    let (cc, cs) = (cc - c * c / n, cs - c * s / n);
    let determinant = cc * ss - cs * cs;
    // A frequency at which the times cannot tell sine, cosine and constant apart.
    if determinant <= 1e-6 * n * n {
        return None;
    }
    let (a, b) = ((yc * ss - ys * cs) / determinant, (ys * cc - yc * cs) / determinant);
    let power = ((a * yc + b * ys) / variance).clamp(0.0, 1.0);
    Some(Peak { frequency_hz, power, amplitude: a.hypot(b) })
}

/// Probability that noise alone gives a peak this high anywhere in a band of `width_hz`, for `n` independent values whose
/// times spread by `spread_s` (standard deviation).
pub(crate) fn false_alarm_probability(power: f64, n: f64, width_hz: f64, spread_s: f64) -> f64 {
    if n <= 4.0 {
        return 1.0;
    }
    let rest = (1.0 - power).max(1e-12);
    let single = rest.powf((n - 3.0) / 2.0);
    let width = width_hz * (4.0 * PI).sqrt() * spread_s;
    let crossings = width * rest.powf((n - 4.0) / 2.0) * (power * (n - 1.0) / 2.0).sqrt();
    1.0 - (1.0 - single) * (-crossings).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut uniform = move || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
        };
        move || (0..12).map(|_| uniform()).sum::<f64>() - 6.0
    }

    #[test]
    fn a_sine_at_uneven_times_is_found_with_its_amplitude() {
        let mut normal = random(1);
        let times: Vec<f64> = (0..40).map(|k| 1.2 * f64::from(k) + 0.2 * normal()).collect();
        let values: Vec<f64> =
            times.iter().map(|t| 7.0 + 0.5 * (TAU * 2.93 * t + 1.0).sin() + 0.05 * normal()).collect();
        let peak = highest(&times, &values, (0.1, 5.0), |_| false).unwrap();
        assert!((peak.frequency_hz - 2.93).abs() < 0.01, "{peak:?}");
        assert!((peak.amplitude / 0.5 - 1.0).abs() < 0.1, "{peak:?}");
        assert!(peak.power > 0.95 && false_alarm_probability(peak.power, 40.0, 5.0, 14.0) < 1e-9);
    }

    #[test]
    fn noise_alarms_as_often_as_stated() {
        let runs = 600;
        let mut alarms = 0;
        for seed in 0..runs {
            let mut normal = random(seed + 10);
            let times: Vec<f64> = (0..30).map(|k| 1.2 * f64::from(k) + 0.3 * normal()).collect();
            let values: Vec<f64> = times.iter().map(|_| normal()).collect();
            let mean = times.iter().sum::<f64>() / 30.0;
            let spread = (times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / 30.0).sqrt();
            let peak = highest(&times, &values, (0.1, 3.0), |_| false).unwrap();
            alarms += u32::from(false_alarm_probability(peak.power, 30.0, 2.9, spread) < 0.1);
        }
        // 60 are expected; the formula is an upper bound that is close where it is small.
        assert!((25..=80).contains(&alarms), "{alarms} of {runs}");
    }

    #[test]
    fn what_cannot_be_analysed_gives_nothing() {
        assert_eq!(highest(&[], &[], (0.1, 1.0), |_| false), None);
        assert_eq!(highest(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2.0; 7], (0.1, 0.4), |_| false), None);
        assert_eq!(
            highest(&[1.0; 8], &[1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0], (0.1, 0.4), |_| false),
            None
        );
        assert_eq!(false_alarm_probability(0.5, 3.0, 1.0, 1.0), 1.0);
    }
}
