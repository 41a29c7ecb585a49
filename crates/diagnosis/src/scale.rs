//! From a figure to a score.

use serde::{Deserialize, Serialize};

use crate::findings::{FAULT_SCORE, WARNING_SCORE};

/// The figures at which a score is 0, a warning and a fault; in between and above it is linear, and ends at 1. The
/// figure may grow with the fault (`healthy < warning < fault`) or fall with it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Points")]
pub struct Scale {
    /// Score 0.
    pub healthy: f64,
    /// Score [`WARNING_SCORE`].
    pub warning: f64,
    /// Score [`FAULT_SCORE`].
    pub fault: f64,
}

impl Scale {
    pub(crate) fn score(self, value: f64) -> f64 {
        let to_warning = (value - self.healthy) / (self.warning - self.healthy);
        let beyond = (value - self.warning) / (self.fault - self.warning);
        let score = if beyond < 0.0 {
            WARNING_SCORE * to_warning
        } else {
            WARNING_SCORE + (FAULT_SCORE - WARNING_SCORE) * beyond
        };
        score.clamp(0.0, 1.0)
    }
}

impl Scale {
    /// The figure from which the score is 1.
    pub(crate) fn end(self) -> f64 {
        self.fault + (1.0 - FAULT_SCORE) / (FAULT_SCORE - WARNING_SCORE) * (self.fault - self.warning)
    }

    /// A scale with these three points.
    pub(crate) const fn new(healthy: f64, warning: f64, fault: f64) -> Self {
        Self { healthy, warning, fault }
    }
}

/// A scale as it is written, not yet checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Points {
    healthy: f64,
    warning: f64,
    fault: f64,
}

impl TryFrom<Points> for Scale {
    type Error = String;

    fn try_from(Points { healthy, warning, fault }: Points) -> Result<Self, String> {
        let rises = healthy < warning && warning < fault;
        let falls = healthy > warning && warning > fault;
        let finite = [healthy, warning, fault].iter().all(|v| v.is_finite());
        if finite && (rises || falls) {
            return Ok(Self { healthy, warning, fault });
        }
        Err(format!(
            "healthy {healthy}, warning {warning}, fault {fault} are no scale: they must rise or fall in this order"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_runs_through_its_points_in_either_direction() {
        for (scale, sign) in [
            (Scale { healthy: 0.0, warning: 2.0, fault: 4.0 }, 1.0),
            (Scale { healthy: 0.0, warning: -2.0, fault: -4.0 }, -1.0),
        ] {
            assert_eq!(scale.score(-5.0 * sign), 0.0);
            assert!((scale.score(2.0 * sign) - WARNING_SCORE).abs() < 1e-12);
            assert!((scale.score(4.0 * sign) - FAULT_SCORE).abs() < 1e-12);
            assert_eq!(scale.score(100.0 * sign), 1.0);
            assert!((scale.score(scale.end()) - 1.0).abs() < 1e-12 && scale.score(0.99 * scale.end()) < 1.0);
        }
    }

    #[test]
    fn a_scale_that_does_not_go_one_way_is_refused() {
        let read = |text: &str| serde_json::from_str::<Scale>(text).map_err(|e| e.to_string());
        assert!(read(r#"{"healthy":-60,"warning":-50,"fault":-45}"#).is_ok());
        assert!(read(r#"{"healthy":1,"warning":3,"fault":2}"#).unwrap_err().contains("rise or fall"));
        assert!(read(r#"{"healthy":1,"warning":2,"fault":3,"alarm":4}"#).is_err());
    }
}
