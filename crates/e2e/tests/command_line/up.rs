//! `vtox up` in production, and other commands beside it, as a user has them.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use vtox_e2e::program;
use vtox_test_support::{ProcessSignal, free_port, free_ports, send_signal};

/// `vtox up --mode production --vehicles 5`, as a user has it before them.
pub struct Up {
    child: Child,
    /// Settings of our own, for it and for the other commands.
    settings: Vec<(&'static str, String)>,
    /// What it said until it simulated.
    pub said: String,
    pub gateway_port: u16,
    pub bridge_port: u16,
    pub redis_url: String,
}

impl Up {
    /// Starts it and waits until it simulates.
    pub fn start(data: &Path, settings: &[(&'static str, String)]) -> Self {
        let (gateway_port, bridge_port) = (free_port(), free_port());
        let mut command = Command::new(program("vtox"));
        let ports = [("COORDINATOR", free_port()), ("MONITOR", free_port())];
        for (name, port) in ports.into_iter().chain([("GATEWAY", gateway_port), ("BRIDGE", bridge_port)]) {
            command.env(format!("VTOX_{name}__PORT"), port.to_string());
        }
        command.env("WORKER_PORT", free_ports(6).to_string()).env("VTOX_CLUSTER__PARTITIONS", "4");
        command.envs(settings.iter().map(|(name, value)| (name, value)));
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
        let mut said = String::new();
        while !said.contains("simulating 5 vehicles") {
            said += &lines.recv_timeout(Duration::from_secs(60)).expect("a line of vtox up");
            said.push('\n');
        }
        let (_, file) = said.split_once("REDIS_URL=$(cat ").expect("a file with the URL");
        let redis_url = std::fs::read_to_string(file.split_once(')').unwrap().0).unwrap();
        Self { child, settings: settings.to_vec(), said, gateway_port, bridge_port, redis_url }
    }

    /// Another command of `vtox`, with or without a token.
    fn vtox(&self, token: Option<&str>, arguments: &[&str]) -> Output {
        let mut command = Command::new(program("vtox"));
        command.args(arguments).env("REDIS_URL", &self.redis_url).env_remove("VTOX_TOKEN");
        command.env("VTOX_GATEWAY__PORT", self.gateway_port.to_string());
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        if let Some(token) = token {
            command.env("VTOX_TOKEN", token);
        }
        command.output().unwrap()
    }

    /// What it prints when it succeeds.
    pub fn shown(&self, token: Option<&str>, arguments: &[&str]) -> String {
        let output = self.vtox(token, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    /// What it says when it fails, which it must at once.
    pub fn refused(&self, token: Option<&str>, arguments: &[&str]) -> String {
        let began = Instant::now();
        let output = self.vtox(token, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
        assert!(began.elapsed() < Duration::from_secs(10), "{arguments:?} took {:?}", began.elapsed());
        text(&output.stderr)
    }

    /// Ends it as Ctrl-C does; answers its report.
    pub fn stop(mut self) -> Value {
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

/// Everything was accepted and answered once.
pub fn check(report: &Value, least: u64) {
    let number = |name: &str| report[name].as_u64().unwrap();
    assert!(number("accepted") >= least, "{report}");
    assert_eq!((number("accepted"), number("rejected")), (number("sent"), 0), "{report}");
    assert_eq!((number("lost"), number("duplicates")), (0, 0), "{report}");
    assert_eq!(number("results"), 5 * number("accepted"), "{report}");
}
