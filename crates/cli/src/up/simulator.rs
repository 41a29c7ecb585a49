//! The simulated fleet of `vtox up`, and the key it shows the gateway.

use std::future::Future;
use std::time::Duration;

use anyhow::Context;
use vtox_auth::{ApiKey, ApiKeyRecord, Role, Store, TAKES_EFFECT};
use vtox_connection::Endpoint;
use vtox_service_kit::clock;
use vtox_service_kit::config::Settings;

use crate::gateway::Gateway;
use crate::simulate::{BlockKind, Form, fleet};

/// What is simulated.
pub struct Fleet {
    /// How many vehicles.
    pub vehicles: u64,
    /// Mean time between two blocks of a vehicle, s.
    pub interval: f64,
    /// Length and rate of the blocks.
    pub block: BlockKind,
}

impl Fleet {
    /// Simulates until `stop` is ready, with a key where the gateway wants one.
    pub async fn run(
        &self,
        settings: &Settings,
        redis: Endpoint,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<fleet::Report> {
        if !settings.auth.required {
            return self.send(settings, None, redis, stop).await;
        }
        let key = Key::issue(&redis).await.context("a key for the simulated fleet")?;
        let report = tokio::select! {
            report = self.send(settings, Some(key.key.reveal()), redis, stop) => report,
            failed = key.keep() => Err(failed).context("the key of the simulated fleet"),
        };
        key.forget().await;
        report
    }

    async fn send(
        &self,
        settings: &Settings,
        token: Option<String>,
        redis: Endpoint,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<fleet::Report> {
        let plan = fleet::Plan {
            gateway: Gateway::local(settings, token.as_deref(), Role::Operator)?,
            vehicles: self.vehicles,
            offset: 0,
            seed: 1,
            faulty_share: 0.2,
            interval: Duration::from_secs_f64(self.interval),
            block: self.block,
            form: Form::Rows,
            redis: Some(redis),
        };
        eprintln!("simulating {} vehicles; Ctrl-C ends it", self.vehicles);
        fleet::run(plan, stop, true).await
    }
}

/// How long the key is good for, s: it outlives a killed `vtox up` by no more.
const LIFETIME_S: u64 = 3_600;
/// How often that is prolonged: time enough for a Redis that is away.
const PROLONG: Duration = Duration::from_secs(LIFETIME_S / 6);

/// An API key of role operator, the least that may send for every vehicle. Its secret is in this process alone.
struct Key {
    store: Store,
    key: ApiKey,
    created_s: u64,
}

impl Key {
    /// Makes one; every gateway knows it when this is done.
    async fn issue(redis: &Endpoint) -> anyhow::Result<Self> {
        let store = Store::new(redis.manager(Duration::from_secs(2)));
        let key = ApiKey::generate().context("the system gives no random bytes")?;
        let key = Self { store, key, created_s: now_s() };
        key.store.add_key(key.key.id(), &key.record()?).await?;
        tokio::time::sleep(TAKES_EFFECT).await;
        Ok(key)
    }

    /// What is kept of it from now on.
    fn record(&self) -> anyhow::Result<ApiKeyRecord> {
        let label = format!("vtox up --vehicles, process {}", std::process::id());
        let until_s = now_s() + LIFETIME_S;
        ApiKeyRecord::of(&self.key, Role::Operator, None, &label, self.created_s, Some(until_s))
            .context("a key that cannot be")
    }

    /// Prolongs it for as long as this is polled.
    async fn keep(&self) -> anyhow::Error {
        loop {
            tokio::time::sleep(PROLONG).await;
            match self.record() {
                // A Redis that is away for a while is asked again in time.
                Ok(record) => drop(self.store.change_key(self.key.id(), &record).await),
                Err(error) => return error,
            }
        }
    }

    /// It is good for nothing any more; where Redis does not answer, after its lifetime.
    async fn forget(self) {
        drop(self.store.forget_key(self.key.id()).await);
    }
}

fn now_s() -> u64 {
    clock::epoch_ms() / 1_000
}
