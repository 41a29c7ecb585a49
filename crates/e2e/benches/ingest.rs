//! What a message costs the gateway: requests per second of its processor time, for each form of body, beside a bare axum
//! that sends the body back (`echo`) or only takes it (`sink`). All in one run, turn by turn.
//!
//! `cargo build --release --bins && cargo bench -p vtox-e2e --bench ingest`

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use vtox_e2e::{Cluster, eventually};
use vtox_protocol::SignalBlock;
use vtox_protocol::codec::{encode_binary, encode_json};
use vtox_protocol::keys::Partition;
use vtox_simulation::{Sampling, fleet};
use vtox_test_support::free_port;

/// Requests under way at the same time.
const CLIENTS: usize = 8;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);
/// Where the bare axum listens; a process with it is that axum.
const BARE_PORT: &str = "VTOX_BARE_AXUM_PORT";

struct Form {
    name: &'static str,
    content_type: &'static str,
    body: Bytes,
}

fn columns(block: &SignalBlock) -> String {
    let values: Vec<String> =
        block.channels.iter().map(|c| format!("\"{}\":{:?}", c.quantity.name(), c.samples)).collect();
    let readings: String = block.readings.iter().map(|(q, v)| format!(",\"{}\":{v}", q.name())).collect();
    format!(
        "{{\"columns\":{{{}}},\"sampling_rate\":{}{readings}}}",
        values.join(","),
        block.channels[0].rate_hz
    )
}

fn forms() -> [Form; 3] {
    let mut vehicle = fleet(1, 0, 1).remove(0);
    let mut block = vehicle.next_block(&Sampling::SHORT, 0.0);
    let samples = block.channels[0].samples.len();
    block.channels.retain(|c| c.samples.len() == samples);
    let json = |data: String| Bytes::from(format!("{{\"sensor_data\":{data}}}"));
    println!("{} channels of {samples} samples", block.channels.len());
    [
        Form { name: "rows", content_type: "application/json", body: json(encode_json(&block)) },
        Form { name: "columns", content_type: "application/json", body: json(columns(&block)) },
        Form { name: "binary", content_type: "application/msgpack", body: encode_binary(&block).into() },
    ]
}

/// Processor time a process has had, s: `utime` and `stime` of proc(5), in ticks of 10 ms.
fn processor_s(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let after_name = stat.rsplit_once(") ").expect("a name").1;
    let ticks: f64 = after_name.split(' ').skip(11).take(2).map(|n| n.parse::<f64>().expect("ticks")).sum();
    ticks / 100.0
}

/// Requests per second of a process' time, with `CLIENTS` clients that are as fast as they are answered.
async fn per_core_second(client: &Client, url: &str, form: &Form, pid: u32) -> f64 {
    let (before_s, until) = (processor_s(pid), Instant::now() + ROUND);
    let clients = (0..CLIENTS).map(|_| {
        let request = client.post(url).header(CONTENT_TYPE, form.content_type).body(form.body.clone());
        tokio::spawn(async move {
            let mut answered = 0_u64;
            while Instant::now() < until {
                let request = request.try_clone().expect("a body in memory");
                let answer = request.send().await.expect("an answer");
                let status = answer.status();
                let body = answer.bytes().await.expect("a body");
                assert!(status == 200, "{status} {}", String::from_utf8_lossy(&body));
                answered += 1;
            }
            answered
        })
    });
    let answered: u64 =
        futures::future::join_all(clients).await.into_iter().map(|n| n.expect("a client")).sum();
    answered as f64 / (processor_s(pid) - before_s)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Bare(Child);

impl Bare {
    fn start(port: u16) -> Self {
        let own = std::env::current_exe().expect("a path");
        Self(Command::new(own).env(BARE_PORT, port.to_string()).spawn().expect("a process"))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

async fn serve_bare(port: u16) {
    let app = axum::Router::new()
        .route("/echo", post(async |body: Bytes| body))
        .route("/sink", post(async |body: Bytes| body.len().to_string()))
        .layer(DefaultBodyLimit::disable());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
    axum::serve(listener, app).await.expect("a server");
}

async fn wait_for(url: &str) {
    eventually(Duration::from_secs(20), url, async || reqwest::get(url).await.is_ok()).await;
}

#[tokio::main]
async fn main() {
    if let Ok(port) = std::env::var(BARE_PORT) {
        return serve_bare(port.parse().expect("a port")).await;
    }
    let mut cluster = Cluster::new(&[], &[("VTOX_CLUSTER__PARTITIONS", "2")]);
    let limits =
        ["RATE_PER_VEHICLE", "BACKLOG_AGE_S", "BACKLOG_ENTRIES"].map(|name| format!("VTOX_GATEWAY__{name}"));
    let environment: Vec<(&str, &str)> =
        limits.iter().map(String::as_str).zip(["0", "86400", "100000000"]).collect();
    cluster.add("gateway", "vtox-gateway", "VTOX_GATEWAY__PORT", &environment);
    let gateway = cluster.gateway();
    let gateway_pid = cluster.service("gateway").pid();
    eventually(Duration::from_secs(20), "the gateway", async || {
        reqwest::get(format!("{gateway}/ready")).await.is_ok_and(|a| a.status() == 200)
    })
    .await;
    let port = free_port();
    let bare = Bare::start(port);
    wait_for(&format!("http://127.0.0.1:{port}/")).await;
    let client = Client::builder().timeout(Duration::from_secs(10)).build().expect("a client");
    let ingest = format!("{gateway}/api/v1/diagnosis-stream/vehicles/V1/data");

    let forms = forms();
    println!(
        "form     body kB   gateway    echo    sink   gateway/echo   gateway/sink   (requests per core-second)"
    );
    for form in forms {
        let mut figures: [Vec<f64>; 5] = Default::default();
        for round in 0..=ROUNDS {
            let [echo, sink] = ["echo", "sink"].map(|path| format!("http://127.0.0.1:{port}/{path}"));
            let ours = per_core_second(&client, &ingest, &form, gateway_pid).await;
            let echo = per_core_second(&client, &echo, &form, bare.0.id()).await;
            let sink = per_core_second(&client, &sink, &form, bare.0.id()).await;
            for partition in [0, 1].map(|n| Partition::numbered(n, 1)) {
                let _: u64 = cluster.command(&["XTRIM", &partition.stream(), "MAXLEN", "0"]).await;
            }
            // The first round warms up.
            if round > 0 {
                for (all, figure) in figures.iter_mut().zip([ours, echo, sink, ours / echo, ours / sink]) {
                    all.push(figure);
                }
            }
        }
        let [ours, echo, sink, of_echo, of_sink] = figures.each_mut().map(|all| median(all));
        println!(
            "{:8} {:7.1} {ours:9.0} {echo:7.0} {sink:7.0} {of_echo:14.3} {of_sink:14.3}",
            form.name,
            form.body.len() as f64 / 1_000.0
        );
    }
}
