//! The services as children: each with a task of its own that starts it, restarts it with back-off and stops it.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use vtox_service_kit::config::Mode;

/// One service to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Name of its log.
    pub name: String,
    /// Its program, beside ours.
    pub program: &'static str,
    /// Where it will listen.
    pub port: u16,
    /// Settings of its own.
    pub environment: Vec<(String, String)>,
}

impl Service {
    /// A service without settings of its own.
    pub fn new(name: &str, program: &'static str, port: u16) -> Self {
        Self { name: name.to_owned(), program, port, environment: Vec::new() }
    }
}

/// What all services share.
pub struct Plan {
    /// Redis.
    pub url: String,
    /// Program, name and value of what it alone is told.
    pub own: Vec<(&'static str, String, String)>,
    /// File with settings.
    pub file: Option<PathBuf>,
    /// Directory of the logs.
    pub logs: PathBuf,
    /// Mode.
    pub mode: Mode,
    /// How long a service may take to stop.
    pub stop_limit: Duration,
}

/// Exit code of a service whose settings cannot be used.
const BAD_SETTINGS: i32 = 64;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A service that ran this long is restarted without a wait.
const LONG_RUN: Duration = Duration::from_secs(30);

/// The running services.
pub struct Children {
    plan: Arc<Plan>,
    running: BTreeMap<String, Running>,
    restarts: Arc<AtomicU64>,
    failures: (mpsc::UnboundedSender<anyhow::Error>, mpsc::UnboundedReceiver<anyhow::Error>),
}

struct Running {
    service: Service,
    stop: watch::Sender<bool>,
    pid: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Children {
    /// Starts them all, after a look whether their ports are free.
    pub fn start(plan: Plan, services: Vec<Service>) -> anyhow::Result<Self> {
        if let Some(service) = services.iter().find(|s| !is_free(s.port)) {
            bail!(
                "port {} of {} is in use; stop what uses it, or set another (VTOX_GATEWAY__PORT and the like; `vtox config` lists them)",
                service.port,
                service.name
            );
        }
        let mut children = Self {
            plan: Arc::new(plan),
            running: BTreeMap::new(),
            restarts: Arc::default(),
            failures: mpsc::unbounded_channel(),
        };
        for service in services {
            children.add(service)?;
        }
        Ok(children)
    }

    /// Starts one more.
    pub fn add(&mut self, service: Service) -> anyhow::Result<()> {
        let log = self.plan.logs.join(format!("{}.log", service.name));
        File::create(&log).with_context(|| format!("{} cannot be made", log.display()))?;
        let (stop, stopped) = watch::channel(false);
        let pid = Arc::new(AtomicU32::new(0));
        let mut keeper = Keeper {
            plan: self.plan.clone(),
            service: service.clone(),
            log,
            pid: pid.clone(),
            restarts: self.restarts.clone(),
        };
        let first = keeper.spawn()?;
        let failures = self.failures.0.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = keeper.keep(first, stopped).await {
                drop(failures.send(error));
            }
        });
        self.running.insert(service.name.clone(), Running { service, stop, pid, task });
        Ok(())
    }

    /// The services that run.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.running.values().map(|running| &running.service)
    }

    /// Why a service cannot be kept running.
    pub async fn failed(&mut self) -> anyhow::Error {
        let error = self.failures.1.recv().await;
        error.unwrap_or_else(|| anyhow::anyhow!("no service is supervised"))
    }

    /// Restarts so far.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Resident memory of all services, MiB.
    pub fn memory_mib(&self) -> Option<u64> {
        let kib: Option<u64> =
            self.running.values().map(|r| resident_kib(r.pid.load(Ordering::Relaxed))).sum();
        kib.map(|k| k / 1024)
    }

    /// Ends some, each with a drain.
    pub async fn stop_some(&mut self, names: &[String]) {
        let leaving = names.iter().filter_map(|name| self.running.remove(name));
        join_all(leaving.map(Running::stop)).await;
    }

    /// Ends them all: first the door, then the rest.
    pub async fn stop(mut self) {
        let door = |s: &Service| s.program == "vtox-gateway";
        for first in [true, false] {
            let names: Vec<String> =
                self.services().filter(|s| door(s) == first).map(|s| s.name.clone()).collect();
            self.stop_some(&names).await;
        }
    }
}

impl Running {
    async fn stop(self) {
        self.stop.send_replace(true);
        drop(self.task.await);
    }
}

/// Keeps one service running.
struct Keeper {
    plan: Arc<Plan>,
    service: Service,
    log: PathBuf,
    pid: Arc<AtomicU32>,
    restarts: Arc<AtomicU64>,
}

impl Keeper {
    /// Restarts the service whenever it ends, until it is to stop; an error when that makes no sense.
    async fn keep(&mut self, mut process: Child, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        let mut wait = FIRST_WAIT;
        loop {
            let started = Instant::now();
            let status = tokio::select! {
                status = process.wait() => status.ok(),
                () = asked(&mut stop) => {
                    self.end(process).await;
                    return Ok(());
                }
            };
            if status.and_then(|s| s.code()) == Some(BAD_SETTINGS) {
                bail!("{} cannot use its settings: {}", self.service.name, last_line(&self.log));
            }
            if started.elapsed() >= LONG_RUN {
                wait = FIRST_WAIT;
            }
            let how = status.map_or_else(|| "ended".to_owned(), |s: ExitStatus| s.to_string());
            eprintln!(
                "{} {how}; starting it again in {wait:?} (log: {})",
                self.service.name,
                self.log.display()
            );
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = asked(&mut stop) => return Ok(()),
            }
            wait = (wait * 2).min(LONGEST_WAIT);
            process = self.spawn()?;
            self.restarts.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let own = self.plan.own.iter().filter(|(program, ..)| *program == self.service.program);
        let directory = std::env::current_exe()?.parent().context("the program has no directory")?.to_owned();
        let program = directory.join(self.service.program);
        let output = File::options().append(true).open(&self.log)?;
        let mut command = Command::new(&program);
        command
            .env("VTOX_REDIS__URL", &self.plan.url)
            .env("VTOX_MODE", self.plan.mode.name())
            .envs(own.map(|(_, name, value)| (name, value)))
            .envs(self.service.environment.iter().map(|(k, v)| (k, v)))
            // Ctrl-C in a terminal reaches the whole group; the services are stopped in order instead.
            .process_group(0)
            .stdout(Stdio::from(output.try_clone()?))
            .stderr(Stdio::from(output))
            .kill_on_drop(true);
        if let Some(file) = &self.plan.file {
            command.env("VTOX_CONFIG", file);
        }
        let process = command.spawn().with_context(|| {
            format!("{} cannot be started; build it with `cargo build --release --bins`", program.display())
        })?;
        self.pid.store(process.id().unwrap_or(0), Ordering::Relaxed);
        Ok(process)
    }

    async fn end(&self, mut process: Child) {
        if let Some(pid) = process.id().and_then(|id| Pid::from_raw(id as i32)) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        let limit = self.plan.stop_limit;
        if tokio::time::timeout(limit, process.wait()).await.is_err() {
            eprintln!("{} did not stop in {limit:?}; killing it", self.service.name);
            drop(process.kill().await);
        }
    }
}

/// Waits until the service is to stop.
async fn asked(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Whether nobody listens on a port of this machine.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn last_line(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default().lines().last().unwrap_or_default().to_owned()
}

/// Resident memory of a process, KiB, as `ps` tells it on Linux and macOS alike.
fn resident_kib(pid: u32) -> Option<u64> {
    let output =
        std::process::Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
