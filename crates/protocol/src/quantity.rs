//! Physical quantities a channel or a reading can carry, and the names met for them in the field.

use serde::{Deserialize, Serialize};

/// A measured quantity. Units are fixed per quantity, see [`Quantity::unit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Phase current A.
    CurrentA,
    /// Phase current B.
    CurrentB,
    /// Phase current C.
    CurrentC,
    /// Phase voltage A.
    VoltageA,
    /// Phase voltage B.
    VoltageB,
    /// Phase voltage C.
    VoltageC,
    /// Voltage of the DC bus.
    DcBusVoltage,
    /// Vibration acceleration, first (or only) axis.
    VibrationX,
    /// Vibration acceleration, second axis.
    VibrationY,
    /// Vibration acceleration, third axis.
    VibrationZ,
    /// Winding or motor temperature.
    Temperature,
    /// Insulation resistance of the winding or of the high-voltage system.
    InsulationResistance,
    /// Leakage current to the chassis.
    LeakageCurrent,
    /// Shaft speed.
    Speed,
    /// Load.
    Load,
    /// Shaft torque.
    Torque,
}

use Quantity as Q;

/// Names met in the field. The first of a quantity is the canonical one.
const ALIASES: &[(&str, Quantity)] = &[
    ("Ia", Q::CurrentA),
    ("AphaseCurrent[A]", Q::CurrentA),
    ("APhaseCurrent[A]", Q::CurrentA),
    ("Ib", Q::CurrentB),
    ("BPhaseCurrent[A]", Q::CurrentB),
    ("BphaseCurrent[A]", Q::CurrentB),
    ("Ic", Q::CurrentC),
    ("CPhaseCurrent[A]", Q::CurrentC),
    ("CphaseCurrent[A]", Q::CurrentC),
    ("Ua", Q::VoltageA),
    ("Va", Q::VoltageA),
    ("Ub", Q::VoltageB),
    ("Vb", Q::VoltageB),
    ("Uc", Q::VoltageC),
    ("Vc", Q::VoltageC),
    ("Vdc", Q::DcBusVoltage),
    ("vibration_x", Q::VibrationX),
    ("vibration", Q::VibrationX),
    ("振动", Q::VibrationX),
    ("振动_X", Q::VibrationX),
    ("加速度X", Q::VibrationX),
    ("vibration_y", Q::VibrationY),
    ("振动_Y", Q::VibrationY),
    ("加速度Y", Q::VibrationY),
    ("vibration_z", Q::VibrationZ),
    ("振动_Z", Q::VibrationZ),
    ("加速度Z", Q::VibrationZ),
    ("temperature", Q::Temperature),
    ("温度", Q::Temperature),
    ("MotorTem", Q::Temperature),
    ("insulation_resistance", Q::InsulationResistance),
    ("resistance", Q::InsulationResistance),
    ("绝缘电阻", Q::InsulationResistance),
    ("leakage_current", Q::LeakageCurrent),
    ("泄漏电流", Q::LeakageCurrent),
    ("rpm", Q::Speed),
    ("转速", Q::Speed),
    ("Speed", Q::Speed),
    ("MotorRpm[Rpm]", Q::Speed),
    ("load", Q::Load),
    ("负载", Q::Load),
    ("Torque", Q::Torque),
];

/// Names of the time column.
pub const TIME_ALIASES: &[&str] = &["时间", "time", "timestamp", "Time[s]"];

impl Quantity {
    /// The phase currents A, B, C.
    pub const CURRENTS: [Self; 3] = [Q::CurrentA, Q::CurrentB, Q::CurrentC];
    /// The phase voltages A, B, C.
    pub const VOLTAGES: [Self; 3] = [Q::VoltageA, Q::VoltageB, Q::VoltageC];
    /// The vibration axes.
    pub const VIBRATIONS: [Self; 3] = [Q::VibrationX, Q::VibrationY, Q::VibrationZ];

    /// The canonical name on the wire.
    pub fn name(self) -> &'static str {
        ALIASES.iter().find(|(_, q)| *q == self).map_or("", |(name, _)| name)
    }

    /// The quantity a column name stands for, in any of the spellings met in the field.
    pub fn from_alias(name: &str) -> Option<Self> {
        let name = name.trim_start_matches('\u{feff}').trim();
        ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, q)| *q)
    }

    /// All names understood, canonical first per quantity.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        ALIASES.iter().map(|(name, _)| *name)
    }

    /// The unit of the values.
    pub const fn unit(self) -> &'static str {
        match self {
            Q::CurrentA | Q::CurrentB | Q::CurrentC | Q::LeakageCurrent => "A",
            Q::VoltageA | Q::VoltageB | Q::VoltageC | Q::DcBusVoltage => "V",
            Q::VibrationX | Q::VibrationY | Q::VibrationZ => "g",
            Q::Temperature => "degC",
            Q::InsulationResistance => "Mohm",
            Q::Speed => "r/min",
            Q::Load => "%",
            Q::Torque => "N m",
        }
    }
}

/// Whether a column holds the sampling time.
pub fn is_time_alias(name: &str) -> bool {
    TIME_ALIASES.contains(&name.trim_start_matches('\u{feff}').trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_leads_to_its_quantity() {
        for (name, quantity) in ALIASES {
            assert_eq!(Quantity::from_alias(name), Some(*quantity));
            assert_eq!(Quantity::from_alias(quantity.name()), Some(*quantity));
        }
        assert_eq!(Quantity::from_alias("\u{feff}Ia"), Some(Q::CurrentA));
        assert_eq!(Quantity::from_alias("fault_type"), None);
        assert!(is_time_alias("\u{feff}时间") && !is_time_alias("Ia"));
    }
}
