//! On-demand diagnosis between gateway, coordinator and worker: names of headers, limits, priorities.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Header: [`Priority`] of a task.
pub const PRIORITY_HEADER: &str = "vtox-priority";
/// Header: what is left of the time for a task, ms. Relative, so that no two clocks are compared.
pub const TIMEOUT_HEADER: &str = "vtox-timeout-ms";
/// Header: opaque key; tasks with the same one meet the same worker under `consistent_hash`.
pub const AFFINITY_HEADER: &str = "vtox-affinity";
/// Header: `1` asks for the reasons of the choice of worker.
pub const EXPLAIN_HEADER: &str = "vtox-explain";
/// Header of an answer: the workers that diagnosed, with commas between.
pub const WORKER_HEADER: &str = "vtox-worker";
/// Header of an answer: attempts that were made.
pub const ATTEMPTS_HEADER: &str = "vtox-attempts";
/// Header of a worker's answer: `crashed` when the block itself brought the diagnosis down, so that no other worker need try.
pub const OUTCOME_HEADER: &str = "vtox-outcome";

/// Time for a task where none is given, ms.
pub const DEFAULT_TIMEOUT_MS: u64 = 10_000;
/// Longest time for a task, ms.
pub const MAX_TIMEOUT_MS: u64 = 60_000;
/// Longest affinity key, bytes.
pub const MAX_AFFINITY_BYTES: usize = 255;

/// Which of the waiting tasks goes first, and which is refused last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
    Critical,
}

impl Priority {
    /// All of them, the lowest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Critical];

    /// Name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl FromStr for Priority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|p| p.name() == text)
            .ok_or_else(|| format!("priority is {text:?}; low, normal, high or critical is expected"))
    }
}

/// Reads a time for a task, ms.
///
/// # Errors
/// Names the fix.
pub fn parse_timeout_ms(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|ms| (1..=MAX_TIMEOUT_MS).contains(ms))
        .ok_or_else(|| format!("timeout_ms is {text:?}; a number from 1 to {MAX_TIMEOUT_MS} is expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_ordered_and_named() {
        assert!(Priority::Low < Priority::Normal && Priority::High < Priority::Critical);
        for priority in Priority::ALL {
            assert_eq!(priority.name().parse(), Ok(priority));
            assert_eq!(serde_json::to_value(priority).unwrap(), priority.name());
        }
        assert!("urgent".parse::<Priority>().unwrap_err().contains("low, normal, high or critical"));
    }

    #[test]
    fn a_time_is_positive_and_bounded() {
        assert_eq!(parse_timeout_ms("250"), Ok(250));
        for text in ["0", "60001", "-1", "1.5", ""] {
            assert!(parse_timeout_ms(text).unwrap_err().contains("1 to 60000"), "{text}");
        }
    }
}
