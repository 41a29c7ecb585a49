//! What the tests share: a cluster of real processes on ports of its own, and a fleet that loads it.

mod cluster;
mod load;
mod proxy;

pub use cluster::{Cluster, Process, eventually, program};
pub use load::{Fleet, Load, ids};
pub use proxy::{Network, Proxy};

/// Only one test of a file runs at a time: each starts a cluster and measures it.
pub static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
