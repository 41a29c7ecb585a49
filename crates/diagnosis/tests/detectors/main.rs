//! The detectors on synthetic signals with known content, and what must hold of them whatever the input.

mod bearing;
mod common;
mod insulation;
mod properties;
mod rotor;
mod short_blocks;
mod winding;
