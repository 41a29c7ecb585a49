//! The negative-sequence current of a vehicle in healthy running, and how far the present one has grown out of it.
//!
//! Supply, sensors and windings of a sound vehicle are unbalanced by some constant amount. What a fault adds is seen as a
//! vector out of that point long before the sum is beyond what any supply may do. Compared are blocks at about the same
//! speed, and without voltages also about the same current, because the angle to the current turns with the load.

use realfft::num_complex::Complex;
use serde::{Deserialize, Serialize};
use vtox_protocol::{Status, Verdict};

use crate::findings::{WARNING_SCORE, line, status_of};
use crate::scale::Scale;
use crate::turn_fault::{PHASE_NAMES, faulted_phase};

/// Healthy blocks before a place is believed.
const BLOCKS_MIN: u32 = 8;
/// Share of a healthy block at the least: a fault that takes more than so many blocks to grow is followed.
const DRIFT: f64 = 1e-4;
/// Operating points kept.
const PLACES_MAX: usize = 4;
/// Relative change of speed or current beyond which unbalances are not compared.
const CHANGE_MAX: f64 = 0.15;
/// The scatter of healthy blocks is taken off this many times.
const SCATTER_TIMES: f64 = 3.0;

/// Unbalance in healthy running at a few operating points.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Unbalance(Vec<Place>);

/// Unbalance at one operating point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
struct Place {
    blocks: u32,
    /// Mean of the residual in units of the reference current.
    middle: Complex<f64>,
    /// Mean square of the distance from it.
    scatter: f64,
    point: Point,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    supply_hz: f64,
    current: f64,
    by_voltage: bool,
}

/// Blocks, real, imaginary part, scatter, supply frequency, current, whether by voltage.
type Stored = (u32, f32, f32, f32, f32, f32, bool);

impl From<Stored> for Place {
    fn from((blocks, re, im, scatter, supply_hz, current, by_voltage): Stored) -> Self {
        let point = Point { supply_hz: supply_hz.into(), current: current.into(), by_voltage };
        Self { blocks, middle: Complex::new(re.into(), im.into()), scatter: scatter.into(), point }
    }
}

impl From<Place> for Stored {
    fn from(place: Place) -> Self {
        let Place { blocks, middle, scatter, point } = place;
        let narrow = |x: f64| x as f32;
        let rounded = |x: f64| (x as f32 * 1e6).round() / 1e6;
        (
            blocks,
            rounded(middle.re),
            rounded(middle.im),
            narrow(scatter),
            narrow(point.supply_hz),
            narrow(point.current),
            point.by_voltage,
        )
    }
}

impl Point {
    fn comparable(&self, other: &Self) -> bool {
        let near = |a: f64, b: f64| (a / b).ln().abs() <= CHANGE_MAX;
        self.by_voltage == other.by_voltage
            && near(self.supply_hz, other.supply_hz)
            && (self.by_voltage || near(self.current, other.current))
    }
}

impl Unbalance {
    pub(super) fn usable(&self) -> bool {
        self.0.len() <= PLACES_MAX
            && self.0.iter().all(|p| {
                p.middle.is_finite()
                    && p.scatter >= 0.0
                    && [p.scatter, p.point.supply_hz, p.point.current].iter().all(|x| x.is_finite())
            })
    }
}

/// Learns the unbalance and raises the score of a verdict whose unbalance has grown out of it.
pub(super) fn follow(
    known: Option<Unbalance>,
    growth_scale: Scale,
    verdict: &mut Verdict,
) -> Option<Unbalance> {
    let figure = |name: &str| verdict.features.get(name).copied().filter(|v| v.is_finite());
    let (Some(size), Some(angle_deg), Some(supply_hz), Some(current)) = (
        figure("winding_residual"),
        figure("winding_residual_angle_deg"),
        figure("fundamental_frequency_hz"),
        figure("positive_sequence_current").filter(|a| *a > 0.0),
    ) else {
        return known;
    };
    let by_voltage = figure("winding_residual_by_voltage").is_some_and(|v| v > 0.0);
    let residual = Complex::from_polar(size, angle_deg.to_radians());
    let point = Point { supply_hz, current, by_voltage };
    let mut places = known.unwrap_or_default().0;
    let Some(place) = places.iter_mut().find(|p| p.point.comparable(&point)) else {
        if verdict.status == Status::Normal {
            if places.len() == PLACES_MAX {
                let least = (0..PLACES_MAX).min_by_key(|&i| places[i].blocks).unwrap_or(0);
                places.remove(least);
            }
            places.push(Place { blocks: 1, middle: residual, scatter: 0.0, point });
        }
        return Some(Unbalance(places));
    };
    let off = residual - place.middle;
    let learnt = place.blocks >= BLOCKS_MIN;
    if learnt {
        let growth = (off.norm() - SCATTER_TIMES * place.scatter.sqrt()).max(0.0);
        verdict.features.insert("negative_sequence_growth".to_owned(), growth);
        let score = growth_scale.score(growth);
        if score >= WARNING_SCORE {
            name_phase(verdict, off);
        }
        if score > verdict.score {
            verdict.score = score;
            if score >= WARNING_SCORE {
                say(verdict, place, size);
            }
        }
    }
    if status_of(verdict.score) == Status::Normal {
        place.blocks = place.blocks.saturating_add(1);
        let share = (1.0 / f64::from(place.blocks)).max(DRIFT);
        place.middle += off * share;
        place.scatter += share * (off.norm_sqr() - place.scatter);
    }
    Some(Unbalance(places))
}

/// What was added points to the phase better than the sum does.
fn name_phase(verdict: &mut Verdict, off: Complex<f64>) {
    if let Some(phase_a_deg) = verdict.features.get("phase_a_angle_deg") {
        let reversed = verdict.features.get("phases_reversed").is_some_and(|v| *v > 0.0);
        let phase = faulted_phase(off, phase_a_deg.to_radians(), reversed);
        verdict.features.insert("faulted_phase".to_owned(), phase as f64);
    }
}

fn say(verdict: &mut Verdict, place: &Place, size: f64) {
    let expected = Some(place.middle.norm());
    let name = "negative-sequence current against this vehicle's own in healthy running";
    verdict.evidence.push(line(name, "", expected, Some(size), None));
    let reason = verdict.reason.get_or_insert_default();
    let separator = if reason.is_empty() { "" } else { "; " };
    reason.push_str(separator);
    reason.push_str("judged by the growth out of the vehicle's own unbalance, at unchanged speed and load");
    let phase = verdict.features.get("faulted_phase").map_or("A", |phase| PHASE_NAMES[*phase as usize % 3]);
    verdict.advice = Some(format!(
        "The unbalance of the currents has changed at unchanged speed and load: check the supply voltages, then compare \
         the phase resistances and do a surge test, phase {phase} first."
    ));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vtox_protocol::FaultType;

    use super::*;
    use crate::findings::Findings;

    const SCALE: Scale = Scale::new(0.01, 0.03, 0.05);

    fn verdict(residual: Complex<f64>, supply_hz: f64, current: f64) -> Verdict {
        let mut findings = Findings::default();
        for (name, value) in [
            ("winding_residual", residual.norm()),
            ("winding_residual_angle_deg", residual.arg().to_degrees()),
            ("winding_residual_by_voltage", 0.0),
            ("fundamental_frequency_hz", supply_hz),
            ("positive_sequence_current", current),
            ("phase_a_angle_deg", 45.0),
        ] {
            findings.feature(name, value);
        }
        findings.verdict(FaultType::TurnFault)
    }

    fn wobble(i: u32) -> Complex<f64> {
        Complex::from_polar(0.001, f64::from(i) * 2.4)
    }

    /// The state after healthy blocks with an unbalance of 4 %.
    fn learnt() -> (Complex<f64>, Option<Unbalance>) {
        let own = Complex::new(-0.03, 0.025);
        let state =
            (0..20).fold(None, |state, i| follow(state, SCALE, &mut verdict(own + wobble(i), 50.0, 10.0)));
        (own, state)
    }

    #[test]
    fn growth_out_of_a_known_unbalance_is_an_alarm_that_names_the_phase() {
        let (own, state) = learnt();
        for phase in 0..3 {
            let grown = Complex::from_polar(0.05, (45.0 + 120.0 * f64::from(phase)).to_radians());
            let mut v = verdict(own + grown, 50.5, 10.3);
            follow(state.clone(), SCALE, &mut v);
            assert!(v.score > 0.5, "{v:?}");
            assert_eq!(v.features["faulted_phase"], f64::from(phase));
            assert!(v.advice.unwrap().contains("phase"));
        }
        let mut same = verdict(own + wobble(77), 50.0, 10.0);
        follow(state, SCALE, &mut same);
        assert_eq!(same.score, 0.0);
    }

    #[test]
    fn other_operating_points_are_not_compared() {
        let (own, state) = learnt();
        for (hz, current) in [(50.0, 20.0), (70.0, 10.0)] {
            let mut v = verdict(-own, hz, current);
            follow(state.clone(), SCALE, &mut v);
            assert_eq!(v.score, 0.0, "{v:?}");
        }
    }

    #[test]
    fn what_is_kept_is_small_whatever_comes() {
        let state = (0..200).fold(None, |state, i| {
            let hz = 20.0 + f64::from(i * 37 % 100);
            follow(state, SCALE, &mut verdict(wobble(i), hz, 5.0 + f64::from(i * 13 % 40)))
        });
        let text = serde_json::to_string(&state).unwrap();
        assert!(text.len() < 320, "{} {text}", text.len());
        let back: Option<Unbalance> = serde_json::from_str(&text).unwrap();
        assert!(back.unwrap().usable());
    }

    proptest! {
        #[test]
        fn noise_alone_never_alarms(seed in any::<u32>(), noise in 0.0..0.01f64) {
            let mut state = None;
            let mut random = u64::from(seed) * 2 + 1;
            let mut uniform = || {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                (random >> 11) as f64 / (1u64 << 53) as f64 - 0.5
            };
            for _ in 0..100 {
                let at = Complex::new(0.02 + noise * uniform(), 0.01 + noise * uniform());
                let mut v = verdict(at, 50.0, 10.0);
                state = follow(state, SCALE, &mut v);
                prop_assert!(v.score < WARNING_SCORE, "{v:?}");
            }
        }
    }
}
