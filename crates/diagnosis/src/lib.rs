//! Five motor-fault detectors and the folding of their verdicts into per-vehicle state. Pure: no I/O, no clock.
//!
//! A block goes through three steps:
//!
//! 1. [`Prepared::new`]: checked signals, spectra and the fundamental, computed once and only when asked for;
//! 2. [`diagnose`]: the verdict of one block alone;
//! 3. [`follow`]: the same in the light of what is kept per vehicle and fault type, giving the verdict to publish.
//!
//! [`charts`] draws the small curves that go with a verdict when someone looks at it, [`pictures`] those of a printed report.
//!
//! Verdicts depend on nothing but the block, the profile and the folded state: equal input gives equal output on every
//! thread and machine of one architecture. No detector assumes a supply frequency, a sampling rate or a sensor's gain.
//! The thresholds of a detector stand at the top of its file with their reason.

mod bearing;
mod broken_bar;
mod charts;
mod curves;
mod eccentricity;
mod findings;
mod fold;
mod fundamental;
mod insulation;
mod lomb_scargle;
mod prepared;
mod quality;
mod scale;
mod sidebands;
mod signal;
mod spectrum;
mod speed;
mod symmetrical;
pub mod thresholds;
mod turn_fault;

use vtox_protocol::{FaultType, Verdict};

pub use charts::charts;
pub use curves::{Curve, Mark, Picture, pictures};
pub use findings::{FAULT_SCORE, WARNING_SCORE, model_version};
pub use fold::{FoldedState, follow};
pub use prepared::Prepared;
pub use scale::Scale;
pub use thresholds::Thresholds;

/// Verdict of one block alone, without charts. Score and features are always finite; a score below
/// [`WARNING_SCORE`] is normal, from [`FAULT_SCORE`] on a fault.
pub fn diagnose(prepared: &Prepared<'_>, fault: FaultType) -> Verdict {
    let mut verdict = match fault {
        FaultType::TurnFault => turn_fault::diagnose(prepared),
        FaultType::Insulation => insulation::diagnose(prepared),
        FaultType::Bearing => bearing::diagnose(prepared),
        FaultType::Eccentricity => eccentricity::diagnose(prepared),
        FaultType::BrokenBar => broken_bar::diagnose(prepared),
    };
    if verdict.status.is_evidence() {
        quality::remark(prepared, fault, &mut verdict);
    }
    if prepared.thresholds.overridden(fault) {
        verdict.model_version.push_str("+configured");
    }
    verdict
}
