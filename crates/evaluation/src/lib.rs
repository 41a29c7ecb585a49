//! Measured recordings: reading them, diagnosing them, scoring the verdicts against the labels.
