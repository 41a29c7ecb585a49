//! Processes that die, freeze and are restarted.

use std::path::PathBuf;
use std::time::Duration;

use rand::Rng;
use vtox_e2e::eventually;
use vtox_protocol::keys::RESULTS;
use vtox_protocol::timestamp::parse_iso8601;
use vtox_service_kit::clock;
use vtox_streams::Entry;
use vtox_streams::views::Views;
use vtox_test_support::ProcessSignal;

use crate::arena::{Arena, Needs};

const LIMIT: Duration = Duration::from_secs(30);

fn draw_worker(arena: &mut Arena) -> String {
    let workers = arena.cluster.services.iter().filter(|s| s.name.starts_with("worker-")).count();
    format!("worker-{}", arena.random.random_range(1..=workers))
}

fn draw_ms(arena: &mut Arena, most: u64) -> Duration {
    Duration::from_millis(arena.random.random_range(0..=most))
}

async fn ready(arena: &Arena, name: &str) {
    let service = arena.cluster.services.iter().find(|s| s.name == name).expect("a service of that name");
    let url = service.url("/ready");
    eventually(LIMIT, &url, async || reqwest::get(&url).await.is_ok_and(|a| a.status().is_success())).await;
}

pub async fn kill_workers(arena: &mut Arena, times: u32) {
    for _ in 0..times {
        // Sooner and later than its lease runs out.
        let (worker, down, pause) = (draw_worker(arena), draw_ms(arena, 4_000), draw_ms(arena, 500));
        arena.say(format_args!("{worker} is killed, and started again after {down:?}"));
        arena.breaks();
        arena.cluster.service(&worker).kill();
        tokio::time::sleep(down).await;
        arena.cluster.service(&worker).restart();
        arena.recovered().await;
        tokio::time::sleep(pause).await;
    }
}

pub async fn freeze_worker(arena: &mut Arena) {
    let worker = draw_worker(arena);
    arena.say(format_args!("{worker} is frozen"));
    arena.breaks();
    arena.cluster.service(&worker).signal(ProcessSignal::STOP);
    tokio::time::sleep(Duration::from_secs(10)).await;
    arena.say(format_args!("{worker} wakes up"));
    arena.cluster.service(&worker).signal(ProcessSignal::CONT);
    tokio::time::sleep(Duration::from_secs(3)).await;
}

pub async fn kill_leader(arena: &mut Arena, watch_s: u64) {
    arena.say("the only coordinator is killed");
    arena.breaks();
    arena.cluster.service("coordinator").kill();
    tokio::time::sleep(Duration::from_secs(watch_s)).await;
    arena.say("it is started again");
    arena.cluster.service("coordinator").restart();
    arena.one_leader().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
}

pub async fn freeze_leader(arena: &mut Arena) {
    let leader = arena.one_leader().await;
    arena.say(format_args!("{leader}, which leads, is frozen"));
    arena.breaks();
    arena.cluster.service(&leader).signal(ProcessSignal::STOP);
    tokio::time::sleep(Duration::from_secs(10)).await;
    arena.cluster.service(&leader).signal(ProcessSignal::CONT);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let next = arena.one_leader().await;
    arena.say(format_args!("{next} leads"));
    if next == leader {
        arena.complaints.push("a leader that was frozen for 10 s still leads".to_owned());
    }
}

pub async fn rolling_restart(arena: &mut Arena) {
    let names: Vec<String> = arena.cluster.services.iter().map(|s| s.name.clone()).collect();
    for name in names {
        arena.say(format_args!("{name} is stopped and started"));
        let from_ms = clock::epoch_ms();
        let service = arena.cluster.service(&name);
        service.signal(ProcessSignal::TERM);
        let status = service.ended(LIMIT).await;
        if !status.success() {
            arena.complaints.push(format!("{name} ended with {status}"));
        }
        arena.cluster.service(&name).restart();
        ready(arena, &name).await;
        // Only where there is one of it, its absence is a fault.
        if name == "gateway" {
            arena.fleet.ledger.broken(from_ms, clock::epoch_ms());
        }
        arena.recovered().await;
    }
}

pub async fn kill_gateway(arena: &mut Arena) {
    for _ in 0..5 {
        let (down, pause) = (draw_ms(arena, 800), draw_ms(arena, 1_000));
        tokio::time::sleep(pause).await;
        arena.say(format_args!("the gateway is killed, and started again after {down:?}"));
        let from_ms = clock::epoch_ms();
        arena.cluster.service("gateway").kill();
        tokio::time::sleep(down).await;
        arena.cluster.service("gateway").restart();
        ready(arena, "gateway").await;
        arena.fleet.ledger.broken(from_ms, clock::epoch_ms());
        arena.recovered().await;
    }
}

pub async fn live_an_hour_ahead(arena: &mut Arena, service: &str) {
    kill_workers(arena, 2).await;
    let ahead_s = clock_of(arena, service).await.map_or(0, |ms| ms.saturating_sub(clock::epoch_ms()) / 1_000);
    arena.say(format_args!("the clock of {service} is {ahead_s} s ahead"));
    if !(3_500..3_700).contains(&ahead_s) {
        arena.complaints.push(format!("the clock of {service} is {ahead_s} s ahead, not an hour"));
    }
}

/// Time by the clock of a service, epoch ms.
async fn clock_of(arena: &Arena, service: &str) -> Option<u64> {
    let text = if service.starts_with("worker-") {
        let views = Views::new(arena.cluster.connection().await);
        let newest = views.newest(RESULTS, 0, 1_000).await.ok()?;
        let fields = newest
            .iter()
            .map(Entry::text_fields)
            .find(|f| f.get("consumer_id").is_some_and(|w| w == service));
        fields?.remove("timestamp")?
    } else {
        let path = if service == "gateway" { "/" } else { "/status" };
        let at = arena.cluster.services.iter().find(|s| s.name == service)?.url(path);
        let answer: serde_json::Value = reqwest::get(at).await.ok()?.json().await.ok()?;
        answer["timestamp"].as_str()?.to_owned()
    };
    parse_iso8601(&text)
}

/// The library that lies about the time.
pub fn faketime() -> Option<PathBuf> {
    let directories =
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/local/lib"];
    directories.into_iter().map(|d| PathBuf::from(d).join("faketime/libfaketime.so.1")).find(|p| p.exists())
}

/// One service lives an hour ahead; its monotonic clock is left alone, as a wrong clock leaves it.
pub fn an_hour_ahead(needs: Needs, service: &'static str) -> Needs {
    let library = faketime().unwrap_or_default();
    needs
        .set_of(service, "LD_PRELOAD", &library.to_string_lossy())
        .set_of(service, "FAKETIME", "+3600s")
        .set_of(service, "FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .set_of(service, "DONT_FAKE_MONOTONIC", "1")
}
