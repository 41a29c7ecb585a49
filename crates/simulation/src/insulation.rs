//! Insulation resistance, leakage current and thermal ageing.
//!
//! There are no public measurements of insulation that fails. What is simulated is the published part of its physics:
//! the temperature rules of IEEE Std 43-2013 for the resistance, resistive and capacitive current at the phase voltage for
//! the leakage, and Montsinger's or Arrhenius' rule for the rate of ageing. How resistance falls over life is no
//! published law; that it falls exponentially in the life consumed is our assumption.

use std::f64::consts::TAU;

use vtox_protocol::FaultType;

use crate::synthesis::Line;
use crate::{Condition, Motor, OperatingPoint};

/// Decades by which the resistance of a worn-out winding (severity 1) lies below that of a sound one.
pub(crate) const DECADES: f64 = 5.0;
/// Boltzmann constant, eV/K.
const BOLTZMANN_EV_PER_K: f64 = 8.617_333e-5;
const ZERO_CELSIUS_K: f64 = 273.15;

/// Kinds of insulation by how their resistance depends on temperature (IEEE Std 43-2013, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsulationSystem {
    /// Older systems, up to class B.
    Thermoplastic,
    /// Resin systems, class F and above.
    Thermosetting,
}

impl InsulationSystem {
    /// Resistance at a winding temperature from its value at 40 degC, Mohm. It halves with every 10 K (thermoplastic), or
    /// follows exp(B (1 / T - 1 / 313)) with B = 4230 K above 40 degC and 1245 K below (thermosetting, T in kelvin).
    pub fn resistance_mohm(self, at_40c_mohm: f64, temperature_c: f64) -> f64 {
        at_40c_mohm
            * match self {
                Self::Thermoplastic => 0.5f64.powf((temperature_c - 40.0) / 10.0),
                Self::Thermosetting => {
                    let b = if temperature_c > 40.0 { 4230.0 } else { 1245.0 };
                    (b * (1.0 / (temperature_c + 273.0) - 1.0 / 313.0)).exp()
                }
            }
    }
}

/// How much faster insulation ages at a temperature than at the limit of its class: doubled by every
/// 10 K (Montsinger, "Loading transformers by temperature", AIEE Trans. 49 (1930); the 10 K are the
/// usual figure for rotating machines).
pub fn ageing_rate(temperature_c: f64, insulation_class_c: f64) -> f64 {
    2f64.powf((temperature_c - insulation_class_c) / 10.0)
}

/// The same by the law of Arrhenius (Dakin, "Electrical insulation deterioration treated as a chemical rate phenomenon",
/// AIEE Trans. 67 (1948)), from the activation energy of the ageing reaction, eV; about 1.1 for class F.
pub fn arrhenius_rate(temperature_c: f64, insulation_class_c: f64, activation_ev: f64) -> f64 {
    let per_kelvin = |celsius: f64| 1.0 / (celsius + ZERO_CELSIUS_K);
    (activation_ev / BOLTZMANN_EV_PER_K * (per_kelvin(insulation_class_c) - per_kelvin(temperature_c))).exp()
}

/// What an insulation monitor reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reading {
    pub resistance_mohm: f64,
    /// RMS of the leakage current, in phase with the phase voltage.
    pub resistive_a: f64,
    /// RMS of the leakage current, a quarter of a period ahead.
    pub capacitive_a: f64,
}

impl Reading {
    pub(crate) fn leakage_a(&self) -> f64 {
        self.resistive_a.hypot(self.capacitive_a)
    }

    /// The leakage current's line, from the angle of the voltage of phase A.
    pub(crate) fn waveform(&self, supply_frequency_hz: f64, voltage_angle: f64) -> Line<1> {
        let (sin, cos) = voltage_angle.sin_cos();
        let (re, im) = (
            self.resistive_a * cos - self.capacitive_a * sin,
            self.resistive_a * sin + self.capacitive_a * cos,
        );
        Line { frequency_hz: supply_frequency_hz, phasors: [(re * 2f64.sqrt(), im * 2f64.sqrt())] }
    }
}

/// Resistance and leakage current to ground at an operating point. The leakage is what flows at the
/// phase voltage through the resistance, and at right angles to it through the capacitance of the
/// winding. The severity is a logarithmic measure of the resistance: 0.3 is about 2.7 decades below
/// sound (a few Mohm, under the 5 Mohm IEEE 43 asks of random-wound machines below 1 kV), 1 is five
/// decades (tens of kohm, under the 100 ohm/V of ISO 6469-3).
pub(crate) fn reading(motor: &Motor, point: &OperatingPoint, condition: &Condition) -> Reading {
    let decades = DECADES * condition.severity_of(FaultType::Insulation).sqrt();
    let at_40c_mohm = motor.insulation_resistance_40c_mohm / 10f64.powf(decades);
    let resistance_mohm = motor.insulation_system().resistance_mohm(at_40c_mohm, point.temperature_c);

    let volts = motor.phase_voltage_v(point.supply_frequency_hz);
    Reading {
        resistance_mohm,
        resistive_a: volts / (resistance_mohm * 1e6),
        capacitive_a: TAU * point.supply_frequency_hz * motor.winding_capacitance_f * volts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resistance_follows_the_two_rules() {
        let plastic = |t| InsulationSystem::Thermoplastic.resistance_mohm(1000.0, t);
        let setting = |t| InsulationSystem::Thermosetting.resistance_mohm(1000.0, t);
        assert!((plastic(60.0) - 250.0).abs() < 1e-9);
        assert!((plastic(40.0) - 1000.0).abs() < 1e-9 && (setting(40.0) - 1000.0).abs() < 1e-9);
        // Table of the standard's formula: 80 degC asks for a factor of 4.6.
        assert!((1000.0 / setting(80.0) - 4.62).abs() < 0.02, "{}", setting(80.0));
        assert!((1000.0 / setting(10.0) - 0.656).abs() < 0.002, "{}", setting(10.0));
    }

    #[test]
    fn ageing_doubles_in_ten_kelvin_by_either_rule() {
        assert!((ageing_rate(165.0, 155.0) - 2.0).abs() < 1e-12);
        assert!((arrhenius_rate(165.0, 155.0, 1.12) / ageing_rate(165.0, 155.0) - 1.0).abs() < 0.05);
        assert!((arrhenius_rate(155.0, 155.0, 1.12) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn leakage_has_its_two_parts() {
        let (motor, point) = (Motor::induction_4kw(), OperatingPoint::default());
        let sound = reading(&motor, &point, &Condition::HEALTHY);
        let capacitive_a = 400.0 / 3f64.sqrt() * TAU * 50.0 * 3e-9;
        assert!((sound.leakage_a() - capacitive_a).abs() < 1e-3 * capacitive_a);
        let worn = reading(&motor, &point, &Condition::faulty(FaultType::Insulation, 1.0));
        let resistive_a = 400.0 / 3f64.sqrt() / (worn.resistance_mohm * 1e6);
        assert!((worn.leakage_a() - resistive_a.hypot(capacitive_a)).abs() < 1e-9);
        assert!(worn.resistance_mohm < 0.04 && sound.resistance_mohm > 100.0);
    }
}
