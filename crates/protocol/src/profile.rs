//! What is known of a motor beforehand.

use serde::{Deserialize, Serialize};

/// Kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum MotorType {
    /// Squirrel-cage induction motor.
    Induction,
    /// Permanent-magnet synchronous motor: no slip, no rotor bars.
    PermanentMagnet,
    /// Not known.
    #[default]
    Unknown,
}

/// Motor profile. Everything is optional; a detector that lacks what it needs says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct MotorProfile {
    /// Kind of machine.
    pub motor_type: MotorType,
    /// Pole pairs p; synchronous speed is f0 / p.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pole_pairs: Option<u8>,
    /// Rotor bars R of a cage rotor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotor_bars: Option<u16>,
    /// Rated phase current, A (rms).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rated_current_a: Option<f64>,
    /// Rated line-to-line voltage, V (rms).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rated_voltage_v: Option<f64>,
    /// Rated shaft speed, r/min.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rated_speed_rpm: Option<f64>,
    /// Rated supply frequency, Hz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rated_frequency_hz: Option<f64>,
    /// Temperature limit of the insulation class, degC (B 130, F 155, H 180).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insulation_class_c: Option<f64>,
    /// Capacitance of the winding to ground, F.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winding_capacitance_f: Option<f64>,
    /// The bearing under the vibration sensor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearing: Option<BearingGeometry>,
}

/// Geometry of a rolling-element bearing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BearingGeometry {
    /// Number of rolling elements.
    pub elements: u8,
    /// Diameter of a rolling element, mm.
    pub element_diameter_mm: f64,
    /// Pitch diameter, mm.
    pub pitch_diameter_mm: f64,
    /// Contact angle, degrees.
    #[serde(default)]
    pub contact_angle_deg: f64,
}

impl BearingGeometry {
    /// Ratio of element to pitch diameter, times the cosine of the contact angle.
    fn gamma(&self) -> f64 {
        self.element_diameter_mm / self.pitch_diameter_mm * self.contact_angle_deg.to_radians().cos()
    }

    /// Ball pass frequency of the outer race over shaft speed
    /// (ISO 15243 / Randall and Antoni, MSSP 25 (2011) 485-520, eq. 1).
    pub fn bpfo_per_rev(&self) -> f64 {
        f64::from(self.elements) / 2.0 * (1.0 - self.gamma())
    }

    /// Ball pass frequency of the inner race over shaft speed.
    pub fn bpfi_per_rev(&self) -> f64 {
        f64::from(self.elements) / 2.0 * (1.0 + self.gamma())
    }

    /// Ball spin frequency over shaft speed; a ball defect strikes twice per spin.
    pub fn bsf_per_rev(&self) -> f64 {
        self.pitch_diameter_mm / (2.0 * self.element_diameter_mm) * (1.0 - self.gamma().powi(2))
    }

    /// Cage (fundamental train) frequency over shaft speed.
    pub fn ftf_per_rev(&self) -> f64 {
        0.5 * (1.0 - self.gamma())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_a_6205_match_its_data_sheet() {
        let b = BearingGeometry {
            elements: 9,
            element_diameter_mm: 7.94,
            pitch_diameter_mm: 39.04,
            contact_angle_deg: 0.0,
        };
        for (got, expected) in [
            (b.bpfo_per_rev(), 3.5848),
            (b.bpfi_per_rev(), 5.4152),
            (b.bsf_per_rev(), 2.3567),
            (b.ftf_per_rev(), 0.3983),
        ] {
            assert!((got - expected).abs() < 5e-4, "{got} against {expected}");
        }
    }
}
