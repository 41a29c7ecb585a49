//! What is kept of short blocks, judged; or what is still needed.

use vtox_protocol::{FaultType, Status, Verdict};

use super::Block;
use super::average::{self, Average};
use super::current::Source;
use super::place::Place;
use super::running::Running;
use super::series::{self, Nothing, Series};
use super::track::{Track, Unclear};
use crate::findings::Findings;
use crate::fundamental::Fundamental;
use crate::scale::Scale;
use crate::sidebands::pole_pairs;
use crate::spectrum::{Spectrum, db};
use crate::{broken_bar, eccentricity};

/// A line at the level of a warning must stand this far out of the noise floor to be found: without it, more is collected
/// before joined blocks are called normal.
const FLOOR_BELOW_WARNING_DB: f64 = 10.0;
/// A line of joined blocks must stand this far out of the floor for an alarm. Noise does so in one of thirty million places;
/// joined blocks are looked at again with each block.
const ALARM_ABOVE_FLOOR_DB: f64 = 14.0;
/// From this share of f0 on the shaft's lines are too close to harmonics of the supply for a short block (one pole pair).
const HARMONICS_MERGE: f64 = 0.7;
/// Error of the speed reading as a fraction of synchronous speed.
const SPEED_ERROR: f64 = 0.002;

/// Why joined blocks are not judged yet.
pub(super) enum Waiting {
    Unsteady,
    For(String),
}

impl Block<'_, '_> {
    fn level_db(&self) -> Scale {
        match self.fault {
            FaultType::BrokenBar => self.prepared.thresholds.broken_bar.level_db,
            _ => self.prepared.thresholds.eccentricity.level_db,
        }
    }

    /// The verdict of joined blocks, by the code that judges one long block.
    pub(super) fn of_track(&self, track: &Track) -> Result<Verdict, Waiting> {
        let collected = |needed_s: f64, distance_hz: f64| {
            Waiting::For(format!(
                "side bands {distance_hz:.2} Hz from the fundamental: has collected {:.1} of the {needed_s:.1} s needed of \
                 contiguous blocks",
                track.duration_s()
            ))
        };
        let (spectrum, f0) = match track.spectrum() {
            Ok(found) => found,
            Err(Unclear::TooShort) => return Err(collected(self.place.needed_s(), self.place.distance_hz)),
            Err(Unclear::Unsteady) => return Err(Waiting::Unsteady),
        };
        let place = Place::of(self.prepared, self.fault, f0).unwrap_or(self.place);
        let (distance_hz, needed_s) = (place.distance_hz, place.needed_s());
        if needed_s > track.duration_max_s() {
            return Err(Waiting::For(format!(
                "side bands {distance_hz:.2} Hz from the fundamental need {needed_s:.0} s, more than is joined ({:.1} s): \
                 more load, or one block of that length",
                track.duration_max_s()
            )));
        }
        if track.duration_s() < needed_s {
            return Err(collected(needed_s, distance_hz));
        }
        let mut verdict = match self.fault {
            FaultType::BrokenBar => {
                broken_bar::judge(self.prepared, &spectrum, f0, |hz| track.amplitude_share(hz))
            }
            _ => eccentricity::judge(self.prepared, &spectrum, f0),
        };
        let floor_db = db(floor(&spectrum, f0, distance_hz));
        let excess_db = floor_db - (self.level_db().warning - FLOOR_BELOW_WARNING_DB);
        let clear = match verdict.status {
            Status::Normal | Status::InsufficientData => excess_db <= 0.0,
            Status::Warning | Status::Fault => {
                let above_floor_db =
                    verdict.evidence.iter().filter_map(|e| e.above_floor_db).fold(0.0, f64::max);
                above_floor_db >= ALARM_ABOVE_FLOOR_DB
            }
            Status::NotApplicable => true,
        };
        if !clear {
            // Noise sinks with the root of the time.
            let needed_s = track.duration_s() * 10f64.powf(excess_db.max(1.0) / 10.0);
            if track.full() || needed_s > track.duration_max_s() {
                return Err(Waiting::For(format!(
                    "the noise of the currents ({floor_db:.0} dB in {:.1} s) hides side bands that would matter",
                    track.duration_s()
                )));
            }
            return Err(collected(needed_s, distance_hz));
        }
        if matches!(verdict.status, Status::Warning | Status::Fault) && self.may_be_image(track, f0) {
            return Err(Waiting::For(format!(
                "in one phase of a motor with one pole pair these side bands may be those of an eccentric rotor: three \
                 synchronous phases or one block of {needed_s:.1} s are needed"
            )));
        }
        verdict.features.insert("joined_s".to_owned(), track.duration_s());
        Ok(verdict)
    }

    /// With one pole pair f0 - 2 fr = -(1 - 2s) f0 of an eccentric rotor falls onto the lower side band of broken bars, unless
    /// a space vector tells the two directions of rotation apart.
    fn may_be_image(&self, track: &Track, f0: Fundamental) -> bool {
        let one_pair = |hz| pole_pairs(self.prepared, f0, hz) < 1.5;
        let phase = matches!(track.source(), Source::Phase(_));
        self.fault == FaultType::BrokenBar && phase && self.prepared.shaft_hz().is_none_or(one_pair)
    }

    /// What the heights of the fundamental over blocks with gaps say of the cage.
    pub(super) fn of_heights(
        &self,
        series: &Series,
        running: &Running,
        begun: bool,
    ) -> Result<Findings, String> {
        let contiguous = format!("{:.1} s without a gap", self.place.needed_s());
        let (Some(shaft_hz), FaultType::BrokenBar) = (running.shaft_hz, self.fault) else {
            return Err(format!(
                "blocks with gaps between them and no speed reading: {contiguous} are needed"
            ));
        };
        if series.blocks() < series::BLOCKS_MIN {
            return Err(format!(
                "has collected {} of the {} blocks needed when there are gaps between them, or send {contiguous}",
                series.blocks(),
                series::BLOCKS_MIN
            ));
        }
        let f0 = Fundamental { frequency_hz: running.f0_hz, cycles: 1.0 };
        let slip_hz = (f0.frequency_hz - pole_pairs(self.prepared, f0, shaft_hz) * shaft_hz).abs();
        let tolerance_hz = 2.0 * SPEED_ERROR * f0.frequency_hz;
        series.judge(2.0 * slip_hz, tolerance_hz, self.level_db(), begun).map_err(|nothing| {
            let found = match nothing {
                Nothing::Still => "no modulation at 2 s f0 beyond noise",
                Nothing::Ambiguous => {
                    "a modulation that may have another frequency than 2 s f0 (send blocks at uneven intervals)"
                }
            };
            format!("{} blocks with gaps between them show {found}; a verdict needs {contiguous}", series.blocks())
        })
    }

    /// What the lines averaged over blocks with gaps say of the air gap.
    pub(super) fn of_lines(&self, average: &Average, running: &Running) -> Result<Findings, String> {
        let seconds = self.place.needed_s();
        let shaft_hz = running.shaft_hz.unwrap_or(self.place.distance_hz);
        let f0_hz = running.f0_hz;
        if shaft_hz > HARMONICS_MERGE * f0_hz {
            return Err(format!(
                "in blocks with gaps between them f0 + fr cannot be told from a harmonic: {seconds:.1} s without a gap are \
                 needed"
            ));
        }
        let turns = shaft_hz * self.current.duration_s();
        if turns < average::TURNS_MIN {
            return Err(format!(
                "{turns:.1} turns of the shaft in blocks with gaps between them are too few: {seconds:.1} s without a gap \
                 or blocks of {:.2} s are needed",
                average::TURNS_MIN / shaft_hz
            ));
        }
        average.judge(f0_hz, shaft_hz, self.level_db()).ok_or_else(|| {
            format!(
                "lines {shaft_hz:.1} Hz from the fundamental: has averaged {} blocks (at least {}, more when noisy), or \
                 send {seconds:.2} s without a gap",
                average.blocks(),
                average::BLOCKS_MIN
            )
        })
    }
}

/// Noise floor where the side bands would be; the higher of both sides.
fn floor(spectrum: &Spectrum, f0: Fundamental, distance_hz: f64) -> f64 {
    let (guard_hz, span_hz) = (2.0 * spectrum.resolution_hz, 20.0 * spectrum.resolution_hz);
    let at = |hz: f64| spectrum.floor(hz, guard_hz, span_hz, &[f0.frequency_hz]);
    let both = [at(f0.frequency_hz - distance_hz), at(f0.frequency_hz + distance_hz)];
    both.into_iter().flatten().reduce(f64::max).unwrap_or(1.0)
}
