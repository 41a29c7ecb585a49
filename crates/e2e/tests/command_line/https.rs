//! The command line and a gateway that speaks HTTPS.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::Value;
use vtox_e2e::ONE_AT_A_TIME;

use crate::up::{Up, check};

/// A CA's certificate, and that of a gateway it signed for `localhost`, with its key: `ca.pem`, `chain.pem` and `key.pem`.
fn certificates(directory: &Path) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.distinguished_name.push(DnType::CommonName, "test CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    std::fs::write(directory.join("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("chain.pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    std::fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
}

/// Commands on the machine of the gateway need nothing more than its settings.
fn here_the_settings_are_enough(up: &Up, viewer: &str) {
    let gateway = format!("gateway      https://127.0.0.1:{}\n", up.gateway_port);
    let dashboards = format!("dashboards   wss://127.0.0.1:{}/ws/frontend\n", up.gateway_port);
    assert!(up.said.contains(&gateway) && up.said.contains(&dashboards), "{}", up.said);
    let status: Value = serde_json::from_str(&up.shown(Some(viewer), &["status", "--json"])).unwrap();
    assert_eq!(status["worker_nodes"].as_array().map(Vec::len), Some(2), "{status}");
    assert_eq!(up.shown(Some(viewer), &["tail", "--count", "2", "--json"]).lines().count(), 2);
}

/// Elsewhere they need its name and its CA.
fn elsewhere_the_ca_must_be_known(up: &Up, viewer: &str, ca: &str) {
    let url = |host: &str| format!("https://{host}:{}", up.gateway_port);
    let (named, other) = (url("localhost"), url("127.0.0.1"));
    let commands: [&[&str]; 3] = [&["status"], &["tail", "--count", "2"], &["simulate", "--for", "60"]];
    for command in commands {
        let error = up.refused(Some(viewer), &[command, &["--gateway", &named]].concat());
        assert!(error.contains("UnknownIssuer") && error.contains("--ca-file FILE"), "{command:?}: {error}");
        let error = up.refused(Some(viewer), &[command, &["--gateway", &other, "--ca-file", ca]].concat());
        assert!(
            error.contains("name it in --gateway as its certificate does") && error.contains("localhost"),
            "{command:?}: {error}"
        );
    }
    for command in commands[..2].iter().copied() {
        up.shown(Some(viewer), &[command, &["--gateway", &named[..], "--ca-file", ca]].concat());
    }
    let plain = format!("http://localhost:{}", up.gateway_port);
    for command in commands[..2].iter().copied() {
        let error = up.refused(Some(viewer), &[command, &["--gateway", &plain[..]]].concat());
        assert!(error.contains("where it speaks HTTPS"), "{command:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_a_certificate_is_spoken_to_over_https() {
    let _one = ONE_AT_A_TIME.lock().await;
    let test = || {
        let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        certificates(files.path());
        let file = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
        let settings = [
            ("VTOX_GATEWAY__TLS_CERTIFICATE", file("chain.pem")),
            ("VTOX_GATEWAY__TLS_KEY", file("key.pem")),
        ];
        let up = Up::start(data.path(), &settings);
        let viewer = up.shown(None, &["token", "issue", "--role", "viewer"]);
        here_the_settings_are_enough(&up, &viewer);
        elsewhere_the_ca_must_be_known(&up, &viewer, &file("ca.pem"));
        let operator = up.shown(None, &["token", "issue", "--role", "operator"]);
        let url = format!("https://localhost:{}", up.gateway_port);
        let fleet = ["simulate", "--vehicles", "2", "--interval", "1", "--for", "5", "--json"];
        let there = ["--gateway", &url, "--ca-file", &file("ca.pem"), "--redis", &up.redis_url];
        let report = up.shown(Some(&operator), &[&fleet[..], &there].concat());
        check(&serde_json::from_str(&report).unwrap(), 2);
        check(&up.stop(), 10);
    };
    tokio::task::spawn_blocking(test).await.unwrap();
}
