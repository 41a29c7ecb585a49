//! Figures that fade with time.

/// A figure that fades to 37 % in a time constant: what is not measured again is forgotten, so that a worker once slow is tried
/// again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fading {
    value: f64,
    at_ms: u64,
}

impl Fading {
    /// What is left of it now.
    pub(super) fn at(self, now_ms: u64, time_constant_ms: u64) -> f64 {
        self.value * fade(self.at_ms, now_ms, time_constant_ms)
    }

    /// Adds to what is left.
    pub(super) fn add(&mut self, now_ms: u64, time_constant_ms: u64, amount: f64) {
        *self = Self { value: self.at(now_ms, time_constant_ms) + amount, at_ms: self.at_ms.max(now_ms) };
    }

    /// Takes in a sample as a peak EWMA does: up at once, down slowly.
    pub(super) fn peak(&mut self, now_ms: u64, time_constant_ms: u64, sample: f64) {
        let kept = fade(self.at_ms, now_ms, time_constant_ms);
        let value = if sample > self.value { sample } else { self.value * kept + sample * (1.0 - kept) };
        *self = Self { value, at_ms: self.at_ms.max(now_ms) };
    }
}

fn fade(from_ms: u64, to_ms: u64, time_constant_ms: u64) -> f64 {
    (-(to_ms.saturating_sub(from_ms) as f64) / time_constant_ms.max(1) as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let mut latency = Fading::default();
        latency.peak(0, 10_000, 20.0);
        latency.peak(100, 10_000, 500.0);
        assert_eq!(latency.at(100, 10_000), 500.0);
        latency.peak(200, 10_000, 20.0);
        assert!((490.0..500.0).contains(&latency.at(200, 10_000)));
        for t in 0..1_000 {
            latency.peak(200 + t * 100, 10_000, 20.0);
        }
        assert!((latency.at(100_100, 10_000) - 20.0).abs() < 1.0);
        assert!(latency.at(160_100, 10_000) < 0.1);
    }

    #[test]
    fn what_is_added_fades() {
        let mut failures = Fading::default();
        failures.add(0, 1_000, 1.0);
        failures.add(1_000, 1_000, 1.0);
        assert!((failures.at(1_000, 1_000) - 1.3679).abs() < 1e-3);
    }
}
