//! The services as children: started, restarted with back-off, stopped.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::future::{join_all, select_all};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use vtox_service_kit::config::Mode;

/// One service to run.
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
    /// File with settings.
    pub file: Option<PathBuf>,
    /// Directory of the logs.
    pub logs: PathBuf,
    /// Mode.
    pub mode: Mode,
}

/// Exit code of a service whose settings cannot be used.
const BAD_SETTINGS: i32 = 64;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A service that ran this long is restarted without a wait.
const LONG_RUN: Duration = Duration::from_secs(30);

struct Running {
    service: Service,
    process: Child,
    started: Instant,
    wait: Duration,
    log: PathBuf,
}

/// The running services.
pub struct Children {
    running: Vec<Running>,
    directory: PathBuf,
    url: String,
    file: Option<PathBuf>,
    mode: Mode,
    restarts: u64,
}

impl Children {
    /// Starts them all, after a look whether their ports are free.
    pub fn start(plan: &Plan, services: Vec<Service>) -> anyhow::Result<Self> {
        for service in &services {
            if TcpListener::bind((Ipv4Addr::LOCALHOST, service.port)).is_err() {
                bail!(
                    "port {} of {} is in use; stop what uses it, or set another (VTOX_GATEWAY__PORT and the like; `vtox config` lists them)",
                    service.port,
                    service.name
                );
            }
        }
        let directory = std::env::current_exe()?.parent().context("the program has no directory")?.to_owned();
        let mut children = Self {
            running: Vec::new(),
            directory,
            url: plan.url.clone(),
            file: plan.file.clone(),
            mode: plan.mode,
            restarts: 0,
        };
        for service in services {
            let log = plan.logs.join(format!("{}.log", service.name));
            File::create(&log).with_context(|| format!("{} cannot be made", log.display()))?;
            let process = children.spawn(&service, &log)?;
            let running = Running { service, process, started: Instant::now(), wait: FIRST_WAIT, log };
            children.running.push(running);
        }
        Ok(children)
    }

    fn spawn(&self, service: &Service, log: &PathBuf) -> anyhow::Result<Child> {
        let program = self.directory.join(service.program);
        let output = File::options().append(true).open(log)?;
        let mut command = Command::new(&program);
        command
            .env("VTOX_REDIS__URL", &self.url)
            .env("VTOX_MODE", self.mode.name())
            .envs(service.environment.iter().map(|(k, v)| (k, v)))
            // Ctrl-C in a terminal reaches the whole group; the services are stopped in order instead.
            .process_group(0)
            .stdout(Stdio::from(output.try_clone()?))
            .stderr(Stdio::from(output))
            .kill_on_drop(true);
        if let Some(file) = &self.file {
            command.env("VTOX_CONFIG", file);
        }
        command.spawn().with_context(|| {
            format!("{} cannot be started; build it with `cargo build --release --bins`", program.display())
        })
    }

    /// Restarts what crashes; returns only when that makes no sense.
    pub async fn supervise(&mut self) -> anyhow::Error {
        loop {
            let ended = select_all(self.running.iter_mut().map(|r| Box::pin(r.process.wait())));
            let (status, index, _) = ended.await;
            if let Err(error) = self.restart(index, status.ok()).await {
                return error;
            }
        }
    }

    async fn restart(&mut self, index: usize, status: Option<ExitStatus>) -> anyhow::Result<()> {
        let running = &mut self.running[index];
        let name = running.service.name.clone();
        if status.and_then(|s| s.code()) == Some(BAD_SETTINGS) {
            bail!("{name} cannot use its settings: {}", last_line(&running.log));
        }
        if running.started.elapsed() >= LONG_RUN {
            running.wait = FIRST_WAIT;
        }
        let wait = running.wait;
        running.wait = (wait * 2).min(LONGEST_WAIT);
        let how = status.map_or_else(|| "ended".to_owned(), |s| s.to_string());
        eprintln!("{name} {how}; starting it again in {wait:?} (log: {})", running.log.display());
        tokio::time::sleep(wait).await;
        let process = self.spawn(&self.running[index].service, &self.running[index].log)?;
        let running = &mut self.running[index];
        running.process = process;
        running.started = Instant::now();
        self.restarts += 1;
        Ok(())
    }

    /// Restarts so far.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Resident memory of all services, MiB.
    pub fn memory_mib(&self) -> Option<u64> {
        let kib: Option<u64> = self.running.iter().map(|r| resident_kib(r.process.id()?)).sum();
        kib.map(|k| k / 1024)
    }

    /// Ends them: first the door, then the rest.
    pub async fn stop(mut self, limit: Duration) {
        let (door, rest): (Vec<_>, Vec<_>) =
            self.running.drain(..).partition(|r| r.service.program == "vtox-gateway");
        for group in [door, rest] {
            join_all(group.into_iter().map(|mut running| async move {
                if let Some(pid) = running.process.id().and_then(|id| Pid::from_raw(id as i32)) {
                    // It may have ended by itself.
                    let _ = kill_process(pid, Signal::TERM);
                }
                if tokio::time::timeout(limit, running.process.wait()).await.is_err() {
                    eprintln!("{} did not stop in {limit:?}; killing it", running.service.name);
                    drop(running.process.kill().await);
                }
            }))
            .await;
        }
    }
}

fn last_line(log: &PathBuf) -> String {
    std::fs::read_to_string(log).unwrap_or_default().lines().last().unwrap_or_default().to_owned()
}

/// Resident memory of a process, KiB, as `ps` tells it on Linux and macOS alike.
fn resident_kib(pid: u32) -> Option<u64> {
    let output =
        std::process::Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
