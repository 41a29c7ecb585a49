//! Worker scores, placement of partitions and judgement of death. Pure: no I/O, time is passed in.
//!
//! - [`score`] turns what a worker reports about itself into one number with its parts.
//! - [`liveness`] says which members are dead, from their heartbeats on Redis' clock.
//! - [`load`] smooths measured loads.
//! - [`placement`] decides which worker owns which unit (a group of fault types of a partition).
//!
//! Nothing here knows what a partition, a stream or a Redis is; identities are generic.

pub mod liveness;
pub mod load;
pub mod placement;
pub mod score;

pub use liveness::{Answer, Hold, Judgement, Liveness, LivenessConfig};
pub use load::{Ewma, LoadTracker};
pub use placement::{
    Candidate, Decision, Explanation, Fill, Move, PlacementConfig, Placer, Plan, Reason, Standing, Unit,
    Worker,
};
pub use score::{Score, ScoreWeights, WeightError, WorkerLoad};
