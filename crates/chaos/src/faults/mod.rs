//! What is broken.

mod entries;
mod network;
mod processes;
mod redis;

use std::fmt;

use crate::arena::{Arena, Needs};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A worker, drawn anew each time, is killed and started again.
    WorkersKilled(u32),
    /// A worker is frozen for 10 s and wakes up.
    Zombie,
    /// The coordinator is killed; s without any.
    LeaderKilled(u64),
    /// The coordinator that leads is frozen for 10 s and wakes up.
    LeaderFrozen,
    /// The leader loses its way to Redis while a worker dies, and finds it again.
    CoordinatorsCutApart,
    /// Redis is killed and started again, `appendfsync always`.
    RedisKilled,
    /// Redis is frozen for 5 s.
    RedisFrozen,
    /// The primary is killed under Sentinel, replication cut 1 s before; messages are accepted once replicated.
    PrimaryKilled,
    /// The same without waiting for the replica: the control that must lose.
    PrimaryKilledUnreplicated,
    /// Redis forgets its scripts.
    ScriptsFlushed,
    /// Somebody destroys the consumer groups.
    GroupsDestroyed,
    /// A state key and the stream of results become strings, 3 s each.
    WrongType,
    /// Redis reaches maxmemory while no worker runs, and must drain by itself.
    MemoryFull,
    /// The disk of Redis is full for 5 s.
    DiskFull,
    /// All connections to Redis are reset, ten times.
    ConnectionsReset,
    /// All connections to Redis are half-open for 4 s.
    HalfOpen,
    /// Everything to and from Redis takes 100 +- 50 ms for 15 s.
    Delayed,
    /// 5 % of everything to and from Redis is lost at first for 15 s.
    Lossy,
    /// Entries nobody can decode.
    Poison,
    /// Every service is stopped and started, one after the other.
    RollingRestart,
    /// The gateway is killed with requests in its hands, five times.
    GatewayKilled,
    /// The clock of a service is an hour ahead, and a worker dies.
    ClockOff(&'static str),
}

impl Fault {
    /// The short set.
    pub fn quick() -> Vec<Self> {
        vec![
            Self::WorkersKilled(10),
            Self::Zombie,
            Self::LeaderKilled(15),
            Self::RedisKilled,
            Self::RedisFrozen,
            Self::PrimaryKilled,
            Self::PrimaryKilledUnreplicated,
            Self::WrongType,
            Self::MemoryFull,
            Self::Poison,
            Self::RollingRestart,
        ]
    }

    /// Everything.
    pub fn full() -> Vec<Self> {
        vec![
            Self::WorkersKilled(200),
            Self::Zombie,
            Self::LeaderKilled(60),
            Self::LeaderFrozen,
            Self::CoordinatorsCutApart,
            Self::RedisKilled,
            Self::RedisFrozen,
            Self::PrimaryKilled,
            Self::PrimaryKilledUnreplicated,
            Self::ScriptsFlushed,
            Self::GroupsDestroyed,
            Self::WrongType,
            Self::MemoryFull,
            Self::DiskFull,
            Self::ConnectionsReset,
            Self::HalfOpen,
            Self::Delayed,
            Self::Lossy,
            Self::Poison,
            Self::RollingRestart,
            Self::GatewayKilled,
            Self::ClockOff("worker-1"),
            Self::ClockOff("gateway"),
            Self::ClockOff("coordinator"),
        ]
    }

    /// Seed of its choices: its own, whatever runs before it.
    pub fn seed(self, seed: u64) -> u64 {
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        self.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, fold) ^ seed
    }

    /// Longest gap after its end, ms.
    pub fn gap_limit_ms(self) -> u64 {
        match self {
            Self::WorkersKilled(_) | Self::Zombie | Self::ClockOff(_) => 3_000,
            // The data plane does not need them.
            Self::LeaderKilled(_) | Self::LeaderFrozen => 1_000,
            _ => 5_000,
        }
    }

    /// Whether accepted messages are lost by it, as nothing promised otherwise.
    pub fn must_lose(self) -> bool {
        self == Self::PrimaryKilledUnreplicated
    }

    /// Whether results may be taken back with the primary they were on: commits do not wait for replicas.
    pub fn may_vanish(self) -> bool {
        matches!(self, Self::PrimaryKilled | Self::PrimaryKilledUnreplicated)
    }

    /// Whether some sends must be left without a known outcome.
    pub fn interrupts_sending(self) -> bool {
        matches!(
            self,
            Self::RedisKilled
                | Self::RedisFrozen
                | Self::PrimaryKilled
                | Self::PrimaryKilledUnreplicated
                | Self::MemoryFull
                | Self::DiskFull
                | Self::HalfOpen
                | Self::GatewayKilled
        )
    }

    /// Why it cannot be made on this machine.
    pub fn obstacle(self) -> Option<String> {
        match self {
            Self::DiskFull => redis::no_small_disk(),
            Self::ClockOff(_) if processes::faketime().is_none() => {
                Some("libfaketime is not installed (apt-get install faketime)".to_owned())
            }
            _ => None,
        }
    }

    /// The cluster it needs.
    pub fn needs(self) -> Needs {
        let always =
            |needs: Needs| needs.redis("--appendfsync", "always").set("VTOX_REDIS__DURABILITY", "always");
        match self {
            Self::WorkersKilled(_) | Self::Zombie => Needs::workers(3),
            Self::LeaderFrozen => Needs { standby: true, ..Needs::workers(2) },
            Self::CoordinatorsCutApart => {
                Needs { standby: true, proxied: Some("coordinator"), ..Needs::workers(2) }
            }
            Self::RedisKilled => always(Needs::workers(2)),
            Self::PrimaryKilled => {
                Needs { sentinel: true, ..Needs::workers(2) }.set("VTOX_REDIS__DURABILITY", "replicated")
            }
            Self::PrimaryKilledUnreplicated => always(Needs { sentinel: true, ..Needs::workers(2) }),
            Self::DiskFull => always(Needs::workers(2)).redis("--dir", redis::SMALL_DISK),
            Self::MemoryFull => redis::little_kept(Needs::workers(2)),
            Self::ConnectionsReset | Self::HalfOpen | Self::Delayed | Self::Lossy => {
                Needs { proxied: Some("*"), ..Needs::workers(2) }
            }
            Self::ClockOff(service) => processes::an_hour_ahead(Needs::workers(2), service),
            _ => Needs::workers(2),
        }
    }

    /// Undoes what it did to this machine.
    pub fn clean_up(self) {
        if self == Self::DiskFull {
            redis::unmount_small_disk();
        }
    }

    /// Breaks it and mends it.
    pub async fn strike(self, arena: &mut Arena) {
        match self {
            Self::WorkersKilled(times) => processes::kill_workers(arena, times).await,
            Self::Zombie => processes::freeze_worker(arena).await,
            Self::LeaderKilled(watch_s) => processes::kill_leader(arena, watch_s).await,
            Self::LeaderFrozen => processes::freeze_leader(arena).await,
            Self::CoordinatorsCutApart => network::cut_leader_off(arena).await,
            Self::RedisKilled => redis::kill(arena).await,
            Self::RedisFrozen => redis::freeze(arena).await,
            Self::PrimaryKilled | Self::PrimaryKilledUnreplicated => redis::kill_primary(arena).await,
            Self::ScriptsFlushed => redis::flush_scripts(arena).await,
            Self::GroupsDestroyed => redis::destroy_groups(arena).await,
            Self::WrongType => redis::wrong_type(arena).await,
            Self::MemoryFull => redis::fill_memory(arena).await,
            Self::DiskFull => redis::fill_disk(arena).await,
            Self::ConnectionsReset => network::reset(arena).await,
            Self::HalfOpen => network::half_open(arena).await,
            Self::Delayed => network::delay(arena).await,
            Self::Lossy => network::lose(arena).await,
            Self::Poison => entries::poison(arena).await,
            Self::RollingRestart => processes::rolling_restart(arena).await,
            Self::GatewayKilled => processes::kill_gateway(arena).await,
            Self::ClockOff(service) => processes::live_an_hour_ahead(arena, service).await,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorkersKilled(times) => write!(f, "worker SIGKILL x{times}"),
            Self::Zombie => f.write_str("worker frozen 10 s (zombie)"),
            Self::LeaderKilled(watch_s) => write!(f, "leader SIGKILL, {watch_s} s without one"),
            Self::LeaderFrozen => f.write_str("leader frozen 10 s"),
            Self::CoordinatorsCutApart => f.write_str("coordinators cut apart"),
            Self::RedisKilled => f.write_str("Redis SIGKILL x3 (always)"),
            Self::RedisFrozen => f.write_str("Redis frozen 5 s"),
            Self::PrimaryKilled => f.write_str("primary killed, cut 1 s before (replicated)"),
            Self::PrimaryKilledUnreplicated => f.write_str("the same without WAIT (control)"),
            Self::ScriptsFlushed => f.write_str("SCRIPT FLUSH x10"),
            Self::GroupsDestroyed => f.write_str("groups destroyed"),
            Self::WrongType => f.write_str("WRONGTYPE keys"),
            Self::MemoryFull => f.write_str("maxmemory reached"),
            Self::DiskFull => f.write_str("disk full (always)"),
            Self::ConnectionsReset => f.write_str("connections reset x10"),
            Self::HalfOpen => f.write_str("connections half-open 4 s"),
            Self::Delayed => f.write_str("network 100 +- 50 ms"),
            Self::Lossy => f.write_str("network 5 % loss"),
            Self::Poison => f.write_str("poison entries"),
            Self::RollingRestart => f.write_str("rolling restart"),
            Self::GatewayKilled => f.write_str("gateway SIGKILL x5"),
            Self::ClockOff(service) => write!(f, "clock of {service} 1 h ahead"),
        }
    }
}
