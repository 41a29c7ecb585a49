//! The command line against a production cluster: with a token it works, and without one it says how to get one.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use vtox_e2e::{ONE_AT_A_TIME, program};
use vtox_test_support::{ProcessSignal, free_port, free_ports, send_signal};

/// `vtox up --mode production --vehicles 5`, as a user has it before them.
struct Up {
    child: Child,
    gateway_port: u16,
    bridge_port: u16,
    redis_url: String,
}

impl Up {
    /// Starts it and waits until it simulates.
    fn start(data: &Path) -> Self {
        let (gateway_port, bridge_port) = (free_port(), free_port());
        let mut command = Command::new(program("vtox"));
        let ports = [("COORDINATOR", free_port()), ("MONITOR", free_port())];
        for (name, port) in ports.into_iter().chain([("GATEWAY", gateway_port), ("BRIDGE", bridge_port)]) {
            command.env(format!("VTOX_{name}__PORT"), port.to_string());
        }
        command.env("WORKER_PORT", free_ports(6).to_string()).env("VTOX_CLUSTER__PARTITIONS", "4");
        command.env_remove("REDIS_URL").env_remove("VTOX_TOKEN");
        command.args(["up", "--mode", "production", "--workers", "2", "--vehicles", "5", "--interval", "1"]);
        command.arg("--data").arg(data).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        // Read to the end: a full pipe would hold it up.
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                println!("{line}");
                drop(sender.send(line));
            }
        });
        let mut shown = String::new();
        while !shown.contains("simulating 5 vehicles") {
            shown += &lines.recv_timeout(Duration::from_secs(60)).expect("a line of vtox up");
        }
        let (_, file) = shown.split_once("REDIS_URL=$(cat ").expect("a file with the URL");
        let redis_url = std::fs::read_to_string(file.split_once(')').unwrap().0).unwrap();
        Self { child, gateway_port, bridge_port, redis_url }
    }

    /// Another command of `vtox`, with or without a token.
    fn vtox(&self, token: Option<&str>, arguments: &[&str]) -> Output {
        let mut command = Command::new(program("vtox"));
        command.args(arguments).env("REDIS_URL", &self.redis_url).env_remove("VTOX_TOKEN");
        command.env("VTOX_GATEWAY__PORT", self.gateway_port.to_string());
        if let Some(token) = token {
            command.env("VTOX_TOKEN", token);
        }
        command.output().unwrap()
    }

    /// What it prints when it succeeds.
    fn shown(&self, token: Option<&str>, arguments: &[&str]) -> String {
        let output = self.vtox(token, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    /// What it says when it fails, which it must at once.
    fn refused(&self, token: Option<&str>, arguments: &[&str]) -> String {
        let began = Instant::now();
        let output = self.vtox(token, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
        assert!(began.elapsed() < Duration::from_secs(10), "{arguments:?} took {:?}", began.elapsed());
        text(&output.stderr)
    }

    /// Ends it as Ctrl-C does; answers its report.
    fn stop(mut self) -> Value {
        send_signal(&self.child, ProcessSignal::TERM);
        let mut report = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
        assert!(self.child.wait().unwrap().success(), "{report}");
        serde_json::from_str(report.lines().last().unwrap()).unwrap()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Where an assertion failed: it ends its services itself.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            send_signal(&self.child, ProcessSignal::TERM);
            drop(self.child.wait());
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

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

/// Everything was accepted and answered once.
fn check(report: &Value, least: u64) {
    let number = |name: &str| report[name].as_u64().unwrap();
    assert!(number("accepted") >= least, "{report}");
    assert_eq!((number("accepted"), number("rejected")), (number("sent"), 0), "{report}");
    assert_eq!((number("lost"), number("duplicates")), (0, 0), "{report}");
    assert_eq!(number("results"), 5 * number("accepted"), "{report}");
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
        let up = Up::start(data.path());
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
