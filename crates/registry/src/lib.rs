//! Services, heartbeats, leases and the placement in Redis.
//!
//! All times are on Redis' clock, so that a machine whose clock is off disturbs nobody. Everything written here is
//! written again with the next heartbeat, so a Redis that lost it recovers by itself.

mod lease;
mod motors;
mod placement;
mod routing;
mod services;
mod switches;
mod watch;

pub use lease::{Holder, Lease};
pub use motors::Motors;
pub use placement::{Placement, watch_placement};
pub use routing::RoutingStore;
pub use services::{Members, Registry};
pub use switches::{SUPERVISOR_LEASE, Switchboard, watch_switches};
pub use watch::watch_members;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Redis did not do it.
    #[error("the registry in Redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// A record is not what it should be.
    #[error("a record of the registry cannot be read: {0}")]
    Unreadable(String),
}

/// Result of the registry.
pub type Result<T> = std::result::Result<T, RegistryError>;
