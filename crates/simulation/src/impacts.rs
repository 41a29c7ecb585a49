//! Impacts of a damaged bearing.
//!
//! Each pass of a rolling element over the damage excites the resonances of the housing. The passes
//! are periodic but for a slip of about 1 %, random from one to the next (Randall and Antoni, MSSP 25
//! (2011) 485-520, section 2). Impact k and its jitter are functions of k alone, so that blocks join.

use std::f64::consts::TAU;

use crate::synthesis::scatter;
use crate::{BearingDefect, Motor, Sampling};

/// Resonances of the housing: frequency, Hz, and share of the impact's amplitude.
const RESONANCES: [(f64, f64); 2] = [(1_400.0, 0.8), (3_000.0, 1.0)];
/// Damping ratio of a resonance.
const DAMPING: f64 = 0.03;
/// Time constants after which a resonance has died away.
const RING_TIME_CONSTANTS: f64 = 6.0;
/// Largest deviation of a bearing's impact from the even grid, in periods.
const JITTER: f64 = 0.01;
/// Relative scatter of their amplitudes.
const AMPLITUDE_SCATTER: f64 = 0.15;

/// The impacts of one machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Impacts {
    /// Passes per second.
    rate_hz: f64,
    /// Frequency at which the damage goes through the load zone, Hz; 0 when it stays in it.
    zone_hz: f64,
    /// Peak of an impact at full load, g.
    peak_g: f64,
    /// Largest deviation of an impact from the even grid, in periods.
    jitter: f64,
    /// Scatter of the amplitudes to either side, 0-1.
    amplitude_scatter: f64,
    individual: u64,
}

impl Impacts {
    pub(crate) fn new(motor: &Motor, shaft_hz: f64, defect: BearingDefect, peak_g: f64) -> Self {
        let bearing = &motor.bearing;
        let (per_rev, zone_hz) = match defect {
            BearingDefect::OuterRace => (bearing.bpfo_per_rev(), 0.0),
            BearingDefect::InnerRace => (bearing.bpfi_per_rev(), shaft_hz),
            BearingDefect::Ball => (2.0 * bearing.bsf_per_rev(), bearing.ftf_per_rev() * shaft_hz),
        };
        // Rolling elements slip a little behind the kinematic rate.
        let slip = 1.0 - 0.005 * scatter(motor.individual, 900);
        Self {
            rate_hz: per_rev * shaft_hz * slip,
            zone_hz,
            peak_g,
            jitter: JITTER,
            amplitude_scatter: AMPLITUDE_SCATTER,
            individual: motor.individual,
        }
    }

    /// Knocks anywhere: each falls evenly into a period of its own, which leaves no line at their rate.
    pub(crate) fn knocks(motor: &Motor, rate_hz: f64, peak_g: f64) -> Self {
        let individual = motor.individual.wrapping_add(1);
        Self { rate_hz, zone_hz: 0.0, peak_g, jitter: 0.5, amplitude_scatter: 0.7, individual }
    }

    pub(crate) fn rate_hz(&self) -> f64 {
        self.rate_hz
    }

    /// Adds the impacts to an acceleration from `start_s` on.
    pub(crate) fn add(&self, out: &mut [f32], sampling: &Sampling, start_s: f64) {
        if self.rate_hz <= 0.0 || self.peak_g <= 0.0 {
            return;
        }
        for (resonance_hz, share) in RESONANCES {
            if resonance_hz < sampling.bandwidth_hz() {
                self.add_resonance(out, sampling.rate_hz, start_s, resonance_hz, share);
            }
        }
    }

    fn add_resonance(&self, out: &mut [f32], rate_hz: f64, start_s: f64, resonance_hz: f64, share: f64) {
        let decay_per_s = TAU * resonance_hz * DAMPING;
        let ring_s = RING_TIME_CONSTANTS / decay_per_s;
        let end_s = start_s + out.len() as f64 / rate_hz;
        let first = ((start_s - ring_s) * self.rate_hz).floor() as i64 - 1;
        let last = (end_s * self.rate_hz).ceil() as i64 + 1;
        let (step_im, step_re) = (TAU * resonance_hz / rate_hz).sin_cos();
        let decay = (-decay_per_s / rate_hz).exp();
        for k in first..=last {
            let jitter = self.jitter * (2.0 * self.scatter(k, 0) - 1.0);
            let impact_s = (k as f64 + jitter) / self.rate_hz;
            let begin = ((impact_s - start_s) * rate_hz).ceil().max(0.0);
            let since_s = start_s - impact_s + begin / rate_hz;
            if since_s >= ring_s || begin >= out.len() as f64 {
                continue;
            }
            let amplitude = share * self.amplitude(k, impact_s) * (-decay_per_s * since_s).exp();
            let (sin, cos) = (TAU * resonance_hz * since_s).sin_cos();
            let (mut re, mut im) = (amplitude * cos, amplitude * sin);
            let left = ((ring_s - since_s) * rate_hz) as usize;
            for sample in out.iter_mut().skip(begin as usize).take(left) {
                *sample += im as f32;
                (re, im) = (decay * (re * step_re - im * step_im), decay * (re * step_im + im * step_re));
            }
        }
    }

    /// The `n`-th random number of impact k; k may be before the beginning of time.
    fn scatter(&self, k: i64, n: u64) -> f64 {
        scatter(self.individual, k.cast_unsigned().wrapping_mul(2).wrapping_add(n))
    }

    fn amplitude(&self, k: i64, impact_s: f64) -> f64 {
        let scattered = 1.0 + self.amplitude_scatter * (2.0 * self.scatter(k, 1) - 1.0);
        let zone = if self.zone_hz > 0.0 {
            // Load falls off to both sides of the load zone's middle.
            0.15 + 0.85 * (TAU * (self.zone_hz * impact_s).fract()).cos().max(0.0)
        } else {
            1.0
        };
        self.peak_g * scattered * zone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impacts_come_at_the_rate_of_the_outer_race() {
        let motor = Motor::induction_4kw();
        let impacts = Impacts::new(&motor, 25.0, BearingDefect::OuterRace, 1.0);
        let sampling = Sampling::new(48_000.0, 96_000);
        let mut out = vec![0.0; sampling.samples];
        impacts.add(&mut out, &sampling, 0.0);
        // An impact is where it becomes loud after a silence.
        let mut at = Vec::new();
        for (n, x) in out.iter().enumerate() {
            if x.abs() > 0.3 && at.last().is_none_or(|last| n - last > 240) {
                at.push(n);
            }
        }
        let period_s = (at[at.len() - 1] - at[0]) as f64 / (at.len() - 1) as f64 / 48_000.0;
        let expected_s = 1.0 / (25.0 * 3.5848);
        assert!((period_s / expected_s - 1.0).abs() < 0.01, "{period_s} against {expected_s}");
    }

    #[test]
    fn blocks_join() {
        let impacts = Impacts::new(&Motor::induction_4kw(), 24.0, BearingDefect::InnerRace, 1.0);
        let whole = Sampling::new(8_000.0, 1_600);
        let mut at_once = vec![0.0f32; 1_600];
        impacts.add(&mut at_once, &whole, 10.0);
        let mut halves = vec![0.0f32; 1_600];
        let half = Sampling::new(8_000.0, 800);
        impacts.add(&mut halves[..800], &half, 10.0);
        impacts.add(&mut halves[800..], &half, 10.1);
        for (a, b) in at_once.iter().zip(&halves) {
            assert!((a - b).abs() < 5e-3, "{a} {b}");
        }
    }
}
