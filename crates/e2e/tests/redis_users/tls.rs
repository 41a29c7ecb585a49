//! What is wrong with a connection is said together with what to do about it.

use std::process::Command;
use std::time::Duration;

use vtox_connection::{Endpoint, TlsFiles};
use vtox_e2e::{Cluster, Fleet, Load, ONE_AT_A_TIME, assert_exact, eventually, program};
use vtox_protocol::keys::{self, Partition};

use super::{Certificates, Users, url};

/// What PING is answered, or the error as a user sees it.
async fn ping(url: &str, files: &TlsFiles) -> String {
    let endpoint = match Endpoint::open_with(url, files) {
        Ok(endpoint) => endpoint,
        Err(error) => return error.to_string(),
    };
    let connection = endpoint.manager(Duration::from_secs(1));
    match redis::cmd("PING").query_async::<String>(&mut connection.clone()).await {
        Ok(answer) => answer,
        Err(error) => endpoint.explain(&error),
    }
}

/// Redirections name nodes by their IP addresses, which are in no certificate here.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_a_cluster_are_known_by_their_names_while_slots_move() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (users, certificates) = (Users::new(), Certificates::of("localhost"));
    let (first, redis) = users.start_cluster(
        &certificates,
        &["--tls-auth-clients", "optional", "--cluster-announce-hostname", "localhost"],
    );
    let ca = certificates.ca.display().to_string();
    let environment = [("VTOX_REDIS__CA_FILE", ca.as_str()), ("VTOX_CLUSTER__PARTITIONS", "16")];
    let mut cluster = Cluster::on(first, redis.url(), &environment);
    let over_tls = redis.tls_url("localhost", "default", "any");
    for program in
        ["vtox-gateway", "vtox-coordinator", "vtox-worker", "vtox-monitor", "vtox-websocket-bridge"]
    {
        cluster.urls.insert(program.to_owned(), over_tls.clone());
    }
    cluster.add_all(&["all", "all"]).await;
    let load = Load { vehicles: 20, interval: Duration::from_millis(200) };
    let fleet = Fleet::start(&cluster.gateway(), &cluster.url, load).await;
    for key in [Partition::numbered(0, 16).stream().as_str(), keys::RESULTS, keys::SERVICES] {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let from = redis.owner_of(key).unwrap();
        let to = redis.ports()[..3].iter().copied().find(|port| *port != from).unwrap();
        assert!(redis.move_slot(key, to) > 0, "{key}");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_exact("slots moved between names", &fleet.settle().await);
    for service in ["gateway", "worker-1", "worker-2", "coordinator", "bridge", "monitor"] {
        let log = cluster.service(service).log();
        assert!(!log.contains("certificate"), "{service}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_connection_is_said_with_its_fix() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (users, certificates, foreign) = (Users::new(), Certificates::new(), Certificates::new());
    let redis = users.start(Some(&certificates), &["--tls-auth-clients", "no"]);
    let good = TlsFiles { ca: Some(certificates.ca.clone()), ..TlsFiles::default() };
    let wrong_ca = TlsFiles { ca: Some(foreign.ca.clone()), ..TlsFiles::default() };
    let none = TlsFiles::default();
    let tls = url("rediss", "vtox-cli", users.tls_port);
    let plain = url("redis", "vtox-cli", redis.port());
    let no_password = format!("rediss://127.0.0.1:{}", users.tls_port);
    let cases = [
        ("TLS", tls.clone(), &good, "PONG"),
        ("wrong CA", tls.clone(), &wrong_ca, "set redis.ca_file to the certificate of the CA"),
        ("no CA", tls.clone(), &none, "set redis.ca_file to the certificate of the CA"),
        (
            "another name",
            tls.replace("127.0.0.1", "localhost"),
            &good,
            "name Redis in redis.url as its certificate",
        ),
        (
            "wrong password",
            tls.replace("secret-of", "guess"),
            &good,
            "correct user and password in redis.url",
        ),
        ("wrong password, plain", plain.replace("secret-of", "guess"), &none, "correct user and password"),
        (
            "plain to a port of TLS",
            no_password.replace("rediss", "redis"),
            &none,
            "begin redis.url with rediss://",
        ),
        ("plain, with a password", tls.replace("rediss", "redis"), &none, "begin redis.url with rediss://"),
        ("TLS to a plain port", url("rediss", "vtox-cli", redis.port()), &good, "does not speak TLS"),
        ("certificates for nothing", plain, &good, "does not begin with rediss://"),
    ];
    for (what, url, files, expected) in cases {
        let answer = ping(&url, files).await;
        println!("{what}: {answer}");
        assert!(answer.contains(expected), "{what}: {answer}");
        assert!(!answer.contains("secret-of"), "{what}: {answer}");
    }
    let mut own = redis.client().get_connection().unwrap();
    redis::cmd("ACL").arg(&["SETUSER", "default", "off"]).exec(&mut own).unwrap();
    let answer = ping(&redis.url(), &none).await;
    assert!(answer.contains("put user and password into redis.url"), "{answer}");
    drop(redis);

    let redis = users.start(Some(&certificates), &["--tls-auth-clients", "yes"]);
    let both = |from: &Certificates| TlsFiles {
        client_cert: Some(from.client_cert.clone()),
        client_key: Some(from.client_key.clone()),
        ..good.clone()
    };
    for (what, files, expected) in [
        ("both certificates", both(&certificates), "PONG"),
        ("no certificate of ours", good.clone(), "set redis.client_cert and redis.client_key"),
        ("one of another CA", both(&foreign), "add it to Redis' tls-ca-cert-file"),
    ] {
        let answer = ping(&tls, &files).await;
        println!("{what}: {answer}");
        assert!(answer.contains(expected), "{what}: {answer}");
    }
    drop(redis);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_and_the_doctor_say_why_redis_does_not_answer() {
    let _one = ONE_AT_A_TIME.lock().await;
    let users = Users::new();
    let redis = users.start(None, &[]);
    let wrong = url("redis", "vtox-monitor", redis.port()).replace("secret-of", "guess");
    let mut cluster = Cluster::on(redis, wrong.clone(), &[]);
    cluster.add("monitor", "vtox-monitor", "VTOX_MONITOR__PORT", &[]);
    eventually(Duration::from_secs(10), "the monitor to say what is wrong", async || {
        cluster.services[0].log().contains("correct user and password in redis.url")
    })
    .await;
    let doctor =
        Command::new(program("vtox")).args(["doctor", "--json"]).env("REDIS_URL", &wrong).output().unwrap();
    let text = String::from_utf8(doctor.stdout).unwrap();
    assert!(!doctor.status.success() && text.contains("correct user and password in redis.url"), "{text}");
    assert!(!text.contains("guess-vtox") && !cluster.services[0].log().contains("guess-vtox"));
}
