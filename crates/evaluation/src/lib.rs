//! Measured recordings and simulated windows: diagnosing them, and scoring the verdicts against the truth.
//!
//! [`records`] reads a manifest and gives blocks as vehicles send them.
//! [`evaluate`] takes recordings through the same steps as the stream and counts; [`simulated`] does it with windows whose
//! truth is known. Labels never reach a detector: a [`Recording`] keeps its [`Truth`] and its [`Measurement`] apart, and what is
//! diagnosed is the measurement, which has no place for a label, a name or a note.

mod evaluation;
mod held_out;
mod layout;
mod manifest;
mod markdown;
mod motor;
mod npy;
mod outcome;
mod parallel;
mod recording;
mod scores;
pub mod simulated;
mod sufficiency;
mod tables;

use std::path::Path;

use vtox_diagnosis::Thresholds;

pub use evaluation::{Confused, EarlyLife, Evaluation, Unreadable};
pub use held_out::HeldOut;
pub use manifest::{ManifestError, Record, RecordError, records};
pub use markdown::markdown;
pub use motor::{class_limit_c, motor_type};
pub use npy::{Array, NpyError, read_npy};
pub use outcome::{Outcome, RecordOutcome, diagnose_blocks, outcomes};
pub use recording::{Confidence, Label, Measurement, Recording, Truth};
pub use scores::{Counts, Macro, Scores};
pub use sufficiency::suffices;
pub use tables::{Table, tables};

/// Diagnoses the recordings of a manifest on all cores and scores the verdicts against the labels. A recording that cannot be
/// read is told among the errors.
pub fn evaluate(manifest: &Path, thresholds: &Thresholds) -> Result<Evaluation, ManifestError> {
    let records = records(manifest)?;
    let judged = parallel::parallel(records.len(), |index| {
        let recording = records[index].load()?;
        Ok(RecordOutcome::of(&recording, thresholds))
    });
    let (mut outcomes, mut errors) = (Vec::new(), Vec::new());
    for judged in judged {
        match judged {
            Ok(outcome) => outcomes.push(outcome),
            Err(RecordError { id, source }) => errors.push(Unreadable { id, error: source.to_string() }),
        }
    }
    Ok(Evaluation::of(outcomes, errors))
}
