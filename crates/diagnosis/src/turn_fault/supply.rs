//! What the supply explains of the negative-sequence current.
//!
//! A sound winding answers to a negative-sequence voltage with I2 = Y2 V2. Y2 is not known exactly, but its bounds are: the
//! rotor turns against the negative field at a slip near 2, so Z2 is about the impedance of the locked rotor (Williamson and
//! Mirzoian 1985). What the voltages explain is therefore a sector of a ring in the complex plane, and what I2 lies outside
//! of it is not the supply's. The same holds under current control, which turns I2 into V2.

use std::f64::consts::{FRAC_PI_6, TAU};

use realfft::num_complex::Complex;
use vtox_protocol::{MotorType, Quantity};

use super::currents::Measured;
use crate::fundamental::phasor;
use crate::prepared::Prepared;
use crate::symmetrical::Sequence;

/// Current at full voltage and locked rotor over the rated one: 3 to 8 for cage motors (IEC 60034-12 allows 6 to 9 as
/// upper limits); 1 / X2 with X2 from 0.2 to 0.7 for permanent-magnet machines.
const LOCKED_ROTOR_INDUCTION: (f64, f64) = (3.0, 8.0);
const LOCKED_ROTOR_PERMANENT_MAGNET: (f64, f64) = (1.4, 5.0);
/// Where rated values are not known the present current stands for the rated one; it may be a third of it.
const PRESENT_OVER_RATED_MIN: f64 = 0.35;
/// Angle of Z2 at rated frequency, degrees: locked rotors have a power factor of 0.2 to 0.6.
const ANGLE_DEG: (f64, f64) = (50.0, 80.0);
/// Error of V2 over V1 that two sensors of class 0.5 matched to each other leave.
const SENSOR_ERROR: f64 = 0.003;
/// The noise in V2 is taken this many times its RMS: exceeded once in 8,000 blocks.
const NOISE_TIMES: f64 = 3.0;
/// Voltages with more zero or negative sequence than this are wrongly wired or scaled.
const DISTORTED_RATIO_MAX: f64 = 0.3;
/// Line-to-line voltages add up to zero at every instant; phase voltages of an inverter do not. RMS of the sum over that of
/// the voltages.
const COMMON_MODE_MIN: f64 = 0.02;
/// Voltage over the rated one, at constant flux, that still counts as the same.
const VOLTS_PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.78..=1.28;

/// What the voltages say.
pub(super) struct Explained {
    /// |V2| / |V1|.
    pub(super) unbalance: f64,
    /// Part of I2 that the measured voltages do not explain, in units of the reference current.
    pub(super) unexplained: f64,
    /// The same beyond what noise and sensors leave open.
    pub(super) excess: f64,
    /// I2 less the likeliest answer to V2, in units of the reference current, against the angle of V1.
    pub(super) residual: Complex<f64>,
    /// Whether the voltages are taken for line-to-line voltages.
    pub(super) line_to_line: bool,
}

/// What the currents are measured against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference {
    /// Current that the ratios are related to, peak.
    pub(super) current: f64,
    /// Rated current, peak, where it is known.
    pub(super) rated_current: Option<f64>,
    /// Present over rated frequency, where it is known.
    pub(super) speed: Option<f64>,
}

/// None where voltages are not measured or useless, with the reason if they are there.
pub(super) fn explain(
    prepared: &Prepared<'_>,
    currents: &Measured,
    reference: Reference,
    f0_hz: f64,
) -> Result<Option<Explained>, &'static str> {
    let Some(voltages) = Voltages::measure(prepared, currents, f0_hz)? else { return Ok(None) };
    let judge = |line_to_line: bool| {
        let volts =
            if line_to_line { voltages.as_phase_voltages(currents.reversed) } else { voltages.sequence };
        let answer = Answer::new(prepared, volts.positive.norm(), reference);
        // V2 and I2 against the angle of V1; V1 is 1.
        let turned = volts.positive.conj() / volts.positive.norm();
        let v2 = volts.negative * turned / volts.positive.norm();
        let i2 = currents.sequence.negative * turned / reference.current;
        // Sensors that are read one after the other, or of unlike gain, put as much into V2 and I2 as into V0 and I0.
        let v2_noise = SENSOR_ERROR.hypot(NOISE_TIMES * voltages.noise_variance.sqrt());
        let i2_noise = NOISE_TIMES * currents.noise_variance.sqrt();
        let i2_error = i2_noise.hypot(currents.sequence.zero_ratio()) * currents.sequence.positive.norm();
        let open = (i2_error / reference.current)
            .hypot(answer.likely().norm() * v2_noise)
            .hypot(answer.magnitude.1 * voltages.sequence.zero_ratio());
        let unexplained = answer.distance(i2, v2);
        Explained {
            unbalance: v2.norm(),
            unexplained,
            excess: (unexplained - open).max(0.0),
            residual: i2 - answer.likely() * v2,
            line_to_line,
        }
    };
    let explained = match voltages.line_to_line(prepared, reference) {
        Some(known) => judge(known),
        // Either way of connecting the sensors: what one of them explains is no fault.
        None => {
            let (phase, line) = (judge(false), judge(true));
            if line.excess < phase.excess { line } else { phase }
        }
    };
    Ok(Some(explained))
}

struct Voltages {
    sequence: Sequence,
    /// RMS of the sum of the three over their own.
    common_mode: f64,
    /// E(|error of V2|^2) / |V1|^2.
    noise_variance: f64,
}

impl Voltages {
    fn measure(
        prepared: &Prepared<'_>,
        currents: &Measured,
        f0_hz: f64,
    ) -> Result<Option<Self>, &'static str> {
        if Quantity::VOLTAGES.iter().all(|q| prepared.block.channel(*q).is_none()) {
            return Ok(None);
        }
        let mut signals = Vec::with_capacity(3);
        for quantity in Quantity::VOLTAGES {
            let signal = prepared.signal(quantity).map_err(|_| "not all three voltages are usable")?;
            if signal.rate_hz != currents.rate_hz || signal.samples.len() != currents.samples {
                return Err("the voltages are not sampled along with the currents");
            }
            signals.push(signal);
        }
        let [a, b, c] = &signals[..] else { return Err("not all three voltages are usable") };
        let phasors = [a, b, c].map(|s| phasor(s, f0_hz) * s.rms);
        let measured = Sequence::of(phasors);
        let forward = measured.positive.norm() > measured.negative.norm();
        if forward == currents.reversed {
            return Err("currents and voltages rotate in opposite directions: two sensors are exchanged");
        }
        let sequence = if forward { measured } else { measured.reversed() };
        if sequence.negative_ratio().max(sequence.zero_ratio()) > DISTORTED_RATIO_MAX {
            return Err(
                "the voltages are no three-phase system: a sensor is turned round, dead or wrongly scaled",
            );
        }
        let power: f64 = signals.iter().map(|s| s.rms.powi(2)).sum();
        let samples = a.samples.iter().zip(&b.samples).zip(&c.samples);
        let sums = samples.map(|((x, y), z)| (a.rms * x + b.rms * y + c.rms * z).powi(2));
        let sum_power = sums.sum::<f64>() / currents.samples as f64;
        // Power beside fundamental and common mode: harmonics and noise.
        let (positive, negative) = (sequence.positive.norm_sqr(), sequence.negative.norm_sqr());
        let rest = (power - sum_power / 3.0 - 1.5 * (positive + negative)).max(0.0);
        Ok(Some(Self {
            sequence,
            common_mode: (sum_power / power).sqrt(),
            // The rest is two thirds of the noise of three channels.
            noise_variance: rest / positive / currents.samples as f64,
        }))
    }

    fn line_to_line(&self, prepared: &Prepared<'_>, reference: Reference) -> Option<bool> {
        if self.common_mode > COMMON_MODE_MIN {
            return Some(false);
        }
        let rated_v = prepared.profile.rated_voltage_v.filter(|v| v.is_finite() && *v > 0.0)?;
        let expected_v = rated_v * (2.0f64 / 3.0).sqrt() * reference.speed?.min(1.0);
        let volts = self.sequence.positive.norm() / expected_v;
        if VOLTS_PLAUSIBLE.contains(&volts) {
            Some(false)
        } else {
            VOLTS_PLAUSIBLE.contains(&(volts / 3f64.sqrt())).then_some(true)
        }
    }

    /// Uab, Ubc, Uca as Ua, Ub, Uc: line voltages are ahead by 30 degrees in the forward system and behind in the backward one.
    fn as_phase_voltages(&self, reversed: bool) -> Sequence {
        let back = if reversed { FRAC_PI_6 } else { -FRAC_PI_6 };
        let turn = |angle: f64| Complex::from_polar(1.0 / 3f64.sqrt(), angle);
        Sequence {
            positive: self.sequence.positive * turn(back),
            negative: self.sequence.negative * turn(-back),
            zero: self.sequence.zero,
        }
    }
}

/// Y2 in units of the reference current per V1.
struct Answer {
    magnitude: (f64, f64),
    /// Middle and half width of the angle of Y2, radians.
    angle: f64,
    half_width: f64,
}

impl Answer {
    fn new(prepared: &Prepared<'_>, positive_v: f64, reference: Reference) -> Self {
        let (low, high) = match prepared.profile.motor_type {
            MotorType::PermanentMagnet => LOCKED_ROTOR_PERMANENT_MAGNET,
            MotorType::Induction => LOCKED_ROTOR_INDUCTION,
            MotorType::Unknown => (LOCKED_ROTOR_PERMANENT_MAGNET.0, LOCKED_ROTOR_INDUCTION.1),
        };
        let speed = reference.speed.unwrap_or(1.0);
        let (first, last) = (impedance(ANGLE_DEG.0, speed), impedance(ANGLE_DEG.1, speed));
        // Rated current per present V1, in units of the reference current.
        let (unit, high) = match (reference.rated_current, reference.speed) {
            (Some(rated), Some(speed)) => {
                let rated_v = prepared.profile.rated_voltage_v.filter(|v| v.is_finite() && *v > 0.0);
                // At constant flux, where the rated voltage does not tell.
                let volts = rated_v.map_or(speed.min(1.0), |v| positive_v / (v * (2.0f64 / 3.0).sqrt()));
                let plausible = volts / speed.min(1.0);
                let volts = if (0.5..=2.0).contains(&plausible) { volts } else { speed.min(1.0) };
                (volts * rated / reference.current, high)
            }
            _ => (1.0, high / PRESENT_OVER_RATED_MIN),
        };
        Self {
            magnitude: (
                low * unit / first.norm().max(last.norm()),
                high * unit / first.norm().min(last.norm()),
            ),
            angle: -0.5 * (first.arg() + last.arg()),
            half_width: 0.5 * (last.arg() - first.arg()),
        }
    }

    /// Middle of the ring's sector, by geometric mean.
    fn likely(&self) -> Complex<f64> {
        Complex::from_polar((self.magnitude.0 * self.magnitude.1).sqrt(), self.angle)
    }

    /// How far I2 is from all that a sound winding may answer to V2.
    fn distance(&self, i2: Complex<f64>, v2: Complex<f64>) -> f64 {
        let (near, far) = (self.magnitude.0 * v2.norm(), self.magnitude.1 * v2.norm());
        let direction = Complex::from_polar(1.0, v2.arg() + self.angle);
        let seen = i2 * direction.conj();
        let off = seen.arg().abs();
        if off <= self.half_width {
            return (near - seen.norm()).max(seen.norm() - far).max(0.0);
        }
        // Nearest point of the straight edge.
        let edge = Complex::from_polar(1.0, self.half_width);
        let seen = Complex::new(seen.re, seen.im.abs());
        let along = (seen * edge.conj()).re.clamp(near, far);
        (seen - edge * along).norm()
    }
}

/// Impedance of the given angle at rated frequency, in units of it there; the reactance follows the frequency.
fn impedance(angle_deg: f64, speed: f64) -> Complex<f64> {
    let angle = angle_deg / 360.0 * TAU;
    Complex::new(angle.cos(), angle.sin() * speed)
}

/// Negative-sequence current that a supply within IEC 60034-1 drives at a share of the rated frequency, over that at rated
/// frequency. Voltage and reactance fall with the frequency, the resistance and an inverter's own unbalance (a tenth of the
/// allowance: its dead times) do not.
pub(super) fn allowance(speed: f64) -> f64 {
    let middle_deg = 0.5 * (ANGLE_DEG.0 + ANGLE_DEG.1);
    ((0.9 * speed.min(1.0) + 0.1) / impedance(middle_deg, speed).norm()).min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer() -> Answer {
        Answer { magnitude: (3.0, 8.0), angle: -65f64.to_radians(), half_width: 15f64.to_radians() }
    }

    proptest! {
        #[test]
        fn what_a_sound_winding_may_answer_is_explained(y in 3.0..8.0f64, angle in 50.0..80.0f64, v in 0.0..0.05f64, at in 0.0..TAU) {
            let v2 = Complex::from_polar(v, at);
            let i2 = v2 * Complex::from_polar(y, -angle.to_radians());
            prop_assert!(answer().distance(i2, v2) < 1e-12);
        }

        #[test]
        fn distance_is_that_to_the_nearest_answer(re in -0.5..0.5f64, im in -0.5..0.5f64) {
            let (i2, v2) = (Complex::new(re, im), Complex::new(0.03, 0.0));
            let nearest = (0..=100)
                .flat_map(|k| (0..=100).map(move |l| (3.0 + 0.05 * f64::from(k), 50.0 + 0.3 * f64::from(l))))
                .map(|(y, angle)| (i2 - v2 * Complex::from_polar(y, -angle.to_radians())).norm())
                .fold(f64::INFINITY, f64::min);
            let distance = answer().distance(i2, v2);
            prop_assert!((distance - nearest).abs() < 2e-3, "{distance} {nearest}");
        }
    }

    #[test]
    fn the_allowance_falls_with_the_frequency_but_never_to_nothing() {
        assert!((allowance(1.0) - 1.0).abs() < 1e-9);
        assert!(allowance(0.2) < 0.75 && allowance(0.2) > 0.5, "{}", allowance(0.2));
        assert!(allowance(2.0) < allowance(1.0));
    }
}
