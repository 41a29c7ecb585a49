//! A cluster under load, and what faults do to it.

use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::Value;
use vtox_e2e::{Cluster, Fleet, Load, Proxy, eventually, ids};
use vtox_protocol::FaultType;
use vtox_service_kit::clock;
use vtox_test_support::{RedisServer, SentinelGroup};

/// Vehicles, and how often each sends.
pub const LOAD: Load = Load { vehicles: 40, interval: Duration::from_millis(150) };
/// Results must flow again after this long, whatever happened.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a fault needs.
#[derive(Default, Clone)]
pub struct Needs {
    /// Arguments of redis-server.
    pub redis: Vec<String>,
    /// Settings of every service.
    pub environment: Vec<(String, String)>,
    /// Settings of single services.
    pub of_service: Vec<(&'static str, String, String)>,
    /// Workers, each serving all fault types.
    pub workers: usize,
    /// A second coordinator.
    pub standby: bool,
    /// Redis is a primary with a replica under Sentinel.
    pub sentinel: bool,
    /// Service whose way to Redis can be broken; `*`: all of them.
    pub proxied: Option<&'static str>,
}

impl Needs {
    /// A cluster of so many workers.
    pub fn workers(workers: usize) -> Self {
        Self { workers, ..Self::default() }
    }

    /// An argument of redis-server and its value.
    pub fn redis(mut self, name: &str, value: &str) -> Self {
        self.redis.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// A setting of every service.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A setting of one service.
    pub fn set_of(mut self, service: &'static str, name: &str, value: &str) -> Self {
        self.of_service.push((service, name.to_owned(), value.to_owned()));
        self
    }
}

/// A cluster under load.
pub struct Arena {
    /// The cluster.
    pub cluster: Cluster,
    /// What watches over its Redis.
    pub group: Option<SentinelGroup>,
    /// The fleet that loads it.
    pub fleet: Fleet,
    /// The way to Redis that can be broken.
    pub network: Proxy,
    /// Where choices come from.
    pub random: StdRng,
    /// What was seen beside the messages and must not be.
    pub complaints: Vec<String>,
    began: Instant,
}

impl Arena {
    /// Starts what the fault needs and lets it run in.
    pub async fn start(needs: &Needs, mut random: StdRng) -> Self {
        let redis: Vec<&str> = needs.redis.iter().map(String::as_str).collect();
        let mut environment = vec![("VTOX_CLUSTER__PARTITIONS", "16")];
        environment.extend(needs.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let (server, group) = match needs.sentinel {
            true => {
                let (primary, group) = SentinelGroup::start(1, &redis);
                (primary, Some(group))
            }
            false => (RedisServer::start(&redis), None),
        };
        let url = group.as_ref().map_or_else(|| server.url(), SentinelGroup::url);
        let mut cluster = Cluster::on(server, url, &environment);
        let network = Proxy::start(cluster.redis.port(), random.random()).await;
        let url = network.url();
        let own = |service: &str| -> Vec<(&str, &str)> {
            let through = needs.proxied.is_some_and(|p| p == "*" || p == service);
            let through = through.then_some(("REDIS_URL", url.as_str()));
            let set = needs.of_service.iter().filter(|(s, ..)| *s == service).map(|(_, k, v)| (&**k, &**v));
            through.into_iter().chain(set).collect()
        };
        cluster.add("coordinator", "vtox-coordinator", "VTOX_COORDINATOR__PORT", &own("coordinator"));
        if needs.standby {
            cluster.add("standby", "vtox-coordinator", "VTOX_COORDINATOR__PORT", &own("standby"));
        }
        for n in 1..=needs.workers {
            let id = format!("worker-{n}");
            cluster.add_worker_with(&id, "all", &own(&id));
        }
        cluster.add("gateway", "vtox-gateway", "VTOX_GATEWAY__PORT", &own("gateway"));
        cluster.add("monitor", "vtox-monitor", "VTOX_MONITOR__PORT", &own("monitor"));
        cluster.add("bridge", "vtox-websocket-bridge", "VTOX_BRIDGE__PORT", &own("bridge"));
        cluster.ready().await;
        let fleet = Fleet::start(&cluster.gateway(), &cluster.url, LOAD).await;
        let arena =
            Self { cluster, group, fleet, network, random, complaints: Vec::new(), began: Instant::now() };
        arena.recovered().await;
        arena
    }

    /// Says what is done, for someone who watches.
    pub fn say(&self, what: impl std::fmt::Display) {
        eprintln!("  {:6.2} s  {what}", self.began.elapsed().as_secs_f64());
    }

    /// Something breaks in an instant.
    pub fn breaks(&self) {
        let now_ms = clock::epoch_ms();
        self.fleet.ledger.broken(now_ms, now_ms);
    }

    /// Lets time pass while something is broken; it is mended at the end.
    pub async fn broken_for(&self, time: Duration) {
        let from_ms = clock::epoch_ms();
        tokio::time::sleep(time).await;
        self.fleet.ledger.broken(from_ms, clock::epoch_ms());
    }

    /// Waits until every vehicle has results of all fault types for something sent from now on.
    pub async fn recovered(&self) {
        let since_ms = clock::epoch_ms();
        let vehicles = ids(LOAD.vehicles);
        eventually(PATIENCE, "results of all vehicles", async || {
            FaultType::ALL.into_iter().all(|f| self.fleet.ledger.answered_since(since_ms, f, &vehicles))
        })
        .await;
    }

    /// Coordinators that lead.
    pub async fn leaders(&self) -> Vec<String> {
        let mut leaders = Vec::new();
        for service in self.cluster.services.iter().filter(|s| matches!(&*s.name, "coordinator" | "standby"))
        {
            let status = match reqwest::get(service.url("/status")).await {
                Ok(answer) => answer.json::<Value>().await.unwrap_or_default(),
                Err(_) => continue,
            };
            if status["role"] == "leader" {
                leaders.push(service.name.clone());
            }
        }
        leaders
    }

    /// Waits until there is exactly one leader, and says who.
    pub async fn one_leader(&self) -> String {
        let mut leaders = Vec::new();
        eventually(PATIENCE, "exactly one leader", async || {
            leaders = self.leaders().await;
            leaders.len() == 1
        })
        .await;
        leaders.remove(0)
    }
}
