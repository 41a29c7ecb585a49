//! What travels between vehicles, services and Redis: messages, keys, codecs, errors.
//!
//! Pure data: no I/O, no clock, no runtime. Every other crate may depend on this one.

mod block;
mod fault;
mod profile;
mod quantity;
mod verdict;

pub use block::{Channel, SignalBlock};
pub use fault::{FaultSet, FaultType, UnknownFaultType};
pub use profile::{BearingGeometry, MotorProfile, MotorType};
pub use quantity::{Quantity, TIME_ALIASES, is_time_alias};
pub use verdict::{Charts, Evidence, Severity, Status, Verdict};
