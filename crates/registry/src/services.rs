//! Services and their heartbeats.

use std::collections::BTreeMap;

use redis::Script;
use serde::de::DeserializeOwned;
use vtox_connection::ConnectionManager;
use vtox_protocol::keys::{
    DRAINING, HEARTBEATS, SERVICE_EVENTS, SERVICE_EVENTS_KEPT, SERVICES, SWITCHES, WORKER_LOADS,
};
use vtox_protocol::{ServiceEvent, ServiceEventType, ServiceRecord, ServiceType, Switches, WorkerLoad};

use crate::{RegistryError, Result, switches};

/// Everything the registry knows at one moment.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// Epoch ms on Redis' clock when it was read.
    pub redis_now_ms: u64,
    /// Records by service id.
    pub services: BTreeMap<String, ServiceRecord>,
    /// Last heartbeat by service id, epoch ms on Redis' clock.
    pub heartbeats_ms: BTreeMap<String, u64>,
    /// Loads by worker id.
    pub loads: BTreeMap<String, WorkerLoad>,
    /// Workers that are to be drained, since epoch ms on Redis' clock.
    pub draining: BTreeMap<String, u64>,
    /// What operators switched.
    pub switches: Switches,
}

impl Members {
    /// Ms since the last heartbeat of a service.
    pub fn silence_ms(&self, service_id: &str) -> Option<u64> {
        self.heartbeats_ms.get(service_id).map(|at| self.redis_now_ms.saturating_sub(*at))
    }
}

/// The hash of services, the heartbeats and the events.
#[derive(Clone)]
pub struct Registry {
    connection: ConnectionManager,
    heartbeat: Script,
    set: Script,
    note: Script,
}

impl Registry {
    /// On a connection that does not block.
    pub fn new(connection: ConnectionManager) -> Self {
        Self {
            connection,
            heartbeat: Script::new(include_str!("scripts/heartbeat.lua")),
            set: Script::new(include_str!("scripts/set.lua")),
            note: Script::new(include_str!("scripts/note.lua")),
        }
    }

    /// Says that a service lives, with its record and a worker's load. Answers epoch ms on Redis' clock.
    ///
    /// The heartbeat comes last, so whoever lives has a record; each is whole by itself and written again with the next.
    pub async fn heartbeat(&self, record: &ServiceRecord, load: Option<&WorkerLoad>) -> Result<u64> {
        if let Some(load) = load {
            self.set(WORKER_LOADS, &record.service_id, to_json(load)?).await?;
        }
        self.set(SERVICES, &record.field(), to_json(record)?).await?;
        let mut call = self.heartbeat.prepare_invoke();
        call.key(HEARTBEATS).arg(&record.service_id);
        let (s, us): (u64, u64) = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(s * 1_000 + us / 1_000)
    }

    /// Removes a service that ended or has long been dead. The coordinator takes a worker's assignment away.
    ///
    /// Its record goes last: what is cut off in between is done again by whoever still finds it.
    pub async fn deregister(&self, record: &ServiceRecord, redis_now_ms: u64) -> Result<()> {
        let mut connection = self.connection.clone();
        let event = event(ServiceEventType::ServiceDeregistered, record, redis_now_ms)?;
        let mut traces = redis::pipe();
        traces.hdel(HEARTBEATS, &record.service_id).ignore();
        if record.service_type == ServiceType::Worker {
            traces.hdel(WORKER_LOADS, &record.service_id).ignore();
            traces.hdel(DRAINING, &record.service_id).ignore();
        }
        let () = traces.query_async(&mut connection).await?;
        self.note(&event).await?;
        let _: u8 = redis::cmd("HDEL").arg(SERVICES).arg(record.field()).query_async(&mut connection).await?;
        Ok(())
    }

    /// Sets a field of a hash, also in a full Redis.
    async fn set(&self, hash: &str, field: &str, value: String) -> Result<()> {
        let mut call = self.set.prepare_invoke();
        call.key(hash).arg(field).arg(value);
        let _: u8 = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(())
    }

    async fn note(&self, event: &str) -> Result<()> {
        let mut call = self.note.prepare_invoke();
        call.key(SERVICE_EVENTS).arg(event).arg(SERVICE_EVENTS_KEPT);
        let _: u8 = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(())
    }

    /// Asks the coordinator to move everything away from a worker and to give it nothing new, until this is undone or the
    /// worker leaves the registry.
    pub async fn drain(&self, worker: &str, redis_now_ms: u64) -> Result<()> {
        let _: u8 = redis::cmd("HSETNX")
            .arg(DRAINING)
            .arg(worker)
            .arg(redis_now_ms)
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(())
    }

    /// Undoes [`Registry::drain`]; false when the worker was not to be drained.
    pub async fn undo_drain(&self, worker: &str) -> Result<bool> {
        let removed: u8 =
            redis::cmd("HDEL").arg(DRAINING).arg(worker).query_async(&mut self.connection.clone()).await?;
        Ok(removed == 1)
    }

    /// Writes a record together with what happened to its service.
    pub async fn announce(
        &self,
        kind: ServiceEventType,
        record: &ServiceRecord,
        redis_now_ms: u64,
    ) -> Result<()> {
        let event = event(kind, record, redis_now_ms)?;
        self.set(SERVICES, &record.field(), to_json(record)?).await?;
        self.note(&event).await
    }

    /// Reads everything.
    pub async fn members(&self) -> Result<Members> {
        type Hash = BTreeMap<String, String>;
        type Answer = ((u64, u64), Hash, Hash, Hash, Hash, Hash);
        let ((s, us), services, heartbeats, loads, draining, switches): Answer = redis::pipe()
            .cmd("TIME")
            .hgetall(SERVICES)
            .hgetall(HEARTBEATS)
            .hgetall(WORKER_LOADS)
            .hgetall(DRAINING)
            .hgetall(SWITCHES)
            .query_async(&mut self.connection.clone())
            .await?;
        let services: BTreeMap<String, ServiceRecord> =
            readable(services).map(|(_, r): (_, ServiceRecord)| (r.service_id.clone(), r)).collect();
        let heartbeats_ms = heartbeats
            .into_iter()
            .filter_map(|(id, at)| {
                Some((id, (at.parse::<f64>().ok().filter(|s| *s >= 0.0)? * 1_000.0).round() as u64))
            })
            .collect();
        let redis_now_ms = s * 1_000 + us / 1_000;
        Ok(Members {
            redis_now_ms,
            switches: switches::parse(&switches, redis_now_ms),
            services,
            heartbeats_ms,
            loads: readable(loads).collect(),
            draining: draining.into_iter().map(|(id, since)| (id, since.parse().unwrap_or(0))).collect(),
        })
    }
}

/// The values of a hash that can be read; one broken record must not hide the others.
pub(crate) fn readable<T: DeserializeOwned>(
    hash: BTreeMap<String, String>,
) -> impl Iterator<Item = (String, T)> {
    hash.into_iter().filter_map(|(field, json)| match serde_json::from_str(&json) {
        Ok(value) => Some((field, value)),
        Err(error) => {
            tracing::debug!(field, %error, "unreadable record in the registry");
            None
        }
    })
}

fn event(event_type: ServiceEventType, record: &ServiceRecord, redis_now_ms: u64) -> Result<String> {
    let timestamp = redis_now_ms as f64 / 1_000.0;
    to_json(&ServiceEvent { event_type, service_data: record.clone(), timestamp })
}

pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| RegistryError::Unreadable(e.to_string()))
}
