//! What every service shares: configuration, telemetry, health and metrics endpoints, shutdown, Redis connections.
