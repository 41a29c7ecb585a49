//! What every service shares: configuration, telemetry, health and metrics endpoints, shutdown, Redis connections.

pub mod certificate;
pub mod clock;
pub mod config;
pub mod metrics;
pub mod pool;
mod server;
pub mod service;
pub mod telemetry;
pub mod trace;
pub mod wire;

mod connections;
mod healthcheck;
mod lifecycle;
mod member;
mod own_certificate;

pub use connections::Connections;
pub use lifecycle::Lifecycle;
pub use member::{HEARTBEAT, Member, RedisClock, Report};
pub use own_certificate::trusting_only;
pub use service::{Readiness, Service};

/// Version of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
