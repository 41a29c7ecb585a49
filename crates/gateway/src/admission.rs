//! Whether new messages are accepted: not while the backlog is at its mark or Redis cannot keep what it takes.

use std::sync::Arc;
use std::time::Duration;

use vtox_streams::topology;
use vtox_streams::views::{Memory, Views};

use crate::api::Api;
use crate::durability;
use crate::reply::{Code, Refusal};

/// Whether messages are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// They are.
    Open,
    /// The backlog is at its mark.
    Backlog(String),
    /// Redis does not answer, or is not as durable as promised.
    Unavailable(String),
}

impl Admission {
    /// What a change of is worth a line in the log: not each second that a message grows older.
    fn kind(&self) -> (std::mem::Discriminant<Self>, Option<&str>) {
        let why = match self {
            Self::Unavailable(why) => Some(why.as_str()),
            Self::Open | Self::Backlog(_) => None,
        };
        (std::mem::discriminant(self), why)
    }

    /// The refusal, if there is one.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Open => None,
            Self::Backlog(why) => Some(Refusal::new(Code::Backlog, why)),
            Self::Unavailable(why) => Some(Refusal::new(Code::Redis, why)),
        }
    }
}

const INTERVAL: Duration = Duration::from_millis(250);

/// Looks at Redis until the soft token is cancelled.
pub async fn watch(api: Arc<Api>) -> anyhow::Result<()> {
    let soft = api.service.lifecycle.soft.clone();
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            _ = tick.tick() => {}
        }
        // What Redis said is for the log; who calls is told what it means.
        let (admission, said) = match look(&api).await {
            Ok(admission) => (admission, None),
            Err(error) => (Admission::Unavailable(Code::Redis.title().to_owned()), Some(error.to_string())),
        };
        api.metrics.accepting.set(i64::from(admission == Admission::Open));
        let before = api.admission.send_replace(admission.clone());
        if before.kind() != admission.kind() {
            match &admission {
                Admission::Open => tracing::info!("accepting messages"),
                Admission::Backlog(why) | Admission::Unavailable(why) => {
                    tracing::warn!(why, said, "not accepting messages");
                }
            }
        }
        match admission {
            Admission::Unavailable(why) => api.service.readiness.not_ready(why),
            Admission::Open | Admission::Backlog(_) => api.service.readiness.ready(),
        }
    }
}

async fn look(api: &Api) -> vtox_streams::Result<Admission> {
    if let Some((_, uncovered @ 1..)) = api.service.redis.client.nodes().await? {
        return Ok(Admission::Unavailable(format!(
            "{uncovered} slots of the Redis Cluster have no node; start the nodes that are missing"
        )));
    }
    let (mut full, mut fullest) = (None, 0.0_f64);
    for (name, node) in api.service.redis.control.primaries().await? {
        let named = |why: String| if name.is_empty() { why } else { format!("{name}: {why}") };
        let memory = Views::new(node.clone()).memory().await?;
        if let Some(why) = durability::broken(&node, &api.service.settings.redis, &memory).await? {
            return Ok(Admission::Unavailable(named(why)));
        }
        let Memory { used, limit, .. } = memory;
        if limit > 0 {
            fullest = fullest.max(used as f64 / limit as f64);
        }
        let share = api.service.settings.gateway.backlog_memory_share;
        if limit > 0 && used as f64 >= share * limit as f64 {
            full = Some(named(format!("Redis uses {used} of {limit} bytes; try again later")));
        }
    }
    api.metrics.redis_memory.set(fullest);
    let settings = &api.service.settings.gateway;
    let topology = topology::current(&api.service.redis.control).await?;
    api.topology.send_if_modified(|known| {
        let changed = *known != topology;
        known.clone_from(&topology);
        changed
    });
    let backlog = api.janitor.backlog(&topology).await?;
    if backlog.entries() >= settings.backlog_entries {
        return Ok(Admission::Backlog(format!(
            "{} messages wait for diagnosis; try again later",
            backlog.entries()
        )));
    }
    let age_s = backlog.oldest_age_ms() / 1_000;
    if age_s >= settings.backlog_age_s {
        return Ok(Admission::Backlog(format!("the oldest message has waited {age_s} s; try again later")));
    }
    Ok(full.map_or(Admission::Open, Admission::Backlog))
}
