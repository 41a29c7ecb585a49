//! The door of the gateway: what is hostile, slow, too much or sent twice.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use vtox_e2e::credentials::vtox;
use vtox_e2e::{Cluster, ONE_AT_A_TIME, eventually};
use vtox_protocol::keys::RAW;

const PREFIX: &str = "/api/v1/diagnosis-stream";

/// A gateway alone.
async fn gateway(environment: &[(&str, &str)]) -> (Cluster, String) {
    let mut cluster = Cluster::new(&[], &[]);
    cluster.add("gateway", "vtox-gateway", "VTOX_GATEWAY__PORT", environment);
    let url = cluster.gateway();
    eventually(Duration::from_secs(20), "the gateway", async || {
        reqwest::get(format!("{url}/ready")).await.is_ok_and(|a| a.status() == 200)
    })
    .await;
    (cluster, url)
}

fn block() -> Value {
    json!({"sensor_data": {"data": [{"Ia": 1.0}, {"Ia": 2.0}], "sampling_rate": 1000}})
}

async fn json(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    (status, answer.json().await.expect("a JSON answer"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_accepted_once_and_from_one_sender() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (cluster, gateway) = gateway(&[]).await;
    let operator = vtox(&cluster, &["token", "issue", "--role", "operator", "--label", "depot"], &[]);
    let vehicle = vtox(&cluster, &["token", "issue", "--role", "vehicle", "--vehicle", "V1"], &[]);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let client = Client::new();
    let send = async |token: &str, key: &str, body: &Value| {
        let request = client.post(format!("{gateway}{PREFIX}/vehicles/V1/data")).bearer_auth(token);
        json(request.header("Idempotency-Key", key).json(body).send().await.unwrap()).await
    };
    let (status, first) = send(&vehicle, "k1", &block()).await;
    assert_eq!(status, 200, "{first}");
    // Answered as the first time, by the same vehicle, to the letter.
    assert_eq!(send(&vehicle, "k1", &block()).await, (200, first));
    let (status, refusal) = send(&operator, "k1", &block()).await;
    assert_eq!((status, &refusal["code"]), (409, &json!("another_sender")));
    let other = json!({"sensor_data": {"data": [{"Ia": 3.0}]}});
    let (status, refusal) = send(&vehicle, "k1", &other).await;
    assert_eq!((status, &refusal["code"]), (422, &json!("idempotency_key_reused")));
    // A capture: boot id and sequence of the vehicle, sent again by somebody else.
    let mut counted = block();
    counted["metadata"] = json!({"boot_id": "b1", "sequence": 7});
    let plain = async |token: &str| {
        let request = client.post(format!("{gateway}{PREFIX}/vehicles/V1/data")).bearer_auth(token);
        json(request.json(&counted).send().await.unwrap()).await
    };
    let (status, accepted) = plain(&vehicle).await;
    assert_eq!(status, 200);
    assert_eq!(plain(&operator).await.0, 409);
    assert_eq!(plain(&vehicle).await, (200, accepted));
    let length: u64 = cluster.command(&["XLEN", RAW]).await;
    assert_eq!(length, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_an_answer_for_each_message() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (cluster, gateway) = gateway(&[("VTOX_GATEWAY__BATCH_ITEMS", "6")]).await;
    let vehicle = vtox(&cluster, &["token", "issue", "--role", "vehicle", "--vehicle", "V1"], &[]);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let client = Client::new();
    let send = async |kind: &str, token: Option<&str>, body: Vec<u8>| {
        let mut request = client.post(format!("{gateway}/api/v1/messages")).header("content-type", kind);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        json(request.body(body).send().await.unwrap()).await
    };
    let line = |vehicle: &str, key: &str| {
        let mut line = block();
        line["vehicle_id"] = vehicle.into();
        line["key"] = key.into();
        line.to_string()
    };
    let lines =
        [line("V1", "a"), line("V2", "a"), "{\"vehicle_id\":".to_owned(), line("V1", "a"), line("", "b")];
    let (status, answer) = send("application/x-ndjson", None, lines.join("\n").into_bytes()).await;
    assert_eq!(status, 200, "{answer}");
    let statuses: Vec<&str> =
        answer["items"].as_array().unwrap().iter().map(|i| i["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["accepted", "accepted", "rejected", "repeated", "rejected"], "{answer}");
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(2), &json!(2)));
    assert_eq!(answer["items"][0]["message_id"], answer["items"][3]["message_id"]);
    assert_eq!(answer["items"][2]["code"], "invalid_json");
    assert_eq!(answer["items"][4]["code"], "invalid_vehicle_id");
    // A vehicle's key sends for that vehicle.
    let lines = [line("V2", "c"), line("V1", "c")].join("\n").into_bytes();
    let (_, answer) = send("application/x-ndjson", Some(&vehicle), lines).await;
    assert_eq!(answer["status"], "partial", "{answer}");
    assert_eq!(
        (&answer["items"][0]["code"], &answer["items"][1]["status"]),
        (&json!("forbidden"), &json!("accepted"))
    );

    // Literal MessagePack: {"vehicle_id": "V3", "block": <{"v":1,"channels":[{"name":"Ia","rate_hz":8,"f32le":<1.0f32>}]}>}.
    let inner =
        b"\x82\xa1v\x01\xa8channels\x91\x83\xa4name\xa2Ia\xa7rate_hz\x08\xa5f32le\xc4\x04\x00\x00\x80\x3f";
    let mut item = b"\x82\xaavehicle_id\xa2V3\xa5block\xc4".to_vec();
    item.push(inner.len() as u8);
    item.extend_from_slice(inner);
    let two = [item.clone(), item.clone()].concat();
    let (status, answer) = send("application/msgpack", None, two).await;
    assert_eq!((status, &answer["accepted"]), (200, &json!(2)), "{answer}");
    let (status, answer) = send("application/msgpack", None, item[..20].to_vec()).await;
    assert_eq!((status, &answer["code"]), (400, &json!("undecodable_block")));
    // The name of a batch names its messages.
    let named = async |key: &str| {
        let request = client.post(format!("{gateway}/api/v1/messages")).header("Idempotency-Key", key);
        let mut unnamed = block();
        unnamed["vehicle_id"] = "V4".into();
        let lines = format!("{}\n{unnamed}", line("V4", "own"));
        json(request.header("content-type", "application/x-ndjson").body(lines).send().await.unwrap()).await
    };
    let (first, again, other) = (named("b1").await, named("b1").await, named("b2").await);
    let ids = |answer: &(u16, Value)| [0, 1].map(|n| answer.1["items"][n]["message_id"].clone());
    assert_eq!((&first.1["accepted"], &again.1["repeated"]), (&json!(2), &json!(2)), "{again:?}");
    assert_eq!(ids(&first), ids(&again));
    assert_eq!((&other.1["accepted"], &other.1["repeated"]), (&json!(1), &json!(1)), "{other:?}");
    let many = vec![line("V1", "z"); 7].join("\n").into_bytes();
    let (status, answer) = send("application/x-ndjson", None, many).await;
    assert_eq!((status, &answer["code"]), (422, &json!("too_many_items")));
    let (status, answer) = send("text/csv", None, b"x".to_vec()).await;
    assert_eq!((status, &answer["code"]), (415, &json!("unsupported_media_type")));
    let length: u64 = cluster.command(&["XLEN", RAW]).await;
    assert_eq!(length, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_motor_profile_goes_with_each_message_and_decides() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[], &["all"]).await;
    let gateway = cluster.gateway();
    let client = Client::new();
    let call = async |method: Method, path: &str, body: Value| {
        json(client.request(method, format!("{gateway}{path}")).json(&body).send().await.unwrap()).await
    };
    let motor = "/api/v1/vehicles/V1/motor";
    assert_eq!(call(Method::GET, motor, json!(null)).await.0, 404);
    let (status, refusal) = call(Method::PUT, motor, json!({"model": "M1", "profile": {}})).await;
    assert_eq!((status, &refusal["code"]), (422, &json!("unknown_motor_model")));
    let defaults = json!({"motor_type": "permanent_magnet", "pole_pairs": 4});
    assert_eq!(call(Method::PUT, "/api/v1/motors/models/M1", defaults).await.0, 200);
    let (status, set) =
        call(Method::PUT, motor, json!({"model": "M1", "profile": {"bearing": {"designation": "6205"}}}))
            .await;
    assert_eq!(status, 200, "{set}");
    assert_eq!(set["data"]["effective"]["motor_type"], "permanent_magnet");
    assert_eq!(set["data"]["effective"]["bearing"]["elements"], 9);
    for (bad, part) in [
        (json!({"profile": {"pole_pairs": 0}}), "pole_pairs"),
        (json!({"profile": {"bearing": {"designation": "NU1234"}}}), "not in the table"),
        (json!({"profile": {"poles": 2}}), "poles"),
    ] {
        let (status, refusal) = call(Method::PUT, motor, bad).await;
        assert_eq!((status, &refusal["code"]), (422, &json!("invalid_motor")));
        assert!(refusal["detail"].as_str().unwrap().contains(part), "{refusal}");
    }
    // A permanent-magnet motor has no cage: with the profile, and only with it, broken_bar says so.
    for vehicle in ["V1", "V2"] {
        let rows: Vec<Value> = (0..800).map(|n| json!({"Ia": f64::from(n % 160 - 80)})).collect();
        let body = json!({"sensor_data": {"data": rows, "sampling_rate": 8000}});
        assert_eq!(call(Method::POST, &format!("{PREFIX}/vehicles/{vehicle}/data"), body).await.0, 200);
    }
    let status = async |vehicle: &str| {
        let history = format!("{PREFIX}/vehicles/{vehicle}/diagnosis-history?fault_type=broken_bar");
        let (_, history) = call(Method::GET, &history, json!(null)).await;
        history["data"]["diagnosis_history"][0]["status"].as_str().map(str::to_owned)
    };
    eventually(Duration::from_secs(10), "both verdicts", async || {
        status("V1").await.as_deref() == Some("not_applicable") && status("V2").await.is_some()
    })
    .await;
    assert_ne!(status("V2").await.as_deref(), Some("not_applicable"));
    assert_eq!(call(Method::DELETE, motor, json!(null)).await.0, 200);
    assert_eq!(call(Method::DELETE, motor, json!(null)).await.0, 404);

    // What was diagnosed can be paged through and taken along.
    let (_, page) = call(Method::GET, "/api/v1/results?limit=3", json!(null)).await;
    let next = page["data"]["next"].as_str().unwrap();
    let (_, rest) = call(Method::GET, &format!("/api/v1/results?after={next}"), json!(null)).await;
    assert_eq!(page["data"]["results"].as_array().unwrap().len(), 3);
    assert_eq!((rest["data"]["results"].as_array().unwrap().len(), &rest["data"]["next"]), (7, &json!(null)));
    let export = async |format: &str| {
        let url = format!("{gateway}/api/v1/results?vehicle_id=V1&format={format}");
        reqwest::get(url).await.unwrap().text().await.unwrap()
    };
    let csv = export("csv").await;
    assert_eq!(csv.lines().count(), 6, "{csv}");
    assert!(csv.starts_with("timestamp,vehicle_id,fault_type,status,score,"));
    let lines = export("ndjson").await;
    assert!(lines.lines().all(|l| serde_json::from_str::<Value>(l).unwrap()["vehicle_id"] == "V1"));
    assert_eq!(lines.lines().count(), 5);
    let (_, vehicles) = call(Method::GET, "/api/v1/vehicles?limit=1", json!(null)).await;
    assert_eq!((&vehicles["data"]["next"], &vehicles["data"]["total"]), (&json!("V1"), &json!(2)));
    let (_, vehicles) = call(Method::GET, "/api/v1/vehicles?after=V1", json!(null)).await;
    assert_eq!(vehicles["data"]["vehicles"][0]["vehicle_id"], "V2");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_say_what_is_wrong_in_the_shape_of_their_path() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (_cluster, gateway) = gateway(&[("VTOX_GATEWAY__CORS_ORIGINS", "https://fleet.example")]).await;
    let client = Client::new();
    let new = client.get(format!("{gateway}/api/v1/vehicles?limit=0")).send().await.unwrap();
    assert_eq!(new.headers()["content-type"], "application/problem+json");
    let id = new.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(id.len(), 32);
    let (status, problem) = json(new).await;
    assert_eq!((status, &problem["code"]), (422, &json!("invalid_parameter")));
    assert_eq!(problem["type"], "/docs/errors#invalid_parameter");
    assert_eq!(problem["status"], 422);
    let page = reqwest::get(format!("{gateway}/docs/errors")).await.unwrap().text().await.unwrap();
    assert!(page.contains("id=\"invalid_parameter\""));
    let old =
        client.get(format!("{gateway}{PREFIX}/vehicles/V/diagnosis-history?hours=-1")).send().await.unwrap();
    assert_eq!(old.headers()["content-type"], "application/json");
    let (_, old) = json(old).await;
    assert!(old["detail"].is_string() && old["code"] == "invalid_parameter" && old["fix"].is_string());
    let method = client.delete(format!("{gateway}/api/v1/vehicles")).send().await.unwrap();
    assert_eq!(method.status(), 405);
    // Nested too deep, below a name that nobody reads, is refused by every path that takes JSON.
    let deep = format!("{{\"sensor_data\": {{}}, \"x\": {}{}}}", "[".repeat(120), "]".repeat(120));
    for (method, path) in [
        (Method::POST, format!("{PREFIX}/vehicles/V/data").as_str()),
        (Method::POST, "/api/v1/cluster/tasks"),
        (Method::PUT, "/api/v1/cluster/strategy"),
        (Method::PUT, "/api/v1/vehicles/V/motor"),
        (Method::PUT, "/api/v1/motors/models/M"),
        (Method::POST, "/auth/token"),
    ] {
        let request = client.request(method, format!("{gateway}{path}")).body(deep.clone());
        let request = request.header("content-type", "application/json");
        let (status, refusal) = json(request.send().await.unwrap()).await;
        assert_eq!((status, &refusal["code"]), (400, &json!("invalid_json")), "{path}: {refusal}");
        assert!(refusal["detail"].as_str().unwrap().contains("deeper than 32"), "{path}: {refusal}");
    }
    let named = client.get(format!("{gateway}/")).header("x-request-id", "mine-1").send().await.unwrap();
    assert_eq!(named.headers()["x-request-id"], "mine-1");
    for (name, value) in
        [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("cache-control", "no-store")]
    {
        assert_eq!(named.headers()[name], value);
    }
    for path in ["/health", "/ready", "/metrics"] {
        let answer = client.get(format!("{gateway}{path}")).send().await.unwrap();
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
        assert!(answer.headers().contains_key("x-request-id"), "{path}");
        assert!(!answer.headers().contains_key("strict-transport-security"), "{path}: plain HTTP");
    }
    let other = client.delete(format!("{gateway}{PREFIX}/vehicles/V/data")).send().await.unwrap();
    assert_eq!((other.status().as_u16(), other.headers()["allow"].to_str().unwrap()), (405, "POST"));
    let preflight = |origin: &str| {
        client
            .request(Method::OPTIONS, format!("{gateway}/api/v1/vehicles"))
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .send()
    };
    let allowed = preflight("https://fleet.example").await.unwrap();
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://fleet.example");
    let foreign = preflight("https://elsewhere.example").await.unwrap();
    assert!(!foreign.headers().contains_key("access-control-allow-origin"));
    for (page, part) in [("/docs/", "swagger-ui"), ("/docs/swagger-initializer.js", "/openapi.json")] {
        let text = reqwest::get(format!("{gateway}{page}")).await.unwrap().text().await.unwrap();
        assert!(text.contains(part) && !text.contains("https://unpkg"), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_often_is_told_when_to_come_back() {
    let _one = ONE_AT_A_TIME.lock().await;
    let limits = [("VTOX_GATEWAY__RATE_PER_VEHICLE", "1"), ("VTOX_GATEWAY__RATE_PER_VEHICLE_BURST", "3")];
    let (_cluster, gateway) = gateway(&limits).await;
    let client = Client::new();
    let send = async |vehicle: &str| {
        client.post(format!("{gateway}{PREFIX}/vehicles/{vehicle}/data")).json(&block()).send().await.unwrap()
    };
    for left in ["2", "1", "0"] {
        let answer = send("V1").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["ratelimit"], format!("\"vehicle\";r={left}"));
        assert_eq!(answer.headers()["ratelimit-policy"], "\"vehicle\";q=3;w=3");
    }
    let refused = send("V1").await;
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.headers()["ratelimit"], "\"vehicle\";r=0");
    assert_eq!(refused.headers()["ratelimit-policy"], "\"vehicle\";q=3;w=3");
    let (status, body) = json(refused).await;
    assert_eq!((status, &body["code"]), (429, &json!("rate_limited")));
    assert_eq!(send("V2").await.status(), 200);
    let options = client.request(Method::OPTIONS, format!("{gateway}/")).send().await.unwrap();
    assert_eq!((options.status().as_u16(), options.headers()["allow"].to_str().unwrap()), (405, "GET, HEAD"));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(send("V1").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_dawdle_keep_nobody_out() {
    let _one = ONE_AT_A_TIME.lock().await;
    let limits = [
        ("VTOX_GATEWAY__HEADER_TIMEOUT_S", "2"),
        ("VTOX_GATEWAY__BODY_TIMEOUT_S", "2"),
        ("VTOX_GATEWAY__MAX_CONNECTIONS", "120"),
        ("VTOX_GATEWAY__MAX_IN_FLIGHT", "10"),
    ];
    let (cluster, gateway) = gateway(&limits).await;
    let mut sent: u64 = 0;
    let address = gateway.trim_start_matches("http://").to_owned();
    let head = format!("POST {PREFIX}/vehicles/V/data HTTP/1.1\r\nhost: x\r\n");
    let whole_head = format!("{head}content-type: application/json\r\ncontent-length: 100000\r\n\r\n");
    for (what, opening, end) in
        [("nothing", "", ""), ("half a head", head.as_str(), ""), ("half a body", &whole_head, "408")]
    {
        let began = Instant::now();
        let mut connections: Vec<TcpStream> = (0..50)
            .map(|_| {
                let mut stream = TcpStream::connect(&address).unwrap();
                stream.write_all(opening.as_bytes()).unwrap();
                stream
            })
            .collect();
        // There is room for others while they are held.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let other = Client::new().post(format!("{gateway}{PREFIX}/vehicles/W/data")).json(&block());
        assert_eq!(other.send().await.unwrap().status(), StatusCode::OK, "{what}");
        sent += 1;
        // A byte now and then must not buy more time.
        let dribble = if opening.is_empty() { "" } else { "x" };
        while began.elapsed() < Duration::from_secs(3) {
            for stream in &mut connections {
                drop(stream.write_all(dribble.as_bytes()));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        for stream in &mut connections {
            stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            let mut answer = Vec::new();
            // Reset is as good as closed.
            drop(stream.read_to_end(&mut answer));
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.contains(end), "{what}: {answer}");
        }
        assert!(began.elapsed() < Duration::from_secs(9), "{what} was kept for {:?}", began.elapsed());
    }
    // Over the share of an address a connection is closed, and once there is room again it is not.
    let held: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(&address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(300));
    let mut last = held.last().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    assert!(matches!(last.read(&mut [0]), Ok(0) | Err(_)));
    if cfg!(target_os = "linux") {
        let elsewhere = Client::builder().local_address(IpAddr::from([127, 0, 0, 2])).build().unwrap();
        let health = elsewhere.get(format!("{gateway}/health")).send().await.unwrap();
        assert_eq!(health.status(), StatusCode::OK, "one address keeps others out");
    }
    drop(held);
    eventually(Duration::from_secs(5), "room again", async || {
        reqwest::get(format!("{gateway}/health")).await.is_ok_and(|a| a.status() == 200)
    })
    .await;
    let length: u64 = cluster.command(&["XLEN", RAW]).await;
    assert_eq!(length, sent);
}

/// A WebSocket to a data source that has sent so many bytes of a frame that never ends.
fn unfinished_frame(address: &str, bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = "GET /ws/datasource HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    // Final binary frame of 8,000,000 bytes, masked.
    let mut frame = vec![0x82, 0xFF, 0, 0, 0, 0, 0, 0x7A, 0x12, 0x00, 0, 0, 0, 0];
    frame.resize(frame.len() + bytes, 0);
    drop(stream.write_all(&frame));
    stream
}

/// Whether the other end has closed, or closes within a second.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut rest = Vec::new();
    !matches!(stream.read_to_end(&mut rest), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_do_not_end_take_no_more_than_bodies_may() {
    let _one = ONE_AT_A_TIME.lock().await;
    let limits = [("VTOX_GATEWAY__BODIES_LIMIT_BYTES", "33554432"), ("VTOX_GATEWAY__LARGEST_SHARE", "1")];
    let (_cluster, gateway) = gateway(&limits).await;
    let address = gateway.trim_start_matches("http://").to_owned();
    let mut held: Vec<TcpStream> = (0..8).map(|_| unfinished_frame(&address, 7 << 20)).collect();
    let closed = held.iter_mut().map(is_closed).filter(|closed| *closed).count();
    assert!((4..8).contains(&closed), "{closed} of 8 times 7 MiB do not fit into 32 MiB");
    drop(held);
    eventually(Duration::from_secs(5), "memory again", async || {
        let body = vec![b' '; 8 << 20];
        let url = format!("{gateway}{PREFIX}/vehicles/W/data");
        let sent = Client::new().post(url).header("content-type", "application/json").body(body).send().await;
        sent.is_ok_and(|answer| answer.status() == 400)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_of_an_answer_is_let_go() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (_cluster, gateway) = gateway(&[("VTOX_GATEWAY__HEADER_TIMEOUT_S", "2")]).await;
    let path = "/docs/swagger-ui-bundle.js";
    let size = reqwest::get(format!("{gateway}{path}")).await.unwrap().bytes().await.unwrap().len();
    let mut stream = TcpStream::connect(gateway.trim_start_matches("http://")).unwrap();
    let times = (40 << 20) / size;
    let requests = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").repeat(times);
    stream.write_all(requests.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_secs(5));
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answers = Vec::new();
    // Reset is as good as closed.
    drop(stream.read_to_end(&mut answers));
    assert!(answers.len() < times * size, "{} bytes were kept for it", answers.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_arrive_take_nobodys_place() {
    let _one = ONE_AT_A_TIME.lock().await;
    let limits = [
        ("VTOX_GATEWAY__MAX_IN_FLIGHT", "4"),
        ("VTOX_GATEWAY__BODIES_LIMIT_BYTES", "33554432"),
        ("VTOX_GATEWAY__LARGEST_SHARE", "1"),
    ];
    let (_cluster, gateway) = gateway(&limits).await;
    let address = gateway.trim_start_matches("http://").to_owned();
    let client = Client::new();
    let hold = |path: &str, count: usize, body: &[u8]| -> Vec<TcpStream> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len() + 100
        );
        (0..count)
            .map(|_| {
                let mut stream = TcpStream::connect(&address).unwrap();
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(body).unwrap();
                stream
            })
            .collect()
    };
    let send = async || {
        let request = client.post(format!("{gateway}{PREFIX}/vehicles/V1/data")).json(&block());
        request.send().await.unwrap().status().as_u16()
    };
    // More than there are places, of those that show a token and of those that do not.
    let slow = [hold(&format!("{PREFIX}/vehicles/V2/data"), 20, b"{"), hold("/auth/token", 60, b"{")];
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..20 {
        assert_eq!(send().await, 200);
    }
    let login = client.post(format!("{gateway}/auth/token")).json(&json!({"username": "a", "password": "b"}));
    assert_eq!(login.send().await.unwrap().status(), 401);
    drop(slow);

    // All the memory there is for bodies, almost whole: it is free again soon, not when the body times out.
    let began = Instant::now();
    let large = vec![b' '; 7 << 20];
    let mut slow = hold(&format!("{PREFIX}/vehicles/V2/data"), 5, &large);
    eventually(Duration::from_secs(15), "memory for a message", async || send().await == 200).await;
    for stream in &mut slow {
        stream.set_read_timeout(Some(Duration::from_secs(12))).unwrap();
        let mut answer = [0; 12];
        drop(stream.read_exact(&mut answer));
        assert!(answer.ends_with(b"408") || answer.ends_with(b"503"), "{answer:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_passwords_is_slowed_down() {
    let _one = ONE_AT_A_TIME.lock().await;
    let limits =
        [("VTOX_GATEWAY__LOGINS_PER_USER_PER_MIN", "3"), ("VTOX_GATEWAY__LOGINS_PER_ADDRESS_PER_MIN", "6")];
    let (_cluster, gateway) = gateway(&limits).await;
    let client = Client::new();
    let guess = async |name: &str| {
        let body = json!({"username": name, "password": "a guess of many"});
        client.post(format!("{gateway}/auth/token")).json(&body).send().await.unwrap()
    };
    for _ in 0..3 {
        assert_eq!(guess("ann").await.status(), 401);
    }
    let refused = guess("ann").await;
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(refused.headers()["ratelimit-policy"], "\"user\";q=3;w=60");
    let (status, body) = json(refused).await;
    assert_eq!((status, &body["code"]), (429, &json!("rate_limited")));
    // Another user is not kept out by that; who tries one after the other is.
    assert_eq!(guess("bob").await.status(), 401);
    assert_eq!(guess("cid").await.status(), 401);
    let refused = guess("dan").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["ratelimit-policy"], "\"address\";q=6;w=60");
}
