//! Leases: at most one holder at a time, on Redis' clock, with a term that grows.

use std::time::Duration;

use redis::Script;
use vtox_connection::ConnectionManager;
use vtox_protocol::keys::term_beside;

use crate::Result;

/// Whoever holds a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub id: String,
    /// Its term: later holders have larger ones, unless Redis lost the counter.
    pub term: u64,
}

/// A lease on a key.
#[derive(Clone)]
pub struct Lease {
    connection: ConnectionManager,
    key: &'static str,
    term_key: String,
    take: Script,
    resign: Script,
}

impl Lease {
    /// On a connection that does not block. Terms are counted under `term_key`, or in a Cluster beside the lease: both
    /// change in one step.
    pub fn new(connection: ConnectionManager, key: &'static str, term_key: impl Into<String>) -> Self {
        Self {
            term_key: if connection.is_cluster() { term_beside(key) } else { term_key.into() },
            connection,
            key,
            take: Script::new(include_str!("scripts/lease.lua")),
            resign: Script::new(include_str!("scripts/resign.lua")),
        }
    }

    /// Takes the lease for `id` if it is free, renews it if `id` holds it, and tells who holds it
    /// now. A new term is larger than `least_term`.
    pub async fn take(&self, id: &str, length: Duration, least_term: u64) -> Result<Holder> {
        let mut call = self.take.prepare_invoke();
        call.key(self.key).key(&self.term_key).arg(id).arg(length.as_millis() as u64).arg(least_term);
        let (id, term): (String, u64) = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(Holder { id, term })
    }

    /// Gives the lease back if `id` holds it.
    pub async fn resign(&self, id: &str) -> Result<()> {
        let _: u8 = self
            .resign
            .prepare_invoke()
            .key(self.key)
            .arg(id)
            .invoke_async(&mut self.connection.clone())
            .await?;
        Ok(())
    }

    /// Who holds it, read only.
    pub async fn holder(&self) -> Result<Option<Holder>> {
        let held: Option<String> =
            redis::cmd("GET").arg(self.key).query_async(&mut self.connection.clone()).await?;
        Ok(held.and_then(|text| {
            let (term, id) = text.split_once(':')?;
            Some(Holder { id: id.to_owned(), term: term.parse().ok()? })
        }))
    }
}
