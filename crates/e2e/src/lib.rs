//! What the tests share: a cluster of real processes on ports of its own, and a fleet that loads it.

pub mod credentials;

mod cluster;
mod load;
mod proxy;
pub mod routes;
pub mod tasks;

pub use cluster::{Cluster, Process, eventually, program};
pub use load::{Fleet, Load, ids};
pub use proxy::{Network, Proxy};

/// Only one test of a file runs at a time: each starts a cluster and measures it.
pub static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Everything is as promised, and every verdict was compared with what the detectors say.
///
/// # Panics
/// When it is not, with the first violations.
pub fn assert_exact(what: &str, balance: &vtox_ledger::Balance) {
    println!("{what}: {}", balance.summary());
    assert!(balance.expected > 0 && balance.compared == balance.expected);
    assert!(balance.is_exact(), "{:#?}", (&balance.examples, &balance.counters));
}
