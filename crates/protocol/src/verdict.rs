//! What a detector says of one block.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Verdict of a detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// No sign of the fault.
    Normal,
    /// Signs that call for attention.
    Warning,
    /// The fault is there.
    Fault,
    /// The data do not allow a verdict; the reason says what is missing.
    InsufficientData,
    /// The fault cannot occur in this kind of motor.
    NotApplicable,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Normal, Self::Warning, Self::Fault, Self::InsufficientData, Self::NotApplicable];

    /// Name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Warning => "warning",
            Self::Fault => "fault",
            Self::InsufficientData => "insufficient_data",
            Self::NotApplicable => "not_applicable",
        }
    }

    /// The status of a name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Whether the verdict rests on evidence of the motor's state.
    pub const fn is_evidence(self) -> bool {
        matches!(self, Self::Normal | Self::Warning | Self::Fault)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Severity zone in the sense of ISO 20816-1: A new, B unrestricted, C limited time, D damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[expect(missing_docs, reason = "the letters are the standard's names")]
pub enum Severity {
    A,
    B,
    C,
    D,
}

impl Severity {
    /// The letter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
        }
    }
}

/// One line of evidence: what was expected where, and what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Evidence {
    /// What the line is, such as `BPFO x2` or `lower side band (1-2s)f0`.
    pub line: String,
    /// Where it was expected, in `unit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<f64>,
    /// What was found there, in `unit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<f64>,
    /// Unit of `expected` and `found`.
    pub unit: String,
    /// Height over the local noise floor, dB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above_floor_db: Option<f64>,
}

/// Small, decimated curves for dashboards: at most a few hundred points each. The keys are those
/// dashboards read: `time_series` has `time` and `values_*`, `frequency_spectrum` has `frequency`
/// and `amplitude` or `amplitude_a|b|c`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Charts {
    /// Curves over time (s).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub time_series: BTreeMap<String, Vec<f32>>,
    /// Curves over frequency (Hz).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub frequency_spectrum: BTreeMap<String, Vec<f32>>,
}

/// Verdict of one detector on one block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Verdict {
    /// The verdict.
    pub status: Status,
    /// 0 (healthy) to 1 (certain fault); 0 where there is no evidence. Always finite.
    pub score: f64,
    /// Severity zone; none without evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Named figures; the names dashboards rely on are in the wire contract. Always finite.
    pub features: BTreeMap<String, f64>,
    /// Lines expected and found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Why there is no verdict, or what limits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One or two sentences of advice to maintenance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Detector and version, such as `bearing-1`.
    pub model_version: String,
    /// Curves for dashboards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charts: Option<Charts>,
}
