//! The gateway's WebSockets on real processes: data sources are answered for every frame, dashboards are passed on to a
//! bridge and told to come again when it is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use redis::streams::StreamRangeReply;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use vtox_connection::Endpoint;
use vtox_e2e::credentials::vtox;
use vtox_e2e::{Cluster, Fleet, Load, ONE_AT_A_TIME, assert_exact, eventually};
use vtox_ledger::{Follower, Ledger, Outcome, Sent};
use vtox_protocol::SignalBlock;
use vtox_protocol::codec::{decode_binary, decode_json, encode_binary, encode_json};
use vtox_protocol::keys::{RAW, RESULTS};
use vtox_service_kit::clock;
use vtox_simulation::{Sampling, fleet};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open(gateway: &str, path: &str) -> Socket {
    connect_async(format!("{}{path}", gateway.replace("http", "ws"))).await.expect("a WebSocket").0
}

/// The next JSON object.
async fn next(socket: &mut Socket) -> Value {
    let wait = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            if let Message::Text(text) = socket.next().await.expect("an open socket").expect("a frame") {
                return serde_json::from_str(&text).expect("JSON");
            }
        }
    });
    wait.await.expect("a frame in time")
}

/// Reads until the close frame.
async fn closed(socket: &mut Socket) -> Option<CloseFrame> {
    let wait = tokio::time::timeout(Duration::from_secs(15), async {
        loop {
            match socket.next().await.expect("a close frame") {
                Ok(Message::Close(frame)) => return frame,
                Ok(_) => {}
                Err(error) => panic!("closed without a frame: {error}"),
            }
        }
    });
    wait.await.expect("a close frame in time")
}

/// A block in one of the forms of a data source, and as a worker will see it.
fn frame(n: usize, vehicle: &str, block: &SignalBlock) -> (Message, SignalBlock) {
    let text = encode_json(block);
    let of_text = || decode_binary(&encode_binary(&decode_json(text.as_bytes()).unwrap())).unwrap();
    let sensor_data = || serde_json::from_str::<Value>(&text).unwrap();
    match n % 3 {
        0 => (
            Message::text(json!({"vehicle_id": vehicle, "sensor_data": sensor_data()}).to_string()),
            of_text(),
        ),
        1 => {
            let mut flat = sensor_data();
            flat["vehicle_id"] = vehicle.into();
            (Message::text(flat.to_string()), of_text())
        }
        _ => {
            #[derive(serde::Serialize)]
            struct Binary<'a> {
                vehicle_id: &'a str,
                #[serde(with = "serde_bytes")]
                block: &'a [u8],
            }
            let bytes = encode_binary(block);
            let packed = rmp_serde::to_vec_named(&Binary { vehicle_id: vehicle, block: &bytes }).unwrap();
            (Message::binary(packed), decode_binary(&bytes).unwrap())
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_block_of_a_data_source_is_acknowledged_and_diagnosed_once() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[("VTOX_CLUSTER__PARTITIONS", "4")], &["all"]).await;
    let gateway = cluster.gateway();
    let ledger = Ledger::default();
    let mut follower =
        Follower::open(Endpoint::open(&cluster.redis.url()).unwrap(), ledger.clone()).await.unwrap();
    let mut frames = Vec::new();
    let mut vehicles = fleet(10, 0, 1);
    for n in 0..500 {
        let count = vehicles.len();
        let vehicle = &mut vehicles[n % count];
        let block = vehicle.next_block(&Sampling::new(4_000.0, 256), n as f64);
        frames.push(frame(n / count, vehicle.id(), &block));
    }
    let (mut send, mut receive) = open(&gateway, "/ws/datasource").await.split();
    let (frames, blocks): (Vec<_>, Vec<_>) = frames.into_iter().unzip();
    let at_ms = clock::epoch_ms();
    let sending = tokio::spawn(async move {
        for frame in frames {
            send.send(frame).await.expect("an open socket");
        }
        send
    });
    let mut ids = Vec::new();
    while ids.len() < blocks.len() {
        let message = tokio::time::timeout(Duration::from_secs(20), receive.next()).await.expect("an ack");
        let Message::Text(text) = message.unwrap().unwrap() else { continue };
        let ack: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&ack["status"], &ack["errors"]), (&json!("received_batch"), &json!([])), "{ack}");
        assert_eq!(ack["first_index"], ids.len(), "{ack}");
        assert!(ack["queue_size"].is_number() && ack["timestamp"].is_string());
        let accepted = ack["message_ids"].as_array().unwrap();
        assert_eq!(ack["processed_count"], accepted.len());
        ids.extend(accepted.iter().map(|id| id.as_str().unwrap().to_owned()));
    }
    println!("500 blocks over one socket: acknowledged after {} ms", clock::epoch_ms() - at_ms);
    for (id, block) in ids.into_iter().zip(blocks) {
        ledger.sent(id, Sent { at_ms, outcome: Outcome::Accepted, block: Some(Arc::new(block)) });
    }
    let balance = follower.settle().await.unwrap();
    assert_eq!(balance.accepted, 500);
    assert_exact("500 blocks over one data source", &balance);
    drop(sending.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_cannot_be_taken_is_answered_and_the_socket_stays_but_for_one_too_large() {
    let _one = ONE_AT_A_TIME.lock().await;
    let environment = [("VTOX_GATEWAY__BODY_LIMIT_BYTES", "100000"), ("VTOX_GATEWAY__BACKLOG_ENTRIES", "3")];
    let mut cluster = Cluster::start(&[], &environment, &["all"]).await;
    let gateway = cluster.gateway();
    let plain = reqwest::get(format!("{gateway}/ws/datasource")).await.unwrap();
    assert_eq!(plain.status(), 426);
    let mut socket = open(&gateway, "/ws/datasource").await;
    let row = json!({"data": [{"Ia": 1.0}], "sampling_rate": 8000});
    for (text, code) in [
        ("hello".to_owned(), "invalid_json"),
        ("[]".to_owned(), "invalid_json"),
        ("{}".to_owned(), "invalid_json"),
        (json!({"vehicle_id": "", "sensor_data": row}).to_string(), "invalid_vehicle_id"),
        (json!({"vehicle_id": "V", "sensor_data": {"data": []}}).to_string(), "invalid_block"),
        (json!({"vehicle_id": "V"}).to_string(), "invalid_block"),
        (json!({"vehicle_id": "V", "sensor_data": row, "metadata": []}).to_string(), "invalid_metadata"),
    ] {
        socket.send(Message::text(text.clone())).await.unwrap();
        let ack = next(&mut socket).await;
        assert_eq!(ack["processed_count"], 0, "{text}: {ack}");
        assert_eq!(ack["errors"][0]["code"], code, "{text}: {ack}");
        assert_eq!(ack["errors"][0]["index"], ack["first_index"], "{ack}");
    }
    socket.send(Message::binary(&b"\x01\x02"[..])).await.unwrap();
    assert_eq!(next(&mut socket).await["errors"][0]["code"], "undecodable_block");
    // The same message under one key is the same message.
    let keyed = json!({"vehicle_id": "V", "sensor_data": row, "key": "k1"}).to_string();
    let mut ids = Vec::new();
    for _ in 0..2 {
        socket.send(Message::text(keyed.clone())).await.unwrap();
        ids.push(next(&mut socket).await["message_ids"][0].clone());
    }
    assert!(ids[0].is_string() && ids[0] == ids[1], "{ids:?}");

    // At the backlog mark each is told when to send again, and reading slows down.
    let stop = format!("{gateway}/api/v1/diagnosis-stream/system/stop");
    reqwest::Client::new().post(stop).send().await.unwrap().error_for_status().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let flat = json!({"vehicle_id": "V", "data": [{"Ia": 1.0}], "sampling_rate": 8000}).to_string();
    let mut refused = None;
    for _ in 0..20 {
        socket.send(Message::text(flat.clone())).await.unwrap();
        let ack = next(&mut socket).await;
        if ack["errors"][0]["code"] == "backlog" {
            refused = Some(ack);
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let refused = refused.expect("a refusal at the backlog mark");
    assert!(refused["errors"][0]["retry_after_s"].as_u64().unwrap() > 0, "{refused}");
    let began = std::time::Instant::now();
    for _ in 0..4 {
        socket.send(Message::text(flat.clone())).await.unwrap();
        next(&mut socket).await;
    }
    assert!(began.elapsed() > Duration::from_millis(1_000), "{:?}", began.elapsed());

    socket.send(Message::text("x".repeat(150_000))).await.unwrap();
    assert_eq!(closed(&mut socket).await.map(|f| u16::from(f.code)), Some(1009));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_foreign_origins_open_nothing_and_change_nothing() {
    let _one = ONE_AT_A_TIME.lock().await;
    let listed = "https://fleet.example.com";
    let mut cluster = Cluster::start(&[], &[("VTOX_GATEWAY__CORS_ORIGINS", listed)], &["all"]).await;
    let gateway = cluster.gateway();
    let (own, foreign) = (gateway.clone(), "https://evil.example");
    for path in ["/ws/frontend", "/ws/datasource"] {
        let dial = async |origin: &str| {
            let url = format!("{}{path}", gateway.replace("http", "ws"));
            let mut request = url.into_client_request().unwrap();
            request.headers_mut().insert("origin", origin.parse().unwrap());
            match connect_async(request).await {
                Ok(_) => 101,
                Err(Error::Http(answer)) => answer.status().as_u16(),
                Err(error) => panic!("{error}"),
            }
        };
        for (origin, status) in
            [(own.as_str(), 101), (listed, 101), (foreign, 403), ("null", 403), ("http://127.0.0.1:1", 403)]
        {
            assert_eq!(dial(origin).await, status, "{path} from {origin}");
        }
        // A vehicle has no origin.
        drop(open(&gateway, path).await);
    }

    // What a browser sends for any page without asking the gateway first.
    let data = "/api/v1/diagnosis-stream/vehicles/V/data";
    let body = json!({"sensor_data": {"data": [{"Ia": 1.0}], "sampling_rate": 8000}}).to_string();
    let post = async |path: &str, origin: Option<&str>| {
        let request =
            reqwest::Client::new().post(format!("{gateway}{path}")).header("content-type", "text/plain");
        let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
        let answer = request.body(body.clone()).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["code"].clone())
    };
    for path in [data, "/api/v1/diagnosis-stream/system/stop"] {
        assert_eq!(post(path, Some(foreign)).await, (403, json!("foreign_origin")), "{path}");
    }
    let status: Value = reqwest::get(format!("{gateway}/api/v1/diagnosis-stream/system/status"))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(status["data"]["system_status"], "running", "{status}");
    assert_eq!(cluster.command::<u64>(&["XLEN", RAW]).await, 0);
    for origin in [None, Some(own.as_str()), Some(listed)] {
        assert_eq!(post(data, origin).await.0, 200, "{origin:?}");
    }
}

const LOAD: Load = Load { vehicles: 10, interval: Duration::from_millis(200) };

#[tokio::test(flavor = "multi_thread")]
async fn a_dashboard_whose_bridge_dies_is_told_to_come_again() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &["all"]).await;
    let gateway = cluster.gateway();
    let load = Fleet::start(&gateway, &cluster.redis.url(), LOAD).await;
    let url = format!("{}/ws/frontend", gateway.replace("http", "ws"));
    // The subprotocol of a browser is passed on and answered.
    let mut request = format!("{url}?page=1").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "dashboard".parse().unwrap());
    let (mut socket, answer) = connect_async(request).await.expect("a dashboard");
    assert_eq!(answer.headers()["sec-websocket-protocol"], "dashboard");
    socket.send(Message::Ping("are you there".into())).await.unwrap();
    socket.send(Message::text("{\"type\":\"heartbeat\",\"timestamp\":7}")).await.unwrap();
    let (mut results, mut heartbeat, mut pong) = (0, false, false);
    eventually(Duration::from_secs(10), "results, the heartbeat's answer and the pong", async || {
        match socket.next().await.expect("an open socket").expect("a frame") {
            Message::Text(text) => {
                let value: Value = serde_json::from_str(&text).unwrap();
                heartbeat |= value["type"] == "heartbeat_response" && value["timestamp"] == 7;
                results += usize::from(value["fault_type"].is_string());
            }
            Message::Pong(bytes) => pong |= bytes == "are you there",
            _ => {}
        }
        results > 5 && heartbeat && pong
    })
    .await;

    cluster.service("bridge").kill();
    assert_eq!(closed(&mut socket).await.map(|f| u16::from(f.code)), Some(1012));
    match connect_async(&url).await {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), 503),
        other => panic!("{other:?}"),
    }
    cluster.service("bridge").restart();
    let mut again = None;
    eventually(Duration::from_secs(10), "a bridge again", async || {
        again = connect_async(&url).await.ok().map(|(socket, _)| socket);
        again.is_some()
    })
    .await;
    let mut socket = again.unwrap();
    assert!(next(&mut socket).await.is_object());

    // A dashboard that closes is gone at the bridge as well, and a stop is told to those that stay.
    socket.close(None).await.unwrap();
    let metrics = cluster.service("bridge").url("/metrics");
    eventually(Duration::from_secs(5), "no clients", async || {
        let text = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
        text.lines().any(|l| l.starts_with("vtox_bridge_clients") && l.ends_with(" 0"))
    })
    .await;
    assert_exact("dashboards while a bridge dies", &load.settle().await);
    let mut dashboard = open(&gateway, "/ws/frontend").await;
    cluster.service("bridge").signal(vtox_test_support::ProcessSignal::TERM);
    assert_eq!(closed(&mut dashboard).await.map(|f| u16::from(f.code)), Some(1012));
    let mut source = open(&gateway, "/ws/datasource").await;
    cluster.service("gateway").signal(vtox_test_support::ProcessSignal::TERM);
    assert_eq!(closed(&mut source).await.map(|f| u16::from(f.code)), Some(1012));
    assert!(cluster.service("gateway").ended(Duration::from_secs(10)).await.success());
}

fn resident_mib(pid: u32) -> u64 {
    let output =
        std::process::Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_that_read_nothing_take_no_memory_of_the_gateway_and_hold_up_nobody() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &["all"]).await;
    let gateway = cluster.gateway();
    let pid = cluster.service("gateway").pid();
    let mut slow = Vec::new();
    for _ in 0..10 {
        slow.push(open(&gateway, "/ws/frontend").await);
    }
    let mut fast = open(&gateway, "/ws/frontend").await;
    let data = format!("{gateway}/api/v1/diagnosis-stream/vehicles/V/data");
    let body = json!({"sensor_data": {"data": [{"Ia": 1.0}], "sampling_rate": 8000}});
    reqwest::Client::new().post(data).json(&body).send().await.unwrap().error_for_status().unwrap();
    assert!(next(&mut fast).await.is_object());
    let first: StreamRangeReply = cluster.command(&["XRANGE", RESULTS, "-", "+", "COUNT", "1"]).await;
    let fields: BTreeMap<String, String> = first.ids[0]
        .map
        .iter()
        .map(|(k, v)| (k.clone(), redis::from_redis_value(v.clone()).unwrap()))
        .collect();
    let before_mib = resident_mib(pid);
    let counting = tokio::spawn(async move {
        let (mut frames, mut bytes) = (0_usize, 0_usize);
        while let Ok(Some(Ok(message))) = tokio::time::timeout(Duration::from_secs(5), fast.next()).await {
            (frames, bytes) = (frames + 1, bytes + message.len());
        }
        (frames, bytes)
    });
    // Results of 20 KB, 100 MB in all for each dashboard: more than sockets hold by themselves.
    let script = "local r = {} for i = 1, #ARGV do r[i] = ARGV[i] end \
                  for i = 1, 50 do redis.call('XADD', KEYS[1], '*', unpack(r)) end return 1";
    let mut arguments = vec!["EVAL".to_owned(), script.to_owned(), "1".to_owned(), RESULTS.to_owned()];
    for (name, value) in fields.iter().filter(|(name, _)| *name != "advice") {
        arguments.extend([name.clone(), value.clone()]);
    }
    arguments.extend(["advice".to_owned(), "x".repeat(20_000)]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut most_mib = before_mib;
    for _ in 0..100 {
        let _: u8 = cluster.command(&arguments).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        most_mib = most_mib.max(resident_mib(pid));
    }
    let (frames, bytes) = counting.await.unwrap();
    println!(
        "10 dashboards that read nothing, one that does: {frames} frames, {} MB; gateway {before_mib} -> {most_mib} MiB",
        bytes / 1_000_000
    );
    assert!(frames > 4_000, "the one that reads got {frames} of 5000");
    assert!(most_mib < before_mib + 64, "{before_mib} -> {most_mib} MiB");
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_loses_their_token_loses_their_websockets() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[("VTOX_AUTH__REQUIRED", "true")], &["all"]).await;
    let gateway = cluster.gateway();
    let issue = |label: &str, more: &[&str]| {
        let arguments: Vec<&str> =
            ["token", "issue", "--role", "operator", "--label", label].iter().chain(more).copied().collect();
        vtox(&cluster, &arguments, &[])
    };
    let (kept, revoked, brief) =
        (issue("kept", &[]), issue("revoked", &[]), issue("brief", &["--expires", "8s"]));
    let path = |path: &str, token: &str| format!("/ws/{path}?access_token={token}");
    eventually(Duration::from_secs(5), "the keys to be known", async || {
        let mine = format!("{gateway}/api/v1/cluster/status");
        let answer = reqwest::Client::new().get(mine).bearer_auth(&brief).send().await.unwrap();
        answer.status() == 200
    })
    .await;
    let mut stays = open(&gateway, &path("frontend", &kept)).await;
    let mut expires = open(&gateway, &path("frontend", &brief)).await;
    let mut sockets = [
        open(&gateway, &path("frontend", &revoked)).await,
        open(&gateway, &path("datasource", &revoked)).await,
    ];
    let id = revoked.split('_').nth(1).expect("an id").to_owned();
    vtox(&cluster, &["token", "revoke", &id], &[]);
    for socket in &mut sockets {
        let frame = closed(socket).await.expect("a reason");
        assert_eq!(
            (u16::from(frame.code), frame.reason.as_str()),
            (1008, "the token was revoked; get a new one")
        );
    }
    let frame = closed(&mut expires).await.expect("a reason");
    assert_eq!(
        (u16::from(frame.code), frame.reason.as_str()),
        (1008, "the token has expired; get a new one")
    );
    stays.send(Message::text(json!({"type": "heartbeat"}).to_string())).await.unwrap();
    next(&mut stays).await;
}
