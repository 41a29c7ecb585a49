//! Whose message it is, and that it is the same one whichever way it comes.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use reqwest::{Client, RequestBuilder};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use vtox_e2e::credentials::vtox;
use vtox_e2e::{Cluster, ONE_AT_A_TIME, eventually};
use vtox_protocol::codec::{decode_json, encode_binary};
use vtox_protocol::keys::RAW;

const SENSOR_DATA: &str = r#"{"data":[{"Ia":1.0},{"Ia":2.5}],"sampling_rate":8000}"#;

#[derive(Serialize)]
struct Item {
    vehicle_id: &'static str,
    #[serde(with = "serde_bytes")]
    block: Vec<u8>,
    metadata: &'static str,
    location: &'static str,
    key: &'static str,
}

/// A gateway alone, and the address at which a vehicle sends.
async fn gateway() -> (Cluster, String, String) {
    let mut cluster = Cluster::new(&[], &[]);
    cluster.add("gateway", "vtox-gateway", "VTOX_GATEWAY__PORT", &[]);
    let gateway = cluster.gateway();
    eventually(Duration::from_secs(20), "the gateway", async || {
        reqwest::get(format!("{gateway}/ready")).await.is_ok_and(|a| a.status() == 200)
    })
    .await;
    let data = format!("{gateway}/api/v1/diagnosis-stream/vehicles/V/data");
    (cluster, gateway, data)
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_the_same_whichever_way_it_comes() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (cluster, gateway, data) = gateway().await;
    let client = Client::new();
    let batch = async |kind: &str, body: Vec<u8>| {
        let request = client.post(format!("{gateway}/api/v1/messages")).header("content-type", kind);
        answer(request.body(body)).await.1["items"][0].clone()
    };
    let line = |metadata: Value| {
        let sensor_data: Value = serde_json::from_str(SENSOR_DATA).unwrap();
        json!({"vehicle_id": "V", "sensor_data": sensor_data, "metadata": metadata, "location": "x", "key": "k"})
            .to_string()
    };
    let first = batch("application/x-ndjson", line(json!({"a": 1, "b": 2})).into()).await;
    assert_eq!(first["status"], "accepted", "{first}");
    let id = first["message_id"].as_str().unwrap();

    // Alone, with other spaces and another order.
    let body = format!(r#"{{ "metadata": {{"b": 2, "a": 1}}, "sensor_data": {SENSOR_DATA} }}"#);
    let single = client.post(&data).query(&[("location", "x")]).header("Idempotency-Key", "k").body(body);
    let (status, sent) = answer(single).await;
    assert_eq!((status, sent["message_id"].as_str()), (200, Some(id)), "{sent}");
    // In the binary form.
    let block = encode_binary(&decode_json(SENSOR_DATA.as_bytes()).unwrap());
    let item = Item { vehicle_id: "V", block, metadata: r#"{"a":1,"b":2}"#, location: "x", key: "k" };
    let packed = batch("application/msgpack", rmp_serde::to_vec_named(&item).unwrap()).await;
    assert_eq!((packed["status"].as_str(), packed["message_id"].as_str()), (Some("repeated"), Some(id)));
    // On a WebSocket.
    let socket = connect_async(format!("{}/ws/datasource", gateway.replace("http", "ws"))).await;
    let (mut socket, _) = socket.unwrap();
    socket.send(Message::text(line(json!({"b": 2, "a": 1})))).await.unwrap();
    let ack: Value = loop {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            break serde_json::from_str(&text).unwrap();
        }
    };
    assert_eq!(ack["message_ids"], json!([id]), "{ack}");
    // Other metadata is another message.
    let other = batch("application/x-ndjson", line(json!({"a": 2, "b": 2})).into()).await;
    assert_eq!(other["code"], "idempotency_key_reused", "{other}");
    assert_eq!(cluster.command::<u64>(&["XLEN", RAW]).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_is_nobodys_identity() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (cluster, _, data) = gateway().await;
    let issue = |more: &[&str]| vtox(&cluster, &[&["token", "issue", "--role"], more].concat(), &[]);
    let depots = [(); 2].map(|()| issue(&["operator", "--label", "depot"]));
    let disguised = issue(&["operator", "--label", "vehicle:V"]);
    let vehicle = [(); 2].map(|()| issue(&["vehicle", "--vehicle", "V"]));
    let client = Client::new();
    let send = async |token: &str, key: &str| {
        let request = client.post(&data).bearer_auth(token).header("Idempotency-Key", key);
        let (status, body) = answer(request.body(format!(r#"{{"sensor_data":{SENSOR_DATA}}}"#))).await;
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    let another = (409, "another_sender".to_owned());
    assert_eq!(send(&depots[0], "depot").await.0, 200);
    assert_eq!(send(&depots[0], "depot").await.0, 200);
    assert_eq!(send(&depots[1], "depot").await, another);
    assert_eq!(send(&vehicle[0], "vehicle").await.0, 200);
    assert_eq!(send(&vehicle[1], "vehicle").await.0, 200, "a vehicle with a new key");
    assert_eq!(send(&disguised, "vehicle").await, another);
    assert_eq!(cluster.command::<u64>(&["XLEN", RAW]).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_cannot_be_read_is_refused() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (cluster, _, data) = gateway().await;
    let client = Client::new();
    for metadata in [r#"{"boot_id":5,"sequence":7}"#, r#"{"boot_id":"b","sequence":"7"}"#] {
        let body = format!(r#"{{"sensor_data":{SENSOR_DATA},"metadata":{metadata}}}"#);
        let (status, refusal) = answer(client.post(&data).body(body)).await;
        assert_eq!((status, refusal["code"].as_str()), (422, Some("invalid_metadata")), "{refusal}");
    }
    assert_eq!(cluster.command::<u64>(&["XLEN", RAW]).await, 0);
}
