//! Symmetrical components of three phasors (C. L. Fortescue, Trans. AIEE 37 (1918) 1027-1140).

use std::f64::consts::TAU;

use realfft::num_complex::Complex;

/// Positive, negative and zero sequence, in the unit of the phasors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sequence {
    pub(crate) positive: Complex<f64>,
    pub(crate) negative: Complex<f64>,
    pub(crate) zero: Complex<f64>,
}

impl Sequence {
    /// Components of the phasors of phases A, B, C.
    pub(crate) fn of(phasors: [Complex<f64>; 3]) -> Self {
        let a = Complex::from_polar(1.0, TAU / 3.0);
        let [pa, pb, pc] = phasors;
        Self {
            positive: (pa + a * pb + a * a * pc) / 3.0,
            negative: (pa + a * a * pb + a * pc) / 3.0,
            zero: (pa + pb + pc) / 3.0,
        }
    }

    /// The same system seen with phases B and C exchanged.
    pub(crate) fn reversed(self) -> Self {
        Self { positive: self.negative, negative: self.positive, zero: self.zero }
    }

    /// |I2| / |I1|.
    pub(crate) fn negative_ratio(&self) -> f64 {
        self.negative.norm() / self.positive.norm()
    }

    /// |I0| / |I1|.
    pub(crate) fn zero_ratio(&self) -> f64 {
        self.zero.norm() / self.positive.norm()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_of_a_known_system_come_back() {
        let a = Complex::from_polar(1.0, TAU / 3.0);
        let (p, n, z) = (Complex::new(3.0, 1.0), Complex::new(-0.2, 0.1), Complex::new(0.05, 0.0));
        let s = Sequence::of([p + n + z, a * a * p + a * n + z, a * p + a * a * n + z]);
        for (got, expected) in [(s.positive, p), (s.negative, n), (s.zero, z)] {
            assert!((got - expected).norm() < 1e-12);
        }
    }
}
