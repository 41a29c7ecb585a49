//! From figures to a verdict: score, zone, features that are always finite.

use std::collections::BTreeMap;

use vtox_protocol::{Evidence, FaultType, Severity, Status, Verdict};

/// From this score on a verdict is a warning.
pub const WARNING_SCORE: f64 = 0.3;
/// From this score on a verdict is a fault.
pub const FAULT_SCORE: f64 = 0.6;
/// Between zones A and B: half way to a warning.
const ZONE_B_SCORE: f64 = 0.15;

/// What a detector found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) score: f64,
    pub(crate) features: BTreeMap<String, f64>,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) reason: Option<String>,
    pub(crate) advice: Option<String>,
}

impl Findings {
    /// Adds a feature; one that is not finite could not be computed and is left out.
    pub(crate) fn feature(&mut self, name: &str, value: f64) {
        if value.is_finite() {
            self.features.insert(name.to_owned(), value);
        }
    }

    /// Adds a feature that may not be known.
    pub(crate) fn feature_if(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.feature(name, value);
        }
    }

    /// Adds a sentence on what limits the verdict.
    pub(crate) fn remark(&mut self, text: &str) {
        match &mut self.reason {
            Some(reason) => {
                reason.push_str("; ");
                reason.push_str(text);
            }
            None => self.reason = Some(text.to_owned()),
        }
    }

    /// The verdict. Evidence and advice go with it only when it is not normal.
    pub(crate) fn verdict(mut self, fault: FaultType) -> Verdict {
        if !self.score.is_finite() {
            return self.insufficient(fault, "the signals are outside what can be computed with");
        }
        let score = self.score.clamp(0.0, 1.0);
        self.feature("fault_severity", score);
        let status = status_of(score);
        let normal = status == Status::Normal;
        self.evidence.retain(|e| e.expected.is_none_or(f64::is_finite) && e.found.is_none_or(f64::is_finite));
        Verdict {
            status,
            score,
            severity: Some(severity_of(score)),
            features: self.features,
            evidence: if normal { Vec::new() } else { self.evidence },
            reason: self.reason,
            advice: self.advice.filter(|_| !normal),
            model_version: model_version(fault).to_owned(),
            charts: None,
        }
    }

    /// A verdict that says what is missing, with the features that could be computed.
    pub(crate) fn insufficient(self, fault: FaultType, reason: impl Into<String>) -> Verdict {
        without_evidence(fault, Status::InsufficientData, reason.into(), self.features)
    }
}

/// A verdict that says what is missing.
pub(crate) fn insufficient(fault: FaultType, reason: impl Into<String>) -> Verdict {
    without_evidence(fault, Status::InsufficientData, reason.into(), BTreeMap::new())
}

/// The fault cannot occur in this motor.
pub(crate) fn not_applicable(fault: FaultType, reason: &str) -> Verdict {
    without_evidence(fault, Status::NotApplicable, reason.to_owned(), BTreeMap::new())
}

fn without_evidence(
    fault: FaultType,
    status: Status,
    reason: String,
    features: BTreeMap<String, f64>,
) -> Verdict {
    Verdict {
        status,
        score: 0.0,
        severity: None,
        features,
        evidence: Vec::new(),
        reason: Some(reason),
        advice: None,
        model_version: model_version(fault).to_owned(),
        charts: None,
    }
}

/// Detector and version, as it stands in [`Verdict::model_version`]. Changes whenever verdicts may.
pub const fn model_version(fault: FaultType) -> &'static str {
    match fault {
        FaultType::TurnFault => "turn_fault-2",
        FaultType::Insulation => "insulation-2",
        FaultType::Bearing => "bearing-2",
        FaultType::Eccentricity => "eccentricity-3",
        FaultType::BrokenBar => "broken_bar-3",
    }
}

/// Status that goes with a score.
pub(crate) fn status_of(score: f64) -> Status {
    if score >= FAULT_SCORE {
        Status::Fault
    } else if score >= WARNING_SCORE {
        Status::Warning
    } else {
        Status::Normal
    }
}

/// Severity zone that goes with a score.
pub(crate) fn severity_of(score: f64) -> Severity {
    if score >= FAULT_SCORE {
        Severity::D
    } else if score >= WARNING_SCORE {
        Severity::C
    } else if score >= ZONE_B_SCORE {
        Severity::B
    } else {
        Severity::A
    }
}

/// Shorthand for a line of evidence.
pub(crate) fn line(
    name: impl Into<String>,
    unit: &str,
    expected: Option<f64>,
    found: Option<f64>,
    above_floor_db: Option<f64>,
) -> Evidence {
    let above_floor_db = above_floor_db.filter(|v| v.is_finite());
    Evidence { line: name.into(), expected, found, unit: unit.to_owned(), above_floor_db }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_never_leaves() {
        let mut findings = Findings { score: f64::NAN, ..Findings::default() };
        findings.feature("kurtosis", f64::INFINITY);
        let verdict = findings.verdict(FaultType::Bearing);
        assert_eq!(verdict.status, Status::InsufficientData);
        assert!(verdict.features.is_empty() && verdict.score == 0.0);
    }
}
