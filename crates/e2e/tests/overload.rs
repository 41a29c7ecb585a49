//! Ten times as much as the gateway can take: what it can take it goes on taking, the rest is refused at once, memory stays.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use reqwest::Client;
use vtox_e2e::{Cluster, Network, ONE_AT_A_TIME, Proxy, eventually};

/// Messages worked on at the same time.
const PLACES: usize = 8;
/// Rounds that are enough where they agree, and where a busy machine makes them differ.
const ROUNDS: usize = 3;
const MOST_ROUNDS: usize = 11;

#[derive(Default)]
struct Tally {
    accepted: AtomicU64,
    shed: AtomicU64,
    other: AtomicU64,
}

impl Tally {
    fn accepted_per_s(&self, over: Duration) -> f64 {
        self.accepted.load(Ordering::Relaxed) as f64 / over.as_secs_f64()
    }
}

#[derive(Clone)]
struct Sender {
    client: Client,
    url: String,
    body: Bytes,
}

impl Sender {
    async fn send(&self, tally: &Tally) {
        let request = self.client.post(&self.url).header("content-type", "application/json");
        let counted = match request.body(self.body.clone()).send().await {
            Ok(answer) if answer.status() == 200 => &tally.accepted,
            Ok(answer) if answer.status() == 503 && answer.headers().contains_key("retry-after") => {
                &tally.shed
            }
            Ok(_) | Err(_) => &tally.other,
        };
        counted.fetch_add(1, Ordering::Relaxed);
    }

    /// So many clients, each as fast as it is answered, whatever the answer is.
    async fn closed_loop(&self, clients: usize, time: Duration) -> Tally {
        let tally = Arc::new(Tally::default());
        let until = Instant::now() + time;
        let clients: Vec<_> = (0..clients)
            .map(|_| {
                let (sender, tally) = (self.clone(), tally.clone());
                tokio::spawn(async move {
                    while Instant::now() < until {
                        sender.send(&tally).await;
                    }
                })
            })
            .collect();
        futures::future::join_all(clients).await;
        Arc::into_inner(tally).expect("all clients have ended")
    }

    /// Messages at a rate, whatever becomes of those before.
    async fn open_loop(&self, per_s: f64, time: Duration) -> Tally {
        let tally = Arc::new(Tally::default());
        let mut sent = Vec::new();
        let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / per_s));
        let until = Instant::now() + time;
        while Instant::now() < until {
            tick.tick().await;
            let (sender, tally) = (self.clone(), tally.clone());
            sent.push(tokio::spawn(async move { sender.send(&tally).await }));
        }
        futures::future::join_all(sent).await;
        Arc::into_inner(tally).expect("all messages are answered")
    }
}

/// Memory in use, bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
    1024 * line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).expect("kB")
}

/// Binds a process with all its threads to processors, as taskset names them.
fn bind(pid: u32, processors: &str) {
    let bound = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", processors, &pid.to_string()])
        .stdout(Stdio::null())
        .status();
    assert!(bound.expect("taskset of util-linux").success());
}

fn body(rows: usize) -> Bytes {
    let rows: Vec<String> =
        (0..rows).map(|n| format!("{{\"Ia\":{n}.5,\"Ib\":-{n}.25,\"Ic\":0.{n}}}")).collect();
    format!("{{\"sensor_data\":{{\"data\":[{}],\"sampling_rate\":1000}}}}", rows.join(",")).into()
}

/// What is ten times too much.
enum Flood {
    /// Ten times the messages per s of the peak, on ever more connections.
    Messages,
    /// Ten times the clients that make the peak, each as fast as it is answered. Open loop has no meaning here: ten times the rows
    /// that fill a processor are more bytes per s than a network brings.
    Clients,
}

/// What came of ten times a peak, and what the gateway took before and after it.
struct Round {
    before_per_s: f64,
    flooded_per_s: f64,
    after_per_s: f64,
}

/// Measures a peak, sends ten times that, and measures again.
async fn round(sender: &Sender, flood: &Flood) -> Round {
    let window = Duration::from_secs(3);
    let before_per_s = sender.closed_loop(PLACES, window).await.accepted_per_s(window);
    let (tally, least_shed) = match flood {
        Flood::Messages => {
            let tally = sender.open_loop(10.0 * before_per_s, window).await;
            let least = 5 * tally.accepted.load(Ordering::Relaxed);
            (tally, least)
        }
        // Each client that is refused comes again after half a second.
        Flood::Clients => {
            (sender.closed_loop(10 * PLACES, window).await, 5 * PLACES as u64 * window.as_secs())
        }
    };
    let shed = tally.shed.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = sender.closed_loop(PLACES, window).await;
    let round = Round {
        before_per_s,
        flooded_per_s: tally.accepted_per_s(window),
        after_per_s: after.accepted_per_s(window),
    };
    println!(
        "peak {before_per_s:.0}/s; at ten times that {:.0}/s accepted, {shed} shed; then {:.0}/s",
        round.flooded_per_s, round.after_per_s
    );
    assert!(shed > least_shed, "it was no overload: {shed} shed");
    let other = tally.other.load(Ordering::Relaxed);
    assert_eq!(other, 0, "neither accepted nor told to come back");
    assert_eq!(after.shed.load(Ordering::Relaxed), 0, "refused after the overload");
    round
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_unstable_by(f64::total_cmp);
    of[of.len() / 2]
}

/// Whether the gateway goes on as before under ten times too much, and after: the median of several rounds, as a machine has bad
/// seconds of its own.
async fn flood(cluster: &mut Cluster, body: Bytes, flood: Flood) {
    let gateway = cluster.gateway();
    eventually(Duration::from_secs(20), "the gateway", async || {
        reqwest::get(format!("{gateway}/ready")).await.is_ok_and(|a| a.status() == 200)
    })
    .await;
    let sender = Sender {
        client: Client::builder().timeout(Duration::from_secs(10)).build().unwrap(),
        url: format!("{gateway}/api/v1/diagnosis-stream/vehicles/V1/data"),
        body,
    };
    sender.closed_loop(PLACES, Duration::from_secs(1)).await;
    let pid = cluster.service("gateway").pid();
    let before = resident(pid);
    let mut rounds = Vec::new();
    let (goodput, recovered) = loop {
        rounds.push(round(&sender, &flood).await);
        // A machine that slows down or gets faster does so before and after.
        let of_peak = |r: &Round| 2.0 * r.flooded_per_s / (r.before_per_s + r.after_per_s);
        let goodput = median(rounds.iter().map(of_peak).collect());
        let recovered = median(rounds.iter().map(|r| r.after_per_s / r.before_per_s).collect());
        let held = goodput >= 0.9 && recovered >= 0.9;
        if rounds.len() >= ROUNDS && held || rounds.len() >= MOST_ROUNDS {
            break (goodput, recovered);
        }
    };
    let memory = resident(pid);
    println!(
        "of the peak {goodput:.2} under overload, {recovered:.2} after; {} -> {} MiB",
        before >> 20,
        memory >> 20
    );
    assert!(goodput >= 0.9, "{goodput} of the peak");
    assert!(recovered >= 0.9, "{recovered} of the peak after the overload");
    assert!(memory < before + (64 << 20), "{before} -> {memory} bytes");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn ten_times_too_much_for_a_distant_redis_is_shed_and_the_rest_goes_on() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::new(&[], &[]);
    let proxy = Proxy::start(cluster.redis.port(), 1).await;
    proxy.set(Network::Delay(20, 0));
    let redis = proxy.url();
    let places = PLACES.to_string();
    let environment = [
        ("REDIS_URL", redis.as_str()),
        ("VTOX_GATEWAY__MAX_IN_FLIGHT", places.as_str()),
        ("VTOX_GATEWAY__RATE_PER_VEHICLE", "0"),
    ];
    cluster.add("gateway", "vtox-gateway", "VTOX_GATEWAY__PORT", &environment);
    flood(&mut cluster, body(100), Flood::Messages).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn ten_times_too_much_for_its_processor_is_shed_and_the_rest_goes_on() {
    let _one = ONE_AT_A_TIME.lock().await;
    if std::thread::available_parallelism().expect("processors").get() < 2 {
        println!("skipped: the senders need a processor of their own");
        return;
    }
    let mut cluster = Cluster::new(&[], &[]);
    let places = PLACES.to_string();
    let environment =
        [("VTOX_GATEWAY__MAX_IN_FLIGHT", places.as_str()), ("VTOX_GATEWAY__RATE_PER_VEHICLE", "0")];
    cluster.add("gateway", "vtox-gateway", "VTOX_GATEWAY__PORT", &environment);
    bind(cluster.service("gateway").pid(), "0");
    bind(cluster.redis.pid(), "1");
    bind(std::process::id(), "1");
    flood(&mut cluster, body(3_000), Flood::Clients).await;
    bind(std::process::id(), "0,1");
}
