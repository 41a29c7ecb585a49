//! Blocks too short for the side bands of broken bars and eccentricity: joined where their times meet, otherwise compared.
//!
//! Kept only for vehicles whose blocks are too short, and small: raw samples would be too large to be stored with every
//! message. Begun anew where a block is missing or repeated, its sampling is another one or the operating point changes.

mod average;
mod current;
mod judge;
mod packed;
mod place;
mod running;
mod series;
mod track;

use serde::{Deserialize, Serialize};
use vtox_protocol::{FaultType, Quantity, Status, Verdict};

use self::average::Average;
use self::current::Current;
use self::judge::Waiting;
use self::place::Place;
use self::running::Running;
use self::series::Series;
use self::track::Track;
use crate::prepared::Prepared;
use crate::sidebands::current_fundamental;

/// Blocks up to this many times as long as resolution needs are joined where noise hides what one alone could show: ten
/// times the length shows 10 dB more.
const JOINED_WORTH: f64 = 10.0;
/// Blocks further apart are not compared, s.
const GAP_MAX_S: f64 = 6.0;
/// From blocks with gaps between them nothing worse than a warning follows.
const SCORE_MAX_OF_GAPS: f64 = 0.5;

/// What is kept of blocks that are too short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ShortBlocks {
    running: Running,
    /// Where the last block ended, s.
    end_s: f64,
    past: Past,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Past {
    /// Blocks without a gap.
    Joined(Track),
    /// Blocks with gaps, for slow modulation.
    Heights(Series),
    /// Blocks with gaps, for lines at the shaft's distance.
    Lines(Average),
}

impl ShortBlocks {
    /// Whether it can be gone on with, whatever it was read from.
    pub(super) fn usable(&self) -> bool {
        let past = match &self.past {
            Past::Joined(track) => track.usable(),
            Past::Heights(series) => series.usable(),
            Past::Lines(average) => average.usable(),
        };
        past && self.running.usable() && self.end_s.is_finite()
    }

    /// Whether there is but one block in it.
    fn is_new(&self) -> bool {
        self.running.blocks == 1
    }
}

/// Goes on from a verdict that one block alone was too short for. Anything else passes, and keeps nothing.
pub(super) fn follow(
    previous: Option<&ShortBlocks>,
    prepared: &Prepared<'_>,
    fault: FaultType,
    mut verdict: Verdict,
    begun: bool,
) -> (Verdict, Option<ShortBlocks>) {
    let Some(block) = Block::of(prepared, fault, &verdict) else { return (verdict, None) };
    let Some(start_s) = prepared.block.start_s.filter(|s| s.is_finite()) else {
        remark(&mut verdict, "blocks without a start time cannot be joined");
        return (verdict, None);
    };
    let Some(kept) = block.added(previous, start_s) else { return (verdict, None) };
    if kept.is_new() {
        if previous.is_some_and(|p| p.usable() && start_s < p.end_s - 0.5 / p.running.rate_hz) {
            remark(&mut verdict, "it begins before the end of the last block, so they cannot be joined");
        }
        return (verdict, Some(kept));
    }
    match &kept.past {
        Past::Joined(track) => match block.of_track(track) {
            Ok(judged) => return (judged, Some(kept)),
            Err(Waiting::Unsteady) => {
                verdict.reason = Some("the operating point changed: joining blocks begins anew".to_owned());
                return (verdict, block.joined(start_s));
            }
            Err(Waiting::For(reason)) => verdict.reason = Some(reason),
        },
        Past::Heights(series) => match block.of_heights(series, &kept.running, begun) {
            Ok(findings) => return (findings.verdict(fault), Some(kept)),
            Err(reason) => verdict.reason = Some(reason),
        },
        Past::Lines(average) => match block.of_lines(average, &kept.running) {
            Ok(findings) => return (findings.verdict(fault), Some(kept)),
            Err(reason) => verdict.reason = Some(reason),
        },
    }
    (verdict, Some(kept))
}

fn remark(verdict: &mut Verdict, text: &str) {
    let reason = verdict.reason.get_or_insert_default();
    reason.push_str("; ");
    reason.push_str(text);
}

/// A block that is too short.
struct Block<'a, 'b> {
    prepared: &'a Prepared<'b>,
    fault: FaultType,
    current: Current<'a>,
    place: Place,
}

impl<'a, 'b> Block<'a, 'b> {
    fn of(prepared: &'a Prepared<'b>, fault: FaultType, verdict: &Verdict) -> Option<Self> {
        let rotor = matches!(fault, FaultType::BrokenBar | FaultType::Eccentricity);
        if !rotor || verdict.status != Status::InsufficientData || current_fundamental(prepared).is_err() {
            return None;
        }
        let current = Current::of(prepared)?;
        let place = Place::of(prepared, fault, prepared.fundamental()?)?;
        let short = current.duration_s() < JOINED_WORTH * place.needed_s();
        short.then_some(Self { prepared, fault, current, place })
    }

    fn shaft_hz(&self) -> Option<f64> {
        self.prepared.value(Quantity::Speed).and(self.prepared.shaft_hz())
    }

    /// The collection with this block in it, or begun anew by it.
    fn added(&self, previous: Option<&ShortBlocks>, start_s: f64) -> Option<ShortBlocks> {
        let same = previous.filter(|p| p.usable() && p.running.same(&self.current, self.shaft_hz()));
        let Some(kept) = same else { return self.joined(start_s) };
        // To half a sampling period, or as exactly as times since 1970 can be written.
        let gap_s = start_s - kept.end_s;
        let meets = gap_s.abs() <= (0.5 / self.current.rate_hz).max(1e-15 * start_s.abs());
        let apart = gap_s > 0.0 && gap_s <= GAP_MAX_S;
        let mut kept = kept.clone();
        match &mut kept.past {
            Past::Joined(track) if meets => track.push(&self.current),
            Past::Heights(series) if apart && !meets => series.push(&self.current, start_s),
            Past::Lines(average) if apart && !meets => average.push(&self.current, self.shaft_hz()?),
            Past::Joined(_) if apart => {
                return Some(ShortBlocks { past: self.apart(start_s), ..self.joined(start_s)? });
            }
            _ => return self.joined(start_s),
        }
        kept.running.add(&self.current, self.shaft_hz());
        kept.end_s = start_s + self.current.duration_s();
        Some(kept)
    }

    /// A collection of contiguous blocks that begins with this one.
    fn joined(&self, start_s: f64) -> Option<ShortBlocks> {
        let mut track = Track::new(&self.current, self.quarters())?;
        track.push(&self.current);
        Some(ShortBlocks {
            running: Running::new(&self.current, self.shaft_hz()),
            end_s: start_s + self.current.duration_s(),
            past: Past::Joined(track),
        })
    }

    /// A collection of blocks with gaps that begins with this one.
    fn apart(&self, start_s: f64) -> Past {
        match (self.fault, self.shaft_hz()) {
            (FaultType::Eccentricity, Some(shaft_hz)) => {
                let mut average = Average::new();
                average.push(&self.current, shaft_hz);
                Past::Lines(average)
            }
            _ => {
                let mut series = Series::new(&self.current, start_s);
                series.push(&self.current, start_s);
                Past::Heights(series)
            }
        }
    }

    /// Distance of the phasors of a track in quarter cycles. Powers of two or whole cycles, whose harmonics and offset fall
    /// onto the fundamental's own zeros or the end of the band.
    fn quarters(&self) -> u16 {
        let f0_hz = self.current.f0_hz;
        if self.fault == FaultType::Eccentricity {
            return match f0_hz / self.place.distance_hz {
                ..1.8 => 1,
                1.8..3.6 => 2,
                _ => 4,
            };
        }
        // Side bands in the lower quarter of the band, at least some hertz of it.
        let rate_hz = (8.0 * self.place.distance_hz).max(24.0);
        4 * (f0_hz / rate_hz).clamp(1.0, 1000.0) as u16
    }
}
