//! What the gateway writes into its log: who called and how it ended, and never a secret or a vehicle's id.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use vtox_e2e::credentials::{keys, text, vtox};
use vtox_e2e::{Cluster, ONE_AT_A_TIME, eventually, program};

const PASSWORD: &str = "a-password-that-must-not-be-logged";
const VEHICLE: &str = "LSVNV2182E2100001";
const DATA: &str = "/api/v1/diagnosis-stream/vehicles/LSVNV2182E2100001/data";

/// The lines of the access log that name all of this.
fn lines<'a>(log: &'a str, parts: &[&str]) -> Vec<&'a str> {
    log.lines()
        .filter(|line| line.contains("\"method\":") && parts.iter().all(|p| line.contains(p)))
        .collect()
}

fn add_user(cluster: &Cluster) {
    let mut child = Command::new(program("vtox"))
        .args(["user", "add", "operator", "--role", "operator"])
        .env("REDIS_URL", &cluster.url)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("vtox");
    child.stdin.take().expect("a pipe").write_all(PASSWORD.as_bytes()).expect("a pipe");
    assert!(child.wait().expect("vtox").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_callers_and_no_secrets() {
    let _one = ONE_AT_A_TIME.lock().await;
    for level in ["debug", "info"] {
        let mut cluster = Cluster::new(&[], &[]);
        let keys = keys(&cluster);
        add_user(&cluster);
        let environment = [
            ("VTOX_AUTH__REQUIRED", "true"),
            ("VTOX_AUTH__KEYS_DIR", text(keys.path())),
            ("VTOX_TELEMETRY__LOG_LEVEL", level),
            ("VTOX_TELEMETRY__LOG_FORMAT", "json"),
        ];
        cluster.add("gateway", "vtox-gateway", "VTOX_GATEWAY__PORT", &environment);
        let gateway = cluster.gateway();
        let own = vtox(&cluster, &["token", "issue", "--role", "vehicle", "--vehicle", VEHICLE], &[]);
        let other = vtox(&cluster, &["token", "issue", "--role", "vehicle", "--vehicle", "OTHER"], &[]);
        let operator = vtox(&cluster, &["token", "issue", "--role", "operator"], &[]);
        let revoked = vtox(&cluster, &["token", "issue", "--role", "viewer"], &[]);
        let id = |key: &str| key.split('_').nth(1).expect("vtox_ID_SECRET").to_owned();
        vtox(&cluster, &["token", "revoke", &id(&revoked)], &[]);
        eventually(Duration::from_secs(20), "the gateway", async || {
            reqwest::get(format!("{gateway}/ready")).await.is_ok_and(|a| a.status() == 200)
        })
        .await;
        tokio::time::sleep(Duration::from_millis(1_200)).await;

        let client = Client::new();
        let block = json!({
            "vehicle_id": VEHICLE,
            "sensor_data": {"data": [{"Ia": 1.0}, {"Ia": 2.0}], "sampling_rate": 1000},
            "metadata": {"driver": "the-driver-of-it"}, "location": "where-it-is",
        });
        let post = |path: &str| client.post(format!("{gateway}{path}"));
        let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
        let credentials = json!({"username": "operator", "password": PASSWORD});
        let logged_in = post("/auth/token").json(&credentials).send().await.unwrap();
        assert_eq!(logged_in.status(), 200);
        let answer: Value = logged_in.json().await.unwrap();
        let token = answer["access_token"].as_str().unwrap().to_owned();
        let wrong = json!({"username": "operator", "password": format!("{PASSWORD}-but-wrong")});
        assert_eq!(status(post("/auth/token").json(&wrong)).await, 401);
        // Not JSON: what a parser quotes of it must not get into the log either.
        assert_eq!(status(post("/auth/token").body(format!("{{\"password\": {PASSWORD}"))).await, 400);

        let data = format!("{DATA}?location=where-it-is");
        assert_eq!(status(post(&data).bearer_auth(&own).json(&block)).await, 200);
        assert_eq!(status(post(&data).header("x-api-key", &operator).json(&block)).await, 200);
        assert_eq!(status(post(&data).bearer_auth(&token).json(&block)).await, 200);
        assert_eq!(status(post(&data).bearer_auth(&other).json(&block)).await, 403);
        assert_eq!(status(post(&data).bearer_auth(&own).body(block.to_string() + "x")).await, 400);
        let batch = [block.to_string(), "{\"vehicle_id\": \"LSVNV2182E2100001\", 1".to_owned()].join("\n");
        let batch = post("/api/v1/messages").header("content-type", "application/x-ndjson").body(batch);
        assert_eq!(status(batch.bearer_auth(&operator)).await, 200);
        let get = |path: &str| client.get(format!("{gateway}{path}"));
        assert_eq!(status(get("/api/v1/vehicles").bearer_auth(&revoked)).await, 401);
        assert_eq!(status(get("/api/v1/vehicles").bearer_auth(format!("{token}x"))).await, 401);
        assert_eq!(
            status(get("/api/v1/vehicles").header("authorization", format!("Basic {PASSWORD}"))).await,
            401
        );
        assert_eq!(status(get(&format!("/ws/frontend?access_token={token}"))).await, 426);
        let motor = format!("{gateway}/api/v1/vehicles/{VEHICLE}/motor");
        let motor = client.put(motor).bearer_auth(&operator).json(&json!({"profile": {"pole_pairs": 2}}));
        assert_eq!(status(motor).await, 200);

        let log = cluster.service("gateway").log();
        let (accepted, forbidden) = (lines(&log, &["/data", "\"status\":200"]), lines(&log, &["forbidden"]));
        assert_eq!(accepted.len(), if level == "debug" { 3 } else { 0 }, "{log}");
        assert!(forbidden.len() == 1 && forbidden[0].contains(&format!("key:{}", id(&other))), "{log}");
        let gone = lines(&log, &["revoked_token", &format!("key:{}", id(&revoked))]);
        assert_eq!(gone.len(), 1, "{log}");
        assert!(gone[0].contains("127.0.0.1") && !gone[0].contains("Some("), "{gone:?}");
        let secret = |key: &str| key.split('_').nth(2).expect("vtox_ID_SECRET").to_owned();
        let signature = token.rsplit('.').next().unwrap().to_owned();
        let keys = [&own, &other, &operator, &revoked].map(|key| secret(key));
        let others = [PASSWORD, VEHICLE, "the-driver-of-it", "where-it-is"].map(str::to_owned);
        for unsaid in keys.into_iter().chain(others).chain([signature]) {
            let said = log.lines().find(|line| line.contains(&unsaid));
            assert!(said.is_none(), "{unsaid} at {level}: {said:?}");
        }
    }
}
