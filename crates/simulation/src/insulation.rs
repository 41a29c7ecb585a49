//! Insulation resistance and leakage current.

use vtox_protocol::FaultType;

use crate::{Condition, Motor, OperatingPoint};

/// Decades by which the resistance of a worn-out winding (severity 1) lies below that of a sound one.
const DECADES: f64 = 5.0;

/// Insulation resistance at a winding temperature from its value at 40 degC, Mohm: it halves with
/// every 10 K (IEEE Std 43, correction of thermoplastic windings to 40 degC).
pub fn resistance_at_mohm(at_40c_mohm: f64, temperature_c: f64) -> f64 {
    at_40c_mohm * 0.5f64.powf((temperature_c - 40.0) / 10.0)
}

/// How much faster insulation ages at a temperature than at the limit of its class: doubled by every
/// 10 K (Montsinger, "Loading transformers by temperature", AIEE Trans. 49 (1930); the 10 K are the
/// usual figure for rotating machines).
pub fn ageing_rate(temperature_c: f64, insulation_class_c: f64) -> f64 {
    2f64.powf((temperature_c - insulation_class_c) / 10.0)
}

/// What an insulation monitor reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reading {
    pub resistance_mohm: f64,
    pub leakage_a: f64,
}

/// Resistance and leakage current to ground at an operating point. The leakage is what flows at the
/// phase voltage through the resistance, and at right angles to it through the capacitance of the
/// winding. The severity is a logarithmic measure of the resistance: 0.3 is about 2.7 decades below
/// sound (a few Mohm, under the 5 Mohm IEEE 43 asks of random-wound machines below 1 kV), 1 is five
/// decades (tens of kohm, under the 100 ohm/V of ISO 6469-3). No law says how resistance falls over
/// life; this one is ours.
pub(crate) fn reading(motor: &Motor, point: &OperatingPoint, condition: &Condition) -> Reading {
    let decades = DECADES * condition.severity_of(FaultType::Insulation).sqrt();
    let at_40c_mohm = motor.insulation_resistance_40c_mohm / 10f64.powf(decades);
    let resistance_mohm = resistance_at_mohm(at_40c_mohm, point.temperature_c);

    let volts = motor.phase_voltage_v(point.supply_frequency_hz);
    let resistive_a = volts / (resistance_mohm * 1e6);
    let capacitive_a =
        std::f64::consts::TAU * point.supply_frequency_hz * motor.winding_capacitance_f * volts;
    Reading { resistance_mohm, leakage_a: resistive_a.hypot(capacitive_a) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resistance_halves_every_ten_kelvin() {
        assert!((resistance_at_mohm(1000.0, 40.0) - 1000.0).abs() < 1e-9);
        assert!((resistance_at_mohm(1000.0, 60.0) - 250.0).abs() < 1e-9);
        assert!((ageing_rate(165.0, 155.0) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn leakage_has_its_two_parts() {
        let (motor, point) = (Motor::induction_4kw(), OperatingPoint::default());
        let sound = reading(&motor, &point, &Condition::HEALTHY);
        let capacitive_a = 400.0 / 3f64.sqrt() * std::f64::consts::TAU * 50.0 * 3e-9;
        assert!((sound.leakage_a - capacitive_a).abs() < 1e-3 * capacitive_a);
        let worn = reading(&motor, &point, &Condition::faulty(FaultType::Insulation, 1.0));
        let resistive_a = 400.0 / 3f64.sqrt() / (worn.resistance_mohm * 1e6);
        assert!((worn.leakage_a - resistive_a.hypot(capacitive_a)).abs() < 1e-9);
        assert!(worn.resistance_mohm < 0.04 && sound.resistance_mohm > 100.0);
    }
}
