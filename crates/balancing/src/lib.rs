//! Worker scores, placement of partitions, routing of tasks and judgement of death. Pure: no I/O, time is passed in.
//!
//! - [`score`] turns what a worker reports about itself into one number with its parts.
//! - [`liveness`] says which members are dead, from their heartbeats on Redis' clock.
//! - [`capacity`] makes the weight of a worker from its score and its measured speed.
//! - [`overload`] and [`failing`] say which workers cannot keep up and which fail at what they do.
//! - [`load`] smooths measured loads.
//! - [`placement`] decides which worker owns which unit (a group of fault types of a partition).
//! - [`routing`] picks a worker for a single task.
//!
//! Nothing here knows what a partition, a stream or a Redis is; identities are generic.

pub mod capacity;
pub mod failing;
pub mod liveness;
pub mod load;
pub mod overload;
pub mod placement;
pub mod routing;
pub mod score;

pub use capacity::{Capacities, Capacity, CapacityConfig, Effort, Reported};
pub use failing::{Failing, FailingConfig, Outcomes};
pub use liveness::{Answer, Hold, Judgement, Liveness, LivenessConfig};
pub use load::{Ewma, LoadTracker};
pub use overload::{Overload, OverloadConfig, Strain};
pub use placement::{
    Candidate, Decision, Explanation, Fill, Move, PlacementConfig, PlacementError, Placer, Plan, Reason,
    Standing, Unit, Worker,
};
pub use score::{Score, ScoreWeights, WeightError, WorkerLoad};

/// The median, of an even number the lower one; 0 of none.
pub fn lower_median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.len().checked_sub(1).map_or(0.0, |last| values[last / 2])
}
