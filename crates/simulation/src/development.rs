//! Faults that develop over time.

use crate::ageing_rate;

const S_PER_H: f64 = 3600.0;

/// Severity of a fault as a function of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Development {
    /// Grows evenly from nothing and stays where it ends.
    Linear {
        /// Time from which it grows, s.
        begins_s: f64,
        /// Time at which it is fully grown, s.
        ends_s: f64,
        /// Severity when fully grown, 0-1.
        severity: f64,
    },
    /// Insulation that ages at a steady temperature, faster by half or double per 10 K (Montsinger). Its resistance falls
    /// exponentially in the life consumed: five decades over a life.
    ThermalAgeing {
        /// Time from which it ages, s.
        begins_s: f64,
        /// Temperature of the winding, degC.
        temperature_c: f64,
        /// Temperature limit of its insulation class, degC.
        class_c: f64,
        /// Life at that limit, h; 20,000 is the convention of IEC 60216 for the temperature index.
        life_at_class_h: f64,
    },
}

impl Development {
    /// Severity at a time, 0-1.
    pub fn severity_at(&self, time_s: f64) -> f64 {
        let severity = match *self {
            Self::Linear { begins_s, ends_s, severity } => {
                severity * ((time_s - begins_s) / (ends_s - begins_s).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
            }
            Self::ThermalAgeing { begins_s, temperature_c, class_c, life_at_class_h } => {
                let hours = (time_s - begins_s).max(0.0) / S_PER_H;
                let consumed = hours * ageing_rate(temperature_c, class_c) / life_at_class_h;
                // The decades lost grow with the root of the severity.
                consumed.powi(2)
            }
        };
        severity.clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_over_when_it_is_consumed() {
        let at = |temperature_c: f64, hours: f64| {
            Development::ThermalAgeing {
                begins_s: 0.0,
                temperature_c,
                class_c: 155.0,
                life_at_class_h: 20_000.0,
            }
            .severity_at(hours * S_PER_H)
        };
        assert_eq!(at(155.0, 20_000.0), 1.0);
        assert!((at(165.0, 5_000.0) - 0.25).abs() < 1e-12);
        assert!((at(145.0, 20_000.0) - 0.25).abs() < 1e-12);
        assert_eq!(at(155.0, -1.0), 0.0);
    }

    #[test]
    fn linear_growth_has_a_begin_and_an_end() {
        let grows = Development::Linear { begins_s: 10.0, ends_s: 20.0, severity: 0.8 };
        let severities = [0.0, 10.0, 15.0, 20.0, 99.0].map(|t| grows.severity_at(t));
        assert_eq!(severities, [0.0, 0.0, 0.4, 0.8, 0.8]);
    }
}
