//! Following one vehicle and fault type over time.
//!
//! Rising: a block that shows a clear fault is published as a fault at once. Falling: the score sinks slowly and an alarm is
//! held until it has sunk clearly below its threshold, so that it does not flap. Beside that a detector may keep something
//! of its own of the vehicle: what healthy running looks like ([`level`]).

mod level;
mod short;
mod trend;
mod unbalance;

use serde::{Deserialize, Serialize};
use vtox_protocol::{FaultType, Status, Verdict};

use self::level::Level;
use self::short::ShortBlocks;
use self::trend::Trend;
use self::unbalance::Unbalance;
use crate::findings::{FAULT_SCORE, WARNING_SCORE, severity_of, status_of};
use crate::prepared::Prepared;
use crate::thresholds::Thresholds;

/// Layout of [`FoldedState`]; a state of another layout is begun anew.
const VERSION: u8 = 3;
/// Share of a new score in the smoothed one.
const SMOOTHING: f64 = 0.4;
/// An alarm ends when the smoothed score is this far below the threshold at which it began.
const HYSTERESIS: f64 = 0.08;

/// What is kept per vehicle and fault type. Small, versioned, and good for nothing but [`follow`].
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
    level: Option<Level>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unbalance: Option<Unbalance>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trend: Option<Trend>,
    /// What is kept of blocks that are too short for side bands.
    #[serde(skip_serializing_if = "Option::is_none")]
    short: Option<ShortBlocks>,
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

    /// The state after a block that no detector could read.
    pub fn after_unreadable(&self) -> Self {
        let mut state = self.usable_or_new();
        state.without_evidence = state.without_evidence.saturating_add(1);
        state
    }

    fn usable_or_new(&self) -> Self {
        let usable = self.version == VERSION
            && (0.0..=1.0).contains(&self.score)
            && self.level.is_none_or(|level| level.usable())
            && self.unbalance.as_ref().is_none_or(Unbalance::usable)
            && self.trend.as_ref().is_none_or(Trend::usable)
            && self.short.as_ref().is_none_or(ShortBlocks::usable);
        if usable { self.clone() } else { Self { version: VERSION, ..Self::default() } }
    }
}

/// Diagnoses a block in the light of the vehicle's past: the verdict to publish, and the state to keep. Pure, and in stream
/// order. Verdicts without evidence pass through and are only counted. The published score lies in the band of the
/// published status, also while an alarm is held.
pub fn follow(prepared: &Prepared<'_>, fault: FaultType, previous: &FoldedState) -> (Verdict, FoldedState) {
    let begun = previous.status.is_some_and(|status| status != Status::Normal);
    let alone = crate::diagnose(prepared, fault);
    let kept = previous.short.as_ref().filter(|_| previous.version == VERSION);
    let (verdict, short) = short::follow(kept, prepared, fault, alone, begun);
    let (verdict, state) = fold(prepared.thresholds, fault, prepared.block.start_s, previous, verdict);
    (verdict, FoldedState { short, ..state })
}

fn fold(
    thresholds: &Thresholds,
    fault: FaultType,
    start_s: Option<f64>,
    previous: &FoldedState,
    mut verdict: Verdict,
) -> (Verdict, FoldedState) {
    if !verdict.status.is_evidence() {
        return (verdict, previous.after_unreadable());
    }
    let mut state = previous.usable_or_new();
    match fault {
        FaultType::Bearing => {
            state.level = level::follow(state.level, thresholds.bearing.ln_growth, &mut verdict);
        }
        FaultType::TurnFault => {
            let kept = state.unbalance.take();
            state.unbalance = unbalance::follow(kept, thresholds.turn_fault.growth, &mut verdict);
        }
        FaultType::Insulation => {
            let kept = state.trend.take();
            state.trend = trend::follow(kept, start_s, &thresholds.insulation, &mut verdict);
        }
        FaultType::Eccentricity | FaultType::BrokenBar => {}
    }
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

    fn fold_default(previous: &FoldedState, verdict: Verdict) -> (Verdict, FoldedState) {
        let fault = FaultType::ALL.into_iter().find(|f| verdict.model_version.starts_with(f.name())).unwrap();
        fold(&Thresholds::default(), fault, None, previous, verdict)
    }

    /// Folds verdicts one after the other and gives what was published.
    fn run(verdicts: impl IntoIterator<Item = Verdict>) -> (Vec<Verdict>, FoldedState) {
        let mut state = FoldedState::default();
        let published = verdicts
            .into_iter()
            .map(|v| {
                let (published, next) = fold_default(&state, v);
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
        let (published, after) = fold_default(&before, blind.clone());
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
            let level = serde_json::json!({"blocks": 20, "ln_level": ln, "speed_rpm": speed});
            let level = serde_json::from_value(level).ok();
            let state = FoldedState { version: VERSION, blocks: 3, score, level, ..FoldedState::default() };
            let (published, next) = fold_default(&state, vibration(rms, 1500.0));
            prop_assert!((0.0..=1.0).contains(&published.score));
            prop_assert!(published.features.values().all(|v| v.is_finite()));
            prop_assert!(next.usable_or_new() == next);
        }
    }
}
