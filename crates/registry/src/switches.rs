//! The operators' switches, and the lease of whoever starts and stops workers.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::Script;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use vtox_connection::ConnectionManager;
use vtox_protocol::keys::{PLACEMENT_CHANNEL, SWITCHES};
use vtox_protocol::{Change, FaultType, Supervisor, Switches};

use crate::Result;
use crate::services::to_json;

/// A supervisor that has been silent for this long does not live.
pub const SUPERVISOR_LEASE: Duration = Duration::from_secs(5);

const CONSUMPTION: &str = "consumption";
const BRIDGE: &str = "bridge";
const AGGREGATION: &str = "aggregation";
const WORKERS: &str = "workers";
const SUPERVISOR: &str = "supervisor";
const SUPERVISOR_SEEN: &str = "supervisor_seen_ms";

fn workers_of(fault: FaultType) -> String {
    format!("{WORKERS}:{fault}")
}

type Hash = BTreeMap<String, String>;

/// The switches in a hash. What cannot be read counts as never set.
pub(crate) fn parse(hash: &Hash, redis_now_ms: u64) -> Switches {
    fn field<T: DeserializeOwned>(hash: &Hash, name: &str) -> Option<T> {
        let text = hash.get(name)?;
        serde_json::from_str(text)
            .inspect_err(
                |error| tracing::warn!(name, %error, "a switch cannot be read; it counts as never set"),
            )
            .ok()
    }
    let lease_ms = SUPERVISOR_LEASE.as_millis() as u64;
    let seen_ms: Option<u64> = hash.get(SUPERVISOR_SEEN).and_then(|t| t.parse().ok());
    let lives = seen_ms.is_some_and(|at| redis_now_ms.saturating_sub(at) < lease_ms);
    Switches {
        consumption: field(hash, CONSUMPTION).unwrap_or_default(),
        bridge: field(hash, BRIDGE).unwrap_or_default(),
        aggregation: field(hash, AGGREGATION).unwrap_or_default(),
        workers: field(hash, WORKERS),
        workers_of: FaultType::ALL
            .into_iter()
            .filter_map(|fault| Some((fault, field(hash, &workers_of(fault))?)))
            .collect(),
        supervisor: field::<Supervisor>(hash, SUPERVISOR).filter(|_| lives),
    }
}

/// Reads and changes the switches.
#[derive(Clone)]
pub struct Switchboard {
    connection: ConnectionManager,
    change: Script,
    supervise: Script,
}

impl Switchboard {
    /// On a connection that does not block.
    pub fn new(connection: ConnectionManager) -> Self {
        Self {
            connection,
            change: Script::new(include_str!("scripts/switch.lua")),
            supervise: Script::new(include_str!("scripts/supervise.lua")),
        }
    }

    /// The switches now.
    pub async fn read(&self) -> Result<Switches> {
        let ((s, us), hash): ((u64, u64), Hash) =
            redis::pipe().cmd("TIME").hgetall(SWITCHES).query_async(&mut self.connection.clone()).await?;
        Ok(parse(&hash, s * 1_000 + us / 1_000))
    }

    /// Makes the changes in one step and tells the coordinators. `by` is who wants them.
    pub async fn change(&self, by: &str, changes: &[Change]) -> Result<()> {
        let mut call = self.change.prepare_invoke();
        call.key(SWITCHES).arg(to_json(&by)?);
        for change in changes {
            let (field, value) = match change {
                Change::Consumption(position) => (CONSUMPTION.to_owned(), to_json(position)?),
                Change::Bridge(position) => (BRIDGE.to_owned(), to_json(position)?),
                Change::Aggregation(position) => (AGGREGATION.to_owned(), to_json(position)?),
                Change::Workers(count) => {
                    for fault in FaultType::ALL {
                        call.arg(workers_of(fault)).arg("");
                    }
                    (WORKERS.to_owned(), to_json(count)?)
                }
                Change::WorkersOf(fault, count) => (workers_of(*fault), to_json(count)?),
            };
            call.arg(field).arg(value);
        }
        let _: u8 = call.invoke_async(&mut self.connection.clone()).await?;
        let _: i64 = redis::cmd("PUBLISH")
            .arg(PLACEMENT_CHANNEL)
            .arg("switched")
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(())
    }

    /// Takes or renews the lease of the supervisor; false while another one lives.
    pub async fn supervise(&self, supervisor: &Supervisor) -> Result<bool> {
        let mut call = self.supervise.prepare_invoke();
        call.key(SWITCHES).arg(SUPERVISOR).arg(SUPERVISOR_SEEN).arg(to_json(supervisor)?);
        call.arg(SUPERVISOR_LEASE.as_millis() as u64);
        Ok(call.invoke_async(&mut self.connection.clone()).await?)
    }

    /// Gives the lease back; only for whoever holds it.
    pub async fn resign_supervision(&self) -> Result<()> {
        let _: u8 = redis::cmd("HDEL")
            .arg(SWITCHES)
            .arg(SUPERVISOR)
            .arg(SUPERVISOR_SEEN)
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(())
    }
}

/// Reads the switches every `interval` and hands on what changed; ends when nobody listens any more. While Redis does
/// not answer, the last ones stay.
pub fn watch_switches(switchboard: Switchboard, interval: Duration) -> watch::Receiver<Switches> {
    let (sender, receiver) = watch::channel(Switches::default());
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !sender.is_closed() {
            tick.tick().await;
            match switchboard.read().await {
                Ok(switches) => {
                    sender.send_if_modified(|known| {
                        let changed = *known != switches;
                        known.clone_from(&switches);
                        changed
                    });
                }
                Err(error) => tracing::debug!(%error, "the switches cannot be read"),
            }
        }
    });
    receiver
}
