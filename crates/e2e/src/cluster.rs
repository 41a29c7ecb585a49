//! A cluster of real processes.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use vtox_connection::{ConnectionManager, Endpoint};
use vtox_protocol::FaultSet;
use vtox_test_support::{ProcessSignal, RedisServer, free_port, send_signal};

/// A running service, killed when dropped.
pub struct Process {
    /// Its name: `worker-1` and the like.
    pub name: String,
    /// Where it listens.
    pub port: u16,
    child: Child,
    log: PathBuf,
    /// How it was started.
    start: Start,
}

/// How a service is started.
#[derive(Clone)]
struct Start {
    program: PathBuf,
    environment: Vec<(String, String)>,
}

impl Start {
    /// Starts the service; its log is appended to `log`.
    fn spawn(&self, log: &Path) -> Child {
        let output = File::options().create(true).append(true).open(log).expect("a log");
        Command::new(&self.program)
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .stdout(Stdio::null())
            .stderr(Stdio::from(output))
            .spawn()
            .expect("a service")
    }
}

impl Process {
    /// Starts it again, as it was, where it was.
    pub fn restart(&mut self) {
        self.child = self.start.spawn(&self.log);
    }

    /// Starts it again where it was, from the binaries in `directory`, else those of this build.
    pub fn restart_from(&mut self, directory: Option<&Path>) {
        let name = self.start.program.file_name().and_then(|n| n.to_str()).expect("a name");
        self.start.program = directory.map_or_else(|| program(name), |from| from.join(name));
        self.restart();
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: ProcessSignal) {
        send_signal(&self.child, signal);
    }

    /// Kills it as the kernel would when memory runs out.
    pub fn kill(&mut self) {
        self.child.kill().expect("a running process");
        self.child.wait().expect("an ended process");
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// After `limit`, with its log.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(began.elapsed() < limit, "{} still runs after {limit:?}:\n{}", self.name, self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `http://127.0.0.1:PORT` and a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            eprintln!("--- {}\n{}", self.name, tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
    }
}

/// Where a program of this workspace was built.
///
/// # Panics
/// When it was not.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a path");
    // Tests are one directory below.
    let program = own.ancestors().skip(1).take(2).map(|d| d.join(name)).find(|p| p.is_file());
    program.unwrap_or_else(|| panic!("{name} is not there; run `cargo build --workspace --bins` first"))
}

/// Where a broken key is kept.
const ASIDE: &str = "aside";

/// A Redis with services on it.
pub struct Cluster {
    /// Its Redis; under Sentinel the server that was the primary at first.
    pub redis: RedisServer,
    /// Where its services look for Redis.
    pub url: String,
    /// Programs that look for Redis elsewhere, or as another user, and their URLs.
    pub urls: BTreeMap<String, String>,
    /// Where services are started from, if not from this build: those of another version.
    pub programs: Option<PathBuf>,
    /// Settings for every service.
    pub environment: Vec<(String, String)>,
    /// Services started so far; a dropped one is killed.
    pub services: Vec<Process>,
    logs: tempfile::TempDir,
    /// Fault types some worker serves.
    served: FaultSet,
}

impl Cluster {
    /// A Redis with these arguments, and no services yet. `environment` is given to each service.
    pub fn new(redis: &[&str], environment: &[(&str, &str)]) -> Self {
        let redis = RedisServer::start(redis);
        let url = redis.url();
        Self::on(redis, url, environment)
    }

    /// On a Redis that runs already and that services reach at `url`, with no services yet.
    pub fn on(redis: RedisServer, url: String, environment: &[(&str, &str)]) -> Self {
        Self {
            redis,
            url,
            urls: BTreeMap::new(),
            programs: None,
            environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            services: Vec::new(),
            logs: tempfile::tempdir().expect("a temporary directory"),
            served: FaultSet::EMPTY,
        }
    }

    /// A gateway, a coordinator, a monitor, a bridge and workers with the given fault types, all ready.
    pub async fn start(redis: &[&str], environment: &[(&str, &str)], workers: &[&str]) -> Self {
        let mut cluster = Self::new(redis, environment);
        cluster.add_all(workers).await;
        cluster
    }

    /// Starts a gateway, a coordinator, a monitor, a bridge and workers with the given fault types, and waits until all
    /// are ready.
    pub async fn add_all(&mut self, workers: &[&str]) {
        self.add_coordinator();
        for (n, faults) in workers.iter().enumerate() {
            self.add_worker(&format!("worker-{}", n + 1), faults);
        }
        self.add_others();
        self.ready().await;
    }

    /// Starts a coordinator.
    pub fn add_coordinator(&mut self) {
        self.add("coordinator", "vtox-coordinator", "VTOX_COORDINATOR__PORT", &[]);
    }

    /// Starts a gateway, a monitor and a bridge.
    pub fn add_others(&mut self) {
        self.add("gateway", "vtox-gateway", "VTOX_GATEWAY__PORT", &[]);
        self.add("monitor", "vtox-monitor", "VTOX_MONITOR__PORT", &[]);
        self.add("bridge", "vtox-websocket-bridge", "VTOX_BRIDGE__PORT", &[]);
    }

    /// Starts a worker.
    pub fn add_worker(&mut self, id: &str, faults: &str) {
        self.add_worker_with(id, faults, &[]);
    }

    /// Starts a worker with settings of its own.
    pub fn add_worker_with(&mut self, id: &str, faults: &str, environment: &[(&str, &str)]) {
        let faults_set: FaultSet = faults.parse().expect("fault types");
        self.served = self.served.iter().chain(faults_set.iter()).collect();
        let own = [("WORKER_ID", id), ("FAULT_TYPES", faults)];
        let environment: Vec<_> = own.iter().chain(environment).copied().collect();
        self.add(id, "vtox-worker", "WORKER_PORT", &environment);
    }

    /// Starts a service on a port of its own.
    pub fn add(&mut self, name: &str, binary: &str, port_name: &str, environment: &[(&str, &str)]) {
        let port = free_port();
        let log = self.logs.path().join(format!("{name}-{port}.log"));
        let url = self.urls.get(binary).unwrap_or(&self.url).clone();
        let own = [("REDIS_URL".to_owned(), url), (port_name.to_owned(), port.to_string())];
        let given = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        // Later ones win.
        let environment = own.into_iter().chain(self.environment.iter().cloned()).chain(given).collect();
        let program = self.programs.as_ref().map_or_else(|| program(binary), |from| from.join(binary));
        let start = Start { program, environment };
        let child = start.spawn(&log);
        self.services.push(Process { name: name.to_owned(), port, child, log, start });
    }

    /// The service of a name.
    pub fn service(&mut self, name: &str) -> &mut Process {
        self.services.iter_mut().find(|s| s.name == name).expect("a service of that name")
    }

    /// Forgets a service that was killed.
    pub fn remove(&mut self, name: &str) {
        self.services.retain(|s| s.name != name);
    }

    /// A metric of a service, over all its labels.
    ///
    /// # Panics
    /// When it has none of that name.
    pub async fn metric(&mut self, service: &str, name: &str) -> f64 {
        let url = self.service(service).url("/metrics");
        let text = reqwest::get(url).await.expect("an answer").text().await.expect("text");
        let samples = text.lines().filter(|l| l.split(['{', ' ']).next() == Some(name));
        let values = samples.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok());
        values.reduce(|sum, value| sum + value).unwrap_or_else(|| panic!("{service} has no {name}"))
    }

    /// Address of the gateway.
    pub fn gateway(&mut self) -> String {
        self.service("gateway").url("")
    }

    /// A connection to its Redis.
    pub async fn connection(&self) -> ConnectionManager {
        Endpoint::open(&self.url).expect("a URL").manager(Duration::from_secs(5))
    }

    /// Runs a command on its Redis.
    pub async fn command<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut cmd = redis::cmd(command[0]);
        for argument in &command[1..] {
            cmd.arg(argument);
        }
        cmd.query_async(&mut self.connection().await).await.expect("an answer of Redis")
    }

    /// Puts a key aside and a string in its place, in one step: nothing is written in between.
    pub async fn break_key(&self, key: &str) {
        let script = "redis.call('RENAME', KEYS[1], KEYS[2]) redis.call('SET', KEYS[1], 'not what it was')";
        let _: redis::Value = self.command(&["EVAL", script, "2", key, ASIDE]).await;
    }

    /// Puts the key back.
    pub async fn mend_key(&self, key: &str) {
        let _: () = self.command(&["RENAME", ASIDE, key]).await;
    }

    /// Waits until every service is ready and every lane has an owner.
    pub async fn ready(&mut self) {
        let urls: Vec<String> = self.services.iter().map(|s| s.url("/ready")).collect();
        for url in urls {
            eventually(Duration::from_secs(30), &url, async || {
                reqwest::get(&url).await.is_ok_and(|a| a.status().is_success())
            })
            .await;
        }
        let lanes = self.lanes_wanted().await;
        let coordinator =
            self.services.iter().find(|s| s.name == "coordinator").map(|s| s.url("/assignments"));
        let Some(coordinator) = coordinator else { return };
        eventually(Duration::from_secs(30), "every lane to have an owner", async || {
            let Ok(answer) = reqwest::get(&coordinator).await else {
                return false;
            };
            let Ok(answer) = answer.json::<Value>().await else {
                return false;
            };
            lanes_of(&answer["assignments"]).len() >= lanes
        })
        .await;
    }

    async fn lanes_wanted(&self) -> usize {
        let topology: Option<String> = self.command(&["GET", vtox_protocol::keys::TOPOLOGY]).await;
        let topology: vtox_protocol::keys::Topology =
            serde_json::from_str(&topology.expect("a topology")).expect("a topology");
        topology.all().count() * topology.enabled.intersection(self.served).len()
    }

    /// Partitions on which a worker owns a fault type.
    pub async fn partitions_of(&mut self, worker: &str, fault: &str) -> Vec<String> {
        let url = self.service("coordinator").url("/assignments");
        let answer: Value = reqwest::get(url).await.expect("an answer").json().await.expect("JSON");
        lanes_of(&answer["assignments"])
            .into_iter()
            .filter(|(id, f, _)| id == worker && f == fault)
            .map(|(_, _, partition)| partition)
            .collect()
    }
}

/// Worker, fault type and partition of every lane in an answer of the coordinator.
fn lanes_of(assignments: &Value) -> Vec<(String, String, String)> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let mut lanes = Vec::new();
    for (worker, assignment) in assignments.as_object().into_iter().flatten() {
        for grant in assignment["grants"].as_array().into_iter().flatten() {
            lanes.push((worker.clone(), text(&grant["fault"]), text(&grant["partition"])));
        }
    }
    lanes
}

/// Waits until `condition` holds.
///
/// # Panics
/// After `limit`, naming `what` was waited for.
pub async fn eventually(limit: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < limit, "waited {limit:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
