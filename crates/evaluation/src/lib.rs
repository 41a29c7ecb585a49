//! Measured recordings: reading them, diagnosing them, scoring the verdicts against the labels.
//!
//! [`recordings`] reads a manifest, [`read_csv`] a table of one measurement; both give blocks as vehicles send them.
//! [`evaluate`] takes recordings through the same steps as the stream and counts. Labels never reach a detector: what
//! it is given is a [`vtox_protocol::SignalBlock`] and a [`vtox_protocol::MotorProfile`], which have no place for one.

mod csv_file;
mod manifest;
mod npy;
mod table;

pub use csv_file::{CsvError, read_csv};
pub use manifest::{Confidence, Label, ManifestError, Recording, recordings};
pub use npy::{Array, NpyError, read_npy};
pub use table::{Counts, Evaluation, Outcome, RecordOutcome, Scores, diagnose_blocks, evaluate};
