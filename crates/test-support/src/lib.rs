//! A real redis-server per test, and signals for real processes.

mod redis_cluster;
mod sentinel;

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::Client;
pub use redis_cluster::RedisCluster;
use rustix::process::{Pid, Signal, kill_process};
pub use sentinel::SentinelGroup;
use vtox_connection::{ConnectionManager, Endpoint};

/// A redis-server of a test's own, in a temporary directory, killed when dropped.
pub struct RedisServer {
    port: u16,
    directory: tempfile::TempDir,
    arguments: Vec<String>,
    process: Child,
}

impl RedisServer {
    /// Starts one with an append-only file; `arguments` are added to its command line.
    pub fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let process = spawn(port, &directory, &arguments);
        let server = Self { port, directory, arguments, process };
        server.wait_until_ready();
        server
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::open(self.url()).expect("a valid URL")
    }

    /// A connection to it.
    pub async fn connection(&self) -> ConnectionManager {
        Endpoint::from(self.client()).manager(Duration::from_secs(5))
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill().expect("a running process");
        self.process.wait().expect("an ended process");
    }

    /// Starts it again on its files.
    pub fn restart(&mut self) {
        self.process = spawn(self.port, &self.directory, &self.arguments);
        self.wait_until_ready();
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        send_signal(&self.process, signal);
    }

    fn wait_until_ready(&self) {
        let client = self.client();
        wait_for(Duration::from_secs(20), "redis-server to answer", || {
            client
                .get_connection_with_timeout(Duration::from_millis(200))
                .is_ok_and(|mut c| redis::cmd("PING").query::<String>(&mut c).is_ok())
        });
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn spawn(port: u16, directory: &tempfile::TempDir, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
        .arg("--dir")
        .arg(directory.path())
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server on the PATH (apt-get install redis-server, or brew install redis)")
}

/// Sends a signal to a child.
pub fn send_signal(process: &Child, signal: Signal) {
    let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("a running process");
}

pub use rustix::process::Signal as ProcessSignal;

/// A port nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket").port()
}

/// Waits until `condition` holds.
///
/// # Panics
/// After `limit`, naming `what` was waited for.
pub fn wait_for(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The first of `count` neighbouring ports nobody listens on, below the range from which the system hands out ports.
///
/// # Panics
/// When there are none.
pub fn free_ports(count: u16) -> u16 {
    let start = 15_000 + (std::process::id() % 1_000) as u16 * 12;
    (start..32_000)
        .step_by(usize::from(count))
        .find(|first| {
            (*first..first + count).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        })
        .expect("free ports")
}
