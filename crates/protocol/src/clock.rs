//! What a column of times says of the sampling.

/// Sampling clock as the sender's times show it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingClock {
    /// Mean sampling rate, Hz.
    pub rate_hz: f64,
    /// Largest deviation of a sampling instant from the even grid, in sampling periods. None where the times are too
    /// coarse to show it.
    pub jitter: Option<f64>,
}

impl SamplingClock {
    /// From the time of each sample, s. None where the times do not rise.
    pub fn of(time_s: &[f64]) -> Option<Self> {
        let (first, last) = (time_s.first()?, time_s.last()?);
        let steps = (time_s.len() - 1) as f64;
        let rate_hz = steps / (last - first);
        if !(rate_hz.is_finite() && rate_hz > 0.0) {
            return None;
        }
        // Times rounded to more than a sampling period repeat.
        let coarse = time_s.windows(2).any(|t| t[0] == t[1]);
        let off_grid = |(i, t): (usize, &f64)| ((t - first) * rate_hz - i as f64).abs();
        let jitter = time_s.iter().enumerate().map(off_grid).fold(0.0, f64::max);
        Some(Self { rate_hz, jitter: (!coarse && jitter.is_finite()).then_some(jitter) })
    }

    /// The rate shown, unless it is the `given_hz` one in another unit of time (ms, us, number of the sample).
    pub fn contradiction(&self, given_hz: f64) -> Option<f64> {
        const TOLERANCE: f64 = 0.02;
        let near = |hz: f64| (self.rate_hz / hz - 1.0).abs() <= TOLERANCE;
        let known = [given_hz, given_hz / 1e3, given_hz / 1e6, 1.0].into_iter().any(near);
        (!known).then_some(self.rate_hz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_uneven_coarse_and_counted_times() {
        let even: Vec<f64> = (0..800).map(|i| 5.0 + f64::from(i) / 8000.0).collect();
        let clock = SamplingClock::of(&even).unwrap();
        assert!((clock.rate_hz / 8000.0 - 1.0).abs() < 1e-9 && clock.jitter.unwrap() < 1e-6);
        let mut late = even.clone();
        late[300] += 2.0 / 8000.0;
        assert!((SamplingClock::of(&late).unwrap().jitter.unwrap() - 2.0).abs() < 1e-6);
        let coarse: Vec<f64> = even.iter().map(|t| (t * 1000.0).floor() / 1000.0).collect();
        let clock = SamplingClock::of(&coarse).unwrap();
        assert!((clock.rate_hz / 8000.0 - 1.0).abs() < 0.02 && clock.jitter.is_none());
        let counted: Vec<f64> = (0..800).map(f64::from).collect();
        assert_eq!(SamplingClock::of(&counted).unwrap().contradiction(8000.0), None);
        assert_eq!(clock.contradiction(8000.0), None);
        assert!((clock.contradiction(4000.0).unwrap() / 8000.0 - 1.0).abs() < 0.02);
        assert_eq!(SamplingClock::of(&[1.0]), None);
        assert_eq!(SamplingClock::of(&[2.0, 1.0]), None);
    }
}
