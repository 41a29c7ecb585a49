//! What is left to explain.

use std::collections::{BTreeMap, HashMap, HashSet};

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use vtox_protocol::keys::{Partition, Topology};
use vtox_protocol::{FaultSet, FaultType, Status};

use crate::answers::{Answer, Answers};
use crate::book::{Book, Outcome};
use crate::replay;

/// What the ledger says at the end.
#[derive(Debug, Default)]
pub struct Balance {
    /// Messages that were accepted.
    pub accepted: u64,
    /// Messages of which the sender does not know, and how many of them were there.
    pub unknown: (u64, u64),
    /// Results expected: messages that are there times enabled fault types.
    pub expected: u64,
    /// Results of messages that were sent.
    pub results: u64,
    /// Expected results, and dead letters of planted poison, that did not appear.
    pub lost: u64,
    /// Results and dead letters that appeared more than once, counted without the first.
    pub duplicates: u64,
    /// Results of a vehicle and fault type that came after one of a later entry.
    pub out_of_order: u64,
    /// Results that do not say what the detector says on the blocks in their order.
    pub wrong: u64,
    /// Results compared with what the detector says.
    pub compared: u64,
    /// Results and dead letters of what was never sent or planted.
    pub without_send: u64,
    /// Results of an owner that came after those of the next owner of its lane.
    pub two_owners: u64,
    /// Results seen live that were not there at the second reading.
    pub vanished: u64,
    /// Counters of Redis that do not agree with what was sent and answered.
    pub counters: Vec<String>,
    /// Longest time from sending to a result in which nothing was broken on purpose, ms.
    pub longest_gap_ms: u64,
    /// From sending to the last result of a message, ms.
    pub latency_ms: Option<Histogram<u64>>,
    /// Results by fault type and verdict.
    pub verdicts: BTreeMap<FaultType, BTreeMap<Status, u64>>,
    /// Why there was no verdict, and how often.
    pub reasons: BTreeMap<String, u64>,
    /// The first violations in words.
    pub examples: Vec<String>,
}

/// Violations shown in words.
const EXAMPLES: usize = 10;

impl Balance {
    /// Holds what was sent against the answers. With a topology ownership is checked too, and blocks are diagnosed again.
    pub(crate) fn of(book: &Book, answers: &Answers, enabled: FaultSet, full: Option<&Topology>) -> Self {
        let mut balance = Self { latency_ms: Histogram::new(3).ok(), ..Self::default() };
        balance.take_messages(book, &answers.results, enabled);
        balance.take_order(&answers.results);
        balance.take_dead_letters(book, answers, enabled);
        if let Some(topology) = full {
            balance.take_owners(book, &answers.results, topology);
            balance.take_verdicts(replay::differences(book, &answers.results));
        }
        balance
    }

    /// Whether everything is as promised.
    pub fn is_exact(&self) -> bool {
        self.violations() == 0 && self.counters.is_empty()
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        format!(
            "accepted {}, unknown {} ({} of them there), results {} of {}, lost {}, duplicates {}, out of order {}, \
             wrong {} of {}, without a send {}, two owners {}, vanished {}, latency {}, longest gap {} ms",
            self.accepted,
            self.unknown.0,
            self.unknown.1,
            self.results,
            self.expected,
            self.lost,
            self.duplicates,
            self.out_of_order,
            self.wrong,
            self.compared,
            self.without_send,
            self.two_owners,
            self.vanished,
            self.latency(),
            self.longest_gap_ms
        )
    }

    fn violations(&self) -> u64 {
        self.lost
            + self.duplicates
            + self.out_of_order
            + self.wrong
            + self.without_send
            + self.two_owners
            + self.vanished
    }

    pub(crate) fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(text());
        }
    }

    fn take_messages(&mut self, book: &Book, results: &[Answer], enabled: FaultSet) {
        let mut by_message: HashMap<&str, Vec<&Answer>> = HashMap::new();
        for answer in results {
            by_message.entry(&answer.message_id).or_default().push(answer);
        }
        for (message_id, sent) in &book.sent {
            let answers = by_message.remove(message_id.as_str()).unwrap_or_default();
            if sent.outcome == Outcome::Accepted {
                self.accepted += 1;
            } else {
                self.unknown.0 += 1;
                self.unknown.1 += u64::from(!answers.is_empty());
                if answers.is_empty() {
                    continue;
                }
            }
            let mut complete = true;
            for fault in enabled.iter() {
                self.expected += 1;
                let count = answers.iter().filter(|a| a.fault == fault).count() as u64;
                self.results += count.min(1);
                self.lost += u64::from(count == 0);
                self.duplicates += count.saturating_sub(1);
                complete &= count > 0;
                if count != 1 {
                    self.example(|| format!("{count} results of {fault} for message {message_id}"));
                }
            }
            for answer in &answers {
                *self.verdicts.entry(answer.fault).or_default().entry(answer.status).or_default() += 1;
                if let Some(reason) = &answer.reason {
                    let text = format!("{} {}: {reason}", answer.fault, answer.status);
                    *self.reasons.entry(text).or_default() += 1;
                }
                let gap_ms = unbroken_ms(&book.broken_ms, sent.at_ms, answer.id.ms);
                self.longest_gap_ms = self.longest_gap_ms.max(gap_ms);
            }
            let last_ms = answers.iter().map(|a| a.id.ms).max();
            if complete && let (Some(latency), Some(last_ms)) = (&mut self.latency_ms, last_ms) {
                latency.saturating_record(last_ms.saturating_sub(sent.at_ms));
            }
        }
        self.without_send += by_message.len() as u64;
        for message_id in by_message.keys() {
            self.example(|| format!("results for {message_id}, which nobody sent"));
        }
    }

    fn take_order(&mut self, results: &[Answer]) {
        let mut last = HashMap::new();
        for answer in results {
            let before = last.insert((&answer.vehicle_id, answer.fault), answer.entry);
            if before.is_some_and(|before| answer.entry < before) {
                self.out_of_order += 1;
                self.example(|| {
                    format!("{} of {} at {} after a later one", answer.fault, answer.vehicle_id, answer.entry)
                });
            }
        }
    }

    fn take_dead_letters(&mut self, book: &Book, answers: &Answers, enabled: FaultSet) {
        let mut seen = HashSet::new();
        for letter in &answers.dead_letters {
            let key = (letter.stream.clone(), letter.entry);
            if !book.poison.contains(&key) {
                self.without_send += 1;
                self.example(|| {
                    format!("dead letter of {} for {}: {}", letter.fault, letter.entry, letter.reason)
                });
            } else if !seen.insert((key, letter.fault)) {
                self.duplicates += 1;
                self.example(|| format!("two dead letters of {} for {}", letter.fault, letter.entry));
            }
        }
        self.lost += ((book.poison.len() * enabled.len()).saturating_sub(seen.len())) as u64;
    }

    /// Within a lane the results of one grant come in one run: the owner before has nothing to say once the next one has
    /// spoken.
    fn take_owners(&mut self, book: &Book, results: &[Answer], topology: &Topology) {
        let mut present: HashMap<(Partition, FaultType), &str> = HashMap::new();
        let mut past: HashSet<(Partition, FaultType, &str)> = HashSet::new();
        for answer in results.iter().filter(|a| book.sent.contains_key(&a.message_id)) {
            let partition = topology.partition_of(&answer.vehicle_id);
            let before = present.insert((partition, answer.fault), &answer.grant);
            if let Some(before) = before.filter(|before| *before != answer.grant) {
                past.insert((partition, answer.fault, before));
            }
            if past.contains(&(partition, answer.fault, &answer.grant)) {
                self.two_owners += 1;
                self.example(|| {
                    format!(
                        "{} of partition {partition} by {} after its successor",
                        answer.fault, answer.worker
                    )
                });
            }
        }
    }

    fn take_verdicts(&mut self, (compared, differing): (u64, Vec<String>)) {
        self.compared = compared;
        self.wrong = differing.len() as u64;
        for text in differing {
            self.example(|| text);
        }
    }

    /// Percentiles of the latency.
    pub fn latency(&self) -> Value {
        let of = |q| self.latency_ms.as_ref().filter(|h| !h.is_empty()).map(|h| h.value_at_quantile(q));
        json!({"p50": of(0.5), "p95": of(0.95), "p99": of(0.99)})
    }
}

/// Time from `from_ms` to `to_ms` in which nothing was broken on purpose.
fn unbroken_ms(broken_ms: &[(u64, u64)], from_ms: u64, to_ms: u64) -> u64 {
    let overlap = |(start, end): &(u64, u64)| (*end).min(to_ms).saturating_sub((*start).max(from_ms));
    to_ms.saturating_sub(from_ms).saturating_sub(broken_ms.iter().map(overlap).sum())
}

#[cfg(test)]
mod tests {
    use vtox_protocol::{EntryId, VehicleId};

    use super::*;
    use crate::answers::DeadLetter;
    use crate::book::Sent;

    const FAULT: FaultType = FaultType::Bearing;

    fn answer(message: &str, entry_ms: u64, at_ms: u64, grant: &str) -> Answer {
        Answer {
            id: EntryId { ms: at_ms, seq: 0 },
            vehicle_id: VehicleId::new("V1").unwrap(),
            fault: FAULT,
            entry: EntryId { ms: entry_ms, seq: 0 },
            message_id: message.to_owned(),
            worker: "w".to_owned(),
            grant: grant.to_owned(),
            status: Status::Normal,
            reason: None,
            digest: 0,
        }
    }

    fn book(messages: &[(&str, Outcome)]) -> Book {
        let mut book = Book::default();
        for (id, outcome) in messages {
            book.sent.insert((*id).to_owned(), Sent { at_ms: 100, outcome: *outcome, block: None });
        }
        book
    }

    fn balance(book: &Book, results: Vec<Answer>, dead_letters: Vec<DeadLetter>) -> Balance {
        let topology = Topology { partitions: 4, enabled: FaultSet::EMPTY.with(FAULT), slot_tags: 1 };
        Balance::of(book, &Answers { results, dead_letters }, topology.enabled, Some(&topology))
    }

    #[test]
    fn a_message_has_one_result_and_an_unknown_one_at_most_one() {
        use Outcome::{Accepted, Unknown};
        let book = book(&[("a", Accepted), ("b", Accepted), ("c", Unknown), ("d", Unknown)]);
        let exact = balance(
            &book,
            vec![answer("a", 1, 110, "g"), answer("b", 2, 120, "g"), answer("c", 3, 130, "g")],
            vec![],
        );
        assert!(exact.is_exact(), "{exact:?}");
        assert_eq!((exact.accepted, exact.unknown, exact.expected, exact.results), (2, (2, 1), 3, 3));
        assert_eq!(exact.longest_gap_ms, 30);
        let broken = balance(
            &book,
            vec![answer("a", 2, 110, "g"), answer("a", 1, 120, "g"), answer("x", 3, 130, "g")],
            vec![],
        );
        assert_eq!((broken.lost, broken.duplicates, broken.out_of_order, broken.without_send), (1, 1, 1, 1));
    }

    #[test]
    fn an_owner_that_speaks_after_its_successor_is_seen() {
        let book = book(&[("a", Outcome::Accepted), ("b", Outcome::Accepted), ("c", Outcome::Accepted)]);
        let of = |grants: [&str; 3]| {
            let results = ["a", "b", "c"].iter().zip(grants).zip(1..);
            balance(&book, results.map(|((m, g), n)| answer(m, n, n + 100, g)).collect(), vec![]).two_owners
        };
        assert_eq!(of(["1", "1", "2"]), 0);
        assert_eq!(of(["1", "2", "1"]), 1);
    }

    #[test]
    fn only_planted_poison_may_be_a_dead_letter() {
        let mut book = book(&[]);
        let entry = EntryId { ms: 5, seq: 0 };
        book.poison.insert(("s".to_owned(), entry));
        let letter = |entry| DeadLetter { stream: "s".into(), entry, fault: FAULT, reason: String::new() };
        assert!(balance(&book, vec![], vec![letter(entry)]).is_exact());
        assert_eq!(balance(&book, vec![], vec![]).lost, 1);
        assert_eq!(balance(&book, vec![], vec![letter(entry), letter(entry)]).duplicates, 1);
        assert_eq!(balance(&book, vec![], vec![letter(entry), letter(EntryId::ZERO)]).without_send, 1);
    }

    #[test]
    fn broken_time_is_no_gap() {
        assert_eq!(unbroken_ms(&[(20, 50), (90, 200)], 10, 100), 50);
        assert_eq!(unbroken_ms(&[], 10, 100), 90);
    }
}
