//! Labelled recordings: the truth and the measurement, apart.

use serde::{Deserialize, Serialize};
use vtox_protocol::{FaultType, MotorProfile, SignalBlock};

/// What is really the matter with a recorded motor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// Nothing.
    #[serde(alias = "normal", alias = "none")]
    Healthy,
    /// Inter-turn short circuit.
    #[serde(alias = "inter_turn_short", alias = "inter_turn_short_circuit", alias = "itsc")]
    TurnFault,
    /// Insulation.
    #[serde(alias = "insulation_fault")]
    Insulation,
    /// Bearing damage.
    #[serde(alias = "bearing_fault")]
    Bearing,
    /// Eccentricity.
    #[serde(alias = "eccentricity_fault")]
    Eccentricity,
    /// Broken rotor bars.
    #[serde(alias = "broken_rotor_bar", alias = "brb")]
    BrokenBar,
    /// Something that is none of the five faults and must not be taken for one.
    Other,
}

impl Label {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Healthy,
        Self::TurnFault,
        Self::Insulation,
        Self::Bearing,
        Self::Eccentricity,
        Self::BrokenBar,
        Self::Other,
    ];

    /// The fault that should be found, if it is one of the five.
    pub const fn fault(self) -> Option<FaultType> {
        match self {
            Self::TurnFault => Some(FaultType::TurnFault),
            Self::Insulation => Some(FaultType::Insulation),
            Self::Bearing => Some(FaultType::Bearing),
            Self::Eccentricity => Some(FaultType::Eccentricity),
            Self::BrokenBar => Some(FaultType::BrokenBar),
            Self::Healthy | Self::Other => None,
        }
    }

    /// Name in a manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Other => "other",
            Self::TurnFault => "turn_fault",
            Self::Insulation => "insulation",
            Self::Bearing => "bearing",
            Self::Eccentricity => "eccentricity",
            Self::BrokenBar => "broken_bar",
        }
    }
}

/// How far a label can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Contradicted by the signal.
    Low,
    /// With reservations.
    Medium,
    /// Undisputed.
    #[default]
    High,
}

/// What is known of a recording beforehand and must stay hidden from the detectors: everything that may give the label
/// away.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// Name of the recording.
    pub id: String,
    /// Where it comes from.
    pub dataset: String,
    /// The motor: the same value for the same physical unit.
    pub machine_id: String,
    /// What should be found at the end of the recording.
    pub label: Label,
    /// What may be found beside it.
    pub secondary_labels: Vec<Label>,
    /// How far the label can be trusted.
    pub label_confidence: Confidence,
    /// Whether it counts.
    pub score: bool,
}

impl Truth {
    /// Whether it counts in a score: marked to be scored, and the label can be trusted.
    pub fn counts(&self) -> bool {
        self.score && self.label_confidence >= Confidence::Medium
    }
}

/// What was measured and what is known of the motor: all that a detector is given.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measurement {
    /// Blocks in order: one per snapshot, or one of the whole recording.
    pub blocks: Vec<SignalBlock>,
    /// What is known of the motor.
    pub profile: MotorProfile,
    /// Supply frequency the manifest states, Hz. Only for asking whether the data suffice; detectors find it themselves.
    pub supply_frequency_hz: Option<f64>,
}

/// A labelled recording, ready to be diagnosed.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// For reports and scores.
    pub truth: Truth,
    /// For detectors.
    pub measurement: Measurement,
}
