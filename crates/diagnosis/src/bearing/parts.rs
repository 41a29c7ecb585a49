//! Parts of a bearing and the rates at which their damage strikes.

use vtox_protocol::BearingGeometry;

/// The part of the bearing that is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    OuterRace,
    InnerRace,
    Element,
    Cage,
}

impl Part {
    pub(super) const ALL: [Self; 4] = [Self::OuterRace, Self::InnerRace, Self::Element, Self::Cage];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OuterRace => "outer race",
            Self::InnerRace => "inner race",
            Self::Element => "rolling element",
            Self::Cage => "cage",
        }
    }

    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Self::OuterRace => "BPFO",
            Self::InnerRace => "BPFI",
            Self::Element => "2 BSF",
            Self::Cage => "FTF",
        }
    }

    /// Rate of strikes per turn of the shaft. A defect of an element strikes both races.
    pub(super) fn per_rev(self, bearing: &BearingGeometry) -> f64 {
        match self {
            Self::OuterRace => bearing.bpfo_per_rev(),
            Self::InnerRace => bearing.bpfi_per_rev(),
            Self::Element => 2.0 * bearing.bsf_per_rev(),
            Self::Cage => bearing.ftf_per_rev(),
        }
    }

    /// Rate at which the defect passes through the load, per turn of the shaft: distance of the side bands. A defect of the
    /// outer race stays where it is; what turns past it is the rotor's unbalance.
    pub(super) fn modulation_per_rev(self, bearing: &BearingGeometry) -> Option<f64> {
        match self {
            Self::OuterRace | Self::InnerRace => Some(1.0),
            Self::Element => Some(bearing.ftf_per_rev()),
            Self::Cage => None,
        }
    }

    /// The fastest rate, per turn.
    pub(super) fn fastest_per_rev(bearing: &BearingGeometry) -> f64 {
        Self::ALL.iter().map(|p| p.per_rev(bearing)).fold(0.0, f64::max)
    }
}

/// Whether the dimensions describe a bearing.
pub(super) fn usable(bearing: &BearingGeometry) -> bool {
    let ratio = bearing.element_diameter_mm / bearing.pitch_diameter_mm;
    bearing.elements >= 3 && ratio > 0.01 && ratio < 0.9 && bearing.contact_angle_deg.abs() < 90.0
}
