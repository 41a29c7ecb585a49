//! Each service with a Redis user of its own, as deploy/redis has them: everything works, nothing else does.

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
use vtox_test_support::{ProcessSignal, RedisCluster, RedisServer, free_port};

const USERS: &str = include_str!("../../../../deploy/redis/users.acl");
/// What a Redis Cluster needs in addition.
const MORE: &str = include_str!("../../../../deploy/redis/users-cluster.acl");

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

/// Users and their rights on one server or on a Cluster, as make-users.sh joins them.
fn rights(on: On) -> Vec<(String, String)> {
    let read = |text: &'static str| text.lines().map(|line| line["user ".len()..].split_once(' ').unwrap());
    let mut users: Vec<(String, String)> =
        read(USERS).map(|(user, rights)| (user.to_owned(), rights.to_owned())).collect();
    let (default, rights) = users.remove(0);
    assert!(default == "default" && rights.starts_with("off "), "{default} {rights}");
    if on == On::Cluster {
        for (user, more) in read(MORE) {
            let (_, rights) = users.iter_mut().find(|(name, _)| name == user).expect("a user of both files");
            *rights = format!("{rights} {more}");
        }
    }
    users
}

/// What kind of Redis it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum On {
    Server,
    Cluster,
}

impl Users {
    fn new() -> Self {
        Self::of(On::Server)
    }

    fn of(on: On) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let given: Vec<String> = rights(on)
            .into_iter()
            .map(|(user, rights)| format!("user {user} >secret-of-{user} {rights}"))
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
        let mut arguments = self.arguments(certificates);
        if certificates.is_some() {
            arguments.extend(["--tls-port".to_owned(), self.tls_port.to_string()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        RedisServer::start(&arguments)
    }

    /// Starts a Cluster of three primaries and their replicas that speaks TLS.
    fn start_cluster(&self, certificates: &Certificates, more: &[&str]) -> (RedisServer, RedisCluster) {
        let arguments = self.arguments(Some(certificates));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        RedisCluster::start_over_tls(3, &arguments)
    }

    fn arguments(&self, certificates: Option<&Certificates>) -> Vec<String> {
        let mut arguments = vec!["--aclfile".to_owned(), self.path("users.acl")];
        if let Some(certificates) = certificates {
            for (name, file) in [
                ("--tls-cert-file", &certificates.server_cert),
                ("--tls-key-file", &certificates.server_key),
                ("--tls-ca-cert-file", &certificates.ca),
            ] {
                arguments.extend([name.to_owned(), file.display().to_string()]);
            }
        }
        arguments
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

/// What each server has refused.
fn refusals(servers: &[redis::Client]) -> Vec<redis::Value> {
    let of = |server: &redis::Client| {
        let mut connection = server.get_connection().expect("a running redis-server");
        redis::cmd("ACL").arg(&["LOG", "100"]).query::<Vec<redis::Value>>(&mut connection).expect("a log")
    };
    servers.iter().flat_map(of).collect()
}

/// Calls every route of the gateway so that it succeeds.
async fn every_route(cluster: &mut Cluster, servers: &[redis::Client]) {
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
    assert!(failed.is_empty(), "{failed:#?}\n{:#?}", refusals(servers));
}

/// A Redis with users: how the test reaches it, how services do, and all its servers.
struct Redis {
    first: RedisServer,
    url: String,
    url_of: Box<dyn Fn(&str) -> String>,
    servers: Vec<redis::Client>,
}

async fn everything(redis: Redis, environment: &[(&str, &str)]) {
    let Redis { first, url: plain, url_of, servers } = redis;
    let encrypted = if url_of("").starts_with("rediss") { "encrypted (TLS)" } else { "not encrypted" };
    let mut cluster = Cluster::on(first, plain.clone(), environment);
    let keys = keys(&cluster);
    cluster.environment.push(("VTOX_AUTH__KEYS_DIR".to_owned(), text(keys.path()).to_owned()));
    for (program, user) in SERVICES.into_iter().chain([("vtox", "vtox-cli")]) {
        cluster.urls.insert(program.to_owned(), url_of(user));
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
        let refused = refusals(&servers);
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
    every_route(&mut cluster, &servers).await;

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
    let refused = refusals(&servers);
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
    everything(one_server(redis, "redis", port), &environment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_over_tls_with_certificates_on_both_sides() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (users, certificates) = (Users::new(), Certificates::new());
    let redis = users.start(Some(&certificates), &["--tls-auth-clients", "yes"]);
    let environment = [&certificates.of_clients()[..], &[("VTOX_MONITOR__INTERVAL_S", "1")]].concat();
    everything(one_server(redis, "rediss", users.tls_port), &environment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_a_redis_cluster_over_tls() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (users, certificates) = (Users::of(On::Cluster), Certificates::new());
    let (first, cluster) = users.start_cluster(&certificates, &["--tls-auth-clients", "yes"]);
    let more = [
        ("VTOX_CLUSTER__PARTITIONS", "32"),
        ("VTOX_REDIS__DURABILITY", "replicated"),
        ("VTOX_MONITOR__INTERVAL_S", "1"),
    ];
    let environment = [&certificates.of_clients()[..], &more].concat();
    let servers = [&first].into_iter().chain(&cluster.nodes).map(RedisServer::client).collect();
    let url = cluster.url();
    let url_of = {
        let (template, user) = (cluster.tls_url("127.0.0.1", "USER", "secret-of-USER"), "USER");
        Box::new(move |name: &str| template.replace(user, name))
    };
    everything(Redis { first, url, url_of, servers }, &environment).await;
}

fn one_server(redis: RedisServer, scheme: &'static str, port: u16) -> Redis {
    let (plain, servers) = (redis.url(), vec![redis.client()]);
    Redis { first: redis, url: plain, url_of: Box::new(move |user| url(scheme, user, port)), servers }
}
