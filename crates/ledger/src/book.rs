//! What the sender knows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use vtox_protocol::{EntryId, FaultSet, FaultType, SignalBlock, Status};

use crate::answers::{Answer, Answers, DeadLetter};
use crate::balance::Balance;

/// What the gateway said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 200: there must be exactly one result per enabled fault type.
    Accepted,
    /// 503 or no answer, and not sent again: all results, or none.
    Unknown,
}

/// A message that was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// When it was first sent, epoch ms.
    pub at_ms: u64,
    /// What came back.
    pub outcome: Outcome,
    /// What was sent, where the verdicts are to be checked. All blocks of a vehicle or none.
    pub block: Option<Arc<SignalBlock>>,
}

/// The ledger of one run.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Book>>);

#[derive(Default)]
pub(crate) struct Book {
    pub(crate) sent: HashMap<String, Sent>,
    /// Entries that were planted and cannot be decoded: stream and entry.
    pub(crate) poison: BTreeSet<(String, EntryId)>,
    /// When something was broken on purpose, from and to, epoch ms.
    pub(crate) broken_ms: Vec<(u64, u64)>,
    /// As they came.
    pub(crate) live: Answers,
    /// Results seen of each message, by fault type.
    counts: HashMap<String, [u8; FaultType::ALL.len()]>,
    /// Last entry answered, by vehicle and fault type.
    last_entry: HashMap<(String, FaultType), EntryId>,
    last_seen: Option<Instant>,
}

impl Ledger {
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down a message.
    pub fn sent(&self, message_id: String, sent: Sent) {
        self.book().sent.insert(message_id, sent);
    }

    /// Writes down that a message was accepted; its verdicts are not checked.
    pub fn accepted(&self, message_id: String, at_ms: u64) {
        self.sent(message_id, Sent { at_ms, outcome: Outcome::Accepted, block: None });
    }

    /// Writes down an entry that was planted and cannot be decoded: a dead letter per enabled fault type is its answer.
    pub fn poison(&self, stream: &str, entry: EntryId) {
        self.book().poison.insert((stream.to_owned(), entry));
    }

    /// Writes down that something was broken on purpose, from and to, epoch ms. This time is no gap.
    pub fn broken(&self, from_ms: u64, to_ms: u64) {
        self.book().broken_ms.push((from_ms, to_ms));
    }

    /// Messages accepted so far.
    pub fn count(&self) -> usize {
        self.book().sent.values().filter(|s| s.outcome == Outcome::Accepted).count()
    }

    /// Results of accepted messages so far by verdict, for a live summary.
    pub fn verdicts(&self) -> BTreeMap<Status, u64> {
        let book = self.book();
        let mut sums = BTreeMap::new();
        for answer in book.live.results.iter().filter(|a| book.sent.contains_key(&a.message_id)) {
            *sums.entry(answer.status).or_default() += 1;
        }
        sums
    }

    /// Whether each of the vehicles has a result of `fault` for an entry that was appended after `since_ms`.
    pub fn answered_since(&self, since_ms: u64, fault: FaultType, vehicles: &[String]) -> bool {
        let book = self.book();
        vehicles.iter().all(|v| book.last_entry.get(&(v.clone(), fault)).is_some_and(|e| e.ms > since_ms))
    }

    /// The balance of what was seen so far, without a second reading and without diagnosing again.
    pub fn balance(&self, enabled: FaultSet) -> Balance {
        let book = self.book();
        Balance::of(&book, &book.live, enabled, None)
    }

    pub(crate) fn result(&self, answer: Answer) {
        let mut book = self.book();
        let last = book.last_entry.entry((answer.vehicle_id.to_string(), answer.fault)).or_default();
        *last = answer.entry.max(*last);
        let count = &mut book.counts.entry(answer.message_id.clone()).or_default()[answer.fault as usize];
        *count = count.saturating_add(1);
        book.live.results.push(answer);
        book.last_seen = Some(Instant::now());
    }

    pub(crate) fn dead_letter(&self, letter: DeadLetter) {
        let mut book = self.book();
        book.live.dead_letters.push(letter);
        book.last_seen = Some(Instant::now());
    }

    /// When the last answer came.
    pub(crate) fn last_seen(&self) -> Option<Instant> {
        self.book().last_seen
    }

    /// Whether something that must come has not come yet.
    pub(crate) fn waits(&self, enabled: FaultSet) -> bool {
        let book = self.book();
        let incomplete = |counts: Option<&[u8; FaultType::ALL.len()]>| {
            enabled.iter().any(|f| counts.is_none_or(|c| c[f as usize] == 0))
        };
        let waits = |(id, sent): (&String, &Sent)| match (sent.outcome, book.counts.get(id)) {
            (Outcome::Unknown, None) => false,
            (_, counts) => incomplete(counts),
        };
        book.sent.iter().any(waits) || book.live.dead_letters.len() < book.poison.len() * enabled.len()
    }
}
