//! Reading ahead: one blocking read for all partitions of a slot, into their inboxes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use vtox_protocol::EntryId;
use vtox_protocol::keys::{Partition, SlotTag};
use vtox_streams::Reader;

use crate::inbox::{Inbox, Waiting};
use crate::work::Work;

/// Longest wait for new entries; also how late a new partition is seen.
const BLOCK: Duration = Duration::from_millis(100);
/// Wait while some partition has no room: it will have soon.
const BLOCK_WHEN_FULL: Duration = Duration::from_millis(10);
/// Bytes read ahead over all partitions.
const BUFFER_BYTES: usize = 64 << 20;

struct Source {
    inbox: Arc<Inbox>,
    stream: String,
    position: EntryId,
    epoch: u64,
}

/// Feeds the partitions with a tag until the soft token is cancelled.
pub async fn run(work: Arc<Work>, tag: SlotTag) -> anyhow::Result<()> {
    let mut reader = Reader::new(work.redis.client.clone());
    let mut turn = 0_usize;
    let soft = work.lifecycle.soft.clone();
    while !soft.is_cancelled() {
        turn = turn.wrapping_add(1);
        let (sources, count, full) = sources(&work, tag, turn);
        if sources.is_empty() {
            tokio::select! {
                () = soft.cancelled() => break,
                () = tokio::time::sleep(if full { Duration::from_millis(2) } else { Duration::from_millis(20) }) => continue,
            }
        }
        let after: Vec<(String, EntryId)> = sources.iter().map(|s| (s.stream.clone(), s.position)).collect();
        let block = if full { BLOCK_WHEN_FULL } else { BLOCK };
        // Not raced against the token: a read that is let finish strands nothing and ends soon.
        match reader.read(&after, count, block).await {
            Ok(read) => {
                for (index, entries) in read {
                    let (count, bytes) = (entries.len(), entries.iter().map(bytes_of).sum());
                    work.buffered.fetch_add(count, Ordering::Relaxed);
                    work.buffered_bytes.fetch_add(bytes, Ordering::Relaxed);
                    if !sources[index].inbox.fill(entries, sources[index].epoch) {
                        work.consumed(count, bytes);
                    }
                }
                work.stats.reads_work(true);
            }
            Err(error) => {
                tracing::warn!(%error, "reading failed; trying again");
                work.stats.reads_work(false);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    Ok(())
}

fn bytes_of(entry: &vtox_streams::Entry) -> usize {
    entry.fields.values().map(Vec::len).sum::<usize>()
}

/// Inboxes with room, how many entries to read for each, and whether some inbox had no room. A tight buffer is divided
/// among all of them, beginning elsewhere each turn when there are more of them than places.
fn sources(work: &Work, tag: SlotTag, turn: usize) -> (Vec<Source>, usize, bool) {
    let inboxes: Vec<(Partition, Arc<Inbox>)> = {
        let inboxes = work.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        inboxes
            .iter()
            .filter(|(p, inbox)| p.tag() == tag && inbox.is_open())
            .map(|(p, i)| (*p, i.clone()))
            .collect()
    };
    let mut room = work.settings.buffer_entries.saturating_sub(work.buffered.load(Ordering::Relaxed));
    if work.buffered_bytes.load(Ordering::Relaxed) >= BUFFER_BYTES {
        room = 0;
    }
    if room == 0 || inboxes.is_empty() {
        return (Vec::new(), 0, room == 0);
    }
    let count = (room / inboxes.len()).clamp(1, work.settings.batch_entries);
    let places = room / count;
    let mut full = inboxes.len() > places;
    let mut sources = Vec::with_capacity(inboxes.len());
    for n in 0..inboxes.len().min(places) {
        let (partition, inbox) = &inboxes[(n + turn) % inboxes.len()];
        match inbox.wants(count, work.settings.lane_buffer_entries) {
            Some((position, epoch)) => {
                sources.push(Source { inbox: inbox.clone(), stream: partition.stream(), position, epoch });
            }
            None => full = true,
        }
    }
    (sources, count, full)
}

/// Bytes of entries that wait.
pub fn waiting_bytes(entries: &[Waiting]) -> usize {
    entries.iter().map(Waiting::bytes).sum()
}
