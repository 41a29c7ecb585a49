//! A redis-server of the cluster's own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::{Child, Command};
use vtox_connection::Endpoint;

use super::secrets::{OPERATOR, RedisUsers};

/// Where it listens when that is free, so that `redis-cli` finds it.
const USUAL_PORT: u16 = 6379;

/// A running redis-server.
pub struct PrivateRedis {
    port: u16,
    directory: PathBuf,
    log: PathBuf,
    fsync: &'static str,
    /// None: whoever reaches it may do everything.
    users: Option<RedisUsers>,
    process: Option<Child>,
}

/// Wait before it is started again.
const RESTART_WAIT: Duration = Duration::from_millis(500);

impl PrivateRedis {
    /// Starts one that keeps its data in `data`.
    pub async fn start(data: &Path, always: bool, users: Option<RedisUsers>) -> anyhow::Result<Self> {
        let directory = data.join("redis");
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("{} cannot be made", directory.display()))?;
        let port = free_port()?;
        if let Some(users) = &users {
            users.leave_url(port)?;
        }
        let fsync = if always { "always" } else { "everysec" };
        let mut redis =
            Self { port, directory, log: data.join("logs/redis.log"), fsync, users, process: None };
        redis.spawn()?;
        redis.wait().await?;
        Ok(redis)
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .context("the log of Redis cannot be made")?;
        let mut command = Command::new("redis-server");
        if let Some(users) = &self.users {
            command.arg("--aclfile").arg(users.acl_file());
        }
        let process = command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--appendonly", "yes", "--appendfsync", self.fsync, "--save", ""])
            .arg("--dir")
            .arg(&self.directory)
            // Ctrl-C in a terminal reaches the whole group; Redis must outlive the services.
            .process_group(0)
            .stdout(Stdio::from(log))
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("redis-server cannot be started; install it (apt-get install redis-server, or brew install redis), or give --redis URL")?;
        self.process = Some(process);
        Ok(())
    }

    /// Starts it again whenever it ends; returns only when that is not possible.
    pub async fn keep_running(&mut self) -> anyhow::Error {
        loop {
            let Some(process) = &mut self.process else {
                return anyhow::anyhow!("the private redis-server is not running");
            };
            let how = process.wait().await.map_or_else(|e| e.to_string(), |status| status.to_string());
            eprintln!("redis-server {how}; starting it again (log: {})", self.log.display());
            tokio::time::sleep(RESTART_WAIT).await;
            if let Err(error) = self.spawn() {
                return error;
            }
        }
    }

    /// Its URL for us.
    pub fn url(&self) -> anyhow::Result<String> {
        self.url_of(OPERATOR)
    }

    /// Its URL for a user, where it has users.
    pub fn url_of(&self, user: &str) -> anyhow::Result<String> {
        match &self.users {
            Some(users) => users.url(user, self.port),
            None => Ok(format!("redis://127.0.0.1:{}", self.port)),
        }
    }

    /// File with its URL for other commands of `vtox`, where it has users.
    pub fn url_file(&self) -> Option<PathBuf> {
        self.users.as_ref().map(RedisUsers::url_file)
    }

    async fn wait(&self) -> anyhow::Result<()> {
        let connection = Endpoint::open(&self.url()?)?.manager(Duration::from_secs(2));
        for _ in 0..200 {
            if redis::cmd("PING").query_async::<String>(&mut connection.clone()).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the private redis-server does not answer; its log is beside the others")
    }

    /// Ends it; what it holds is on disk.
    pub async fn stop(self) {
        let Some(mut process) = self.process else { return };
        if let Some(pid) = process.id().and_then(|id| rustix::process::Pid::from_raw(id as i32)) {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(Duration::from_secs(10), process.wait()).await.is_err() {
            drop(process.kill().await);
        }
    }
}

fn free_port() -> anyhow::Result<u16> {
    if TcpListener::bind((Ipv4Addr::LOCALHOST, USUAL_PORT)).is_ok() {
        return Ok(USUAL_PORT);
    }
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?.local_addr()?.port())
}
