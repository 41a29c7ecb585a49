//! Each service with a Redis user of its own, as deploy/redis/users.acl has them: everything works, nothing else does.

mod certificates;
mod forbidden;
mod production;
mod refused;
mod tls;

use std::process::Command;
use std::time::Duration;

use certificates::Certificates;
use redis::IntoConnectionInfo;
use serde_json::{Value, json};
use vtox_e2e::credentials::{keys, text};
use vtox_e2e::{Cluster, Fleet, Load, ONE_AT_A_TIME, assert_exact, eventually, program, routes};
use vtox_protocol::keys::{DEAD_LETTERS, RAW, VEHICLE_HEALTH};
use vtox_test_support::{ProcessSignal, RedisServer, free_port};

const USERS: &str = include_str!("../../../../deploy/redis/users.acl");

/// Programs and their users.
const SERVICES: [(&str, &str); 5] = [
    ("vtox-gateway", "vtox-gateway"),
    ("vtox-coordinator", "vtox-coordinator"),
    ("vtox-worker", "vtox-worker"),
    ("vtox-monitor", "vtox-monitor"),
    ("vtox-websocket-bridge", "vtox-bridge"),
];

/// A Redis with the users, each with the password `secret-of-USER`; the default user is the test's own.
pub struct Users {
    directory: tempfile::TempDir,
    tls_port: u16,
}

impl Users {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (own, given) = USERS.split_once('\n').unwrap();
        assert!(own.starts_with("user default off "));
        let given: Vec<String> = given
            .lines()
            .map(|line| {
                let user = line.split(' ').nth(1).unwrap();
                line.replacen(user, &format!("{user} >secret-of-{user}"), 1)
            })
            .collect();
        let acl = format!("user default on nopass ~* &* +@all\n{}\n", given.join("\n"));
        std::fs::write(directory.path().join("users.acl"), acl).unwrap();
        Self { directory, tls_port: free_port() }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Starts it; over TLS as well where there are certificates.
    fn start(&self, certificates: Option<&Certificates>, more: &[&str]) -> RedisServer {
        let mut arguments = vec!["--aclfile".to_owned(), self.path("users.acl")];
        if let Some(certificates) = certificates {
            arguments.extend(["--tls-port".to_owned(), self.tls_port.to_string()]);
            for (name, file) in [
                ("--tls-cert-file", &certificates.server_cert),
                ("--tls-key-file", &certificates.server_key),
                ("--tls-ca-cert-file", &certificates.ca),
            ] {
                arguments.extend([name.to_owned(), file.display().to_string()]);
            }
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        RedisServer::start(&arguments)
    }
}

fn url(scheme: &str, user: &str, port: u16) -> String {
    format!("{scheme}://{user}:secret-of-{user}@127.0.0.1:{port}")
}

/// A client that does not name its library to Redis: newer ones would log that as refused.
fn client(url: &str) -> redis::Client {
    let info = url.into_connection_info().unwrap();
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    redis::Client::open(info.set_redis_settings(settings)).unwrap()
}

/// Runs `vtox` as its user.
fn vtox(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = Command::new(program("vtox"))
        .args(arguments)
        .env("REDIS_URL", &cluster.urls["vtox"])
        .envs(cluster.environment.iter().map(|(k, v)| (k, v)))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

async fn refusals(cluster: &Cluster) -> Vec<redis::Value> {
    cluster.command(&["ACL", "LOG", "100"]).await
}

/// Calls every route of the gateway so that it succeeds.
async fn every_route(cluster: &mut Cluster) {
    routes::add_user(cluster);
    routes::supervise(cluster).await;
    // A user takes effect within a second.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let (client, gateway) = (reqwest::Client::new(), cluster.gateway());
    let mut failed = Vec::new();
    for route in routes::all() {
        let answer = route.call(&client, &gateway, "V").send().await.unwrap();
        let status = answer.status().as_u16();
        if !matches!(status, 101 | 200..=299) {
            failed.push(format!(
                "{} {}: {status} {}",
                route.method,
                route.path,
                answer.text().await.unwrap()
            ));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}\n{:#?}", refusals(cluster).await);
}

async fn everything(scheme: &str, port: u16, redis: RedisServer, environment: &[(&str, &str)]) {
    let plain = redis.url();
    let mut cluster = Cluster::on(redis, plain.clone(), environment);
    let keys = keys(&cluster);
    cluster.environment.push(("VTOX_AUTH__KEYS_DIR".to_owned(), text(keys.path()).to_owned()));
    for (program, user) in SERVICES.into_iter().chain([("vtox", "vtox-cli")]) {
        cluster.urls.insert(program.to_owned(), url(scheme, user, port));
    }
    cluster.add_all(&["all", "all"]).await;

    // Messages, some of them sent again; a worker that dies under load, and one that is drained.
    let load = Load { vehicles: 20, interval: Duration::from_millis(200) };
    let fleet = Fleet::start(&cluster.gateway(), &plain, load).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.service("worker-2").kill();
    tokio::time::sleep(Duration::from_secs(4)).await;
    cluster.service("worker-2").restart();
    cluster.ready().await;
    vtox(&cluster, &["drain", "worker-1"]);
    vtox(&cluster, &["drain", "worker-1", "--undo"]);
    assert_exact("each service as a user of its own", &fleet.settle().await);

    // Aggregation.
    eventually(Duration::from_secs(10), "the health of every vehicle", async || {
        let refused = refusals(&cluster).await;
        assert!(refused.is_empty(), "Redis refused what a service needs: {refused:#?}");
        cluster.command::<usize>(&["HLEN", VEHICLE_HEALTH]).await == 20
    })
    .await;

    // The same message twice.
    let send = format!("{}/api/v1/diagnosis-stream/vehicles/V/data", cluster.gateway());
    let block = json!({"sensor_data": {"data": [{"Ia": 1}], "sampling_rate": 8000}});
    let client = reqwest::Client::new();
    for _ in 0..2 {
        let sent = client.post(&send).header("Idempotency-Key", "1").json(&block).send().await.unwrap();
        assert_eq!(sent.status(), 200);
    }
    every_route(&mut cluster).await;

    // The operator's commands.
    let _: String = cluster.command(&["XADD", RAW, "*", "vehicle_id", "V", "sensor_data", "not json"]).await;
    eventually(Duration::from_secs(10), "the dead letters", async || {
        cluster.command::<usize>(&["XLEN", DEAD_LETTERS]).await == 5
    })
    .await;
    let letters: Value = serde_json::from_str(&vtox(&cluster, &["dlq", "list", "--json"])).unwrap();
    assert_eq!(letters.as_array().unwrap().len(), 5);
    vtox(&cluster, &["dlq", "show", letters[0]["id"].as_str().unwrap()]);
    vtox(&cluster, &["dlq", "replay", "--all", "--fault", "bearing"]);
    vtox(&cluster, &["dlq", "drop", "--all"]);
    vtox(&cluster, &["faults", "disable", "bearing"]);
    vtox(&cluster, &["faults", "enable", "bearing"]);
    vtox(&cluster, &["replay", "--vehicle", "V", "--from", "-5m"]);
    vtox(&cluster, &["explain"]);
    let gateway = cluster.gateway();
    vtox(&cluster, &["status", "--gateway", &gateway]);
    let doctor = vtox(&cluster, &["doctor"]);
    let encrypted = if scheme == "rediss" { "encrypted (TLS)" } else { "not encrypted" };
    assert!(doctor.contains(&format!("connected to Redis as vtox-cli, {encrypted}")), "{doctor}");

    // Trimming comes every few seconds, the monitor's look every second.
    tokio::time::sleep(Duration::from_secs(6)).await;
    for mut service in std::mem::take(&mut cluster.services) {
        service.signal(ProcessSignal::TERM);
        let status = service.ended(Duration::from_secs(20)).await;
        assert!(status.success(), "{} {status}", service.name);
    }
    let left: Vec<String> = cluster.command(&["HKEYS", vtox_protocol::keys::SERVICES]).await;
    assert!(left.is_empty(), "{left:?}");
    let refused = refusals(&cluster).await;
    assert!(refused.is_empty(), "Redis refused what a service needs: {refused:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_needs_no_more_than_its_users_may() {
    let _one = ONE_AT_A_TIME.lock().await;
    let users = Users::new();
    let redis = users.start(None, &["--appendfsync", "always"]);
    let port = redis.port();
    let environment = [
        ("VTOX_CLUSTER__PARTITIONS", "4"),
        ("VTOX_REDIS__DURABILITY", "always"),
        ("VTOX_MONITOR__INTERVAL_S", "1"),
    ];
    everything("redis", port, redis, &environment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_over_tls_with_certificates_on_both_sides() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (users, certificates) = (Users::new(), Certificates::new());
    let redis = users.start(Some(&certificates), &["--tls-auth-clients", "yes"]);
    let [ca, cert, key] = [&certificates.ca, &certificates.client_cert, &certificates.client_key]
        .map(|p| p.display().to_string());
    let environment = [
        ("VTOX_REDIS__CA_FILE", ca.as_str()),
        ("VTOX_REDIS__CLIENT_CERT", cert.as_str()),
        ("VTOX_REDIS__CLIENT_KEY", key.as_str()),
        ("VTOX_MONITOR__INTERVAL_S", "1"),
    ];
    everything("rediss", users.tls_port, redis, &environment).await;
}
