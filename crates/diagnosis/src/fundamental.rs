//! Supply frequency and fundamental phasors of the currents, by least squares.

use std::f64::consts::TAU;

use realfft::num_complex::Complex;

use crate::signal::Signal;
use crate::spectrum::{Spectrum, for_each_rotation, hann};

/// Below this many cycles frequency and phasor cannot be told from offset and drift.
pub(crate) const CYCLES_MIN: f64 = 2.0;
/// From this many cycles on, image and offset are 20 bins away and more than 80 dB down under a Hann window: no need to fit
/// them along.
const CYCLES_APART: f64 = 10.0;
/// The fundamental must carry this share of the AC power, or what was found is not one.
const POWER_SHARE_MIN: f64 = 0.5;
/// Gauss-Newton steps at the most; each squares the error.
const STEPS_MAX: usize = 3;
/// A step of less than this many radians over half the block changes nothing any more.
const STEP_MIN: f64 = 1e-5;

/// Supply frequency of a signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fundamental {
    pub(crate) frequency_hz: f64,
    /// Cycles in the block.
    pub(crate) cycles: f64,
}

impl Fundamental {
    /// 1 / length of the block it was found in, Hz.
    pub(crate) fn resolution_hz(self) -> f64 {
        self.frequency_hz / self.cycles
    }
}

/// Finds the fundamental of a signal whose `spectrum` is given: the highest line, refined. None where no line dominates
/// or the block holds less than two cycles.
pub(crate) fn find(signal: &Signal, spectrum: &Spectrum) -> Option<Fundamental> {
    // Below 1.5 / T a line is the block's drift.
    let coarse = spectrum.peak(1.5 * spectrum.resolution_hz, spectrum.nyquist_hz())?;
    let frequency_hz = refine(signal, coarse.frequency_hz);
    if (frequency_hz - coarse.frequency_hz).abs() > 2.0 * spectrum.resolution_hz
        || !dominates(phasor(signal, frequency_hz))
    {
        return None;
    }
    let cycles = frequency_hz * signal.duration_s();
    (frequency_hz.is_finite() && cycles >= CYCLES_MIN).then_some(Fundamental { frequency_hz, cycles })
}

/// Whether a line of this phasor, relative to the RMS of its signal, carries most of the power.
pub(crate) fn dominates(phasor: Complex<f64>) -> bool {
    phasor.norm_sqr() / 2.0 >= POWER_SHARE_MIN
}

/// Fits `a cos + b sin + c` with the frequency free, under a Hann weight (after the four-parameter fit of
/// IEEE Std 1057; the weight keeps harmonics and the image out of short blocks).
fn refine(signal: &Signal, start_hz: f64) -> f64 {
    if start_hz * signal.duration_s() >= CYCLES_APART {
        return refine_alone(signal, start_hz);
    }
    let n = signal.samples.len();
    let window = hann(n);
    let half = n as f64 / 2.0;
    let mut omega = TAU * start_hz / signal.rate_hz;
    let (mut a, mut b) = {
        let p = project(&signal.samples, &window, omega);
        (p.re, -p.im)
    };
    for _ in 0..STEPS_MAX {
        let (mut matrix, mut right) = ([[0.0f64; 4]; 4], [0.0f64; 4]);
        for_each_rotation(n, omega, |i, c, s| {
            let t = (i as f64 - half) / half;
            let columns = [c, s, 1.0, t * (b * c - a * s)];
            for r in 0..4 {
                let weighted = window[i] * columns[r];
                for k in r..4 {
                    matrix[r][k] += weighted * columns[k];
                }
                right[r] += weighted * signal.samples[i];
            }
        });
        let Some([next_a, next_b, _, step]) = solve(mirrored(matrix), right) else {
            break;
        };
        (a, b) = (next_a, next_b);
        omega += step / half;
        if !omega.is_finite() || omega <= 0.0 {
            return start_hz;
        }
        if step.abs() < STEP_MIN {
            break;
        }
    }
    omega * signal.rate_hz / TAU
}

/// The same fit where image and offset are too far away to matter: what remains of the rotation is the slope of its phase
/// over time.
fn refine_alone(signal: &Signal, start_hz: f64) -> f64 {
    let n = signal.samples.len();
    let window = hann(n);
    let half = n as f64 / 2.0;
    let mut omega = TAU * start_hz / signal.rate_hz;
    for _ in 0..STEPS_MAX {
        let (mut level, mut slope) = (Complex::new(0.0, 0.0), Complex::new(0.0, 0.0));
        let (mut gain, mut spread) = (0.0, 0.0);
        for_each_rotation(n, omega, |i, c, s| {
            let t = (i as f64 - (half - 0.5)) / half;
            let w = window[i];
            let x = w * signal.samples[i];
            level += Complex::new(x * c, -x * s);
            slope += Complex::new(t * x * c, -t * x * s);
            gain += w;
            spread += w * t * t;
        });
        let step = (slope / level).im * gain / spread;
        if !step.is_finite() {
            return start_hz;
        }
        omega += step / half;
        if step.abs() < STEP_MIN {
            break;
        }
    }
    if omega > 0.0 { omega * signal.rate_hz / TAU } else { start_hz }
}

fn project(samples: &[f64], window: &[f64], omega: f64) -> Complex<f64> {
    let (mut re, mut im, mut gain) = (0.0, 0.0, 0.0);
    for_each_rotation(samples.len(), omega, |i, c, s| {
        let x = window[i] * samples[i];
        re += x * c;
        im -= x * s;
        gain += window[i];
    });
    Complex::new(re, im) * (2.0 / gain)
}

/// Peak phasor of a signal at a frequency, relative to its RMS and to the instant in the middle of the block:
/// `x(t) = Re(phasor exp(j omega t))`. In short blocks offset and image are
/// fitted along with it, not left to the window.
pub(crate) fn phasor(signal: &Signal, frequency_hz: f64) -> Complex<f64> {
    let n = signal.samples.len();
    let window = hann(n);
    let omega = TAU * frequency_hz / signal.rate_hz;
    if frequency_hz * signal.duration_s() >= CYCLES_APART {
        return project(&signal.samples, &window, omega);
    }
    let (mut matrix, mut right) = ([[0.0f64; 3]; 3], [0.0f64; 3]);
    for_each_rotation(n, omega, |i, c, s| {
        let (w, x) = (window[i], signal.samples[i]);
        matrix[0][0] += w * c * c;
        matrix[0][1] += w * c * s;
        matrix[0][2] += w * c;
        matrix[1][1] += w * s * s;
        matrix[1][2] += w * s;
        matrix[2][2] += w;
        right[0] += w * c * x;
        right[1] += w * s * x;
        right[2] += w * x;
    });
    solve(mirrored(matrix), right).map_or_else(Complex::default, |[a, b, _]| Complex::new(a, -b))
}

/// The samples without the line of the given phasor.
pub(crate) fn without_line(signal: &Signal, frequency_hz: f64, phasor: Complex<f64>) -> Vec<f64> {
    let mut rest = signal.samples.clone();
    for_each_rotation(rest.len(), TAU * frequency_hz / signal.rate_hz, |i, c, s| {
        rest[i] -= phasor.re * c - phasor.im * s;
    });
    rest
}

/// Completes a symmetric matrix from its upper triangle.
fn mirrored<const N: usize>(upper: [[f64; N]; N]) -> [[f64; N]; N] {
    std::array::from_fn(|r| std::array::from_fn(|c| upper[r.min(c)][r.max(c)]))
}

/// Gaussian elimination with partial pivoting; None when singular.
fn solve<const N: usize>(mut m: [[f64; N]; N], mut y: [f64; N]) -> Option<[f64; N]> {
    for k in 0..N {
        let pivot = (k..N).max_by(|&a, &b| m[a][k].abs().total_cmp(&m[b][k].abs()))?;
        m.swap(k, pivot);
        y.swap(k, pivot);
        if m[k][k].abs() <= 1e-9 {
            return None;
        }
        let (above, below) = m.split_at_mut(k + 1);
        let row = &above[k];
        for (i, lower) in below.iter_mut().enumerate() {
            let factor = lower[k] / row[k];
            for (l, r) in lower.iter_mut().zip(row).skip(k) {
                *l -= factor * r;
            }
            y[k + 1 + i] -= factor * y[k];
        }
    }
    for k in (0..N).rev() {
        let known: f64 = (k + 1..N).map(|c| m[k][c] * y[c]).sum();
        y[k] = (y[k] - known) / m[k][k];
    }
    y.iter().all(|v| v.is_finite()).then_some(y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vtox_protocol::{Channel, Quantity};

    fn signal(n: usize, rate: f64, wave: impl Fn(f64) -> f64) -> Signal {
        let samples = (0..n).map(|i| wave(i as f64 / rate) as f32).collect();
        Signal::new(&Channel { quantity: Quantity::CurrentA, rate_hz: rate, samples }).unwrap()
    }

    fn find_in(signal: &Signal) -> Option<Fundamental> {
        find(signal, &Spectrum::new(&signal.samples, signal.rate_hz))
    }

    proptest! {
        #[test]
        fn any_supply_frequency_is_found(f in 25.0..400.0f64, phase in 0.0..TAU, fifth in 0.0..0.1f64) {
            let s = signal(800, 8000.0, |t| {
                (TAU * f * t + phase).cos() + fifth * (TAU * 5.0 * f * t).cos() + 0.3
            });
            let found = find_in(&s).unwrap();
            prop_assert!((found.frequency_hz - f).abs() < 0.01 * f.max(50.0), "{found:?} against {f}");
        }
    }

    #[test]
    fn a_long_block_is_exact() {
        for f in [23.7, 50.0, 87.0, 133.0] {
            let found = find_in(&signal(8000, 8000.0, |t| (TAU * f * t + 1.0).sin())).unwrap();
            assert!((found.frequency_hz - f).abs() < 1e-4, "{found:?} against {f}");
        }
    }

    #[test]
    fn noise_has_no_fundamental() {
        let mut state = 1u32;
        let noise: Vec<f64> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 24) - 0.5
        })
        .take(1024)
        .collect();
        assert_eq!(find_in(&signal(1024, 8000.0, |t| noise[(t * 8000.0).round() as usize])), None);
    }

    #[test]
    fn removing_the_line_leaves_the_rest() {
        let s = signal(2000, 2000.0, |t| (TAU * 50.3 * t).sin() + 1e-3 * (TAU * 61.0 * t).sin());
        let f0 = find_in(&s).unwrap().frequency_hz;
        let rest = Spectrum::new(&without_line(&s, f0, phasor(&s, f0)), s.rate_hz);
        assert!(rest.peak(45.0, 55.0).unwrap().amplitude < 2e-4);
        assert!((rest.peak(59.0, 63.0).unwrap().amplitude / 1.414e-3 - 1.0).abs() < 0.1);
    }
}
