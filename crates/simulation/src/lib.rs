//! Physically modelled motor signals, healthy and with each of the five faults.
//!
//! Pure and seeded: no I/O, no clock. The deterministic part of a signal (lines, bearing impacts) is
//! a function of absolute time, so blocks generated back to back join without a step; measurement
//! noise comes from the generator's random numbers.
//!
//! The models are those of the literature, named where they are used. They are simple on purpose:
//! steady operating points, lines with the frequencies and magnitudes theory gives. A detector that
//! works here has the physics right; whether it works on machines, only measurements tell. Insulation
//! has no public measurements at all: see [`InsulationSystem`] and [`Development::ThermalAgeing`] for
//! the published rules it follows and for what is our own assumption.
//!
//! - [`Motor`], [`OperatingPoint`] and [`Condition`] say what is simulated; [`Condition`] also says
//!   what a severity means physically.
//! - [`Counterfeit`] is what looks like a fault and is none; [`Development`] lets a fault grow.
//! - [`generate`] makes one block; [`SignalModel`] many of the same machine without recomputing.
//! - [`fleet()`] makes vehicles with ids, unlike motors and a known share of faults.

mod condition;
mod counterfeit;
mod development;
mod fleet;
mod impacts;
mod insulation;
mod lines;
mod model;
mod motor;
mod synthesis;

pub use condition::{BearingDefect, Condition, OperatingPoint, Sampling};
pub use counterfeit::Counterfeit;
pub use development::Development;
pub use fleet::{FIRST_NUMBER, FleetOptions, Vehicle, fleet, vehicle_id};
pub use insulation::{InsulationSystem, ageing_rate, arrhenius_rate};
pub use model::{SignalModel, generate};
pub use motor::Motor;
