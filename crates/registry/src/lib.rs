//! Services, heartbeats, leases and the placement in Redis.
