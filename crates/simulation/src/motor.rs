//! Motors.

use vtox_protocol::{BearingGeometry, MotorProfile, MotorType};

use crate::InsulationSystem;

/// A motor to simulate: everything a profile can say, and what only its maker knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Motor {
    /// Induction or permanent magnet.
    pub motor_type: MotorType,
    /// Pole pairs p.
    pub pole_pairs: u8,
    /// Rotor bars R; none without a cage.
    pub rotor_bars: Option<u16>,
    /// Rated phase current, A (rms).
    pub rated_current_a: f64,
    /// Rated line-to-line voltage, V (rms).
    pub rated_voltage_v: f64,
    /// Rated supply frequency, Hz.
    pub rated_frequency_hz: f64,
    /// Rated shaft speed, r/min.
    pub rated_speed_rpm: f64,
    /// Temperature limit of the insulation class, degC.
    pub insulation_class_c: f64,
    /// Capacitance of the winding to ground, F.
    pub winding_capacitance_f: f64,
    /// Insulation resistance of the sound winding at 40 degC, Mohm.
    pub insulation_resistance_40c_mohm: f64,
    /// Current at no load over rated current: magnetising, and friction.
    pub no_load_current: f64,
    /// Positive- over negative-sequence impedance. For an induction motor about the starting
    /// current over the rated one, because the rotor's slip against the negative field is near 2.
    pub sequence_impedance_ratio: f64,
    /// The bearing under the vibration sensor.
    pub bearing: BearingGeometry,
    /// What sets this machine apart from others of its type: the phases of its lines, the scatter of
    /// its manufacture, the jitter of its bearing.
    pub individual: u64,
}

/// Deep-groove ball bearing 6205.
pub(crate) const BEARING_6205: BearingGeometry = BearingGeometry {
    elements: 9,
    element_diameter_mm: 7.94,
    pitch_diameter_mm: 39.04,
    contact_angle_deg: 0.0,
};

/// Deep-groove ball bearing 6203.
const BEARING_6203: BearingGeometry = BearingGeometry {
    elements: 8,
    element_diameter_mm: 6.75,
    pitch_diameter_mm: 28.5,
    contact_angle_deg: 0.0,
};

impl Motor {
    /// Industrial cage motor, 4 kW, four poles, 50 Hz.
    pub fn induction_4kw() -> Self {
        Self {
            motor_type: MotorType::Induction,
            pole_pairs: 2,
            rotor_bars: Some(28),
            rated_current_a: 8.5,
            rated_voltage_v: 400.0,
            rated_frequency_hz: 50.0,
            rated_speed_rpm: 1455.0,
            insulation_class_c: 155.0,
            winding_capacitance_f: 3e-9,
            insulation_resistance_40c_mohm: 2_000.0,
            no_load_current: 0.35,
            sequence_impedance_ratio: 5.0,
            bearing: BEARING_6205,
            individual: 0,
        }
    }

    /// Auxiliary cage motor (pump, compressor), 2.2 kW, two poles, 50 Hz.
    pub fn induction_2kw() -> Self {
        Self {
            pole_pairs: 1,
            rotor_bars: Some(22),
            rated_current_a: 4.6,
            rated_speed_rpm: 2895.0,
            winding_capacitance_f: 2e-9,
            bearing: BEARING_6203,
            ..Self::induction_4kw()
        }
    }

    /// Traction cage motor, 90 kW, four poles, 100 Hz.
    pub fn induction_traction() -> Self {
        Self {
            rotor_bars: Some(44),
            rated_current_a: 190.0,
            rated_voltage_v: 350.0,
            rated_frequency_hz: 100.0,
            rated_speed_rpm: 2940.0,
            insulation_class_c: 180.0,
            winding_capacitance_f: 10e-9,
            no_load_current: 0.3,
            ..Self::induction_4kw()
        }
    }

    /// Permanent-magnet traction motor, 70 kW, eight poles.
    pub fn permanent_magnet() -> Self {
        Self {
            motor_type: MotorType::PermanentMagnet,
            pole_pairs: 4,
            rotor_bars: None,
            rated_current_a: 150.0,
            rated_voltage_v: 350.0,
            rated_frequency_hz: 120.0,
            rated_speed_rpm: 1800.0,
            insulation_class_c: 180.0,
            winding_capacitance_f: 8e-9,
            no_load_current: 0.05,
            sequence_impedance_ratio: 1.5,
            ..Self::induction_4kw()
        }
    }

    /// What the vehicle says of it.
    pub fn profile(&self) -> MotorProfile {
        MotorProfile {
            motor_type: self.motor_type,
            pole_pairs: Some(self.pole_pairs),
            rotor_bars: self.rotor_bars,
            rated_current_a: Some(self.rated_current_a),
            rated_voltage_v: Some(self.rated_voltage_v),
            rated_speed_rpm: Some(self.rated_speed_rpm),
            rated_frequency_hz: Some(self.rated_frequency_hz),
            insulation_class_c: Some(self.insulation_class_c),
            winding_capacitance_f: Some(self.winding_capacitance_f),
            bearing: Some(self.bearing),
        }
    }

    /// Kind of insulation: resin from class F on.
    pub fn insulation_system(&self) -> InsulationSystem {
        if self.insulation_class_c >= 155.0 {
            InsulationSystem::Thermosetting
        } else {
            InsulationSystem::Thermoplastic
        }
    }

    /// Slip frequency s f0 at a load, Hz. Torque is proportional to it whatever the supply frequency,
    /// as long as the flux is kept (V/f or field-oriented control). 0 for a synchronous motor.
    pub fn slip_frequency_hz(&self, load_fraction: f64) -> f64 {
        if self.motor_type == MotorType::PermanentMagnet {
            return 0.0;
        }
        let rated_hz = self.rated_frequency_hz - self.rated_speed_rpm / 60.0 * f64::from(self.pole_pairs);
        rated_hz.max(0.0) * load_fraction
    }

    /// Shaft speed, Hz: (1 - s) f0 / p.
    pub fn shaft_hz(&self, supply_frequency_hz: f64, load_fraction: f64) -> f64 {
        (supply_frequency_hz - self.slip_frequency_hz(load_fraction)) / f64::from(self.pole_pairs)
    }

    /// Current at a load over rated current: the load's part is at right angles to the magnetising part.
    pub fn current_ratio(&self, load_fraction: f64) -> f64 {
        self.no_load_current.hypot(self.load_current_ratio(load_fraction))
    }

    /// The load's part of the current over rated current.
    pub fn load_current_ratio(&self, load_fraction: f64) -> f64 {
        (1.0 - self.no_load_current.powi(2)).max(0.0).sqrt() * load_fraction
    }

    /// Angle by which the current lags the voltage, radians. Of an induction motor it is that of the magnetising
    /// current beside the load's; of a synchronous one at maximum torque per ampere, that of the voltage over its
    /// reactance of half a per unit.
    pub fn power_factor_angle(&self, load_fraction: f64) -> f64 {
        match self.motor_type {
            MotorType::PermanentMagnet => (0.5 * self.current_ratio(load_fraction)).atan(),
            _ => self.no_load_current.atan2(self.load_current_ratio(load_fraction)),
        }
    }

    /// Phase-to-ground voltage at a supply frequency, V (rms): V/f up to the rated frequency.
    pub fn phase_voltage_v(&self, supply_frequency_hz: f64) -> f64 {
        self.rated_voltage_v / 3f64.sqrt() * (supply_frequency_hz / self.rated_frequency_hz).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rated_point_is_met() {
        let m = Motor::induction_4kw();
        assert!((m.shaft_hz(50.0, 1.0) * 60.0 - 1455.0).abs() < 1e-9);
        assert!((m.slip_frequency_hz(1.0) - 1.5).abs() < 1e-9);
        assert!((m.current_ratio(1.0) - 1.0).abs() < 1e-12);
        let pm = Motor::permanent_magnet();
        assert_eq!(pm.slip_frequency_hz(1.0), 0.0);
        assert!((pm.shaft_hz(120.0, 0.5) * 60.0 - 1800.0).abs() < 1e-9);
    }
}
