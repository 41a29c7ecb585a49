//! Folding the verdicts of one vehicle and fault type over time.
//!
//! Rising: a block that shows a clear fault is published as a fault at once. Falling: the score sinks slowly and an alarm is
//! held until it has sunk clearly below its threshold, so that it does not flap. Beside that, for figures that say little
//! by themselves but much by their change, a baseline is learnt in healthy running.

use serde::{Deserialize, Serialize};
use vtox_protocol::{FaultType, Status, Verdict};

use crate::findings::{FAULT_SCORE, Scale, WARNING_SCORE, line, severity_of, status_of};

/// Layout of [`FoldedState`]; a state of another layout is begun anew.
const VERSION: u8 = 1;
/// Share of a new score in the smoothed one.
const SMOOTHING: f64 = 0.4;
/// An alarm ends when the smoothed score is this far below the threshold at which it began.
const HYSTERESIS: f64 = 0.08;
/// Healthy blocks before a baseline is believed.
const BASELINE_BLOCKS: u32 = 8;
/// Share of a healthy block in the baseline once it is learnt: slow, so that it does not follow a growing fault.
const BASELINE_DRIFT: f64 = 0.02;
/// Vibration depends on speed; beyond this relative change of speed levels are not compared.
const SPEED_CHANGE_MAX: f64 = 0.1;
/// ln of vibration RMS over its baseline. Neighbouring zones of ISO 10816-3 / 20816-3 are about a factor 1.6 to 2.5 apart:
/// one zone of 2.5 up is a warning, two are a fault.
const VIBRATION_GROWTH: Scale = Scale { healthy: 0.4, warning: 0.916, fault: 1.83 };

/// What is kept per vehicle and fault type. Small, versioned, and good for nothing but [`fold`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FoldedState {
    version: u8,
    /// Blocks that gave evidence.
    blocks: u32,
    /// Blocks that did not.
    without_evidence: u32,
    /// Smoothed score, 0 to 1.
    score: f32,
    /// What was published last with evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<Baseline>,
}

/// A figure in healthy running.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Baseline {
    blocks: u32,
    ln_level: f32,
    speed_rpm: f32,
}

impl FoldedState {
    /// What was published last, of the verdicts with evidence.
    pub fn status(&self) -> Option<Status> {
        self.status
    }

    /// Blocks folded so far: with evidence and without.
    pub fn blocks(&self) -> (u32, u32) {
        (self.blocks, self.without_evidence)
    }

    fn usable(&self) -> bool {
        let baseline_finite = self.baseline.is_none_or(|b| b.ln_level.is_finite() && b.speed_rpm.is_finite());
        self.version == VERSION && (0.0..=1.0).contains(&self.score) && baseline_finite
    }
}

/// Folds the verdict of one block into what is known of the vehicle: the verdict to publish, and the state to keep. Pure, and
/// in stream order. Verdicts without evidence pass through and are only counted. The published score lies in the band
/// of the published status, also while an alarm is held.
pub fn fold(previous: &FoldedState, mut verdict: Verdict) -> (Verdict, FoldedState) {
    let mut state = if previous.usable() {
        previous.clone()
    } else {
        FoldedState { version: VERSION, ..FoldedState::default() }
    };
    if !verdict.status.is_evidence() {
        state.without_evidence = state.without_evidence.saturating_add(1);
        return (verdict, state);
    }
    state.baseline = follow_level(state.baseline, &mut verdict);

    let score = if state.blocks == 0 || verdict.score >= FAULT_SCORE {
        verdict.score.max(f64::from(state.score))
    } else {
        f64::from(state.score) + SMOOTHING * (verdict.score - f64::from(state.score))
    };
    let status = with_hysteresis(state.status, score);
    verdict.status = status;
    verdict.score = within_band(status, score);
    verdict.severity = Some(severity_of(verdict.score));
    verdict.features.insert("fault_severity".to_owned(), verdict.score);

    state.blocks = state.blocks.saturating_add(1);
    state.score = score as f32;
    state.status = Some(status);
    (verdict, state)
}

fn with_hysteresis(previous: Option<Status>, score: f64) -> Status {
    let fresh = status_of(score);
    let held = status_of(score + HYSTERESIS);
    match previous {
        // `held` may be above what was published: an alarm is kept up by it, never raised.
        Some(before) if before > fresh => held.min(before).max(fresh),
        _ => fresh,
    }
}

/// Keeps score and status consistent while an alarm is held.
fn within_band(status: Status, score: f64) -> f64 {
    match status {
        Status::Fault => score.max(FAULT_SCORE),
        Status::Warning => score.max(WARNING_SCORE),
        _ => score,
    }
}

/// Learns the vibration level of healthy running and raises the score of a verdict whose level has grown out of it.
/// Scale-free: only the ratio counts.
fn follow_level(baseline: Option<Baseline>, verdict: &mut Verdict) -> Option<Baseline> {
    if !verdict.model_version.starts_with(FaultType::Bearing.name()) {
        return baseline;
    }
    let figure = |name: &str| verdict.features.get(name).copied().filter(|v| v.is_finite() && *v > 0.0);
    let (Some(rms), Some(speed_rpm)) = (figure("vibration_rms"), figure("speed_rpm")) else {
        return baseline;
    };
    let ln_level = rms.ln();
    let Some(mut known) = baseline else {
        return (verdict.status == Status::Normal).then_some(Baseline {
            blocks: 1,
            ln_level: ln_level as f32,
            speed_rpm: speed_rpm as f32,
        });
    };
    if (speed_rpm / f64::from(known.speed_rpm) - 1.0).abs() > SPEED_CHANGE_MAX {
        return baseline;
    }
    let growth = ln_level - f64::from(known.ln_level);
    let learnt = known.blocks >= BASELINE_BLOCKS;
    if learnt {
        let score = VIBRATION_GROWTH.score(growth);
        verdict.features.insert("vibration_growth".to_owned(), growth.exp());
        if score > verdict.score {
            verdict.score = score;
            if score >= WARNING_SCORE {
                let found = Some(growth.exp());
                verdict.evidence.push(line("vibration over its healthy level", "", Some(1.0), found, None));
                verdict.advice.get_or_insert_with(|| {
                    "Vibration has grown at unchanged speed: look for a loose mount first, then inspect the bearing."
                        .to_owned()
                });
            }
        }
    }
    if status_of(verdict.score) == Status::Normal {
        let share = if learnt { BASELINE_DRIFT } else { 1.0 / f64::from(known.blocks + 1) };
        known.ln_level += (share * growth) as f32;
        known.blocks = known.blocks.saturating_add(1);
    }
    Some(known)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::findings::{Findings, insufficient, model_version};

    fn verdict(fault: FaultType, score: f64) -> Verdict {
        Findings { score, ..Findings::default() }.verdict(fault)
    }

    fn vibration(rms: f64, speed_rpm: f64) -> Verdict {
        let mut findings = Findings::default();
        findings.feature("vibration_rms", rms);
        findings.feature("speed_rpm", speed_rpm);
        findings.verdict(FaultType::Bearing)
    }

    /// Folds verdicts one after the other and gives what was published.
    fn run(verdicts: impl IntoIterator<Item = Verdict>) -> (Vec<Verdict>, FoldedState) {
        let mut state = FoldedState::default();
        let published = verdicts
            .into_iter()
            .map(|v| {
                let (published, next) = fold(&state, v);
                state = next;
                published
            })
            .collect();
        (published, state)
    }

    #[test]
    fn a_clear_fault_is_published_at_once() {
        let scores = [0.8, 0.1, 0.1];
        let (published, _) = run(scores.map(|s| verdict(FaultType::TurnFault, s)));
        assert_eq!(published[0].status, Status::Fault);
        assert_eq!(published[0].score, 0.8);
        let (published, _) = run([0.0, 0.05, 0.0, 0.7].map(|s| verdict(FaultType::TurnFault, s)));
        assert_eq!(published[3].status, Status::Fault);
    }

    #[test]
    fn an_alarm_ends_but_does_not_flap() {
        let around = (0..40).map(|i| verdict(FaultType::Insulation, if i % 2 == 0 { 0.33 } else { 0.27 }));
        let (published, _) = run(around);
        assert!(published.iter().all(|v| v.status == Status::Warning));
        let (published, _) =
            run(std::iter::once(0.9).chain([0.0; 12]).map(|s| verdict(FaultType::Insulation, s)));
        assert_eq!(published.last().unwrap().status, Status::Normal);
        let changes = published.windows(2).filter(|w| w[0].status != w[1].status).count();
        assert_eq!(changes, 2, "fault, warning, normal");
    }

    #[test]
    fn without_evidence_nothing_changes_but_the_count() {
        let (_, before) = run([0.4, 0.5].map(|s| verdict(FaultType::Bearing, s)));
        let blind = insufficient(FaultType::Bearing, "no channel");
        let (published, after) = fold(&before, blind.clone());
        assert_eq!(published, blind);
        assert_eq!(after, FoldedState { without_evidence: 1, ..before });
    }

    #[test]
    fn vibration_that_grows_at_the_same_speed_raises_the_alarm() {
        let healthy = (0..20).map(|i| vibration(1.0 + 0.05 * f64::from(i % 3), 1500.0));
        let grown = (0..5).map(|_| vibration(8.0, 1500.0));
        let (published, _) = run(healthy.clone().chain(grown));
        assert!(published[..20].iter().all(|v| v.status == Status::Normal));
        assert_eq!(published[20].status, Status::Fault, "{:?}", published[20]);
        assert!((published[20].features["vibration_growth"] - 7.6).abs() < 0.5);
        // Faster is louder: no comparison.
        let (published, _) = run(healthy.chain((0..5).map(|_| vibration(8.0, 3000.0))));
        assert!(published.iter().all(|v| v.status == Status::Normal));
    }

    #[test]
    fn the_state_is_small_and_survives_its_encoding() {
        let (_, state) = run((0..50).map(|i| vibration(1.0 + 0.01 * f64::from(i % 7), 1497.3)));
        let text = serde_json::to_string(&state).unwrap();
        assert!(text.len() < 300, "{text}");
        assert_eq!(serde_json::from_str::<FoldedState>(&text).unwrap(), state);
        assert_eq!(serde_json::from_str::<FoldedState>("{}").unwrap(), FoldedState::default());
    }

    proptest! {
        #[test]
        fn what_is_published_is_consistent(scores in prop::collection::vec(0.0..=1.0f64, 1..60)) {
            let (published, state) = run(scores.iter().map(|s| verdict(FaultType::Eccentricity, *s)));
            for (verdict, raw) in published.iter().zip(&scores) {
                prop_assert!((0.0..=1.0).contains(&verdict.score));
                prop_assert_eq!(status_of(verdict.score), verdict.status);
                prop_assert!(*raw < FAULT_SCORE || verdict.status == Status::Fault);
                prop_assert_eq!(&verdict.model_version, model_version(FaultType::Eccentricity));
            }
            prop_assert_eq!(state.blocks(), (scores.len() as u32, 0));
            prop_assert_eq!(state.status(), published.last().map(|v| v.status));
        }

        #[test]
        fn any_stored_state_is_survived(score in any::<f32>(), ln in any::<f32>(), speed in any::<f32>(), rms in 1e-9..1e9f64) {
            let baseline = Some(Baseline { blocks: 20, ln_level: ln, speed_rpm: speed });
            let state = FoldedState { version: VERSION, blocks: 3, score, baseline, ..FoldedState::default() };
            let (published, next) = fold(&state, vibration(rms, 1500.0));
            prop_assert!((0.0..=1.0).contains(&published.score));
            prop_assert!(published.features.values().all(|v| v.is_finite()));
            prop_assert!(next.usable());
        }
    }
}
