//! What a user says of a motor and its measurement on the command line, and what would be missing without it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use vtox_evaluation::{class_limit_c, motor_type};
use vtox_protocol::headers::reading_value;
use vtox_protocol::{
    BearingGeometry, FaultType, MotorProfile, MotorType, Quantity, SignalBlock, Status, Verdict,
};

#[derive(Args)]
pub struct Motor {
    /// Shaft speed, r/min.
    #[arg(long)]
    rpm: Option<f64>,
    /// Pole pairs of the motor.
    #[arg(long, value_name = "N")]
    pole_pairs: Option<u8>,
    /// Rotor bars of a cage rotor.
    #[arg(long, value_name = "N")]
    rotor_bars: Option<u16>,
    /// Rated phase current, A (rms).
    #[arg(long, value_name = "A")]
    rated_current: Option<f64>,
    /// Rated line-to-line voltage, V (rms).
    #[arg(long, value_name = "V")]
    rated_voltage: Option<f64>,
    /// Rated shaft speed, r/min.
    #[arg(long, value_name = "RPM")]
    rated_speed: Option<f64>,
    /// Rated supply frequency, Hz.
    #[arg(long, value_name = "HZ")]
    rated_frequency: Option<f64>,
    /// induction or permanent_magnet.
    #[arg(long, value_name = "TYPE")]
    motor_type: Option<String>,
    /// Insulation class (B, F, H, ...) or its temperature limit, degC.
    #[arg(long, value_name = "CLASS")]
    insulation_class: Option<String>,
    /// Bearing: designation such as 6205, or elements,element diameter mm,pitch diameter mm[,contact angle deg].
    #[arg(long, value_name = "BEARING")]
    bearing: Option<String>,
    /// A slow reading, as insulation_resistance=2.5 (Mohm), leakage_current=0.001 (A), temperature=60 (degC).
    #[arg(long = "reading", value_name = "NAME=VALUE")]
    readings: Vec<String>,
    /// JSON file with a motor profile, as `motor` in sensor_data. The other options come before it.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
}

impl Motor {
    /// Puts what was said over what the file says.
    pub fn apply(&self, blocks: &mut [SignalBlock], profile: &mut MotorProfile) -> anyhow::Result<()> {
        let mut readings = self
            .readings
            .iter()
            .map(|text| {
                let value = text.split_once('=').and_then(|(name, value)| reading_value(name.trim(), value.trim().parse().ok()?));
                value.with_context(|| format!("--reading {text} is not understood; give NAME=VALUE such as insulation_resistance=2.5"))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        readings.extend(self.rpm.map(|rpm| (Quantity::Speed, rpm)));
        for block in blocks {
            // A reading counts before a channel of the same quantity.
            block.readings.extend(readings.iter().copied());
        }
        *profile = self.profile()?.or(profile);
        Ok(())
    }

    fn profile(&self) -> anyhow::Result<MotorProfile> {
        let file = match &self.profile {
            Some(path) => {
                let text =
                    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
                serde_json::from_slice(&text)
                    .with_context(|| format!("{} is no motor profile", path.display()))?
            }
            None => MotorProfile::default(),
        };
        Ok(MotorProfile {
            motor_type: match self.motor_type.as_deref().map(|name| (name, motor_type(name))) {
                Some((name, MotorType::Unknown)) => {
                    bail!("--motor-type {name} is not known; induction or permanent_magnet")
                }
                Some((_, known)) => known,
                None => file.motor_type,
            },
            pole_pairs: self.pole_pairs.or(file.pole_pairs),
            rotor_bars: self.rotor_bars.or(file.rotor_bars),
            rated_current_a: self.rated_current.or(file.rated_current_a),
            rated_voltage_v: self.rated_voltage.or(file.rated_voltage_v),
            rated_speed_rpm: self.rated_speed.or(file.rated_speed_rpm),
            rated_frequency_hz: self.rated_frequency.or(file.rated_frequency_hz),
            insulation_class_c: match &self.insulation_class {
                Some(class) => Some(class_limit_c(class).with_context(|| {
                    format!("--insulation-class {class} is not known; A, E, B, F, H, N, R or a limit in degC")
                })?),
                None => file.insulation_class_c,
            },
            bearing: match &self.bearing {
                Some(text) => Some(bearing(text)?),
                None => file.bearing,
            },
            ..file
        })
    }
}

/// A designation, or elements, diameters and angle.
fn bearing(text: &str) -> anyhow::Result<BearingGeometry> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some([elements, element_d, pitch_d, angle @ ..])
            if angle.len() <= 1 && elements.fract() == 0.0 && (3.0..=255.0).contains(elements) =>
        {
            let geometry = BearingGeometry {
                elements: *elements as u8,
                element_diameter_mm: *element_d,
                pitch_diameter_mm: *pitch_d,
                contact_angle_deg: angle.first().copied().unwrap_or(0.0),
            };
            if !(*element_d > 0.0 && element_d < pitch_d && geometry.contact_angle_deg.abs() < 90.0) {
                bail!("--bearing {text}: the elements must be smaller than the pitch diameter, and the angle below 90 degrees");
            }
            Ok(geometry)
        }
        _ => vtox_protocol::bearings::geometry(text).with_context(|| {
            format!("--bearing {text} is not in the table; give its geometry as elements,element diameter,pitch diameter, such as 9,7.94,39.04")
        }),
    }
}

/// What a detector lacks, each with the flag or the column that supplies it. Empty for what could not be improved.
pub fn lacking(
    fault: FaultType,
    verdict: &Verdict,
    block: &SignalBlock,
    profile: &MotorProfile,
) -> Vec<String> {
    if verdict.status == Status::NotApplicable {
        return Vec::new();
    }
    let unsure = !verdict.status.is_evidence();
    let has = |quantity: Quantity| block.value(quantity).is_some();
    let sampled = |all: &[Quantity]| all.iter().filter(|q| block.channel(**q).is_some()).count();
    let synchronous_motor = profile.motor_type == MotorType::PermanentMagnet && profile.pole_pairs.is_some();
    let speed = has(Quantity::Speed) || synchronous_motor;
    let mut lacking = Vec::new();
    let mut lack = |missing: bool, text: &str| {
        if missing {
            lacking.push(text.to_owned());
        }
    };
    match fault {
        FaultType::TurnFault => {
            lack(sampled(&Quantity::CURRENTS) < 3, "columns with the three phase currents: Ia, Ib, Ic");
            lack(unsure && !block.synchronous, "phase currents that are sampled at the same instants");
        }
        FaultType::Insulation => {
            let neither = !has(Quantity::InsulationResistance) && !has(Quantity::LeakageCurrent);
            lack(neither, "insulation resistance, Mohm: --reading insulation_resistance=MOHM");
            lack(neither, "or leakage current, A: --reading leakage_current=A");
            lack(!has(Quantity::Temperature), "temperature of the winding, degC: --reading temperature=DEGC");
            lack(profile.insulation_class_c.is_none(), "insulation class: --insulation-class F");
            lack(profile.rated_voltage_v.is_none(), "rated voltage: --rated-voltage V");
        }
        FaultType::Bearing => {
            lack(sampled(&Quantity::VIBRATIONS) == 0, "a column with the vibration: vibration_x");
            lack(!speed, "speed, r/min: --rpm RPM");
            lack(
                profile.bearing.is_none(),
                "bearing: --bearing 6205, or its geometry as --bearing 9,7.94,39.04",
            );
        }
        FaultType::Eccentricity => {
            lack(sampled(&Quantity::CURRENTS) == 0, "a column with a phase current: Ia");
            lack(!speed, "speed, r/min: --rpm RPM");
            lack(!speed && profile.pole_pairs.is_none(), "or at least the pole pairs: --pole-pairs N");
            lack(
                profile.rotor_bars.is_none() && !synchronous_motor,
                "rotor bars (shows static eccentricity): --rotor-bars N",
            );
        }
        FaultType::BrokenBar => {
            lack(sampled(&Quantity::CURRENTS) == 0, "a column with a phase current: Ia");
            lack(!speed, "speed, r/min: --rpm RPM");
            lack(profile.pole_pairs.is_none(), "pole pairs: --pole-pairs N");
            lack(
                profile.motor_type == MotorType::Unknown,
                "kind of motor: --motor-type induction (or permanent_magnet)",
            );
        }
    }
    lacking
}
