//! The current of a block as one complex signal, and its fundamental on an even grid.

use std::f64::consts::{PI, TAU};

use realfft::num_complex::Complex;
use serde::{Deserialize, Serialize};

use crate::prepared::Prepared;
use crate::signal::Signal;
use crate::symmetrical::Sequence;

/// What the complex signal is made of. Of three synchronous currents the space vector: it has no image at -f0 that would
/// come back as a slow modulation. Else the first usable current alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Source {
    SpaceVector,
    /// Phases in the order A, C, B.
    Reversed,
    Phase(u8),
}

/// Samples demodulated side by side.
const LANES: usize = 4;

/// The current of a block with a fundamental.
pub(super) struct Current<'a> {
    pub(super) source: Source,
    pub(super) rate_hz: f64,
    /// Samples.
    pub(super) length: usize,
    pub(super) f0_hz: f64,
    /// Peak of the fundamental, A.
    pub(super) magnitude: f64,
    parts: Vec<(&'a Signal, Complex<f64>)>,
}

impl<'a> Current<'a> {
    /// None where the block has no usable current or no fundamental.
    pub(super) fn of(prepared: &'a Prepared<'_>) -> Option<Self> {
        let f0_hz = prepared.fundamental()?.frequency_hz;
        let phases: Vec<(usize, &Signal)> = prepared.phases().collect();
        let (_, first) = phases.first()?;
        let alike =
            phases.iter().all(|(_, s)| s.rate_hz == first.rate_hz && s.samples.len() == first.samples.len());
        let peaks: Vec<Complex<f64>> =
            phases.iter().map(|(k, s)| prepared.phasor(*k, s, f0_hz) * s.rms).collect();
        let three = <[Complex<f64>; 3]>::try_from(peaks.as_slice())
            .ok()
            .filter(|_| alike && prepared.block.synchronous);
        let (source, magnitude) = match three.map(Sequence::of) {
            Some(s) if s.positive.norm() >= s.negative.norm() => (Source::SpaceVector, s.positive.norm()),
            Some(s) => (Source::Reversed, s.negative.norm()),
            None => (Source::Phase(u8::try_from(phases[0].0).ok()?), peaks[0].norm()),
        };
        let parts: Vec<(&Signal, Complex<f64>)> = phases
            .into_iter()
            .filter_map(|(k, signal)| {
                let turn = TAU / 3.0 * k as f64;
                match source {
                    Source::SpaceVector => Some((signal, Complex::from_polar(2.0 / 3.0, turn))),
                    Source::Reversed => Some((signal, Complex::from_polar(2.0 / 3.0, -turn))),
                    Source::Phase(phase) => {
                        (usize::from(phase) == k).then_some((signal, Complex::new(2.0, 0.0)))
                    }
                }
            })
            .collect();
        let (signal, _) = parts.first()?;
        let (rate_hz, length) = (signal.rate_hz, signal.samples.len());
        (magnitude.is_finite() && magnitude > 0.0).then_some(Self {
            source,
            rate_hz,
            length,
            f0_hz,
            magnitude,
            parts,
        })
    }

    /// Length, s.
    pub(super) fn duration_s(&self) -> f64 {
        self.length as f64 / self.rate_hz
    }

    /// The samples, A: a balanced current of peak I is I exp(j omega t), or that and its image for a single phase.
    /// With their offset, which would jump from block to block if each lost its own mean.
    pub(super) fn samples(&self) -> Vec<Complex<f64>> {
        let offset: Complex<f64> = self.parts.iter().map(|(s, weight)| weight * s.mean).sum();
        let mut sum = vec![offset; self.length];
        for (signal, weight) in &self.parts {
            let weight = weight * signal.rms;
            for (z, x) in sum.iter_mut().zip(&signal.samples) {
                z.re += weight.re * x;
                z.im += weight.im * x;
            }
        }
        sum
    }
}

/// Demodulates with a reference frequency and takes means on an even grid, across blocks: phasors relative to the first
/// sample ever pushed. The means are triangles of twice the grid's step, whose zeros lie on the multiples of 1 / step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Grid {
    rate_hz: f64,
    pub(super) reference_hz: f64,
    /// Step in quarter cycles of the reference.
    quarters: u16,
    /// Samples pushed so far.
    sample: u64,
    /// Grid point the last of them follows.
    index: u64,
    /// Sums at that point and the next: real part, imaginary part, weight.
    open: [[f64; 3]; 2],
}

impl Grid {
    /// None where a step would hold too few samples to be a mean.
    pub(super) fn new(rate_hz: f64, reference_hz: f64, quarters: u16) -> Option<Self> {
        let grid = Self { rate_hz, reference_hz, quarters, sample: 0, index: 0, open: [[0.0; 3]; 2] };
        grid.usable().then_some(grid)
    }

    /// Whether it can be gone on with, whatever it was read from.
    pub(super) fn usable(&self) -> bool {
        /// Samples in a step.
        const SAMPLES_MIN: f64 = 4.0;
        let step = self.rate_hz * self.step_s();
        let behind = self.sample as f64 / step - self.index as f64;
        self.quarters > 0
            && self.reference_hz > 0.0
            && self.rate_hz.is_finite()
            && (SAMPLES_MIN..1e6).contains(&step)
            && (-0.5..1.5).contains(&behind)
            && self.open.as_flattened().iter().all(|v| v.is_finite())
    }

    /// Distance of two grid points, s.
    pub(super) fn step_s(&self) -> f64 {
        f64::from(self.quarters) / (4.0 * self.reference_hz)
    }

    /// Takes off what the image at -f0 of a single phase leaves in the last phasors given. It turns by 2 `reference_hz`, from
    /// one quarter cycle to the next by half a turn; a longer step attenuates it to nothing.
    pub(super) fn without_image(&self, phasors: &mut [Complex<f64>]) {
        if self.quarters > 1 {
            return;
        }
        let first = self.index.wrapping_sub(phasors.len() as u64);
        let gain = self.gain(2.0 * self.reference_hz);
        for (k, z) in phasors.iter_mut().enumerate() {
            let image = if first.wrapping_add(k as u64).is_multiple_of(2) { gain } else { -gain };
            *z = (*z - z.conj() * image) / (1.0 - gain * gain);
        }
    }

    /// Frequency response at this distance from the reference.
    pub(super) fn gain(&self, offset_hz: f64) -> f64 {
        let x = PI * offset_hz * self.step_s();
        response(x, x.sin())
    }

    /// Calls `f(k, response)` for the frequencies `low_hz` + k `bin_hz`, k in `0..bins`.
    pub(super) fn for_each_gain(&self, low_hz: f64, bin_hz: f64, bins: usize, mut f: impl FnMut(usize, f64)) {
        let (first, step) = (PI * (low_hz - self.reference_hz) * self.step_s(), PI * bin_hz * self.step_s());
        let (mut turn, turn_step) = (Complex::from_polar(1.0, first), Complex::from_polar(1.0, step));
        for k in 0..bins {
            f(k, response(first + k as f64 * step, turn.im));
            turn *= turn_step;
        }
    }

    /// Takes the samples that follow on the last ones; gives the phasors this completes.
    pub(super) fn push(&mut self, samples: &[Complex<f64>]) -> Vec<Complex<f64>> {
        let cycle = self.reference_hz / self.rate_hz;
        let step = 1.0 / (self.rate_hz * self.step_s());
        let mut position = self.sample as f64 * step - self.index as f64;
        let first = (self.sample as f64 * cycle).fract();
        // Side by side, or each sample would wait for the one before.
        let mut turns: [Complex<f64>; LANES] =
            std::array::from_fn(|lane| Complex::from_polar(1.0, -TAU * (first + lane as f64 * cycle)));
        let turn_step = Complex::from_polar(1.0, -TAU * cycle * LANES as f64);
        let [mut here, mut next] = self.open;
        let mut complete = Vec::new();
        for lanes in samples.chunks(LANES) {
            for (x, turn) in lanes.iter().zip(&mut turns) {
                if position >= 1.0 {
                    // The first point has seen the second half of its triangle only.
                    if self.index > 0 && here[2] > 0.0 {
                        complete.push(Complex::new(here[0], here[1]) / here[2]);
                    }
                    (here, next) = (next, [0.0; 3]);
                    self.index += 1;
                    position -= 1.0;
                }
                let z = x * *turn;
                let (re, im) = (position * z.re, position * z.im);
                here = [here[0] + (z.re - re), here[1] + (z.im - im), here[2] + (1.0 - position)];
                next = [next[0] + re, next[1] + im, next[2] + position];
                *turn *= turn_step;
                position += step;
            }
        }
        self.open = [here, next];
        self.sample += samples.len() as u64;
        complete
    }
}

/// (sin x / x)^2, the spectrum of a triangle.
fn response(x: f64, sin_x: f64) -> f64 {
    if x.abs() < 1e-6 { 1.0 } else { (sin_x / x).powi(2) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tone(hz: f64, rate_hz: f64, n: usize) -> Vec<Complex<f64>> {
        (0..n).map(|i| Complex::from_polar(2.0, TAU * hz * i as f64 / rate_hz)).collect()
    }

    proptest! {
        #[test]
        fn cutting_into_blocks_changes_nothing(cuts in prop::collection::vec(1..700usize, 1..6), quarters in 1..20u16) {
            let samples = tone(51.3, 8000.0, 4000);
            let whole = Grid::new(8000.0, 50.2, quarters).unwrap().push(&samples);
            let mut grid = Grid::new(8000.0, 50.2, quarters).unwrap();
            let (mut pieces, mut rest) = (Vec::new(), samples.as_slice());
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.extend(grid.push(piece));
                prop_assert!(grid.usable());
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(whole.len(), pieces.len());
            prop_assert!(whole.iter().zip(&pieces).all(|(a, b)| (a - b).norm() < 1e-9));
        }
    }

    #[test]
    fn a_tone_beside_the_reference_turns_and_is_attenuated_as_stated() {
        for (quarters, offset_hz) in [(1, 40.0), (2, -20.0), (8, 5.0)] {
            let mut grid = Grid::new(8000.0, 50.0, quarters).unwrap();
            let phasors = grid.push(&tone(50.0 + offset_hz, 8000.0, 8000));
            let turn = Complex::from_polar(1.0, TAU * offset_hz * grid.step_s());
            for pair in phasors.windows(2) {
                assert!((pair[0].norm() / (2.0 * grid.gain(offset_hz)) - 1.0).abs() < 2e-3);
                assert!((pair[1] - pair[0] * turn).norm() < 5e-3);
            }
        }
    }
}
