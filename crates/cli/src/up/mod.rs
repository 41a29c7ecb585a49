//! `vtox up`: a whole cluster on this machine. Starts a private redis-server when none is configured, then all processes
//! of a mode; restarts what crashes; stops all on Ctrl-C.

mod children;
mod private_redis;
mod ready;
mod secrets;
mod simulator;
mod supervisor;
mod workers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use children::{Children, Plan, Service};
use clap::Args;
use private_redis::PrivateRedis;
use ready::{stopped_by, wait_until_ready};
use secrets::RedisUsers;
use serde_json::Value;
use supervisor::Supervisor;
use vtox_auth::Role;
use vtox_service_kit::config::{self, Mode, Settings};
use vtox_streams::Durability;

use crate::gateway::Gateway;
use crate::simulate::BlockKind;

#[derive(Args)]
pub struct Arguments {
    /// development, testing or production.
    #[arg(long)]
    mode: Option<String>,
    /// Workers.
    #[arg(long)]
    workers: Option<u16>,
    /// Redis to use instead of a private one.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Directory for the private Redis and the logs; default: ~/.local/share/vtox, or a temporary one with --for.
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,
    /// Also simulate a fleet of so many vehicles.
    #[arg(long, value_name = "N")]
    vehicles: Option<u64>,
    /// Mean time between two blocks of a simulated vehicle, s.
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    interval: f64,
    /// Length and rate of the simulated blocks.
    #[arg(long, value_enum, default_value_t = BlockKind::Long)]
    block: BlockKind,
    /// Stop after so many seconds and say what happened, as one JSON object.
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
}

/// Runs the cluster.
pub async fn run(arguments: Arguments, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let overrides = [
        ("VTOX_MODE", arguments.mode.clone()),
        ("VTOX_CLUSTER__WORKERS", arguments.workers.map(|w| w.to_string())),
        ("VTOX_REDIS__URL", arguments.redis.clone()),
    ];
    let environment = overrides.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let settings =
        config::load(file, std::env::vars().chain(environment)).context("the settings cannot be used")?;
    settings.diagnosis.read::<vtox_diagnosis::Thresholds>().context("thresholds in [diagnosis]")?;
    // For what it answers to everyone.
    let gateway = Gateway::local(&settings, None, Role::Viewer)?;

    let temporary = tempfile::tempdir().context("a temporary directory")?;
    let data = match (&arguments.data, arguments.seconds) {
        (Some(directory), _) => directory.clone(),
        (None, Some(_)) => temporary.path().to_owned(),
        (None, None) => default_data()?,
    };
    std::fs::create_dir_all(data.join("logs"))
        .with_context(|| format!("{} cannot be made", data.display()))?;
    let mut redis = match settings.redis.url.as_str() {
        "" => {
            let production = settings.mode == Mode::Production;
            let users = production.then(|| RedisUsers::make(&data)).transpose()?;
            let always = settings.redis.durability == Durability::Always;
            Some(PrivateRedis::start(&data, always, users).await?)
        }
        _ => {
            settings.redis.check(settings.mode)?;
            None
        }
    };
    let url = redis.as_ref().map_or_else(|| Ok(settings.redis.url.clone()), PrivateRedis::url)?;
    let plan = Plan {
        url: url.clone(),
        own: own_settings(&settings, redis.as_ref(), &data)?,
        file: file.map(Path::to_owned),
        logs: data.join("logs"),
        mode: settings.mode,
        stop_limit: Duration::from_secs(settings.shutdown_deadline_s + 2),
    };
    let mut supervised = Supervised {
        children: Children::start(plan, services(&settings))?,
        supervisor: Supervisor::new(
            settings.redis.endpoint(Some(&url))?.manager(Duration::from_secs(2)),
            &settings,
        ),
        redis: redis.as_mut(),
    };
    let outcome = serve(&arguments, &settings, &gateway, &url, &data, began, &mut supervised).await;
    supervised.supervisor.resign().await;
    supervised.children.stop().await;
    if let Some(redis) = redis {
        redis.stop().await;
    }
    outcome
}

async fn serve(
    arguments: &Arguments,
    settings: &Settings,
    gateway: &Gateway,
    url: &str,
    data: &Path,
    began: Instant,
    supervised: &mut Supervised<'_>,
) -> anyhow::Result<ExitCode> {
    let endpoint = settings.redis.endpoint(Some(url))?;
    let coordinator = format!("http://127.0.0.1:{}", settings.coordinator.port);
    tokio::select! {
        ready = wait_until_ready(gateway, &coordinator, &endpoint, settings.cluster.enabled) => ready?,
        failed = supervised.run() => return Err(failed),
        () = stop_signal() => return Ok(ExitCode::SUCCESS),
    }
    eprintln!("VTOX is ready after {:.1} s ({} mode)", began.elapsed().as_secs_f64(), settings.mode.name());
    if let Some(by) = stopped_by(&endpoint).await {
        eprintln!(
            "  consumption  stopped by {by}; POST {}/api/v1/diagnosis-stream/start starts it",
            gateway.url()
        );
    }
    eprintln!("  gateway      {}", gateway.url());
    eprintln!("  coordinator  {coordinator}/status");
    eprintln!("  monitor      http://127.0.0.1:{}/status", settings.monitor.port);
    // The bridge itself asks nobody for a token.
    let dashboards = if settings.auth.required {
        gateway.websocket_url()
    } else {
        format!("ws://127.0.0.1:{}", settings.bridge.port)
    };
    eprintln!("  dashboards   {dashboards}/ws/frontend");
    eprintln!("  redis        {}", redacted(url));
    if let Some(file) = supervised.redis.as_ref().and_then(|redis| redis.url_file()) {
        eprintln!("               for other commands: export REDIS_URL=$(cat {})", file.display());
        eprintln!("               credentials for the gateway: vtox token issue, vtox user add");
    }
    eprintln!("  logs         {}", data.join("logs").display());
    let stop = async {
        match arguments.seconds {
            Some(seconds) => tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
                () = stop_signal() => {}
            },
            None => stop_signal().await,
        }
    };
    let Some(vehicles) = arguments.vehicles else {
        return tokio::select! {
            () = stop => Ok(ExitCode::SUCCESS),
            failed = supervised.run() => Err(failed),
        };
    };
    let fleet = simulator::Fleet { vehicles, interval: arguments.interval, block: arguments.block };
    let report = tokio::select! {
        report = fleet.run(settings, endpoint, stop) => report?,
        () = async { stop_signal().await; stop_signal().await } => {
            eprintln!("stopped without waiting for the last results");
            return Ok(ExitCode::FAILURE);
        }
        failed = supervised.run() => return Err(failed),
    };
    let mut summary = report.to_json();
    if let Value::Object(fields) = &mut summary {
        fields.insert("services_memory_mib".into(), supervised.children.memory_mib().into());
        fields.insert("restarts".into(), supervised.children.restarts().into());
    }
    println!("{summary}");
    Ok(if report.complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What each program alone is told: its own user of a private Redis, and the gateway where the keys for tokens are. In
/// production the gateway alone listens to other machines: it asks who calls, the others do not, and with a private Redis
/// they have nobody to hear there.
fn own_settings(
    settings: &Settings,
    redis: Option<&PrivateRedis>,
    data: &Path,
) -> anyhow::Result<Vec<(&'static str, String, String)>> {
    let mut own = Vec::new();
    let production = settings.mode == Mode::Production;
    if let Some(redis) = redis {
        for program in secrets::PROGRAMS {
            let url = redis.url_of(secrets::user_of(program))?;
            own.push((program, "VTOX_REDIS__URL".to_owned(), url));
            if production && program != "vtox-gateway" {
                own.push((program, "VTOX_HOST".to_owned(), "127.0.0.1".to_owned()));
            }
        }
    }
    if production && settings.auth.keys_dir.is_empty() {
        let keys = secrets::token_keys(data)?.display().to_string();
        own.push(("vtox-gateway", "VTOX_AUTH__KEYS_DIR".to_owned(), keys));
    }
    Ok(own)
}

/// The processes of a mode.
fn services(settings: &Settings) -> Vec<Service> {
    let mut services = vec![
        Service::new("coordinator", "vtox-coordinator", settings.coordinator.port),
        Service::new("monitor", "vtox-monitor", settings.monitor.port),
        Service::new("websocket_bridge", "vtox-websocket-bridge", settings.bridge.port),
    ];
    if settings.cluster.enabled {
        services.append(&mut supervisor::first_workers(settings));
    }
    services.push(Service::new("gateway", "vtox-gateway", settings.gateway.port));
    for service in &mut services {
        let partitions = ("VTOX_CLUSTER__PARTITIONS".to_owned(), settings.partitions().to_string());
        if !service.environment.contains(&partitions) {
            service.environment.push(partitions);
        }
    }
    services
}

/// What is kept running.
struct Supervised<'a> {
    children: Children,
    supervisor: Supervisor,
    redis: Option<&'a mut PrivateRedis>,
}

impl Supervised<'_> {
    /// Restarts what crashes, the private Redis among it, and follows the operators' switches; returns only when that makes
    /// no sense.
    async fn run(&mut self) -> anyhow::Error {
        let redis = async {
            match &mut self.redis {
                Some(redis) => redis.keep_running().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            failed = self.supervisor.run(&mut self.children) => failed,
            failed = redis => failed,
        }
    }
}

async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return drop(tokio::signal::ctrl_c().await);
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn default_data() -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share")));
    Ok(base.context("neither XDG_DATA_HOME nor HOME is set; give --data DIRECTORY")?.join("vtox"))
}

/// A URL without its password.
fn redacted(url: &str) -> String {
    // What follows ? may be the password of the sentinels.
    let url = url.split_once('?').map_or(url, |(url, _)| url);
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://...@{host}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(redacted("redis://user:secret@host:6379/0"), "redis://...@host:6379/0");
        assert_eq!(redacted("redis://127.0.0.1:6379"), "redis://127.0.0.1:6379");
        let sentinels = "redis+sentinel://:secret@a:26379,b:26379/main?sentinel_password=secret";
        assert_eq!(redacted(sentinels), "redis+sentinel://...@a:26379,b:26379/main");
    }
}
