//! The level of vibration in healthy running, and how far the present one has grown out of it. Scale-free: only the ratio
//! counts.

use serde::{Deserialize, Serialize};
use vtox_protocol::{Status, Verdict};

use crate::findings::{WARNING_SCORE, line, status_of};
use crate::scale::Scale;

/// Healthy blocks before a level is believed.
const BLOCKS_MIN: u32 = 8;
/// Share of a healthy block in the level once it is learnt: slow, so that it does not follow a growing fault.
const DRIFT: f64 = 0.02;
/// Vibration depends on speed; beyond this relative change of speed levels are not compared.
const SPEED_CHANGE_MAX: f64 = 0.1;

/// No f32 signal has a level beyond this, and growth out of it stays a number.
const LN_LEVEL_MAX: f32 = 110.0;

/// Level of vibration in healthy running.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Level {
    blocks: u32,
    ln_level: f32,
    speed_rpm: f32,
}

impl Level {
    pub(super) fn usable(&self) -> bool {
        self.ln_level.abs() <= LN_LEVEL_MAX && self.speed_rpm.is_finite()
    }
}

/// Learns the level and raises the score of a bearing verdict whose level has grown out of it.
pub(super) fn follow(level: Option<Level>, growth_scale: Scale, verdict: &mut Verdict) -> Option<Level> {
    let figure = |name: &str| verdict.features.get(name).copied().filter(|v| v.is_finite() && *v > 0.0);
    let (Some(rms), Some(speed_rpm)) = (figure("vibration_rms"), figure("speed_rpm")) else {
        return level;
    };
    let ln_level = rms.ln();
    let Some(mut known) = level else {
        return (verdict.status == Status::Normal).then_some(Level {
            blocks: 1,
            ln_level: ln_level as f32,
            speed_rpm: speed_rpm as f32,
        });
    };
    if (speed_rpm / f64::from(known.speed_rpm) - 1.0).abs() > SPEED_CHANGE_MAX {
        return level;
    }
    let growth = ln_level - f64::from(known.ln_level);
    let learnt = known.blocks >= BLOCKS_MIN;
    if learnt {
        let score = growth_scale.score(growth);
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
        let share = if learnt { DRIFT } else { 1.0 / f64::from(known.blocks + 1) };
        known.ln_level += (share * growth) as f32;
        known.blocks = known.blocks.saturating_add(1);
    }
    Some(known)
}
