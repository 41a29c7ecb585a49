//! A trace that a vehicle begins goes on in the gateway and in the worker.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vtox_e2e::{Cluster, eventually};

/// Takes whatever is posted, as an OTLP collector would.
async fn collect(listener: TcpListener, seen: Arc<Mutex<Vec<u8>>>) {
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        let seen = seen.clone();
        tokio::spawn(async move {
            let mut chunk = vec![0; 64 << 10];
            while let Ok(count) = socket.read(&mut chunk).await
                && count > 0
            {
                seen.lock().unwrap().extend_from_slice(&chunk[..count]);
                if socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                    break;
                }
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vehicles_trace_reaches_the_collector_from_gateway_and_worker() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(collect(listener, seen.clone()));
    let mut cluster = Cluster::start(&[], &[("VTOX_TELEMETRY__OTLP_ENDPOINT", &endpoint)], &["all"]).await;
    let trace_id: [u8; 16] = *b"vtox-trace-00001";
    let hex: String = trace_id.iter().map(|b| format!("{b:02x}")).collect();
    let answer = reqwest::Client::new()
        .post(format!("{}/api/v1/diagnosis-stream/vehicles/V/data", cluster.gateway()))
        .header("traceparent", format!("00-{hex}-00f067aa0ba902b7-01"))
        .json(&json!({"sensor_data": {"data": [{"Ia": 1}], "sampling_rate": 8000}}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let holds = |part: &[u8]| seen.lock().unwrap().windows(part.len()).any(|w| w == part);
    eventually(Duration::from_secs(20), "both spans", async || {
        holds(b"accept") && holds(b"diagnose") && holds(&trace_id)
    })
    .await;
    let raw: Vec<(String, std::collections::HashMap<String, String>)> =
        cluster.command(&["XRANGE", "motor_raw_data", "-", "+"]).await;
    assert!(raw[0].1["traceparent"].starts_with(&format!("00-{hex}-")), "{:?}", raw[0].1.get("traceparent"));
}
