//! Forwarding: results and dead letters are committed under the slot tag of their partition, where a Redis Cluster can
//! write them together with the cursor, and copied from there to the bare stream that everybody reads.
//!
//! The copy and the cursor of the copy are one step on the slot of the bare stream, and that step compares the cursor: two
//! that forward the same entries append them once. What a failover may still take back is not forwarded before the
//! replicas have it, and not trimmed before the replicas have the copy, as long as they answer in time.

use std::time::{Duration, Instant};

use redis::Script;
use redis::aio::ConnectionLike;
use vtox_connection::{Connection, Endpoint};
use vtox_protocol::EntryId;
use vtox_protocol::keys::{self, SlotTag, Topology};

use crate::{Result, StreamError};

/// Wait for new entries.
const BLOCK: Duration = Duration::from_millis(200);
/// Time a command may take besides what it waits for.
const SLACK: Duration = Duration::from_secs(2);
const TRIM_INTERVAL: Duration = Duration::from_secs(1);
/// Entries forwarded in one step.
const RESULTS_BATCH: usize = 200;
/// Letters may be of a megabyte.
const LETTERS_BATCH: usize = 8;

/// Replicas that must have confirmed, and how long they may take.
pub type Confirmation = (u32, Duration);

/// Forwards one stream under one tag. It alone uses its connections.
pub struct Forwarder {
    redis: Endpoint,
    tag: SlotTag,
    from: String,
    to: &'static str,
    batch: usize,
    confirmation: Option<Confirmation>,
    script: Script,
    links: Option<Links>,
}

/// Connections to the primaries of both streams, and what was forwarded last.
struct Links {
    source: Connection,
    target: Connection,
    cursor: EntryId,
    trimmed: Instant,
}

/// An entry as Redis answers it: its id, and names and values in turn.
type RawEntry = (String, Vec<Vec<u8>>);

impl Forwarder {
    /// One for each stream that is forwarded in this topology. With a confirmation, a step waits for replicas.
    pub fn all(redis: &Endpoint, topology: &Topology, confirmation: Option<Confirmation>) -> Vec<Self> {
        let streams = [(keys::RESULTS, RESULTS_BATCH), (keys::DEAD_LETTERS, LETTERS_BATCH)];
        let script = Script::new(include_str!("scripts/forward.lua"));
        let of = |tag: SlotTag| {
            streams.map(|(to, batch)| Self {
                redis: redis.clone(),
                tag,
                from: topology.under(tag, to),
                to,
                batch,
                confirmation,
                script: script.clone(),
                links: None,
            })
        };
        topology.tags().filter(|_| topology.forwards()).flat_map(of).collect()
    }

    /// The stream it reads.
    pub fn source(&self) -> &str {
        &self.from
    }

    /// Forwards what is new, and waits a moment where nothing is. Answers how many entries that were.
    pub async fn step(&mut self) -> Result<usize> {
        let mut links = match self.links.take() {
            Some(links) if links.source.leads_to(&self.from) && links.target.leads_to(self.to) => links,
            _ => self.link().await?,
        };
        let forwarded = self.forward(&mut links).await?;
        // Only connections that answered are used again.
        self.links = Some(links);
        Ok(forwarded)
    }

    async fn link(&self) -> Result<Links> {
        let wait = self.confirmation.map_or(Duration::ZERO, |(_, timeout)| timeout);
        let timeout = Some(BLOCK.max(wait) + SLACK);
        let source = self.redis.connect(&self.from, timeout).await?;
        let mut target = self.redis.connect(self.to, timeout).await?;
        let cursor: Option<String> =
            redis::cmd("HGET").arg(keys::forwarded(self.to)).arg(&self.from).query_async(&mut target).await?;
        let cursor = parse(cursor.as_deref().unwrap_or("0-0"))?;
        Ok(Links { source, target, cursor, trimmed: Instant::now() })
    }

    async fn forward(&self, links: &mut Links) -> Result<usize> {
        let read: Option<Vec<(String, Vec<RawEntry>)>> = redis::cmd("XREAD")
            .arg("COUNT")
            .arg(self.batch)
            .arg("BLOCK")
            .arg(BLOCK.as_millis() as u64)
            .arg("STREAMS")
            .arg(&self.from)
            .arg(links.cursor.to_string())
            .query_async(&mut links.source)
            .await?;
        let entries =
            read.and_then(|mut streams| streams.pop()).map(|(_, entries)| entries).unwrap_or_default();
        let Some((last, _)) = entries.last() else { return Ok(0) };
        if self.confirmation.is_some() {
            // A write, so that WAIT on this connection covers what was read, too.
            let _: u8 = redis::cmd("HSET")
                .arg(keys::forwarding(self.tag))
                .arg(&self.from)
                .arg(last)
                .query_async(&mut links.source)
                .await?;
            self.confirmed(&mut links.source).await?;
        }
        let mut call = self.script.prepare_invoke();
        call.key(self.to)
            .key(keys::forwarded(self.to))
            .arg(&self.from)
            .arg(links.cursor.to_string())
            .arg(last);
        for (_, fields) in &entries {
            call.arg(fields.len());
            fields.iter().for_each(|field| {
                call.arg(field.as_slice());
            });
        }
        let cursor: String = call.invoke_async(&mut links.target).await?;
        links.cursor = parse(&cursor)?;
        if cursor != *last {
            tracing::info!(stream = self.from, cursor, "another one forwards, or Redis went back in time");
            return Ok(0);
        }
        let safe = self.confirmed(&mut links.target).await?;
        if safe && links.trimmed.elapsed() >= TRIM_INTERVAL {
            links.trimmed = Instant::now();
            let _: u64 = redis::cmd("XTRIM")
                .arg(&self.from)
                .arg("MINID")
                .arg("~")
                .arg(&cursor)
                .query_async(&mut links.source)
                .await?;
        }
        Ok(entries.len())
    }

    /// Whether as many replicas as wanted have what was written on this connection. With fewer it goes on all the same: a
    /// result is forwarded at least once, and who reads it knows it again.
    async fn confirmed(&self, connection: &mut impl ConnectionLike) -> Result<bool> {
        let Some((replicas, timeout)) = self.confirmation else { return Ok(true) };
        let confirmed: u32 =
            redis::cmd("WAIT").arg(replicas).arg(timeout.as_millis() as u64).query_async(connection).await?;
        Ok(confirmed >= replicas)
    }
}

fn parse(id: &str) -> Result<EntryId> {
    id.parse().map_err(|_| StreamError::Unexpected(format!("entry id {id:?}")))
}
