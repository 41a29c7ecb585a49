//! Appending messages: once per message id, and answered only when they are as durable as configured.

use std::time::Duration;

use redis::{Script, ScriptInvocation};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Semaphore};
use vtox_connection::{Connection, ConnectionManager, Endpoint};
use vtox_protocol::keys::Partition;
use vtox_protocol::{EntryId, RawEntry};

use crate::{Result, StreamError, planted};

/// What "accepted" promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// In Redis' memory and, within about a second, on its disk. A killed Redis may lose the last 2 s.
    #[default]
    Everysec,
    /// On Redis' disk (`appendfsync always`).
    Always,
    /// On all configured replicas (`WAIT`).
    Replicated,
}

/// Whose message it is, and what is in it: only the same sender may send the same content again under its id. Both are short
/// digests without white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Digest of the sender.
    pub sender: String,
    /// Digest of the content.
    pub content: String,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// It was appended.
    Appended(EntryId),
    /// It had been accepted before under the same id.
    Repeated(EntryId),
    /// Another message was accepted under the same id: nothing was appended.
    Claimed(Claim),
}

/// Connections that may wait for replicas at the same time.
const REPLICATED_CONNECTIONS: usize = 8;

/// Appends messages.
pub struct Publisher {
    script: Script,
    path: Path,
    remember: Duration,
}

enum Path {
    /// `everysec` and `always`: the answer itself tells.
    Shared(ConnectionManager),
    /// `WAIT` speaks of its own connection only, so the append must be on it too.
    Dedicated(Box<Dedicated>),
}

/// Entry, 1 when it was there before, and the claim under which it was.
type Answer = (String, u8, String);

struct Dedicated {
    redis: Endpoint,
    idle: Mutex<Vec<Connection>>,
    slots: Semaphore,
    replicas: u32,
    timeout: Duration,
}

/// Time a command may take besides the wait for replicas.
const SLACK: Duration = Duration::from_secs(2);

impl Dedicated {
    async fn take(&self, stream: &str) -> Result<Connection> {
        let mut idle = self.idle.lock().await;
        idle.retain(Connection::is_current);
        if let Some(index) = idle.iter().rposition(|connection| connection.leads_to(stream)) {
            return Ok(idle.swap_remove(index));
        }
        // One for each that may wait is enough, whichever node of a Cluster they lead to.
        if idle.len() >= REPLICATED_CONNECTIONS {
            idle.remove(0);
        }
        drop(idle);
        Ok(self.redis.connect(stream, Some(self.timeout + SLACK)).await?)
    }

    /// Appends, and waits until the replicas have it. `WAIT` covers what this connection wrote, and fails on a server
    /// that has become a replica since.
    async fn append(&self, stream: &str, call: &ScriptInvocation<'_>) -> Result<Answer> {
        let _slot = self.slots.acquire().await.map_err(|e| StreamError::Refused(e.to_string()))?;
        let mut connection = self.take(stream).await?;
        let appended = call.invoke_async(&mut connection).await;
        if appended.is_err() {
            // The others may have seen the same: each would cost a message an unknown outcome.
            self.idle.lock().await.clear();
        }
        let appended = appended?;
        let (replicas, timeout_ms) = (self.replicas, self.timeout.as_millis() as u64);
        let confirmed: u32 = redis::cmd("WAIT")
            .arg(replicas)
            .arg(timeout_ms)
            .query_async(&mut connection)
            .await
            // The append was done, so whatever goes wrong from here on leaves it unknown.
            .map_err(|e| StreamError::Unknown(e.to_string()))?;
        self.idle.lock().await.push(connection);
        if confirmed < replicas {
            return Err(StreamError::Unknown(format!(
                "{confirmed} of {replicas} replicas confirmed within {timeout_ms} ms"
            )));
        }
        Ok(appended)
    }
}

impl Publisher {
    /// A publisher for `everysec` and `always`. A client's message id is remembered for `remember`.
    pub fn new(connection: ConnectionManager, remember: Duration) -> Self {
        Self {
            script: planted::script(include_str!("scripts/publish.lua")),
            path: Path::Shared(connection),
            remember,
        }
    }

    /// A publisher that waits until `replicas` replicas have the message. It must be all there are: with fewer, the one
    /// that a failover promotes may be one that had not confirmed.
    pub fn replicated(
        redis: impl Into<Endpoint>,
        replicas: u32,
        timeout: Duration,
        remember: Duration,
    ) -> Self {
        let path = Path::Dedicated(Box::new(Dedicated {
            redis: redis.into(),
            idle: Mutex::default(),
            slots: Semaphore::new(REPLICATED_CONNECTIONS),
            replicas,
            timeout,
        }));
        Self { script: planted::script(include_str!("scripts/publish.lua")), path, remember }
    }

    /// Appends an entry to a partition. With a claim, the message id is one the client may send again, so it is looked up
    /// first and remembered.
    ///
    /// # Errors
    /// [`StreamError::Refused`]: it is not there. [`StreamError::Unknown`]: it may be there.
    pub async fn publish(
        &self,
        partition: Partition,
        entry: &RawEntry,
        claim: Option<&Claim>,
    ) -> Result<Published> {
        let keep_ms = if claim.is_some() { self.remember.as_millis() as u64 } else { 0 };
        let claimed = claim.map(|c| format!("{} {}", c.sender, c.content)).unwrap_or_default();
        let mut call = self.script.prepare_invoke();
        call.key(partition.stream()).key(partition.seen(&entry.message_id)).arg(keep_ms).arg(&claimed);
        for (name, value) in entry.fields() {
            call.arg(name).arg(value);
        }
        let (id, repeated, earlier): Answer = match &self.path {
            Path::Shared(connection) => call.invoke_async(&mut connection.clone()).await?,
            Path::Dedicated(dedicated) => dedicated.append(&partition.stream(), &call).await?,
        };
        let entry = id.parse().map_err(|_| StreamError::Unexpected(format!("entry id {id}")))?;
        Ok(match (repeated, earlier.split_once(' ')) {
            (0, _) => Published::Appended(entry),
            (_, Some((sender, content))) if earlier != claimed => {
                Published::Claimed(Claim { sender: sender.to_owned(), content: content.to_owned() })
            }
            _ => Published::Repeated(entry),
        })
    }
}
