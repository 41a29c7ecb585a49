//! The command line against a production cluster: with a token it works, and without one it says how to get one.

mod https;
mod up;

#[cfg(target_os = "linux")]
use std::net::TcpStream;
use std::path::Path;

use serde_json::Value;
use up::{Up, check};
use vtox_e2e::ONE_AT_A_TIME;

/// Sends for a minute, unless it is refused.
const SIMULATE: [&str; 5] = ["simulate", "--vehicles", "2", "--for", "60"];

fn without_a_token_commands_name_the_fix(up: &Up) {
    for (arguments, role) in
        [(&["status"][..], "viewer"), (&["tail", "--count", "1"], "viewer"), (&SIMULATE, "operator")]
    {
        let error = up.refused(None, arguments);
        assert!(error.contains("401 Unauthorized: this path needs a token"), "{arguments:?}: {error}");
        assert!(error.contains(&format!("vtox token issue --role {role}")), "{arguments:?}: {error}");
    }
    let forged = format!("vtox_{}_{}", "0".repeat(16), "1".repeat(64));
    let error = up.refused(None, &["status", "--token", &forged]);
    assert!(
        error.contains("401") && error.contains("vtox token issue") && !error.contains(&forged),
        "{error}"
    );
}

fn with_a_token_they_work(up: &Up) {
    let viewer = up.shown(None, &["token", "issue", "--role", "viewer"]);
    // Just made, and good at once.
    let status: Value = serde_json::from_str(&up.shown(Some(&viewer), &["status", "--json"])).unwrap();
    assert_eq!(status["worker_nodes"].as_array().map(Vec::len), Some(2), "{status}");
    let frames = up.shown(Some(&viewer), &["tail", "--count", "3", "--json"]);
    for frame in frames.lines() {
        let frame: Value = serde_json::from_str(frame).unwrap();
        assert!(frame["vehicle_id"].is_string(), "{frame}");
    }
    assert_eq!(frames.lines().count(), 3);

    let keys = up.shown(None, &["token", "list", "--json"]);
    let keys: Value = serde_json::from_str(&keys).unwrap();
    let simulator = keys["keys"].as_array().unwrap().iter().find(|k| k["role"] == "operator").unwrap();
    assert!(simulator["label"].as_str().unwrap().starts_with("vtox up --vehicles"), "{simulator}");
    assert!(simulator["expires"].is_u64(), "{simulator}");

    up.shown(None, &["token", "revoke", &viewer]);
    let error = up.refused(Some(&viewer), &["status"]);
    assert!(error.contains("revoked") && error.contains("vtox token issue --role viewer"), "{error}");
}

fn a_simulator_needs_an_operator(up: &Up, data: &Path) {
    let keys = data.join("secrets/token-keys");
    let jwt = ["token", "issue", "--jwt", "--label", "t", "--keys", keys.to_str().unwrap(), "--role"];
    let jwt = |role: &str| up.shown(None, &[&jwt[..], &[role]].concat());
    let viewer = jwt("viewer");
    up.shown(Some(&viewer), &["tail", "--count", "1"]);
    let vehicle = up.shown(None, &["token", "issue", "--role", "vehicle", "--vehicle", "V1"]);
    for token in [viewer, vehicle] {
        let error = up.refused(Some(&token), &SIMULATE);
        assert!(error.contains("403 Forbidden"), "{error}");
        assert!(error.contains("vtox token issue --role operator"), "{error}");
    }
    let fleet = ["simulate", "--vehicles", "2", "--interval", "1", "--for", "5", "--json", "--redis"];
    let report = up.shown(Some(&jwt("operator")), &[&fleet[..], &[&up.redis_url]].concat());
    check(&serde_json::from_str(&report).unwrap(), 2);
}

/// Every command that services and commands needed was one their user may.
fn redis_refused_nothing(up: &Up) {
    let mut connection = redis::Client::open(up.redis_url.as_str()).unwrap().get_connection().unwrap();
    let refused: Vec<redis::Value> = redis::cmd("ACL").arg("LOG").query(&mut connection).unwrap();
    assert!(refused.is_empty(), "{refused:#?}");
}

/// Every address that begins with 127 is this machine; who listens on 127.0.0.1 alone does not hear the others.
#[cfg(target_os = "linux")]
fn only_the_gateway_listens_to_other_machines(up: &Up) {
    let hears = |port: u16| TcpStream::connect(("127.0.0.2", port)).is_ok();
    assert!(hears(up.gateway_port) && !hears(up.bridge_port));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_every_command_works_with_a_token_and_names_the_fix_without() {
    let _one = ONE_AT_A_TIME.lock().await;
    let test = || {
        let data = tempfile::tempdir().unwrap();
        let up = Up::start(data.path(), &[]);
        without_a_token_commands_name_the_fix(&up);
        with_a_token_they_work(&up);
        a_simulator_needs_an_operator(&up, data.path());
        #[cfg(target_os = "linux")]
        only_the_gateway_listens_to_other_machines(&up);
        redis_refused_nothing(&up);
        check(&up.stop(), 20);
    };
    tokio::task::spawn_blocking(test).await.unwrap();
}
