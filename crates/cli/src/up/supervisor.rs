//! Following the operators: starts and stops workers until there are as many as they want.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context;
use vtox_connection::ConnectionManager;
use vtox_protocol::{Change, FaultSet, Supervisor as Holder, Switches};
use vtox_registry::{Registry, Switchboard};
use vtox_service_kit::config::Settings;

use super::children::{Children, Service, is_free};
use super::workers::wanted;

/// Time between two looks at what is wanted; a tenth of the lease.
const LOOK: Duration = Duration::from_millis(500);

/// Holds the supervisor's lease and follows the switches.
pub struct Supervisor {
    switchboard: Switchboard,
    registry: Registry,
    holder: Holder,
    settings: Settings,
    holds: bool,
    refused: bool,
}

impl Supervisor {
    /// One that does not hold the lease yet.
    pub fn new(connection: ConnectionManager, settings: &Settings) -> Self {
        Self {
            switchboard: Switchboard::new(connection.clone()),
            registry: Registry::new(connection),
            holder: Holder {
                id: format!("vtox-up-{}", uuid::Uuid::new_v4().simple()),
                mode: settings.mode.name().to_owned(),
            },
            settings: settings.clone(),
            holds: false,
            refused: false,
        }
    }

    /// Supervises until a service cannot be kept running.
    pub async fn run(&mut self, children: &mut Children) -> anyhow::Error {
        if !self.settings.cluster.enabled {
            return children.failed().await;
        }
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                failed = children.failed() => return failed,
                _ = tick.tick() => {}
            }
            match self.look().await {
                Ok(Some(switches)) => {
                    // Renewed meanwhile: a drain may take longer than the lease.
                    let followed = tokio::select! {
                        followed = follow(&self.settings, &switches, children) => followed,
                        never = renew(&self.switchboard, &self.holder) => never,
                    };
                    match followed {
                        Ok(stopped) => self.forget(&stopped).await,
                        Err(error) => return error,
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(error = format!("{error:#}"), "the switches cannot be read"),
            }
        }
    }

    /// Takes or renews the lease; what is wanted, if it is ours.
    async fn look(&mut self) -> anyhow::Result<Option<Switches>> {
        if !self.switchboard.supervise(&self.holder).await? {
            if !self.refused {
                eprintln!("another `vtox up` supervises this cluster: scale and stop it there");
            }
            (self.holds, self.refused) = (false, true);
            return Ok(None);
        }
        if !self.holds {
            // A run begins with the number it was started with.
            self.switchboard.change("vtox up", &[Change::Workers(self.settings.cluster.workers)]).await?;
            self.holds = true;
        }
        Ok(Some(self.switchboard.read().await?))
    }

    /// Removes records that workers could not remove themselves because they were killed while they stopped.
    async fn forget(&self, stopped: &[String]) {
        if stopped.is_empty() {
            return;
        }
        let Ok(members) = self.registry.members().await else { return };
        for record in stopped.iter().filter_map(|id| members.services.get(id)) {
            drop(self.registry.deregister(record, members.redis_now_ms).await);
        }
    }

    /// Gives the lease back.
    pub async fn resign(&self) {
        if self.holds {
            let resigned = self.switchboard.resign_supervision();
            drop(tokio::time::timeout(Duration::from_secs(1), resigned).await);
        }
    }
}

/// Never ends.
async fn renew<T>(switchboard: &Switchboard, holder: &Holder) -> T {
    loop {
        tokio::time::sleep(LOOK).await;
        drop(switchboard.supervise(holder).await);
    }
}

/// Stops the workers that are not wanted and starts those that are missing; which ones were stopped.
async fn follow(
    settings: &Settings,
    switches: &Switches,
    children: &mut Children,
) -> anyhow::Result<Vec<String>> {
    let total = switches.workers.as_ref().map_or(settings.cluster.workers, |workers| workers.value);
    let of_faults = switches.workers_of.iter().map(|(fault, count)| (*fault, count.value)).collect();
    let wanted = wanted(total, &of_faults);
    let fits = |s: &Service| wanted.get(&s.name).is_some_and(|faults| serves(s) == Some(faults.to_string()));
    let leaving: Vec<String> =
        children.services().filter(|s| is_worker(s) && !fits(s)).map(|s| s.name.clone()).collect();
    let present: BTreeSet<String> = children.services().map(|s| s.name.clone()).collect();
    // First those that join, so that there is somebody to hand over to; those that change come back under their name.
    let (joining, changing): (Vec<_>, Vec<_>) = wanted
        .iter()
        .filter(|(name, _)| !present.contains(*name) || leaving.contains(name))
        .partition(|(name, _)| !leaving.contains(name));
    start(settings, children, joining)?;
    if !leaving.is_empty() {
        eprintln!("stopping {}", leaving.join(", "));
        children.stop_some(&leaving).await;
    }
    start(settings, children, changing)?;
    Ok(leaving.into_iter().filter(|name| !wanted.contains_key(name)).collect())
}

fn start(
    settings: &Settings,
    children: &mut Children,
    workers: Vec<(&String, &FaultSet)>,
) -> anyhow::Result<()> {
    for (name, faults) in workers {
        let used: BTreeSet<u16> = children.services().map(|s| s.port).collect();
        let port = (settings.worker.port..=u16::MAX)
            .find(|port| !used.contains(port) && is_free(*port))
            .context("no port from worker.port on is free")?;
        eprintln!("starting {name} for {faults}");
        children.add(worker(settings, name, *faults, port))?;
    }
    Ok(())
}

const FAULT_TYPES: &str = "VTOX_WORKER__FAULT_TYPES";

fn is_worker(service: &Service) -> bool {
    service.program == "vtox-worker"
}

fn serves(service: &Service) -> Option<String> {
    service.environment.iter().find(|(name, _)| name == FAULT_TYPES).map(|(_, faults)| faults.clone())
}

/// The workers a run begins with.
pub fn first_workers(settings: &Settings) -> Vec<Service> {
    let names = wanted(settings.cluster.workers, &BTreeMap::new());
    let mut names: Vec<(String, FaultSet)> = names.into_iter().collect();
    names.sort_by_key(|(name, _)| (name.len(), name.clone()));
    let port = |n: usize| settings.worker.port + n as u16;
    names.iter().enumerate().map(|(n, (name, faults))| worker(settings, name, *faults, port(n))).collect()
}

fn worker(settings: &Settings, name: &str, faults: FaultSet, port: u16) -> Service {
    let mut worker = Service::new(name, "vtox-worker", port);
    worker.environment = vec![
        ("VTOX_WORKER__ID".to_owned(), name.to_owned()),
        ("VTOX_WORKER__PORT".to_owned(), port.to_string()),
        (FAULT_TYPES.to_owned(), faults.to_string()),
        ("VTOX_CLUSTER__PARTITIONS".to_owned(), settings.partitions().to_string()),
    ];
    worker
}
