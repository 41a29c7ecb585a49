//! Physically modelled motor signals, healthy and with each of the five faults.
//!
//! Pure and seeded: no I/O, no clock. The deterministic part of a signal (lines, bearing impacts) is
//! a function of absolute time, so blocks generated back to back join without a step; measurement
//! noise comes from the generator's random numbers.
//!
//! The models are those of the literature, named where they are used. They are simple on purpose:
//! steady operating points, lines with the frequencies and magnitudes theory gives. A detector that
//! works here has the physics right; whether it works on machines, only measurements tell.
//!
//! - [`Motor`], [`OperatingPoint`] and [`Condition`] say what is simulated.
//! - [`generate`] makes one block; [`SignalModel`] many of the same machine without recomputing.
//! - [`fleet()`] makes vehicles with ids, unlike motors and a known share of faults.

mod condition;
mod fleet;
mod impacts;
mod insulation;
mod lines;
mod model;
mod motor;
mod synthesis;

pub use condition::{BearingDefect, Condition, OperatingPoint, Sampling};
pub use fleet::{FIRST_NUMBER, FleetOptions, Vehicle, fleet, vehicle_id};
pub use insulation::{ageing_rate, resistance_at_mohm};
pub use model::{SignalModel, generate};
pub use motor::Motor;
