//! Ways to Redis that break.

use std::time::Duration;

use vtox_e2e::Network;
use vtox_test_support::ProcessSignal;

use crate::arena::Arena;

pub async fn cut_leader_off(arena: &mut Arena) {
    // The way that can be cut is the first coordinator's: it must lead.
    if arena.one_leader().await == "standby" {
        let standby = arena.cluster.service("standby");
        standby.signal(ProcessSignal::TERM);
        standby.ended(Duration::from_secs(20)).await;
        arena.cluster.service("standby").restart();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let leader = arena.one_leader().await;
    arena.say(format_args!("{leader}, which leads, loses its way to Redis"));
    arena.network.set(Network::HalfOpen);
    tokio::time::sleep(Duration::from_secs(4)).await;
    arena.say("worker-1 is killed");
    arena.breaks();
    arena.cluster.service("worker-1").kill();
    arena.recovered().await;
    arena.say("the way is back, and worker-1 too");
    arena.network.set(Network::Fine);
    arena.cluster.service("worker-1").restart();
    tokio::time::sleep(Duration::from_secs(5)).await;
    if arena.one_leader().await != "standby" {
        arena.complaints.push("the leader that was cut off leads again".to_owned());
    }
}

pub async fn reset(arena: &mut Arena) {
    for _ in 0..10 {
        arena.network.set(Network::Reset);
        arena.broken_for(Duration::from_millis(50)).await;
        arena.network.set(Network::Fine);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

pub async fn half_open(arena: &mut Arena) {
    arena.network.set(Network::HalfOpen);
    arena.broken_for(Duration::from_secs(4)).await;
    arena.network.set(Network::Fine);
    arena.recovered().await;
}

/// Slow is not broken: the time counts.
pub async fn delay(arena: &mut Arena) {
    arena.network.set(Network::Delay(100, 50));
    tokio::time::sleep(Duration::from_secs(15)).await;
    arena.network.set(Network::Fine);
}

pub async fn lose(arena: &mut Arena) {
    arena.network.set(Network::Loss(5));
    tokio::time::sleep(Duration::from_secs(15)).await;
    arena.network.set(Network::Fine);
}
