//! What happens to Redis.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use vtox_e2e::eventually;
use vtox_protocol::FaultType;
use vtox_protocol::keys::{self, Partition};
use vtox_service_kit::clock;
use vtox_test_support::ProcessSignal;

use crate::arena::{Arena, Needs};

pub async fn kill(arena: &mut Arena) {
    for _ in 0..3 {
        arena.say("Redis is killed");
        let from_ms = clock::epoch_ms();
        arena.cluster.redis.kill();
        tokio::time::sleep(Duration::from_millis(500)).await;
        arena.cluster.redis.restart();
        arena.fleet.ledger.broken(from_ms, clock::epoch_ms());
        arena.recovered().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

pub async fn freeze(arena: &mut Arena) {
    arena.say("Redis is frozen");
    arena.cluster.redis.signal(ProcessSignal::STOP);
    arena.broken_for(Duration::from_secs(5)).await;
    arena.cluster.redis.signal(ProcessSignal::CONT);
    arena.recovered().await;
}

/// From the cut to a promotion: 1 s cut, 1 s until the primary is taken for dead, the election.
const PROMOTED_WITHIN_MS: u64 = 6_000;

pub async fn kill_primary(arena: &mut Arena) {
    let group = arena.group.as_ref().expect("a group under Sentinel");
    arena.say("replication is cut");
    let from_ms = clock::epoch_ms();
    group.cut_replication(&arena.cluster.redis);
    tokio::time::sleep(Duration::from_secs(1)).await;
    arena.say("the primary is killed");
    let old = arena.cluster.redis.port();
    arena.cluster.redis.kill();
    let group = arena.group.as_ref().expect("a group under Sentinel");
    group.mend_replication();
    eventually(Duration::from_secs(30), "a promotion", async || {
        group.primary_port().is_some_and(|port| port != old)
    })
    .await;
    let took_ms = clock::epoch_ms().saturating_sub(from_ms);
    if took_ms > PROMOTED_WITHIN_MS {
        arena.complaints.push(format!("the promotion took {took_ms} ms from the cut on"));
    }
    arena.say("the replica is promoted, and the old primary comes back as its replica");
    arena.cluster.redis.restart();
    arena.fleet.ledger.broken(from_ms, clock::epoch_ms());
    arena.recovered().await;
}

pub async fn flush_scripts(arena: &mut Arena) {
    for _ in 0..10 {
        let _: () = arena.cluster.command(&["SCRIPT", "FLUSH"]).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

pub async fn destroy_groups(arena: &mut Arena) {
    arena.breaks();
    for partition in (0..16).map(|n| Partition::numbered(n, 1)) {
        for fault in FaultType::ALL {
            let group = keys::diagnosis_group(fault);
            let _: u64 = arena.cluster.command(&["XGROUP", "DESTROY", &partition.stream(), &group]).await;
        }
    }
    let _: u64 = arena.cluster.command(&["XGROUP", "DESTROY", keys::RESULTS, keys::AGGREGATION_GROUP]).await;
    arena.recovered().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let stream = Partition::numbered(0, 1).stream();
    let groups: Vec<redis::Value> = arena.cluster.command(&["XINFO", "GROUPS", &stream]).await;
    if groups.len() != FaultType::ALL.len() {
        arena.complaints.push(format!("{} groups are back", groups.len()));
    }
}

pub async fn wrong_type(arena: &mut Arena) {
    let state = Partition::numbered(3, 1).state(FaultType::Bearing);
    for key in [state.as_str(), keys::RESULTS] {
        arena.say(format_args!("{key} becomes a string"));
        let from_ms = clock::epoch_ms();
        arena.cluster.break_key(key).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        arena.cluster.mend_key(key).await;
        arena.fleet.ledger.broken(from_ms, clock::epoch_ms());
        arena.recovered().await;
    }
}

/// Room below maxmemory, bytes.
const ROOM: u64 = 6 << 20;

/// What has been answered is given up soon, so that a full Redis can drain.
pub fn little_kept(needs: Needs) -> Needs {
    needs
        .set("VTOX_GATEWAY__BACKLOG_MEMORY_SHARE", "1")
        .set("VTOX_WORKER__RAW_RETENTION_S", "0")
        .set("VTOX_BRIDGE__RESULTS_RETENTION_S", "1")
}

pub async fn fill_memory(arena: &mut Arena) {
    arena.say("both workers are killed, and memory ends");
    let from_ms = clock::epoch_ms();
    for worker in ["worker-1", "worker-2"] {
        arena.cluster.service(worker).kill();
    }
    let info: String = arena.cluster.command(&["INFO", "memory"]).await;
    let used = info.lines().find_map(|l| l.strip_prefix("used_memory:")).and_then(|n| n.trim().parse().ok());
    let limit = used.unwrap_or(0_u64) + ROOM;
    let _: () = arena.cluster.command(&["CONFIG", "SET", "maxmemory", &limit.to_string()]).await;
    let mut connection = arena.cluster.connection().await;
    eventually(Duration::from_secs(60), "Redis to be full", async || {
        let set = redis::cmd("SET").arg("probe").arg(1).query_async::<()>(&mut connection).await;
        set.is_err_and(|e| e.to_string().contains("OOM"))
    })
    .await;
    arena.say("Redis is full");
    tokio::time::sleep(Duration::from_secs(2)).await;
    for worker in ["worker-1", "worker-2"] {
        arena.cluster.service(worker).restart();
    }
    // The limit stays: what is refused must become acceptable again by draining.
    tokio::time::sleep(Duration::from_secs(1)).await;
    arena.fleet.ledger.broken(from_ms, clock::epoch_ms());
    arena.recovered().await;
    arena.say("Redis has drained");
}

/// Where the small disk is mounted.
pub const SMALL_DISK: &str = "/mnt/vtox-chaos";

/// Unmounts the small disk.
pub fn unmount_small_disk() {
    drop(Command::new("umount").arg(SMALL_DISK).output());
}

/// Mounts a disk of 48 MiB; why not, if it cannot be done.
pub fn no_small_disk() -> Option<String> {
    unmount_small_disk();
    let made = std::fs::create_dir_all(SMALL_DISK);
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "none", SMALL_DISK]).output();
    let mounted = mounted.is_ok_and(|o| o.status.success());
    (made.is_err() || !mounted).then(|| format!("a small disk cannot be mounted on {SMALL_DISK}: be root"))
}

pub async fn fill_disk(arena: &mut Arena) {
    arena.say("the disk fills up");
    let from_ms = clock::epoch_ms();
    let filler = format!("{SMALL_DISK}/filler");
    let mut file = std::fs::File::create(&filler).expect("a file on the small disk");
    while file.write_all(&[0; 1 << 16]).is_ok() {}
    tokio::time::sleep(Duration::from_secs(5)).await;
    arena.say("there is room again, and Redis is started again");
    std::fs::remove_file(&filler).expect("the filler");
    drop(file);
    arena.cluster.redis.kill();
    arena.cluster.redis.restart();
    arena.fleet.ledger.broken(from_ms, clock::epoch_ms());
    arena.recovered().await;
}
