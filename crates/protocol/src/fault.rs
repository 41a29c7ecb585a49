//! The five fault types and sets of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A motor fault VTOX diagnoses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FaultType {
    /// Inter-turn short circuit of the stator winding.
    TurnFault,
    /// Degraded winding insulation.
    Insulation,
    /// Rolling-element bearing damage.
    Bearing,
    /// Air-gap eccentricity.
    Eccentricity,
    /// Broken rotor bar of a squirrel cage.
    BrokenBar,
}

impl FaultType {
    /// All fault types, in the order in which they are listed everywhere.
    pub const ALL: [FaultType; 5] =
        [Self::TurnFault, Self::Insulation, Self::Bearing, Self::Eccentricity, Self::BrokenBar];

    /// Name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TurnFault => "turn_fault",
            Self::Insulation => "insulation",
            Self::Bearing => "bearing",
            Self::Eccentricity => "eccentricity",
            Self::BrokenBar => "broken_bar",
        }
    }

    /// Name shown to people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::TurnFault => "匝间短路",
            Self::Insulation => "绝缘故障",
            Self::Bearing => "轴承故障",
            Self::Eccentricity => "偏心故障",
            Self::BrokenBar => "断条故障",
        }
    }

    /// One sentence on what is looked for.
    pub const fn description(self) -> &'static str {
        match self {
            Self::TurnFault => "定子绕组匝间短路 (inter-turn short circuit): negative-sequence current",
            Self::Insulation => "绕组绝缘劣化 (insulation): resistance, leakage current, dielectric loss",
            Self::Bearing => "滚动轴承损伤 (bearing): defect frequencies in the vibration envelope",
            Self::Eccentricity => "气隙偏心 (eccentricity): current lines at f0 +- fr",
            Self::BrokenBar => "转子断条 (broken rotor bar): current side bands at (1 +- 2s) f0",
        }
    }

    /// Weight in the overall health of a vehicle; the five weights add up to 1.
    pub const fn health_weight(self) -> f64 {
        match self {
            Self::TurnFault | Self::Bearing => 0.25,
            Self::Insulation => 0.20,
            Self::Eccentricity | Self::BrokenBar => 0.15,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for FaultType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not a fault type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown fault type {0:?}; one of turn_fault, insulation, bearing, eccentricity, broken_bar is expected"
)]
pub struct UnknownFaultType(pub String);

impl FromStr for FaultType {
    type Err = UnknownFaultType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|f| f.name() == text).ok_or_else(|| UnknownFaultType(text.to_owned()))
    }
}

/// A set of fault types.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct FaultSet(u8);

impl FaultSet {
    /// No fault type.
    pub const EMPTY: Self = Self(0);
    /// All five.
    pub const ALL: Self = Self(0b1_1111);

    /// The set with `fault` in it as well.
    #[must_use]
    pub const fn with(self, fault: FaultType) -> Self {
        Self(self.0 | fault.bit())
    }

    /// The set without `fault`.
    #[must_use]
    pub const fn without(self, fault: FaultType) -> Self {
        Self(self.0 & !fault.bit())
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether `fault` is in the set.
    pub const fn contains(self, fault: FaultType) -> bool {
        self.0 & fault.bit() != 0
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many are in the set.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The members, in the order of [`FaultType::ALL`].
    pub fn iter(self) -> impl Iterator<Item = FaultType> {
        FaultType::ALL.into_iter().filter(move |f| self.contains(*f))
    }
}

impl FromIterator<FaultType> for FaultSet {
    fn from_iter<I: IntoIterator<Item = FaultType>>(faults: I) -> Self {
        faults.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl FromStr for FaultSet {
    type Err = UnknownFaultType;

    /// Comma-separated names, or `all`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == "all" {
            return Ok(Self::ALL);
        }
        text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(FaultType::from_str).collect()
    }
}

impl fmt::Display for FaultSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.iter().enumerate() {
            write!(f, "{}{fault}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for FaultSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for FaultSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for FaultSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<FaultType>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_and_weights_add_up() {
        for fault in FaultType::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
            assert_eq!(serde_json::to_string(&fault).unwrap(), format!("\"{fault}\""));
        }
        let sum: f64 = FaultType::ALL.iter().map(|f| f.health_weight()).sum();
        assert!((sum - 1.0).abs() < 1e-12);
    }

    #[test]
    fn sets_parse_print_and_count() {
        let set: FaultSet = "bearing, turn_fault".parse().unwrap();
        assert_eq!(set.to_string(), "turn_fault,bearing");
        assert_eq!(set.len(), 2);
        assert_eq!("all".parse::<FaultSet>().unwrap(), FaultSet::ALL);
        assert_eq!(FaultSet::ALL.without(FaultType::Bearing).len(), 4);
        assert!("bearings".parse::<FaultSet>().is_err());
    }
}
