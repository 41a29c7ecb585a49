//! What a record says of its motor.

use serde::Deserialize;
use serde_json::{Map, Value};
use vtox_protocol::{BearingGeometry, MotorProfile, MotorType, bearings};

/// The profile out of a record's own fields and out of its `motor`, `profile` or `nameplate`. What cannot be understood is
/// as unknown as what is not there.
pub(crate) fn profile(record: &Map<String, Value>) -> MotorProfile {
    let places: Vec<&Map<String, Value>> = std::iter::once(record)
        .chain(["motor", "profile", "nameplate"].iter().filter_map(|key| record.get(*key)?.as_object()))
        .collect();
    let find = |keys: &[&str]| {
        places.iter().find_map(|place| keys.iter().find_map(|key| place.get(*key).filter(|v| !v.is_null())))
    };
    let number = |keys: &[&str]| find(keys).and_then(number).filter(|v| *v > 0.0);
    let whole = |keys: &[&str]| number(keys).filter(|v| v.fract() == 0.0);
    MotorProfile {
        motor_type: find(&["motor_type", "type"])
            .and_then(Value::as_str)
            .map_or(MotorType::Unknown, motor_type),
        pole_pairs: whole(&["pole_pairs"])
            .or_else(|| whole(&["poles"]).map(|p| p / 2.0))
            .filter(|p| (1.0..=255.0).contains(p))
            .map(|p| p as u8),
        rotor_bars: whole(&["rotor_bars"]).filter(|r| *r <= 65_535.0).map(|r| r as u16),
        rated_current_a: number(&["rated_current_a"]),
        rated_voltage_v: number(&["rated_voltage_v"]),
        rated_speed_rpm: number(&["rated_speed_rpm"]),
        rated_frequency_hz: number(&["rated_frequency_hz"]),
        insulation_class_c: find(&["insulation_class_c", "insulation_class"]).and_then(insulation_class_c),
        winding_capacitance_f: number(&["winding_capacitance_f"]),
        bearing: find(&["bearing"]).and_then(bearing),
    }
}

/// A number, or a text that is one.
pub(crate) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    };
    number.filter(|v| v.is_finite())
}

/// Kind of machine by its usual names.
pub fn motor_type(name: &str) -> MotorType {
    let name = name.trim().to_lowercase().replace([' ', '-'], "_");
    let is = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if is(&["permanent", "pmsm", "ipm", "spm", "bldc"]) || name == "pm" {
        MotorType::PermanentMagnet
    } else if is(&["induction", "asynchronous", "squirrel", "cage"])
        || ["im", "scim", "acim"].contains(&name.as_str())
    {
        MotorType::Induction
    } else {
        MotorType::Unknown
    }
}

/// Temperature limit of an insulation class, degC: its letter (IEC 60085) or the limit itself.
fn insulation_class_c(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some(letter) => class_limit_c(letter),
        None => number(value),
    }
}

/// Temperature limit of an insulation class by its letter (IEC 60085), degC; a number is taken as the limit.
pub fn class_limit_c(class: &str) -> Option<f64> {
    match class.trim().trim_start_matches("class").trim().to_uppercase().as_str() {
        "A" => Some(105.0),
        "E" => Some(120.0),
        "B" => Some(130.0),
        "F" => Some(155.0),
        "H" => Some(180.0),
        "N" => Some(200.0),
        "R" => Some(220.0),
        other => other.parse().ok().filter(|c: &f64| (50.0..400.0).contains(c)),
    }
}

/// Geometry as it is met in manifests.
#[derive(Deserialize)]
struct Recorded {
    #[serde(alias = "elements", alias = "n_rollers", alias = "n_elements")]
    n_balls: Option<u8>,
    #[serde(alias = "element_diameter_mm", alias = "ball_diameter_mm")]
    ball_d_mm: Option<f64>,
    #[serde(alias = "pitch_diameter_mm")]
    pitch_d_mm: Option<f64>,
    contact_angle_deg: Option<f64>,
    #[serde(alias = "bpfo_per_rev")]
    bpfo_x_fr: Option<f64>,
    #[serde(alias = "bpfi_per_rev")]
    bpfi_x_fr: Option<f64>,
    #[serde(alias = "bsf_per_rev")]
    bsf_x_fr: Option<f64>,
    #[serde(alias = "ftf_per_rev")]
    ftf_x_fr: Option<f64>,
}

fn bearing(value: &Value) -> Option<BearingGeometry> {
    if let Some(designation) = value.as_str() {
        return bearings::geometry(designation);
    }
    let recorded = Recorded::deserialize(value).ok()?;
    let measured = || {
        Some(BearingGeometry {
            elements: recorded.n_balls?,
            element_diameter_mm: recorded.ball_d_mm?,
            pitch_diameter_mm: recorded.pitch_d_mm?,
            contact_angle_deg: recorded.contact_angle_deg.unwrap_or(0.0),
        })
    };
    let designated = || bearings::geometry(value.get("designation")?.as_str()?);
    measured().or_else(|| from_rates(&recorded)).or_else(designated)
}

/// A geometry that has the given fault rates per turn. Only ratios follow from them: the pitch diameter is set to 100 mm.
fn from_rates(recorded: &Recorded) -> Option<BearingGeometry> {
    let (elements, gamma) = match (recorded.bpfo_x_fr, recorded.bpfi_x_fr, recorded.ftf_x_fr) {
        // BPFO = n/2 (1 - gamma), BPFI = n/2 (1 + gamma), FTF = (1 - gamma)/2.
        (Some(bpfo), Some(bpfi), _) => ((bpfo + bpfi).round(), (bpfi - bpfo) / (bpfo + bpfi)),
        (Some(bpfo), None, Some(ftf)) => ((bpfo / ftf).round(), 1.0 - 2.0 * ftf),
        (None, Some(bpfi), Some(ftf)) => ((bpfi / (1.0 - ftf)).round(), 1.0 - 2.0 * ftf),
        _ => return None,
    };
    if !((3.0..=255.0).contains(&elements) && gamma > 0.0 && gamma < 0.9) {
        return None;
    }
    // BSF = (1 - gamma^2) / (2 d/D), and gamma = d/D cos(contact angle).
    let ratio =
        recorded.bsf_x_fr.map(|bsf| (1.0 - gamma * gamma) / (2.0 * bsf)).filter(|r| *r >= gamma && *r < 0.9);
    let ratio = ratio.unwrap_or(gamma);
    Some(BearingGeometry {
        elements: elements as u8,
        element_diameter_mm: 100.0 * ratio,
        pitch_diameter_mm: 100.0,
        contact_angle_deg: (gamma / ratio).min(1.0).acos().to_degrees(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: &Value) -> MotorProfile {
        profile(value.as_object().unwrap())
    }

    #[test]
    fn fault_rates_alone_make_a_bearing_with_these_rates() {
        let p = of(
            &json!({"bearing": {"bpfo_x_fr": 3.5848, "bpfi_x_fr": 5.4152, "bsf_x_fr": 2.3567, "ftf_x_fr": 0.3983}}),
        );
        let b = p.bearing.unwrap();
        for (got, expected) in [
            (b.bpfo_per_rev(), 3.5848),
            (b.bpfi_per_rev(), 5.4152),
            (b.bsf_per_rev(), 2.3567),
            (b.ftf_per_rev(), 0.3983),
        ] {
            assert!((got - expected).abs() < 2e-3, "{got} against {expected}");
        }
        // 7208 with 40 degrees: the contact angle comes out of BSF.
        let angular = BearingGeometry {
            elements: 14,
            element_diameter_mm: 12.0,
            pitch_diameter_mm: 60.0,
            contact_angle_deg: 40.0,
        };
        let rates = json!({"bearing": {"bpfo_x_fr": angular.bpfo_per_rev(), "ftf_x_fr": angular.ftf_per_rev(),
            "bsf_x_fr": angular.bsf_per_rev(), "n_balls": null}});
        let b = of(&rates).bearing.unwrap();
        assert_eq!(b.elements, 14);
        assert!((b.contact_angle_deg - 40.0).abs() < 1e-6 && (b.element_diameter_mm - 20.0).abs() < 1e-6);
        assert_eq!(of(&json!({"bearing": {"bpfo_x_fr": 3.5}})).bearing, None);
        assert_eq!(of(&json!({"bearing": null})).bearing, None);
    }

    #[test]
    fn names_and_numbers_of_many_kinds_are_read() {
        let p = of(
            &json!({"pole_pairs": 2.0, "motor_type": "Squirrel-cage induction", "insulation_class": "F",
            "rotor_bars": null, "motor": {"rotor_bars": 28, "rated_current_a": "8.5"}, "notes": ["bearing"]}),
        );
        assert_eq!((p.pole_pairs, p.rotor_bars, p.insulation_class_c), (Some(2), Some(28), Some(155.0)));
        assert_eq!((p.motor_type, p.rated_current_a), (MotorType::Induction, Some(8.5)));
        assert_eq!(of(&json!({"poles": 6, "motor_type": "PMSM"})).pole_pairs, Some(3));
        assert_eq!(motor_type("pmsm"), MotorType::PermanentMagnet);
    }
}
