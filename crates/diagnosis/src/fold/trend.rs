//! How the insulation resistance of a vehicle goes over time, and how long it lasts at that.
//!
//! The resistance at 40 degC is kept as lg over time in at most ten points, each the mean of a stretch; when they are
//! full, the closest two are joined, and what is older than a quarter of a year is dropped. Slope by the median of all pairs
//! (Theil 1950, Sen 1968), which wild readings do not move; whether there is one by the test of Mann (1945) and Kendall.
//! What remains is extrapolated exponentially, that is by a straight line in lg; no law says insulation keeps to it.

use serde::{Deserialize, Serialize};
use vtox_protocol::Verdict;

use crate::findings::{FAULT_SCORE, WARNING_SCORE, line};
use crate::insulation::Thresholds;
use crate::spectrum::median;

/// Points kept.
const POINTS_MAX: usize = 10;
/// Points before a trend is believed.
const POINTS_MIN: usize = 8;
/// What is older is dropped: h (a quarter of a year), or readings where no times are given.
const AGE_MAX_H: f64 = 2_200.0;
const AGE_MAX_READINGS: f64 = 1e6;
/// Mann-Kendall statistic in standard deviations: by chance once in 700.
const SIGNIFICANT: f64 = 3.0;
/// A fall of less may come from moisture and from the instrument, decades.
const FALL_MIN: f64 = 0.3;
/// Within this time one warming up may be the whole trend, h; between the two correction rules of IEEE 43 lies half a decade from 40
/// to 80 degC.
const ONE_RUN_H: f64 = 48.0;
const FALL_MIN_ONE_RUN: f64 = 0.7;
/// Nothing is said of times longer than this many times the one observed.
const EXTRAPOLATION_MAX: f64 = 10.0;
/// A clock that goes back by more has been set, h.
const BACKWARD_MAX_H: f64 = 1.0;

/// Resistance over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Trend {
    /// Time of the first reading, s; none where time is counted in readings.
    begin_s: Option<f64>,
    /// Readings so far.
    readings: u32,
    /// When the last point began.
    last_begin: f32,
    points: Vec<Point>,
}

/// A stretch: mean time since the begin (h or readings), mean lg of the resistance in Mohm, readings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Point(f32, f32, u32);

impl Trend {
    pub(super) fn usable(&self) -> bool {
        self.points.len() <= POINTS_MAX
            && self.begin_s.is_none_or(f64::is_finite)
            && self.last_begin.is_finite()
            && self.points.iter().all(|p| p.0.is_finite() && p.1.is_finite() && p.2 > 0)
    }

    fn add(&mut self, time: f64, lg: f64) {
        self.readings = self.readings.saturating_add(1);
        let oldest = if self.begin_s.is_some() { time - AGE_MAX_H } else { time - AGE_MAX_READINGS };
        self.points.retain(|p| f64::from(p.0) >= oldest);
        let full = self.points.len() == POINTS_MAX;
        let span = self.points.first().map_or(0.0, |p| time - f64::from(p.0));
        let filling = full && time - f64::from(self.last_begin) < span / POINTS_MAX as f64;
        let new = Point(time as f32, rounded(lg), 1);
        if let (true, Some(last)) = (filling, self.points.last_mut()) {
            *last = last.joined(new);
            return;
        }
        if full {
            self.join_closest();
        }
        self.last_begin = time as f32;
        self.points.push(new);
    }

    fn join_closest(&mut self) {
        let apart = |i: &usize| self.points[i + 1].0 - self.points[*i].0;
        let closest = (0..self.points.len().saturating_sub(1)).min_by(|a, b| apart(a).total_cmp(&apart(b)));
        if let Some(i) = closest {
            self.points[i] = self.points[i].joined(self.points[i + 1]);
            self.points.remove(i + 1);
        }
    }

    /// Slope in decades per unit of time and the level now, where the fall is beyond chance.
    fn fall(&self, now: f64) -> Option<Fall> {
        if self.points.len() < POINTS_MIN {
            return None;
        }
        let n = self.points.len() as f64;
        let mut slopes = Vec::with_capacity(POINTS_MAX * (POINTS_MAX - 1) / 2);
        let mut balance = 0.0;
        for (i, later) in self.points.iter().enumerate() {
            for earlier in &self.points[..i] {
                let rise = f64::from(later.1 - earlier.1);
                balance += if rise == 0.0 { 0.0 } else { rise.signum() };
                let apart = f64::from(later.0 - earlier.0);
                if apart > 0.0 {
                    slopes.push(rise / apart);
                }
            }
        }
        if slopes.is_empty() {
            return None;
        }
        let spread = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
        let slope = median(&mut slopes);
        let (first, last) = (self.points.first()?, self.points.last()?);
        let span = f64::from(last.0 - first.0);
        let one_run = self.begin_s.is_some() && span < ONE_RUN_H;
        let least = if one_run { FALL_MIN_ONE_RUN } else { FALL_MIN };
        if (balance + 1.0) / spread > -SIGNIFICANT || -slope * span < least {
            return None;
        }
        let at_end = |p: &Point| f64::from(p.1) + slope * (now - f64::from(p.0));
        let mut levels: Vec<f64> = self.points.iter().map(at_end).collect();
        Some(Fall { per_unit: -slope, span, lg_now: median(&mut levels) })
    }
}

impl Point {
    fn joined(self, other: Self) -> Self {
        let readings = self.2.saturating_add(other.2);
        let share = f64::from(other.2) / f64::from(readings);
        let mean = |a: f32, b: f32| f64::from(a) + share * (f64::from(b) - f64::from(a));
        Self(mean(self.0, other.0) as f32, mean(self.1, other.1) as f32, readings)
    }
}

struct Fall {
    /// Decades per hour or reading; > 0.
    per_unit: f64,
    /// Time observed.
    span: f64,
    lg_now: f64,
}

fn rounded(x: f64) -> f32 {
    (x * 1e4).round() as f32 / 1e4
}

/// Adds a reading to the trend, and what follows from it to the verdict.
pub(super) fn follow(
    known: Option<Trend>,
    start_s: Option<f64>,
    thresholds: &Thresholds,
    verdict: &mut Verdict,
) -> Option<Trend> {
    // Only what was corrected by the rule of the standard, within its range, can be compared.
    let corrected = verdict.features.get("resistance_corrected").is_some_and(|v| *v > 0.0);
    let Some(mohm) =
        verdict.features.get("insulation_resistance_40c").copied().filter(|r| corrected && *r > 0.0)
    else {
        return known;
    };
    let start_s = start_s.filter(|s| s.is_finite());
    let begun = || Trend { begin_s: start_s, readings: 0, last_begin: 0.0, points: Vec::new() };
    let since = |trend: &Trend| match (trend.begin_s, start_s) {
        (Some(begin), Some(now)) => (now - begin) / 3600.0,
        _ => f64::from(trend.readings),
    };
    let set_back = |trend: &Trend| {
        trend.begin_s.is_some() != start_s.is_some()
            || trend.points.last().is_some_and(|last| since(trend) < f64::from(last.0) - BACKWARD_MAX_H)
    };
    let mut trend = known.filter(|trend| !set_back(trend)).unwrap_or_else(begun);
    let time = since(&trend);
    trend.add(time, mohm.clamp(1e-6, 1e9).log10());
    if let Some(fall) = trend.fall(time) {
        say(verdict, &fall, trend.begin_s.is_some(), thresholds);
    }
    Some(trend)
}

fn say(verdict: &mut Verdict, fall: &Fall, hours: bool, thresholds: &Thresholds) {
    let unit = if hours { "h" } else { "blocks" };
    let per_1000 = 1000.0 * fall.per_unit;
    verdict.features.insert(format!("resistance_fall_decades_per_1000_{unit}"), per_1000);
    let until = |lg: f64| ((fall.lg_now - lg) / fall.per_unit).max(0.0);
    let (to_warning, to_fault) =
        (until(thresholds.lg_resistance.warning), until(thresholds.lg_resistance.fault));
    let mohm = |lg: f64| 10f64.powf(lg);
    let mut text = format!("the resistance falls by {per_1000:.2} decades per 1000 {unit}");
    let mut score = thresholds.fall_decades.score(fall.per_unit * fall.span);
    let foreseeable = EXTRAPOLATION_MAX * fall.span;
    if to_fault <= foreseeable {
        verdict.features.insert(format!("remaining_life_{unit}"), to_fault);
        text.push_str(&format!(
            "; if it goes on falling exponentially and the temperature stays what it was, {:.3} Mohm are reached in \
             {to_warning:.0} {unit} and {:.3} Mohm in {to_fault:.0} {unit}",
            mohm(thresholds.lg_resistance.warning),
            mohm(thresholds.lg_resistance.fault)
        ));
        if hours {
            score = score.max(thresholds.remaining_life_h.score(to_fault));
            text.push_str(" (10 K less double these times, by Montsinger's rule)");
        }
    } else {
        text.push_str(&format!(
            "; the limits are further away than can be told from {:.0} {unit}",
            fall.span
        ));
    }
    let reason = verdict.reason.get_or_insert_default();
    let separator = if reason.is_empty() { "" } else { "; " };
    reason.push_str(separator);
    reason.push_str(&text);
    // What is foreseen is no fault yet.
    let score = score.min(FAULT_SCORE - 0.01);
    if score > verdict.score {
        verdict.score = score;
        if score >= WARNING_SCORE {
            verdict.evidence.push(line(
                format!("fall of the resistance at 40 degC, decades per 1000 {unit}"),
                "",
                Some(0.0),
                Some(per_1000),
                None,
            ));
            verdict.advice = Some(
                "The insulation resistance falls steadily: plan an inspection before the limit is reached, look for moisture \
                 and contamination first, and keep the winding cooler until then."
                    .to_owned(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vtox_protocol::FaultType;

    use super::*;
    use crate::findings::Findings;

    fn reading(mohm: f64) -> Verdict {
        let mut findings = Findings::default();
        findings.feature("insulation_resistance_40c", mohm);
        findings.feature("resistance_corrected", 1.0);
        findings.verdict(FaultType::Insulation)
    }

    fn noise(i: u32) -> f64 {
        1.0 + 0.1 * (f64::from(i) * 12.9898).sin()
    }

    /// Readings every so many hours; the verdicts and the state.
    fn run(count: u32, every_h: f64, mohm: impl Fn(f64) -> f64) -> (Vec<Verdict>, Trend) {
        let mut trend = None;
        let verdicts = (0..count)
            .map(|i| {
                let hours = f64::from(i) * every_h;
                let mut verdict = reading(mohm(hours) * noise(i));
                trend =
                    follow(trend.take(), Some(1.7e9 + hours * 3600.0), &Thresholds::default(), &mut verdict);
                verdict
            })
            .collect();
        (verdicts, trend.unwrap())
    }

    #[test]
    fn an_exponential_fall_is_measured_and_extrapolated() {
        // A decade in 500 h, from 1000 Mohm: 1 Mohm is reached at 1500 h.
        for (count, every_h) in [(60, 10.0), (6_000, 0.1)] {
            let (verdicts, _) = run(count, every_h, |h| 1000.0 * 10f64.powf(-h / 500.0));
            let last = verdicts.last().unwrap();
            let fall = last.features["resistance_fall_decades_per_1000_h"];
            assert!((fall / 2.0 - 1.0).abs() < 0.1, "{fall}");
            let remaining = last.features["remaining_life_h"];
            assert!((remaining / 900.0 - 1.0).abs() < 0.1, "{remaining}");
            assert!(last.score >= WARNING_SCORE && last.score < FAULT_SCORE, "{last:?}");
            assert!(last.reason.as_ref().unwrap().contains("exponentially"));
        }
    }

    #[test]
    fn a_steady_resistance_has_no_trend_and_a_slow_fall_no_alarm() {
        let (verdicts, _) = run(3_000, 1.0, |_| 800.0);
        assert!(verdicts.iter().all(|v| !v.features.contains_key("remaining_life_h") && v.score == 0.0));
        // Five decades in 30,000 h.
        let (verdicts, trend) = run(10_000, 1.0, |h| 2000.0 * 10f64.powf(-h / 6_000.0));
        assert!(verdicts.iter().all(|v| v.score < WARNING_SCORE));
        assert!(verdicts.last().unwrap().features.contains_key("resistance_fall_decades_per_1000_h"));
        let text = serde_json::to_string(&trend).unwrap();
        assert!(text.len() < 330, "{} {text}", text.len());
    }

    #[test]
    fn one_warming_up_is_no_trend() {
        let (verdicts, _) = run(100, 0.02, |h| 500.0 * 10f64.powf(-0.5 * h / 2.0));
        assert!(verdicts.iter().all(|v| v.score == 0.0));
        let (verdicts, _) = run(100, 0.02, |h| 5000.0 * 10f64.powf(-2.0 * h / 2.0));
        assert!(verdicts.last().unwrap().score >= WARNING_SCORE);
    }

    #[test]
    fn single_wild_readings_do_not_move_it() {
        let (verdicts, _) = run(300, 4.0, |h| {
            let wild = (h as u32).is_multiple_of(64);
            if wild { 0.5 } else { 1000.0 * 10f64.powf(-h / 1000.0) }
        });
        let fall = verdicts.last().unwrap().features["resistance_fall_decades_per_1000_h"];
        assert!((fall - 1.0).abs() < 0.15, "{fall}");
    }

    #[test]
    fn without_times_the_unit_is_blocks() {
        let mut trend = None;
        let mut last = None;
        for i in 0..400u32 {
            let mut verdict = reading(1000.0 * 10f64.powf(-f64::from(i) / 200.0) * noise(i));
            trend = follow(trend, None, &Thresholds::default(), &mut verdict);
            last = Some(verdict);
        }
        let last = last.unwrap();
        assert!((last.features["resistance_fall_decades_per_1000_blocks"] / 5.0 - 1.0).abs() < 0.1);
        assert!((last.features["remaining_life_blocks"] / 200.0 - 1.0).abs() < 0.15, "{last:?}");
        assert!(!last.features.contains_key("remaining_life_h"));
    }

    #[test]
    fn a_clock_that_is_set_back_begins_anew() {
        let (_, trend) = run(50, 10.0, |_| 100.0);
        let mut verdict = reading(100.0);
        let next = follow(Some(trend), Some(1.6e9), &Thresholds::default(), &mut verdict).unwrap();
        assert_eq!(next.points.len(), 1);
    }

    proptest! {
        #[test]
        fn it_stays_small_and_finite(
            readings in prop::collection::vec((0.0..1e7f64, -3.0..6.0f64, any::<bool>()), 1..200),
        ) {
            let mut trend = None;
            let mut hours = 0.0;
            for (step, lg, timed) in readings {
                hours += step;
                let mut verdict = reading(10f64.powf(lg));
                let start_s = timed.then_some(hours * 3600.0);
                trend = follow(trend, start_s, &Thresholds::default(), &mut verdict);
                prop_assert!((0.0..=1.0).contains(&verdict.score));
                prop_assert!(verdict.features.values().all(|v| v.is_finite()));
                prop_assert!(trend.as_ref().unwrap().usable());
            }
        }

        #[test]
        fn noise_alone_is_no_trend(seed in any::<u64>(), every_h in 0.01..50.0f64) {
            let mut random = seed | 1;
            let mut uniform = move || {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                (random >> 11) as f64 / (1u64 << 53) as f64 - 0.5
            };
            let mut trend = None;
            for i in 0..500u32 {
                let mut verdict = reading(500.0 * 10f64.powf(0.2 * uniform()));
                let at_s = f64::from(i) * every_h * 3600.0;
                trend = follow(trend, Some(at_s), &Thresholds::default(), &mut verdict);
                prop_assert!(verdict.score < WARNING_SCORE, "{verdict:?}");
            }
        }
    }
}
