//! Credentials in Redis.

use std::collections::HashMap;

use redis::Script;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vtox_connection::ConnectionManager;
use vtox_protocol::keys::{AUTH_CHANGES, AUTH_EPOCH, AUTH_KEYS, AUTH_REVOKED, AUTH_USERS, auth_together};

use crate::{ApiKeyRecord, Snapshot, User, UserName};

/// Changes beyond which everything is read anew.
const MANY_CHANGES: u64 = 1_000;
/// Changes that are kept: more than are ever asked for.
const KEPT_CHANGES: u64 = 2 * MANY_CHANGES;

/// Redis did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Redis refused, or did not answer.
    #[error("Redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// A record cannot be written as JSON.
    #[error("the record cannot be written: {0}")]
    Record(#[from] serde_json::Error),
}

type Result<T> = std::result::Result<T, StoreError>;

/// The keys `vtox:auth:*`; in a Cluster under one tag, since a change and its count are one step.
#[derive(Clone)]
pub struct Store {
    connection: ConnectionManager,
    change: Script,
}

impl Store {
    /// On a connection that does not block.
    pub fn new(connection: ConnectionManager) -> Self {
        Self { connection, change: Script::new(include_str!("scripts/change.lua")) }
    }

    fn key(&self, name: &str) -> String {
        if self.connection.is_cluster() { auth_together(name) } else { name.to_owned() }
    }

    /// Reads everything, at one moment.
    pub async fn load(&self) -> Result<Snapshot> {
        type Hash = HashMap<String, String>;
        let (epoch, keys, users, revoked): (Option<u64>, Hash, Hash, Hash) = redis::pipe()
            .atomic()
            .get(self.key(AUTH_EPOCH))
            .hgetall(self.key(AUTH_KEYS))
            .hgetall(self.key(AUTH_USERS))
            .hgetall(self.key(AUTH_REVOKED))
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(Snapshot {
            epoch: epoch.unwrap_or(0),
            keys: keys.into_iter().filter_map(|(id, json)| Some((id, readable(&json)?))).collect(),
            users: users.into_iter().filter_map(|(name, json)| Some((name, readable(&json)?))).collect(),
            revoked: revoked.into_iter().map(|(id, until)| (id, until_when(&until))).collect(),
        })
    }

    /// What changed since `epoch`: none when nothing did.
    pub(crate) async fn changes(&self, epoch: u64) -> Result<Option<Changes>> {
        let mut connection = self.connection.clone();
        let now: Option<u64> =
            redis::cmd("GET").arg(self.key(AUTH_EPOCH)).query_async(&mut connection).await?;
        let now = now.unwrap_or(0);
        if now == epoch {
            return Ok(None);
        }
        // A count behind the one that was seen: another Redis, or one that lost something.
        if epoch == 0 || now.checked_sub(epoch).is_none_or(|behind| behind > MANY_CHANGES) {
            return Ok(Some(Changes::All(self.load().await?)));
        }
        let changed: Vec<String> = redis::cmd("ZRANGEBYSCORE")
            .arg(self.key(AUTH_CHANGES))
            .arg(format!("({epoch}"))
            .arg("+inf")
            .query_async(&mut connection)
            .await?;
        let fields: Vec<(&str, &str)> = changed.iter().filter_map(|member| member.split_once(' ')).collect();
        let mut read = redis::pipe();
        for (hash, field) in &fields {
            read.hget(self.key(hash), *field);
        }
        // Read after the epoch was: at least as new, and what changed meanwhile is read again next time.
        let values: Vec<Option<String>> = read.query_async(&mut connection).await?;
        let own = |((hash, field), value): ((&str, &str), _)| (hash.to_owned(), field.to_owned(), value);
        Ok(Some(Changes::Some(now, fields.into_iter().zip(values).map(own).collect())))
    }

    /// Adds an API key.
    pub async fn add_key(&self, id: &str, record: &ApiKeyRecord) -> Result<()> {
        self.change(AUTH_KEYS, id, Some(record), true).await.map(|_| ())
    }

    /// Changes what is kept of an API key, as until when it is good.
    pub async fn change_key(&self, id: &str, record: &ApiKeyRecord) -> Result<()> {
        self.change(AUTH_KEYS, id, Some(record), false).await.map(|_| ())
    }

    /// Forgets an API key: nobody knows it from then on.
    pub async fn forget_key(&self, id: &str) -> Result<()> {
        self.change::<()>(AUTH_KEYS, id, None, false).await.map(|_| ())
    }

    /// Revokes an API key or a token; from `until`, epoch s, it is refused anyway and need not be remembered.
    pub async fn revoke(&self, id: &str, until: Option<u64>) -> Result<()> {
        self.change(AUTH_REVOKED, id, Some(&until), false).await.map(|_| ())
    }

    /// Forgets what was revoked and is refused anyway for its age by now: an expired API key with its record.
    pub async fn forget_expired(&self, now_s: u64) -> Result<()> {
        /// Tokens have a little leeway.
        const LEEWAY_S: u64 = 60;
        let snapshot = self.load().await?;
        let over = |(_, until): &(&String, &Option<u64>)| until.is_some_and(|at| at + LEEWAY_S < now_s);
        for (id, _) in snapshot.revoked.iter().filter(over) {
            self.forget_key(id).await?;
            self.change::<()>(AUTH_REVOKED, id, None, false).await?;
        }
        Ok(())
    }

    /// Adds a person, or changes one that is there where `replace` says so; false when nothing was done.
    pub async fn add_user(&self, name: &UserName, user: &User, replace: bool) -> Result<bool> {
        self.change(AUTH_USERS, &name.to_string(), Some(user), !replace).await
    }

    /// Removes a person; false when there is none.
    pub async fn remove_user(&self, name: &UserName) -> Result<bool> {
        self.change::<()>(AUTH_USERS, &name.to_string(), None, false).await
    }

    async fn change<T: Serialize>(
        &self,
        hash: &str,
        field: &str,
        value: Option<&T>,
        must_be_new: bool,
    ) -> Result<bool> {
        let value = value.map(serde_json::to_string).transpose()?.unwrap_or_default();
        let mut call = self.change.prepare_invoke();
        call.key(self.key(hash)).key(self.key(AUTH_EPOCH)).key(self.key(AUTH_CHANGES));
        call.arg(hash).arg(field).arg(value).arg(if must_be_new { "new" } else { "" }).arg(KEPT_CHANGES);
        let changed: u8 = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(changed == 1)
    }
}

/// What changed in Redis.
#[derive(Debug)]
pub enum Changes {
    /// Possibly everything.
    All(Snapshot),
    /// Up to an epoch these: hash, field and what is there now.
    Some(u64, Vec<(String, String, Option<String>)>),
}

impl Changes {
    /// Brings a snapshot up to date.
    pub fn apply(self, snapshot: &mut Snapshot) {
        let (epoch, changes) = match self {
            Self::All(new) => {
                *snapshot = new;
                return;
            }
            Self::Some(epoch, changes) => (epoch, changes),
        };
        snapshot.epoch = epoch;
        for (hash, field, value) in changes {
            match (hash.as_str(), value) {
                (AUTH_KEYS, value) => put(&mut snapshot.keys, field, value.and_then(|v| readable(&v))),
                (AUTH_USERS, value) => put(&mut snapshot.users, field, value.and_then(|v| readable(&v))),
                (AUTH_REVOKED, value) => put(&mut snapshot.revoked, field, value.map(|v| until_when(&v))),
                _ => {}
            }
        }
    }
}

fn put<T>(map: &mut HashMap<String, T>, field: String, value: Option<T>) {
    match value {
        Some(value) => drop(map.insert(field, value)),
        None => drop(map.remove(&field)),
    }
}

/// One unreadable record must not hide the others; it lets nobody in.
fn readable<T: DeserializeOwned>(json: &str) -> Option<T> {
    // Not the error's text: it could quote what is secret.
    serde_json::from_str(json).inspect_err(|_| tracing::warn!("unreadable credential in Redis, ignored")).ok()
}

/// Until when a revocation is remembered; for ever where it cannot be read.
fn until_when(json: &str) -> Option<u64> {
    serde_json::from_str(json).ok().flatten()
}
