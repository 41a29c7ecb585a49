//! Reading behind a cursor. No side effects: whoever dies while reading strands nothing.

use std::collections::HashMap;
use std::time::Duration;

use redis::FromRedisValue;
use redis::streams::{StreamId, StreamRangeReply, StreamReadReply};
use vtox_connection::{Connection, Endpoint};
use vtox_protocol::EntryId;

use crate::{Result, StreamError};

/// An entry with its fields as bytes.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// Its fields.
    pub fields: HashMap<String, Vec<u8>>,
}

impl Entry {
    pub(crate) fn from_redis(entry: StreamId) -> Result<Self> {
        let id = entry.id.parse().map_err(|_| StreamError::Unexpected(format!("entry id {}", entry.id)))?;
        let fields = entry
            .map
            .into_iter()
            .map(|(name, value)| {
                Ok((
                    name,
                    Vec::<u8>::from_redis_value(value).map_err(|e| StreamError::Unexpected(e.to_string()))?,
                ))
            })
            .collect::<Result<_>>()?;
        Ok(Self { id, fields })
    }

    /// The fields as text, as results and other streams of text have them.
    pub fn text_fields(&self) -> HashMap<String, String> {
        self.fields.iter().map(|(k, v)| (k.clone(), String::from_utf8_lossy(v).into_owned())).collect()
    }
}

/// A reader with a connection of its own: a blocking read holds up whatever shares its connection, and
/// the default response timeout would cut it off.
pub struct Reader {
    redis: Endpoint,
    connection: Option<Connection>,
}

/// How long after its BLOCK a read may still be unanswered before the connection is given up.
const SLACK: Duration = Duration::from_secs(2);

impl Reader {
    /// Connects on first use and again after every failure.
    pub fn new(redis: impl Into<Endpoint>) -> Self {
        Self { redis: redis.into(), connection: None }
    }

    /// The connection, for one command: who used it puts it back when it answered.
    async fn take(&mut self, stream: &str) -> Result<Connection> {
        match self.connection.take().filter(|connection| connection.leads_to(stream)) {
            Some(connection) => Ok(connection),
            // A read may block longer than any timeout of the connection; each has a limit of its own.
            None => Ok(self.redis.connect(stream, None).await?),
        }
    }

    /// The entries after the given positions, at most `count` of each stream, in the order of `after`.
    /// Waits up to `block` when there are none. All streams must be on one slot.
    pub async fn read(
        &mut self,
        after: &[(String, EntryId)],
        count: usize,
        block: Duration,
    ) -> Result<Vec<(usize, Vec<Entry>)>> {
        let Some((first, _)) = after.first() else { return Ok(Vec::new()) };
        let mut connection = self.take(first).await?;
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(count).arg("BLOCK").arg(block.as_millis().max(1) as u64).arg("STREAMS");
        for (stream, _) in after {
            command.arg(stream);
        }
        for (_, id) in after {
            command.arg(id.to_string());
        }
        let answer = tokio::time::timeout(
            block + SLACK,
            command.query_async::<Option<StreamReadReply>>(&mut connection),
        );
        let reply =
            answer.await.map_err(|_| StreamError::Unknown("a read was not answered".to_owned()))??;
        // Only a connection that answered is used again.
        self.connection = Some(connection);
        let mut out = Vec::new();
        for stream in reply.map(|r| r.keys).unwrap_or_default() {
            let Some(index) = after.iter().position(|(name, _)| *name == stream.key) else {
                continue;
            };
            let entries = stream.ids.into_iter().map(Entry::from_redis).collect::<Result<_>>()?;
            out.push((index, entries));
        }
        Ok(out)
    }

    /// The entries after `from` up to and including `to`, at most `count`.
    pub async fn range(
        &mut self,
        stream: &str,
        from: EntryId,
        to: Option<EntryId>,
        count: usize,
    ) -> Result<Vec<Entry>> {
        let mut connection = self.take(stream).await?;
        let mut command = redis::cmd("XRANGE");
        command
            .arg(stream)
            .arg(format!("({from}"))
            .arg(to.map_or_else(|| "+".to_owned(), |id| id.to_string()));
        command.arg("COUNT").arg(count);
        let answer =
            tokio::time::timeout(SLACK * 2, command.query_async::<StreamRangeReply>(&mut connection));
        let reply =
            answer.await.map_err(|_| StreamError::Unknown("a read was not answered".to_owned()))??;
        self.connection = Some(connection);
        reply.ids.into_iter().map(Entry::from_redis).collect()
    }
}
