//! `vtox doctor`: what is wrong, and how to mend it.

use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use vtox_connection::{ConnectionManager, Endpoint, Node};
use vtox_registry::Registry;
use vtox_service_kit::config::{Mode, Settings};
use vtox_streams::{Durability, Janitor, Replication, topology, views::Views};

use crate::output::outln;

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

fn programs(findings: &mut Findings) {
    let directory = std::env::current_exe().ok().and_then(|p| p.parent().map(std::path::Path::to_owned));
    for program in
        ["vtox-gateway", "vtox-coordinator", "vtox-worker", "vtox-monitor", "vtox-websocket-bridge"]
    {
        if !directory.as_ref().is_some_and(|d| d.join(program).exists()) {
            findings.error(format!("{program} is not beside vtox"), "cargo build --release --bins");
        }
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
    access(&endpoint, &connection, settings, findings).await;
    nodes(&endpoint, settings, findings).await;
    match connection.primaries().await {
        Ok(primaries) => {
            for (name, primary) in primaries {
                let mut of_node = Findings::default();
                let views = Views::new(primary.clone());
                redis_settings(&views, settings, &mut of_node).await;
                replicas(&primary, &views, settings, &mut of_node).await;
                findings.0.extend(of_node.0.into_iter().map(|finding| finding.of(&name)));
            }
        }
        Err(error) => findings.error(error.to_string(), "start the nodes of the Redis Cluster"),
    }
    cluster(&connection, settings, findings).await;
    true
}

/// Who we are to Redis, and whether others can listen.
async fn access(
    endpoint: &Endpoint,
    connection: &ConnectionManager,
    settings: &Settings,
    findings: &mut Findings,
) {
    let user: redis::RedisResult<String> =
        redis::cmd("ACL").arg("WHOAMI").query_async(&mut connection.clone()).await;
    let user = user.unwrap_or_else(|_| "a user that may not ask its name".to_owned());
    let encrypted = if endpoint.is_encrypted() { "encrypted (TLS)" } else { "not encrypted" };
    let text = format!("connected to Redis as {user}, {encrypted}");
    if user == "default" && settings.mode == Mode::Production {
        findings.warning(
            format!("{text}: whoever reaches Redis may do everything"),
            "give each service a user of its own: deploy/redis/make-users.sh, docs/security.md",
        );
    } else {
        findings.ok(text);
    }
}

/// The nodes of a Redis Cluster, and whether every slot has one.
async fn nodes(endpoint: &Endpoint, settings: &Settings, findings: &mut Findings) {
    let (nodes, uncovered) = match endpoint.nodes().await {
        Ok(Some(answer)) => answer,
        Ok(None) => return,
        Err(error) => return findings.error(error.to_string(), "start the nodes of the Redis Cluster"),
    };
    let name = |node: &Node| format!("{}:{}", node.address.0, node.address.1);
    let primaries = nodes.iter().filter(|node| !node.slots.is_empty()).count();
    let replicas = nodes.iter().filter(|node| node.replica_of.is_some()).count();
    let counted = format!("Redis Cluster of {primaries} primaries and {replicas} replicas");
    if uncovered == 0 {
        findings.ok(format!("{counted}, all 16384 slots covered"));
    } else {
        findings.error(
            format!("{counted}, but {uncovered} slots have no node: messages are refused"),
            "start the nodes that are missing, or redis-cli --cluster fix",
        );
    }
    for node in nodes.iter().filter(|node| node.failed) {
        findings.warning(
            format!("{} does not answer the others", name(node)),
            "start it, or take it out: redis-cli --cluster del-node",
        );
    }
    if settings.redis.durability != Durability::Replicated {
        findings.warning(
            "redis.durability is not replicated: when a primary dies, its replica may lack what was accepted",
            "set redis.durability to replicated, and redis.replicas to the replicas of each primary",
        );
    }
}

async fn redis_settings(views: &Views, settings: &Settings, findings: &mut Findings) {
    let of = async |name: &str| views.config(name).await.ok().flatten();
    let (append_only, fsync) = (of("appendonly").await, of("appendfsync").await);
    let promised = settings.redis.durability;
    match (append_only.as_deref(), fsync.as_deref()) {
        (Some("yes"), Some("always")) => findings.ok("every message is on disk before it is accepted"),
        (Some("yes"), _) if promised == Durability::Always => {
            findings
                .error("redis.durability is always, but appendfsync is not", "CONFIG SET appendfsync always");
        }
        (Some("yes"), _) if promised == Durability::Replicated => findings.warning(
            "a primary that is killed and started again before Sentinel promotes a replica may lose the last 2 s",
            "CONFIG SET appendfsync always, on the replicas as well",
        ),
        (Some("yes"), _) => findings.ok("a killed Redis may lose the last 2 s (appendfsync everysec)"),
        (None, _) => findings.warning(
            "the settings of Redis are not shown to us",
            "allow CONFIG GET, or check appendonly and appendfsync by hand",
        ),
        _ => findings.error("Redis keeps nothing on disk", "CONFIG SET appendonly yes"),
    }
    match of("maxmemory-policy").await.as_deref() {
        None | Some("noeviction") => {}
        Some(policy) => findings.error(
            format!("maxmemory-policy is {policy}: Redis may throw streams away"),
            "CONFIG SET maxmemory-policy noeviction",
        ),
    }
    if settings.mode == Mode::Production && of("maxmemory").await.as_deref() == Some("0") {
        findings
            .warning("Redis has no maxmemory", "CONFIG SET maxmemory to about 70 % of the machine's memory");
    }
}

async fn replicas(
    connection: &ConnectionManager,
    views: &Views,
    settings: &Settings,
    findings: &mut Findings,
) {
    let Replication { primary, connected, following } = match Replication::read(connection).await {
        Ok(replication) => replication,
        Err(error) => return findings.error(error.to_string(), "allow INFO"),
    };
    if !primary {
        return findings.error(
            "this Redis is a replica",
            "name the primary in redis.url, or its sentinels: redis+sentinel://HOST:26379,.../NAME",
        );
    }
    if settings.redis.durability != Durability::Replicated {
        return;
    }
    let wanted = settings.redis.replicas;
    if following < wanted {
        findings.error(
            format!("redis.durability is replicated, but {following} of {wanted} replicas follow: messages are refused"),
            "start the replicas, or set redis.replicas to how many there are",
        );
    } else if connected > wanted {
        findings.error(
            format!(
                "{connected} replicas are connected, but {wanted} are waited for: a failover may promote one that lacks \
                 what was accepted, so messages are refused"
            ),
            format!("set redis.replicas to {connected}"),
        );
    } else {
        findings.ok(format!("{following} replicas follow"));
    }
    if views.config("min-replicas-to-write").await.ok().flatten().as_deref() == Some("0") {
        findings.warning(
            "a primary without replicas still takes results that a failover throws away; they are computed again",
            "CONFIG SET min-replicas-to-write 1, on the replicas as well",
        );
    }
}

async fn cluster(connection: &ConnectionManager, settings: &Settings, findings: &mut Findings) {
    match topology::load(connection).await {
        Ok(None) => findings.ok("no cluster has run on this Redis yet"),
        Ok(Some(in_force)) => {
            let (agreed, wanted) = (in_force.partitions, settings.cluster.partitions);
            // 0: nobody said how many, and what a new cluster would get depends on the mode, which is not known here.
            if wanted == 0 || wanted == agreed {
                findings.ok(format!("{agreed} partitions"));
            } else {
                findings.warning(
                    format!("the cluster has {agreed} partitions, cluster.partitions is {wanted}"),
                    "set cluster.partitions to what the cluster has, or leave it out; a new number needs an empty Redis (vtox up --data with another directory)",
                );
            }
            if let Ok(backlog) = Janitor::new(connection.clone()).backlog(&in_force).await {
                findings.ok(format!(
                    "{} messages wait, the oldest {} ms",
                    backlog.entries(),
                    backlog.oldest_age_ms()
                ));
            }
        }
        Err(error) => findings.error(error.to_string(), "see the message"),
    }
    match Registry::new(connection.clone()).members().await {
        Ok(members) => {
            for (id, record) in &members.services {
                if members
                    .silence_ms(id)
                    .is_none_or(|silence| silence >= settings.coordinator.worker_lease_ms)
                {
                    findings.warning(
                        format!("{} {id} does not answer", record.service_name),
                        "start it again; a dead record goes away by itself after a minute",
                    );
                }
            }
        }
        Err(error) => findings.error(error.to_string(), "see the message"),
    }
}
