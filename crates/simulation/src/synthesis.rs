//! Sums of lines and noise, fast.

use std::f64::consts::TAU;

/// Samples computed side by side, which the compiler turns into vector instructions.
const LANES: usize = 8;
/// Samples after which the phasors are set anew from the exact one.
const STRETCH: usize = 256;

/// A line of C channels: channel c is Re(phasors\[c\] exp(j 2 pi f t)), t absolute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line<const C: usize> {
    pub frequency_hz: f64,
    /// Real and imaginary part per channel; the magnitude is the peak.
    pub phasors: [(f64, f64); C],
}

/// Adds a line to the channels from `start_s` on. A rotating phasor is multiplied on from eight
/// samples to the next eight, so that sine and cosine are computed a few times per line. The sum is
/// right to about 1e-6 of the line's peak.
pub(crate) fn add_line<const C: usize>(out: &mut [Vec<f32>; C], line: &Line<C>, rate_hz: f64, start_s: f64) {
    let per_sample = line.frequency_hz / rate_hz;
    let turned = |samples: usize| unit(per_sample * samples as f64);
    let lanes: [Complex; LANES] = std::array::from_fn(turned);
    let (step_re, step_im) = narrow(turned(LANES));
    let stretch = turned(STRETCH);
    let weights = line.phasors.map(narrow);

    let mut exact = unit((line.frequency_hz * start_s).fract());
    let samples = out.first().map_or(0, Vec::len);
    for from in (0..samples).step_by(STRETCH) {
        let (mut re, mut im) = ([0.0f32; LANES], [0.0f32; LANES]);
        for (lane, offset) in lanes.iter().enumerate() {
            (re[lane], im[lane]) = narrow(times(exact, *offset));
        }
        for first in (from..samples.min(from + STRETCH)).step_by(LANES) {
            let last = samples.min(first + LANES);
            for (channel, (a, b)) in out.iter_mut().zip(weights) {
                for ((sample, re), im) in channel[first..last].iter_mut().zip(&re).zip(&im) {
                    *sample += a * re - b * im;
                }
            }
            for lane in 0..LANES {
                (re[lane], im[lane]) =
                    (re[lane] * step_re - im[lane] * step_im, re[lane] * step_im + im[lane] * step_re);
            }
        }
        exact = times(exact, stretch);
    }
}

/// The same with sample k taken at `at[k]` sampling periods after `start_s`.
pub(crate) fn add_line_at<const C: usize>(
    out: &mut [Vec<f32>; C],
    line: &Line<C>,
    rate_hz: f64,
    start_s: f64,
    at: &[f64],
) {
    let start = (line.frequency_hz * start_s).fract();
    for (index, periods) in at.iter().enumerate() {
        let (re, im) = unit(start + line.frequency_hz / rate_hz * periods);
        for (channel, (a, b)) in out.iter_mut().zip(line.phasors) {
            channel[index] += (a * re - b * im) as f32;
        }
    }
}

impl<const C: usize> Line<C> {
    /// The line with channel c seen `first + c` times `skew_s` later.
    pub(crate) fn skewed(&self, first: usize, skew_s: f64) -> Self {
        let turned = std::array::from_fn(|c| {
            times(self.phasors[c], unit(self.frequency_hz * skew_s * (first + c) as f64))
        });
        Self { frequency_hz: self.frequency_hz, phasors: turned }
    }
}

type Complex = (f64, f64);

fn unit(cycles: f64) -> Complex {
    let (sin, cos) = (TAU * cycles).sin_cos();
    (cos, sin)
}

fn times(a: Complex, b: Complex) -> Complex {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

fn narrow(a: Complex) -> (f32, f32) {
    (a.0 as f32, a.1 as f32)
}

/// White noise, normal to within 2 % of its kurtosis: the heads of 48 tosses, smeared over the steps
/// between.
pub(crate) struct Noise {
    seed: u64,
    drawn: u64,
}

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// Adds noise of standard deviation `sigma`.
    pub(crate) fn add(&mut self, out: &mut [f32], sigma: f64) {
        /// Root of the variances of the heads (12) and of a uniform smear (1/12).
        const SPREAD: f64 = 3.476_109_127_724_082_5;
        let scale = (sigma / SPREAD) as f32;
        for sample in out {
            let bits = random_bits(self.seed, self.drawn);
            self.drawn += 1;
            let heads = (bits >> 16).count_ones() as f32 - 24.0;
            let between = (bits & 0xffff) as f32 / 65_536.0 - 0.5;
            *sample += scale * (heads + between);
        }
    }
}

/// Number `index` of the sequence that SplitMix64 makes of a seed (Steele, Lea, Flood, "Fast
/// splittable pseudorandom number generators", OOPSLA 2014).
fn random_bits(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number in 0-1 that depends on nothing but its two arguments.
pub(crate) fn scatter(individual: u64, index: u64) -> f64 {
    (random_bits(individual, index) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_cosine_at_any_length_and_start() {
        for samples in [1, 7, 8, 9, 100_000] {
            for start_s in [0.0, 1.25, 1e6] {
                let line = Line { frequency_hz: 123.456, phasors: [(2.0, 0.0), (0.0, 3.0)] };
                let mut out = [vec![0.0; samples], vec![0.0; samples]];
                add_line(&mut out, &line, 8000.0, start_s);
                let n = samples - 1;
                let angle = TAU * ((123.456 * start_s).fract() + 123.456 * n as f64 / 8000.0);
                assert!((f64::from(out[0][n]) - 2.0 * angle.cos()).abs() < 2e-5);
                assert!((f64::from(out[1][n]) + 3.0 * angle.sin()).abs() < 2e-5);
            }
        }
    }

    #[test]
    fn noise_is_normal_in_its_moments() {
        let mut out = vec![0.0; 400_001];
        Noise::new(1).add(&mut out, 0.5);
        let moment = |k| out.iter().map(|x| (f64::from(*x) / 0.5).powi(k)).sum::<f64>() / out.len() as f64;
        assert!(moment(1).abs() < 0.01);
        assert!((moment(2) - 1.0).abs() < 0.01);
        assert!((moment(4) - 3.0).abs() < 0.08);
        let neighbours = out.windows(2).map(|w| f64::from(w[0] * w[1])).sum::<f64>() / out.len() as f64;
        assert!(neighbours.abs() < 0.002);
    }

    #[test]
    fn scatter_is_even() {
        let mean = (0..10_000).map(|i| scatter(7, i)).sum::<f64>() / 1e4;
        assert!((mean - 0.5).abs() < 0.02);
        assert_ne!(scatter(7, 0), scatter(8, 0));
    }
}
