//! What a score is worth: of the windows with a score, the share that really has the fault.

use serde::Serialize;
use vtox_protocol::Verdict;

/// Lower ends of the bins: the zones A and B, then halves of warning and fault.
pub const SCORE_BINS: [f64; 6] = [0.0, 0.15, 0.3, 0.45, 0.6, 0.8];

/// Verdicts of one detector by score, on windows without and with its fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Calibration {
    /// Healthy windows per bin of [`SCORE_BINS`].
    pub sound: [u32; SCORE_BINS.len()],
    /// Windows with the fault, of all severities alike.
    pub faulty: [u32; SCORE_BINS.len()],
}

impl Calibration {
    pub(super) fn add(&mut self, faulty: bool, verdict: &Verdict) {
        if !verdict.status.is_evidence() {
            return;
        }
        let bin = SCORE_BINS.iter().rposition(|low| verdict.score >= *low).unwrap_or(0);
        let counts = if faulty { &mut self.faulty } else { &mut self.sound };
        counts[bin] += 1;
    }

    /// Share with the fault among the windows in a bin, if every second window had it. None where no window fell into the
    /// bin.
    pub fn share_with_fault(&self, bin: usize) -> Option<f64> {
        let rate = |counts: &[u32]| f64::from(counts[bin]) / f64::from(counts.iter().sum::<u32>().max(1));
        let (sound, faulty) = (rate(&self.sound), rate(&self.faulty));
        (sound + faulty > 0.0).then(|| faulty / (sound + faulty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_does_not_depend_on_how_many_windows_of_each_kind_there_are() {
        let calibration = Calibration { sound: [900, 100, 0, 0, 0, 0], faulty: [0, 10, 10, 0, 80, 0] };
        assert_eq!(calibration.share_with_fault(0), Some(0.0));
        assert_eq!(calibration.share_with_fault(1), Some(0.5));
        assert_eq!(calibration.share_with_fault(4), Some(1.0));
        assert_eq!(calibration.share_with_fault(5), None);
    }
}
