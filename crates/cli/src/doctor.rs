//! `vtox doctor`: what is wrong, and how to mend it.

mod members;
mod nodes;
mod sentinels;
mod server;
mod sizing;

use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use vtox_service_kit::config::Settings;
use vtox_streams::views::Views;

use crate::output::outln;

/// What `vtox up` starts.
const SERVICES: [&str; 5] =
    ["vtox-gateway", "vtox-coordinator", "vtox-worker", "vtox-monitor", "vtox-websocket-bridge"];

#[derive(Args)]
pub struct Arguments {
    /// Redis to look at instead of the configured one.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize, PartialEq, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Level {
    Ok,
    Warning,
    Error,
}

#[derive(Serialize)]
struct Finding {
    level: Level,
    what: String,
    fix: Option<String>,
}

impl Finding {
    /// The same of a node of a Redis Cluster; without a name there is only one.
    fn of(mut self, node: &str) -> Self {
        if !node.is_empty() {
            self.what = format!("{node}: {}", self.what);
        }
        self
    }
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, what: impl Into<String>) {
        self.0.push(Finding { level: Level::Ok, what: what.into(), fix: None });
    }

    fn warning(&mut self, what: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Finding { level: Level::Warning, what: what.into(), fix: Some(fix.into()) });
    }

    fn error(&mut self, what: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Finding { level: Level::Error, what: what.into(), fix: Some(fix.into()) });
    }
}

/// Looks; the exit code is 1 when something is broken.
pub async fn run(arguments: &Arguments, settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    programs(&mut findings);
    let answered = redis(arguments.redis.as_deref(), settings, &mut findings).await;
    if !answered {
        ports(settings, &mut findings);
    }
    let broken = findings.0.iter().any(|f| f.level == Level::Error);
    if arguments.json {
        outln!("{}", serde_json::to_string(&findings.0)?);
    } else {
        for finding in &findings.0 {
            let mark = match finding.level {
                Level::Ok => "ok      ",
                Level::Warning => "warning ",
                Level::Error => "error   ",
            };
            outln!("{mark} {}", finding.what);
            if let Some(fix) = &finding.fix {
                outln!("          fix: {fix}");
            }
        }
    }
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What `vtox up` needs beside it.
fn programs(findings: &mut Findings) {
    let directory = std::env::current_exe().ok().and_then(|p| p.parent().map(std::path::Path::to_owned));
    let missing: Vec<&str> = SERVICES
        .into_iter()
        .filter(|program| !directory.as_ref().is_some_and(|d| d.join(program).exists()))
        .collect();
    if missing.len() == SERVICES.len() {
        return findings.ok(
            "only vtox is here, as in its image; `vtox up` would need the services beside it (cargo build --release --bins)",
        );
    }
    for program in missing {
        findings.error(format!("{program} is not beside vtox"), "cargo build --release --bins");
    }
    match std::process::Command::new("redis-server").arg("--version").output() {
        Ok(output) => findings.ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Err(_) => findings.warning(
            "redis-server is not on the PATH",
            "apt-get install redis-server, or brew install redis; not needed when redis.url names another",
        ),
    }
}

/// Ports that `vtox up` would need.
fn ports(settings: &Settings, findings: &mut Findings) {
    let mut ports = vec![
        ("gateway", settings.gateway.port),
        ("coordinator", settings.coordinator.port),
        ("monitor", settings.monitor.port),
        ("bridge", settings.bridge.port),
    ];
    ports.extend((0..settings.cluster.workers).map(|n| ("worker", settings.worker.port + n)));
    for (service, port) in ports {
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
            findings.error(
                format!("port {port} of the {service} is in use"),
                format!("stop what uses it (lsof -i :{port}), or set {service}.port"),
            );
        }
    }
}

/// Whether Redis answered.
async fn redis(url: Option<&str>, settings: &Settings, findings: &mut Findings) -> bool {
    let endpoint = match settings.redis.endpoint(url) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            findings.error(error.to_string(), "correct redis.url and the files named in [redis]");
            return false;
        }
    };
    sentinels::look(&endpoint, findings).await;
    let connection = endpoint.manager(Duration::from_secs(2));
    let info: redis::RedisResult<String> =
        redis::cmd("INFO").arg("server").query_async(&mut connection.clone()).await;
    let info = match info {
        Ok(info) => info,
        Err(error) => {
            let text = format!("Redis does not answer: {}", endpoint.explain(&error));
            if settings.redis.url.is_empty() {
                findings.ok(format!("{text}; `vtox up` starts a private one"));
            } else {
                findings.error(text, "start it, or correct redis.url (REDIS_URL)");
            }
            return false;
        }
    };
    let version = info.lines().find_map(|l| l.strip_prefix("redis_version:")).unwrap_or("0").to_owned();
    if version.split('.').next().and_then(|v| v.parse::<u32>().ok()).unwrap_or(0) >= 7 {
        findings.ok(format!("Redis {version}"));
    } else {
        findings.error(format!("Redis {version} is too old"), "use Redis 7.0 or newer");
    }
    server::access(&endpoint, &connection, settings, findings).await;
    let topology = members::topology(&connection, settings, findings).await;
    nodes::look(&endpoint, &topology, settings, findings).await;
    match connection.primaries().await {
        Ok(primaries) => {
            for (name, primary) in &primaries {
                let mut of_node = Findings::default();
                let views = Views::new(primary.clone());
                server::keeps(&views, settings, &mut of_node).await;
                server::replicas(primary, &views, settings, &mut of_node).await;
                findings.0.extend(of_node.0.into_iter().map(|finding| finding.of(name)));
            }
            sizing::look(&Views::new(connection.clone()), &primaries, settings, findings).await;
        }
        Err(error) => findings.error(error.to_string(), "start the nodes of the Redis Cluster"),
    }
    members::look(&connection, settings, findings).await;
    true
}
