//! Short blocks with gaps between them: the height of the fundamental per block, in which a slow modulation is sought by
//! Lomb-Scargle.
//!
//! Broken bars modulate the current at 2 s f0. So does a load that happens to swing at that rate, which side bands in one long
//! block would show as well; here moreover only the amplitude is left of them. Therefore a warning at the most, and no
//! modulation found is no proof of a sound cage: side bands that only turn the phase leave the height as it is.

use realfft::num_complex::Complex;
use serde::{Deserialize, Serialize};

use super::current::{Current, Grid};
use super::{SCORE_MAX_OF_GAPS, packed};
use crate::findings::{Findings, WARNING_SCORE, line};
use crate::lomb_scargle::{Peak, false_alarm_probability, highest};
use crate::scale::Scale;
use crate::spectrum::db;

/// Blocks kept at the most: over 40 s at 1.2 s each no slip stays the same to within the resolution.
const BLOCKS_MAX: usize = 32;
/// Fewer blocks are not judged.
pub(super) const BLOCKS_MIN: usize = 16;
/// Times are kept to a tenth of a millisecond: a thousandth of the period of what is sought.
const TICKS_PER_S: f64 = 1e4;
/// A stored height of this size is that of the first block.
const UNIT: f64 = 16_384.0;
/// Probability of noise alone at which a warning begins, over all frequencies looked at; one vehicle in ten thousand.
const FALSE_ALARM_BEGINS: f64 = 1e-4;
/// The same, at which it ends.
const FALSE_ALARM_ENDS: f64 = 1e-2;
/// The frequency where broken bars would be must be e^12 times as likely as any other: with evenly spaced blocks
/// there are frequencies that the samples cannot tell apart, and chance prefers one of them by some e^5.
const LN_ODDS_MIN: f64 = 12.0;
/// Share of the variance left unexplained that is not told from none: two frequencies that both leave less are as good.
const REST_MIN: f64 = 0.02;
/// A warning that is out is held down to this share of its depth, and while no other frequency is likelier.
const HELD: f64 = 0.7;
/// Lowest frequency that is compared with, Hz: slower than that loads drift.
const LOW_HZ: f64 = 0.2;

/// Heights of the fundamental over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Series {
    /// Points per block: two halves show how fast a modulation is, where the block is long enough.
    halves: u8,
    /// Fundamental of the first block, A.
    magnitude: f64,
    /// Time of the first block, s.
    origin_s: f64,
    /// Time of the last point in ticks from there.
    last_tick: u64,
    /// Ticks from the point before (unsigned), height.
    #[serde(with = "packed")]
    points: Vec<[i16; 2]>,
}

impl Series {
    pub(super) fn new(current: &Current<'_>, start_s: f64) -> Self {
        Self {
            halves: if current.f0_hz * current.duration_s() >= 5.0 { 2 } else { 1 },
            magnitude: current.magnitude,
            origin_s: start_s,
            last_tick: 0,
            points: Vec::new(),
        }
    }

    pub(super) fn usable(&self) -> bool {
        (1..=2).contains(&self.halves)
            && self.magnitude > 0.0
            && self.magnitude.is_finite()
            && self.origin_s.is_finite()
            && self.points.len() <= BLOCKS_MAX * usize::from(self.halves)
    }

    pub(super) fn blocks(&self) -> usize {
        self.points.len() / usize::from(self.halves)
    }

    /// Adds a block; nothing where it holds too few cycles.
    pub(super) fn push(&mut self, current: &Current<'_>, start_s: f64) {
        let Some(mut grid) = Grid::new(current.rate_hz, current.f0_hz, 4) else { return };
        let cycles = grid.push(&current.samples());
        let halves = usize::from(self.halves);
        if cycles.len() < halves {
            return;
        }
        for half in 0..halves {
            let (from, to) = (half * cycles.len() / halves, (half + 1) * cycles.len() / halves);
            let height =
                cycles[from..to].iter().map(|z: &Complex<f64>| z.norm()).sum::<f64>() / (to - from) as f64;
            // Phasor k stands at step k + 1.
            let middle_s = grid.step_s() * (from + to + 1) as f64 / 2.0;
            let tick = ((start_s - self.origin_s + middle_s) * TICKS_PER_S).round() as u64;
            let since = u16::try_from(tick.saturating_sub(self.last_tick)).unwrap_or(u16::MAX);
            self.points.push([since.cast_signed(), (height / self.magnitude * UNIT).round() as i16]);
            self.last_tick = tick;
        }
        let surplus = self.points.len().saturating_sub(BLOCKS_MAX * halves);
        self.points.drain(..surplus);
    }

    /// The modulation within `expected_hz` +- `tolerance_hz`, if it is beyond noise and nothing else explains the heights as well.
    /// `begun`: a warning is already out. `depth_min`: smaller ones do not count.
    fn modulation(
        &self,
        expected_hz: f64,
        tolerance_hz: f64,
        depth_min: f64,
        begun: bool,
    ) -> Result<(Peak, f64), Nothing> {
        let mut ticks = 0u64;
        let (times_s, heights): (Vec<f64>, Vec<f64>) = self
            .points
            .iter()
            .map(|[since, height]| {
                ticks += u64::from(since.cast_unsigned());
                (ticks as f64 / TICKS_PER_S, f64::from(*height) / UNIT)
            })
            .unzip();
        let n = times_s.len() as f64;
        let mean = heights.iter().sum::<f64>() / n;
        let spread = (heights.iter().map(|h| (h - mean).powi(2)).sum::<f64>() / n).sqrt();
        let (depth_min, false_alarm_max, ln_odds_min) = if begun {
            (HELD * depth_min, FALSE_ALARM_ENDS, 0.0)
        } else {
            (depth_min, FALSE_ALARM_BEGINS, LN_ODDS_MIN)
        };
        // A sine of this depth would make the heights vary by 0.7 of it.
        if spread < 0.5 * depth_min * mean {
            return Err(Nothing::Still);
        }
        let band = (expected_hz - tolerance_hz, expected_hz + tolerance_hz);
        let inside = highest(&times_s, &heights, band, |_| false).ok_or(Nothing::Still)?;
        let depth = inside.amplitude / mean;
        // The halves of a block share its disturbances: only blocks count as independent.
        let blocks = self.blocks() as f64;
        let mean_s = times_s.iter().sum::<f64>() / n;
        let spread_s = (times_s.iter().map(|t| (t - mean_s).powi(2)).sum::<f64>() / n).sqrt();
        let false_alarm = false_alarm_probability(inside.power, blocks, band.1 - band.0, spread_s);
        if depth < depth_min || false_alarm > false_alarm_max {
            return Err(Nothing::Still);
        }
        let width_hz = 1.0 / (times_s[times_s.len() - 1] - times_s[0]);
        let own = |f: f64| f > band.0 - width_hz && f < band.1 + width_hz;
        let elsewhere =
            highest(&times_s, &heights, (LOW_HZ, 2.0 * band.1 + 1.0), own).map_or(0.0, |p| p.power);
        let rest = |power: f64| (1.0 - power).max(REST_MIN);
        let ln_odds = 0.5 * (n - 3.0) * (rest(elsewhere) / rest(inside.power)).ln();
        if ln_odds < ln_odds_min {
            return Err(Nothing::Ambiguous);
        }
        Ok((Peak { amplitude: depth, ..inside }, false_alarm))
    }

    /// What the modulation at 2 s f0 says of the cage. None: nothing.
    pub(super) fn judge(
        &self,
        expected_hz: f64,
        tolerance_hz: f64,
        level_db: Scale,
        begun: bool,
    ) -> Result<Findings, Nothing> {
        let depth_min = 10f64.powf(level_db.warning / 20.0);
        let (peak, false_alarm) = self.modulation(expected_hz, tolerance_hz, depth_min, begun)?;
        let mut findings = Findings {
            score: level_db.score(db(peak.amplitude)).clamp(WARNING_SCORE, SCORE_MAX_OF_GAPS),
            ..Findings::default()
        };
        findings.feature("modulation_depth", peak.amplitude);
        findings.feature("modulation_hz", peak.frequency_hz);
        findings.feature("false_alarm_probability", false_alarm);
        findings.evidence = vec![line(
            format!("amplitude modulation at 2 s f0, {:.1} dB", db(peak.amplitude)),
            "Hz",
            Some(expected_hz),
            Some(peak.frequency_hz),
            None,
        )];
        findings.advice = Some(
            "A load that swings at this rate looks the same: record some seconds without a gap at a steady load to tell them apart."
                .to_owned(),
        );
        findings.remark(&format!(
            "from the height of the current in {} blocks with gaps between them; by chance with a probability of {false_alarm:.0e}",
            self.blocks()
        ));
        Ok(findings)
    }
}

/// Why nothing can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nothing {
    /// No modulation beyond noise.
    Still,
    /// Other frequencies explain the heights as well.
    Ambiguous,
}
