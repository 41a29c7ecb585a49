//! Short blocks with gaps between them: the power of the lines at f0 +- fr, fitted in each block and averaged.
//!
//! A spectrum of so short a block does not keep the lines apart from the fundamental, a fit that knows where they are does.
//! What else modulates the current in the block goes partly into the fit: a warning at the most.

use std::f64::consts::TAU;

use realfft::num_complex::Complex;
use serde::{Deserialize, Serialize};

use super::SCORE_MAX_OF_GAPS;
use super::current::{Current, Grid};
use crate::findings::{Findings, line};
use crate::scale::Scale;
use crate::spectrum::db;

/// Blocks before the averages are judged.
pub(super) const BLOCKS_MIN: u32 = 8;
/// Blocks after which the averages forget.
const BLOCKS_MAX: u32 = 64;
/// Periods of the shaft that must lie in a block to fit its lines beside the fundamental and its drift.
pub(super) const TURNS_MIN: f64 = 2.0;
/// Standard deviations that the averaged power of a line must be above what noise alone gives it. Over 8 blocks the mean
/// of exponential powers is there once in a million.
const SIGMAS: f64 = 7.0;
/// Constant, drift, upper line, lower line, and what the grid folds to its end (the offset of the sensor).
const TERMS: usize = 5;

/// Averages over blocks, relative to the fundamental's power.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Average {
    blocks: u32,
    upper: f64,
    lower: f64,
    /// What noise alone would give each line.
    noise: f64,
}

impl Average {
    pub(super) fn new() -> Self {
        Self { blocks: 0, upper: 0.0, lower: 0.0, noise: 0.0 }
    }

    pub(super) fn usable(&self) -> bool {
        [self.upper, self.lower, self.noise].iter().all(|v| v.is_finite() && *v >= 0.0)
    }

    pub(super) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Adds a block; nothing where the fit is not determined.
    pub(super) fn push(&mut self, current: &Current<'_>, shaft_hz: f64) {
        let Some(mut grid) = Grid::new(current.rate_hz, current.f0_hz, 2) else { return };
        let phasors = grid.push(&current.samples());
        let Some(fit) = fit(&phasors, TAU * shaft_hz * grid.step_s()) else { return };
        let gain = grid.gain(shaft_hz).powi(2) * fit.fundamental;
        self.blocks = self.blocks.saturating_add(1).min(BLOCKS_MAX);
        let share = 1.0 / f64::from(self.blocks);
        for (mean, power) in
            [(&mut self.upper, fit.upper), (&mut self.lower, fit.lower), (&mut self.noise, fit.noise)]
        {
            *mean += share * (power / gain - *mean);
        }
    }

    /// Power of a line that stands out of the wandering of the noise's mean.
    fn visible(&self) -> f64 {
        SIGMAS * self.noise / f64::from(self.blocks.max(1)).sqrt()
    }

    /// What the lines say. None while too little is known.
    pub(super) fn judge(&self, f0_hz: f64, shaft_hz: f64, level_db: Scale) -> Option<Findings> {
        if self.blocks < BLOCKS_MIN {
            return None;
        }
        let upper = ("f0 + 1 fr", f0_hz + shaft_hz, self.upper);
        let lower = ("f0 - 1 fr", (f0_hz - shaft_hz).abs(), self.lower);
        let lines = [upper, lower];
        let above_noise_db = |power: f64| 10.0 * (power.max(1e-20) / self.noise.max(1e-20)).log10();
        let ratio = |power: f64| (power - self.noise).max(0.0).sqrt();
        let strongest = lines.iter().map(|l| l.2).fold(0.0, f64::max);
        let mut findings = Findings::default();
        findings.feature("shaft_frequency_hz", shaft_hz);
        findings.feature("dynamic_ecc_ratio", ratio(strongest));
        if strongest - self.noise >= self.visible() {
            findings.score = level_db.score(db(ratio(strongest))).min(SCORE_MAX_OF_GAPS);
        } else if 10.0 * self.visible().max(1e-20).log10() <= level_db.warning {
            findings.remark("no line at f0 +- fr stands out of the noise floor");
        } else {
            return None;
        }
        findings.evidence = lines
            .into_iter()
            .map(|(name, hz, power)| {
                line(
                    format!("{name}, {:.1} dB", db(ratio(power))),
                    "Hz",
                    Some(hz),
                    Some(hz),
                    Some(above_noise_db(power)),
                )
            })
            .collect();
        findings.advice = Some(
            "An oscillating load may look the same in blocks this short: record a second without a gap at a steady load."
                .to_owned(),
        );
        findings.remark(&format!(
            "averaged over {} blocks, each too short for a spectrum that keeps these lines apart",
            self.blocks
        ));
        Some(findings)
    }
}

/// Powers in one block.
struct Fit {
    fundamental: f64,
    upper: f64,
    lower: f64,
    noise: f64,
}

/// Least squares of the phasors with a rotation of `turn` radians per phasor to either side. None where there are too few of
/// them or the terms cannot be told apart.
fn fit(phasors: &[Complex<f64>], turn: f64) -> Option<Fit> {
    let n = phasors.len();
    if n < TERMS + 2 {
        return None;
    }
    let middle = (n - 1) as f64 / 2.0;
    let terms: Vec<[Complex<f64>; TERMS]> = (0..n)
        .map(|k| {
            let x = k as f64 - middle;
            let line = Complex::from_polar(1.0, turn * x);
            let end = if k % 2 == 0 { 1.0 } else { -1.0 };
            [1.0.into(), (x / middle).into(), line, line.conj(), end.into()]
        })
        .collect();
    let mut matrix = [[Complex::<f64>::default(); TERMS]; TERMS];
    let mut right = [Complex::<f64>::default(); TERMS];
    for (term, z) in terms.iter().zip(phasors) {
        for r in 0..TERMS {
            right[r] += term[r].conj() * z;
            for k in 0..TERMS {
                matrix[r][k] += term[r].conj() * term[k];
            }
        }
    }
    let inverse = inverse(matrix)?;
    let solution: [Complex<f64>; TERMS] =
        std::array::from_fn(|r| inverse[r].iter().zip(&right).map(|(a, b)| a * b).sum());
    let rest: f64 = terms
        .iter()
        .zip(phasors)
        .map(|(term, z)| {
            (z - term.iter().zip(&solution).map(|(a, b)| a * b).sum::<Complex<f64>>()).norm_sqr()
        })
        .sum();
    let sigma2 = rest / (n - TERMS) as f64;
    let [fundamental, _, upper, lower, _] = solution.map(|z| z.norm_sqr());
    let noise = sigma2 * inverse[2][2].re.max(inverse[3][3].re);
    let all = [fundamental, upper, lower, noise];
    (all.iter().all(|v| v.is_finite()) && fundamental > 0.0).then_some(Fit {
        fundamental,
        upper,
        lower,
        noise,
    })
}

/// Inverse of a Hermitian matrix by Gauss-Jordan elimination; None where it is near singular.
fn inverse(mut m: [[Complex<f64>; TERMS]; TERMS]) -> Option<[[Complex<f64>; TERMS]; TERMS]> {
    let mut inverse: [[Complex<f64>; TERMS]; TERMS] =
        std::array::from_fn(|r| std::array::from_fn(|k| if r == k { 1.0.into() } else { 0.0.into() }));
    let scale = m[0][0].norm();
    for k in 0..TERMS {
        let pivot = m[k][k];
        // Positive definite: no exchange of rows is needed.
        if pivot.norm() < 0.02 * scale {
            return None;
        }
        for j in 0..TERMS {
            m[k][j] /= pivot;
            inverse[k][j] /= pivot;
        }
        for r in 0..TERMS {
            let factor = m[r][k];
            if r != k {
                for j in 0..TERMS {
                    let (a, b) = (m[k][j], inverse[k][j]);
                    m[r][j] -= factor * a;
                    inverse[r][j] -= factor * b;
                }
            }
        }
    }
    Some(inverse)
}
