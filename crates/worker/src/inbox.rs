//! Entries of a partition that were read and wait for diagnosis.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use vtox_protocol::EntryId;
use vtox_streams::Entry;

/// An entry, and when it was read.
pub struct Waiting {
    /// The entry.
    pub entry: Entry,
    /// When.
    pub read_at: Instant,
}

impl Waiting {
    /// Bytes of the entry's fields.
    pub fn bytes(&self) -> usize {
        self.entry.fields.values().map(Vec::len).sum()
    }
}

/// Entries of one partition, filled by the feed and emptied by the partition's task.
#[derive(Default)]
pub struct Inbox {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Default)]
struct State {
    /// The feed reads behind this entry; none while nothing is to be read.
    position: Option<EntryId>,
    /// Grows with every rewind, so that what was read for an older position is not taken.
    epoch: u64,
    queue: VecDeque<Waiting>,
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything is to be read at all.
    pub fn is_open(&self) -> bool {
        self.state().position.is_some()
    }

    /// Where to read on, and the epoch to hand in with it; none when there is no room for `more` entries.
    pub fn wants(&self, more: usize, capacity: usize) -> Option<(EntryId, u64)> {
        let state = self.state();
        let room = state.queue.len() + more <= capacity;
        state.position.filter(|_| room).map(|position| (position, state.epoch))
    }

    /// Takes what was read; false when the reading has become obsolete.
    pub fn fill(&self, entries: Vec<Entry>, epoch: u64) -> bool {
        let mut state = self.state();
        let Some(last) = entries.last().map(|e| e.id) else {
            return true;
        };
        if state.epoch != epoch {
            return false;
        }
        state.position = Some(last);
        let read_at = Instant::now();
        state.queue.extend(entries.into_iter().map(|entry| Waiting { entry, read_at }));
        drop(state);
        self.filled.notify_one();
        true
    }

    /// Up to `count` entries from the front.
    pub fn take(&self, count: usize) -> Vec<Waiting> {
        let mut state = self.state();
        let count = count.min(state.queue.len());
        state.queue.drain(..count).collect()
    }

    /// Id of the first entry that waits.
    pub fn first(&self) -> Option<EntryId> {
        self.state().queue.front().map(|w| w.entry.id)
    }

    /// Reads again from behind `position`; answers what was thrown away, entries and bytes.
    pub fn rewind(&self, position: EntryId) -> (usize, usize) {
        let mut state = self.state();
        let dropped = empty(&mut state);
        state.position = Some(position);
        dropped
    }

    /// Reads nothing any more; answers what was thrown away, entries and bytes.
    pub fn clear(&self) -> (usize, usize) {
        let mut state = self.state();
        let dropped = empty(&mut state);
        state.position = None;
        dropped
    }

    /// Waits until something was filled in.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }
}

fn empty(state: &mut State) -> (usize, usize) {
    state.epoch += 1;
    let dropped = (state.queue.len(), state.queue.iter().map(Waiting::bytes).sum());
    state.queue.clear();
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(ms: u64) -> Entry {
        Entry { id: EntryId { ms, seq: 0 }, fields: [("f".to_owned(), vec![0; 10])].into() }
    }

    #[test]
    fn a_rewind_makes_what_is_under_way_obsolete() {
        let inbox = Inbox::default();
        assert_eq!(inbox.wants(1, 10), None);
        inbox.rewind(EntryId::ZERO);
        let (position, epoch) = inbox.wants(1, 10).unwrap();
        assert_eq!(position, EntryId::ZERO);
        assert!(inbox.fill(vec![entry(1), entry(2)], epoch));
        assert_eq!(inbox.rewind(EntryId { ms: 1, seq: 0 }), (2, 20));
        assert!(!inbox.fill(vec![entry(3)], epoch));
        assert!(inbox.take(10).is_empty());
    }

    #[test]
    fn a_full_inbox_wants_nothing() {
        let inbox = Inbox::default();
        inbox.rewind(EntryId::ZERO);
        let (_, epoch) = inbox.wants(2, 2).unwrap();
        inbox.fill(vec![entry(1)], epoch);
        assert_eq!(inbox.wants(2, 2), None);
        assert_eq!(inbox.take(5).len(), 1);
        assert_eq!(inbox.wants(2, 2), Some((EntryId { ms: 1, seq: 0 }, epoch)));
    }
}
