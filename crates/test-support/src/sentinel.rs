//! Redis under Sentinel: replicas and sentinels for a primary, and the ways to hurt it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::Client;

use crate::{RedisServer, free_port, wait_for};

const NAME: &str = "main";
/// Enough for a quorum that survives one of them.
const SENTINELS: usize = 3;
/// Silence after which a sentinel takes the primary for dead, ms.
const DOWN_AFTER_MS: u32 = 1_000;

/// Replicas of a primary, and three sentinels that watch over it; all killed when dropped.
pub struct SentinelGroup {
    replicas: Vec<RedisServer>,
    sentinels: Vec<Sentinel>,
}

struct Sentinel {
    port: u16,
    process: Child,
    _directory: tempfile::TempDir,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl SentinelGroup {
    /// Starts a primary with `replicas` replicas and the sentinels, all in step. `arguments` are added to the command
    /// line of each redis-server.
    ///
    /// # Panics
    /// When redis-server cannot be started or the replicas do not catch up.
    pub fn start(replicas: usize, arguments: &[&str]) -> (RedisServer, Self) {
        // A replica need not wait for more of its kind before it is given the data.
        let arguments = [&["--repl-diskless-sync-delay", "0"], arguments].concat();
        let primary = RedisServer::start(&arguments);
        let of = format!("127.0.0.1 {}", primary.port());
        let replicas = (0..replicas)
            .map(|_| RedisServer::start(&[&arguments[..], &["--replicaof", &of]].concat()))
            .collect();
        let sentinels = (0..SENTINELS).map(|_| Sentinel::start(primary.port())).collect();
        let group = Self { replicas, sentinels };
        group.wait_until_complete(&primary);
        (primary, group)
    }

    /// The URL that names the primary by its sentinels.
    pub fn url(&self) -> String {
        let sentinels: Vec<String> = self.sentinels.iter().map(|s| format!("127.0.0.1:{}", s.port)).collect();
        format!("redis+sentinel://{}/{NAME}", sentinels.join(","))
    }

    /// Ports of the sentinels.
    pub fn sentinel_ports(&self) -> Vec<u16> {
        self.sentinels.iter().map(|sentinel| sentinel.port).collect()
    }

    /// Kills a sentinel.
    ///
    /// # Panics
    /// When it is not running.
    pub fn kill_sentinel(&mut self, n: usize) {
        self.sentinels[n].process.kill().expect("a running sentinel");
        self.sentinels[n].process.wait().expect("an ended sentinel");
    }

    /// Cuts replication: what `primary`, the one of the start, writes from now on reaches no replica, until
    /// [`Self::mend_replication`].
    pub fn cut_replication(&self, primary: &RedisServer) {
        // Credentials the primary does not know keep a replica from connecting again.
        self.each_replica(&["CONFIG", "SET", "masteruser", "cut", "masterauth", "cut"]);
        command::<u32>(&primary.client(), &["CLIENT", "KILL", "TYPE", "replica"]);
    }

    /// Lets replicas connect to the primary again.
    pub fn mend_replication(&self) {
        self.each_replica(&["CONFIG", "SET", "masteruser", "", "masterauth", ""]);
    }

    /// Port of the primary as most sentinels see it.
    pub fn primary_port(&self) -> Option<u16> {
        let mut ports: Vec<u16> = self.sentinels.iter().filter_map(Sentinel::primary_port).collect();
        ports.sort_unstable();
        let middle = ports.get(ports.len() / 2).copied()?;
        (ports.iter().filter(|port| **port == middle).count() * 2 > SENTINELS).then_some(middle)
    }

    fn each_replica(&self, command_line: &[&str]) {
        for replica in &self.replicas {
            command::<String>(&replica.client(), command_line);
        }
    }

    /// Every replica follows, and every sentinel knows of the replicas and of the other sentinels.
    fn wait_until_complete(&self, primary: &RedisServer) {
        let (replicas, others) = (self.replicas.len(), self.sentinels.len() - 1);
        let (limit, client) = (Duration::from_secs(30), primary.client());
        wait_for(limit, "the replicas to follow", || {
            let info: String = command(&client, &["INFO", "replication"]);
            info.matches("state=online").count() == replicas
        });
        wait_for(limit, "the sentinels to find each other", || {
            self.sentinels.iter().all(|sentinel| {
                let info: String = command(&sentinel.client(), &["INFO", "sentinel"]);
                info.contains(&format!(
                    "status=ok,address=127.0.0.1:{},slaves={replicas},sentinels={}",
                    primary.port(),
                    others + 1
                ))
            })
        });
    }
}

impl Sentinel {
    fn start(primary: u16) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let settings = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {NAME} 127.0.0.1 {primary} {}\n\
             sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}\nsentinel failover-timeout {NAME} 5000\n",
            directory.path().display(),
            SENTINELS / 2 + 1,
        );
        let file = directory.path().join("sentinel.conf");
        std::fs::write(&file, settings).expect("a configuration");
        let sentinel = Self { port, process: spawn(&file), _directory: directory };
        let client = sentinel.client();
        wait_for(Duration::from_secs(20), "a sentinel to answer", || client.get_connection().is_ok());
        // By default they greet each other every 2 s and look at the servers every 10 s: tests are in more of a hurry.
        command::<String>(
            &client,
            &["SENTINEL", "DEBUG", "PUBLISH-PERIOD", "250", "INFO-PERIOD", "250", "PING-PERIOD", "250"],
        );
        sentinel
    }

    fn client(&self) -> Client {
        Client::open(("127.0.0.1", self.port)).expect("an address")
    }

    fn primary_port(&self) -> Option<u16> {
        let mut connection = self.client().get_connection().ok()?;
        let ask = redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(NAME).query(&mut connection);
        let (_host, port): (String, u16) = ask.ok()?;
        Some(port)
    }
}

fn spawn(file: &Path) -> Child {
    Command::new("redis-server")
        .arg(file)
        .arg("--sentinel")
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server on the PATH")
}

fn command<T: redis::FromRedisValue>(client: &Client, command_line: &[&str]) -> T {
    let mut connection = client.get_connection().expect("a running redis-server");
    let mut command = redis::cmd(command_line[0]);
    command.arg(&command_line[1..]).query(&mut connection).expect("an answer of redis-server")
}
