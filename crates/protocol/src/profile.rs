//! What is known of a motor beforehand.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bearings;

/// Kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

impl MotorProfile {
    /// Whether the figures can be those of a motor.
    ///
    /// # Errors
    /// Which one cannot, and what is expected.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("rated_current_a", self.rated_current_a),
            ("rated_voltage_v", self.rated_voltage_v),
            ("rated_speed_rpm", self.rated_speed_rpm),
            ("rated_frequency_hz", self.rated_frequency_hz),
            ("insulation_class_c", self.insulation_class_c),
            ("winding_capacitance_f", self.winding_capacitance_f),
            ("bearing.element_diameter_mm", self.bearing.map(|b| b.element_diameter_mm)),
            ("bearing.pitch_diameter_mm", self.bearing.map(|b| b.pitch_diameter_mm)),
        ];
        for (name, value) in positive {
            if let Some(value) = value
                && !(value.is_finite() && value > 0.0)
            {
                return Err(format!("{name} is {value}; a positive number is expected"));
            }
        }
        for (name, count) in [
            ("pole_pairs", self.pole_pairs.map(u16::from)),
            ("rotor_bars", self.rotor_bars),
            ("bearing.elements", self.bearing.map(|b| b.elements.into())),
        ] {
            if count == Some(0) {
                return Err(format!("{name} is 0; at least 1 is expected"));
            }
        }
        match self.bearing {
            Some(b) if b.element_diameter_mm >= b.pitch_diameter_mm => {
                Err("bearing.element_diameter_mm must be below bearing.pitch_diameter_mm".to_owned())
            }
            Some(b) if !(0.0..90.0).contains(&b.contact_angle_deg) => {
                Err(format!("bearing.contact_angle_deg is {}; 0 to 90 is expected", b.contact_angle_deg))
            }
            _ => Ok(()),
        }
    }

    /// What this profile says, and what `other` says of the rest.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            motor_type: if self.motor_type == MotorType::Unknown {
                other.motor_type
            } else {
                self.motor_type
            },
            pole_pairs: self.pole_pairs.or(other.pole_pairs),
            rotor_bars: self.rotor_bars.or(other.rotor_bars),
            rated_current_a: self.rated_current_a.or(other.rated_current_a),
            rated_voltage_v: self.rated_voltage_v.or(other.rated_voltage_v),
            rated_speed_rpm: self.rated_speed_rpm.or(other.rated_speed_rpm),
            rated_frequency_hz: self.rated_frequency_hz.or(other.rated_frequency_hz),
            insulation_class_c: self.insulation_class_c.or(other.insulation_class_c),
            winding_capacitance_f: self.winding_capacitance_f.or(other.winding_capacitance_f),
            bearing: self.bearing.or(other.bearing),
        }
    }
}

/// What an operator says of the motor of a vehicle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct VehicleMotor {
    /// Model whose fleet-wide defaults count where the profile says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What is known of this one.
    pub profile: MotorProfile,
}

/// Geometry of a rolling-element bearing. Read from its dimensions, or from `{"designation": "6205-2RS"}` where
/// [`bearings`](crate::bearings) has the bearing; written as dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(try_from = "WrittenBearing")]
pub struct BearingGeometry {
    /// Number of rolling elements.
    pub elements: u8,
    /// Diameter of a rolling element, mm.
    pub element_diameter_mm: f64,
    /// Pitch diameter, mm.
    pub pitch_diameter_mm: f64,
    /// Contact angle, degrees.
    pub contact_angle_deg: f64,
}

/// A bearing as it is written. The dimensions in the order of [`BearingGeometry`], for codecs without names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a bearing: its dimensions, or {\"designation\": \"6205\"}")]
struct WrittenBearing {
    #[serde(default)]
    elements: Option<u8>,
    #[serde(default)]
    element_diameter_mm: Option<f64>,
    #[serde(default)]
    pitch_diameter_mm: Option<f64>,
    #[serde(default)]
    contact_angle_deg: Option<f64>,
    #[serde(default)]
    designation: Option<String>,
}

/// A bearing that cannot be told from what is written.
#[derive(Debug, PartialEq, Error)]
enum UnknownBearing {
    #[error(
        "bearing {0:?} is not in the table: give its elements, element_diameter_mm and pitch_diameter_mm \
         (from the maker's data sheet) beside or instead of the designation"
    )]
    NotInTable(String),
    #[error(
        "a bearing needs elements, element_diameter_mm and pitch_diameter_mm, or a designation such as 6205"
    )]
    Incomplete,
}

impl TryFrom<WrittenBearing> for BearingGeometry {
    type Error = UnknownBearing;

    fn try_from(written: WrittenBearing) -> Result<Self, UnknownBearing> {
        let WrittenBearing {
            elements,
            element_diameter_mm,
            pitch_diameter_mm,
            contact_angle_deg,
            designation,
        } = written;
        match (elements, element_diameter_mm, pitch_diameter_mm, designation) {
            (Some(elements), Some(element_diameter_mm), Some(pitch_diameter_mm), _) => Ok(Self {
                elements,
                element_diameter_mm,
                pitch_diameter_mm,
                contact_angle_deg: contact_angle_deg.unwrap_or(0.0),
            }),
            (None, None, None, Some(designation)) => {
                bearings::geometry(&designation).ok_or(UnknownBearing::NotInTable(designation))
            }
            _ => Err(UnknownBearing::Incomplete),
        }
    }
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

    fn read(text: &str) -> Result<BearingGeometry, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn a_bearing_is_read_from_dimensions_or_designation() {
        let dimensions = r#"{"elements":9,"element_diameter_mm":7.938,"pitch_diameter_mm":38.5}"#;
        let bearing = read(dimensions).unwrap();
        assert_eq!(read(r#"{"designation":"6205-2RS"}"#).unwrap(), bearing);
        let both =
            r#"{"designation":"4711","elements":9,"element_diameter_mm":7.938,"pitch_diameter_mm":38.5}"#;
        assert_eq!(read(both).unwrap(), bearing);
        let written = serde_json::to_string(&bearing).unwrap();
        assert_eq!(written, dimensions.replace('}', r#","contact_angle_deg":0.0}"#));
        assert_eq!(read(&written).unwrap(), bearing);
        let packed = rmp_serde::to_vec(&bearing).unwrap();
        assert_eq!(rmp_serde::from_slice::<BearingGeometry>(&packed).unwrap(), bearing);
        let packed = rmp_serde::to_vec_named(&bearing).unwrap();
        assert_eq!(rmp_serde::from_slice::<BearingGeometry>(&packed).unwrap(), bearing);
    }

    #[test]
    fn an_unknown_bearing_is_an_error_that_names_the_fix() {
        assert!(read(r#"{"designation":"NU1234"}"#).unwrap_err().contains("give its elements"));
        assert!(read(r#"{"elements":9,"pitch_diameter_mm":38.5}"#).unwrap_err().contains("or a designation"));
        assert!(read(r#"{"designation":"6205","elements":9}"#).unwrap_err().contains("needs elements"));
        assert!(read(r#"{"balls":9}"#).unwrap_err().contains("unknown field"));
    }
}
