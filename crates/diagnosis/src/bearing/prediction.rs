//! Linear prediction: what of a signal does not follow from its past.

/// Past samples that a sample is predicted from. A resonance takes two; more fit the noise of short blocks.
const ORDER: usize = 24;
/// Samples per coefficient that it takes to fit them.
const SAMPLES_PER_COEFFICIENT_MIN: usize = 16;
/// White noise added to the fit, relative to the power: keeps it stable for pure tones.
const REGULARISATION: f64 = 1e-9;

/// Prediction error of a signal from its [`ORDER`]th sample on, by the autocorrelation method (Levinson-Durbin recursion). None
/// when the signal is too short.
pub(super) fn residual(samples: &[f64]) -> Option<Vec<f64>> {
    if samples.len() < ORDER * SAMPLES_PER_COEFFICIENT_MIN {
        return None;
    }
    let mut autocorrelation = [0.0; ORDER + 1];
    for (lag, r) in autocorrelation.iter_mut().enumerate() {
        *r = dot(&samples[lag..], samples);
    }
    autocorrelation[0] *= 1.0 + REGULARISATION;
    // Oldest first, so that it lies along the samples.
    let mut filter = error_filter(&autocorrelation)?;
    filter.reverse();
    Some(samples.windows(ORDER + 1).map(|past| dot(past, &filter)).collect())
}

/// Sum of the products up to the shorter one's end, in four lanes.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let mut lanes = [0.0; 4];
    let (mut fours_a, mut fours_b) = (a.chunks_exact(4), b.chunks_exact(4));
    for (x, y) in fours_a.by_ref().zip(fours_b.by_ref()) {
        for lane in 0..4 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    let rest: f64 = fours_a.remainder().iter().zip(fours_b.remainder()).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f64>() + rest
}

/// Coefficients 1, a1, ... of the filter whose output is the prediction error.
fn error_filter(autocorrelation: &[f64; ORDER + 1]) -> Option<[f64; ORDER + 1]> {
    let mut filter = [0.0; ORDER + 1];
    filter[0] = 1.0;
    let mut error = autocorrelation[0];
    for order in 1..=ORDER {
        if error <= 0.0 {
            return None;
        }
        let ahead: f64 = (0..order).map(|i| filter[i] * autocorrelation[order - i]).sum();
        let reflection = -ahead / error;
        let before = filter;
        for i in 1..=order {
            filter[i] = before[i] + reflection * before[order - i];
        }
        error *= 1.0 - reflection * reflection;
    }
    filter.iter().all(|c| c.is_finite()).then_some(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A resonance struck now and then.
    fn rung(every: usize, n: usize) -> Vec<f64> {
        let (mut x1, mut x2) = (0.0, 0.0);
        (0..n)
            .map(|i| {
                let strike = if i % every == 50 { 1.0 } else { 0.0 };
                let x = strike + 1.6 * x1 - 0.95 * x2;
                (x1, x2) = (x, x1);
                x
            })
            .collect()
    }

    #[test]
    fn a_resonance_is_undone_and_its_strikes_remain() {
        let signal = rung(200, 4000);
        let residual = residual(&signal).unwrap();
        let power: f64 = residual.iter().map(|e| e * e).sum();
        let strikes = (0..4000).filter(|i| i % 200 == 50).map(|i| residual[i - ORDER].powi(2)).sum::<f64>();
        assert!(strikes > 0.9 * power, "{strikes} of {power}");
    }

    #[test]
    fn a_tone_is_predicted() {
        let tone: Vec<f64> = (0..2000).map(|i| (0.37 * f64::from(i)).sin()).collect();
        let residual = residual(&tone).unwrap();
        assert!(residual.iter().all(|e| e.abs() < 0.02));
    }

    #[test]
    fn too_short_a_signal_is_left_alone() {
        assert_eq!(residual(&[1.0; ORDER * SAMPLES_PER_COEFFICIENT_MIN - 1]), None);
        assert_eq!(residual(&[0.0; 1000]), None);
    }
}
