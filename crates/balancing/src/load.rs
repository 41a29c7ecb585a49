//! Smoothing of measured loads.

use std::collections::BTreeMap;

/// Exponentially weighted mean of samples taken at any times. Starts as the plain mean, so that
/// the first sample does not count for longer than the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ewma {
    time_constant_ms: f64,
    last: Option<Sampled>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Sampled {
    mean: f64,
    at_ms: u64,
    samples: u64,
}

impl Ewma {
    /// A mean that forgets a sample to 37 % in `time_constant_ms`.
    pub fn new(time_constant_ms: u64) -> Self {
        Self { time_constant_ms: time_constant_ms.max(1) as f64, last: None }
    }

    /// Takes a sample in. One that is not finite is ignored; time that runs backwards counts as
    /// no time.
    pub fn update(&mut self, now_ms: u64, sample: f64) {
        if !sample.is_finite() {
            return;
        }
        let Some(last) = &mut self.last else {
            self.last = Some(Sampled { mean: sample, at_ms: now_ms, samples: 1 });
            return;
        };
        last.samples += 1;
        let passed_ms = now_ms.saturating_sub(last.at_ms) as f64;
        let settled = 1.0 - (-passed_ms / self.time_constant_ms).exp();
        let share = settled.max(1.0 / last.samples as f64);
        last.mean += share * (sample - last.mean);
        last.at_ms = last.at_ms.max(now_ms);
    }

    /// The mean; none before the first sample.
    pub fn value(&self) -> Option<f64> {
        self.last.map(|l| l.mean)
    }
}

/// Smoothed load per unit.
#[derive(Debug, Clone)]
pub struct LoadTracker<U> {
    time_constant_ms: u64,
    loads: BTreeMap<U, Ewma>,
}

impl<U: Ord + Clone> LoadTracker<U> {
    /// Time constant that turns 20 % noise of one-second samples into about 2 % and follows a
    /// changed load within three minutes, ms.
    pub const TIME_CONSTANT_MS: u64 = 60_000;

    /// A tracker with the given time constant.
    pub fn new(time_constant_ms: u64) -> Self {
        Self { time_constant_ms, loads: BTreeMap::new() }
    }

    /// Takes in what was measured for a unit, in any unit of load (messages per second).
    pub fn observe(&mut self, now_ms: u64, unit: &U, load: f64) {
        if let Some(ewma) = self.loads.get_mut(unit) {
            ewma.update(now_ms, load);
        } else {
            let mut ewma = Ewma::new(self.time_constant_ms);
            ewma.update(now_ms, load);
            self.loads.insert(unit.clone(), ewma);
        }
    }

    /// The smoothed load; 0 for a unit never measured.
    pub fn load(&self, unit: &U) -> f64 {
        self.loads.get(unit).and_then(Ewma::value).unwrap_or(0.0).max(0.0)
    }

    /// Forgets the units for which `keep` is false.
    pub fn retain(&mut self, mut keep: impl FnMut(&U) -> bool) {
        self.loads.retain(|unit, _| keep(unit));
    }
}

impl<U: Ord + Clone> Default for LoadTracker<U> {
    fn default() -> Self {
        Self::new(Self::TIME_CONSTANT_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_as_the_mean_and_then_follows() {
        let mut ewma = Ewma::new(10_000);
        assert_eq!(ewma.value(), None);
        ewma.update(0, 2.0);
        ewma.update(100, 4.0);
        assert!((ewma.value().unwrap() - 3.0).abs() < 1e-12);
        for t in 1..=300 {
            ewma.update(100 + t * 1000, 10.0);
        }
        assert!((ewma.value().unwrap() - 10.0).abs() < 1e-6);
        ewma.update(5, f64::NAN);
        assert!((ewma.value().unwrap() - 10.0).abs() < 1e-6);
    }

    #[test]
    fn forgets_to_37_percent_in_a_time_constant() {
        let mut ewma = Ewma::new(10_000);
        for t in 0..1000 {
            ewma.update(t * 1000, 1.0);
        }
        for t in 1000..1010 {
            ewma.update(t * 1000, 0.0);
        }
        assert!((ewma.value().unwrap() - (-1.0f64).exp()).abs() < 0.02);
    }

    #[test]
    fn tracks_each_unit() {
        let mut tracker = LoadTracker::default();
        tracker.observe(0, &"a", 3.0);
        tracker.observe(0, &"b", -1.0);
        assert_eq!((tracker.load(&"a"), tracker.load(&"b"), tracker.load(&"c")), (3.0, 0.0, 0.0));
        tracker.retain(|u| *u != "a");
        assert_eq!(tracker.load(&"a"), 0.0);
    }
}
