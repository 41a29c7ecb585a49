//! A diagnosis as one HTML page that needs nothing beside it: verdicts, evidence, advice, and charts with the places where a
//! fault would show. Made to be read by a maintenance engineer and to be printed.

mod chart;
mod page;

use vtox_diagnosis::Picture;
use vtox_protocol::{FaultType, MotorProfile, SignalBlock, Verdict};

pub use page::html;

/// What a page reports.
#[derive(Debug)]
pub struct Report<'a> {
    /// Name of the file.
    pub file: &'a str,
    /// The last block of the file, which the charts show.
    pub block: &'a SignalBlock,
    /// Blocks in the file.
    pub blocks: usize,
    /// What is known of the motor.
    pub profile: &'a MotorProfile,
    /// One per fault type.
    pub sections: Vec<Section<'a>>,
}

/// What a page reports of one fault type.
#[derive(Debug)]
pub struct Section<'a> {
    /// The fault type.
    pub fault: FaultType,
    /// The verdict at the end of the file.
    pub verdict: &'a Verdict,
    /// What would make the verdict more certain.
    pub lacking: &'a [String],
    /// Charts.
    pub pictures: Vec<Picture>,
}
