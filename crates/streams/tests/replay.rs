//! Dead letters and replays on a real Redis: a message is tried again at most once per attempt before it.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::join_all;
use vtox_connection::ConnectionManager;
use vtox_protocol::keys::{self, Partition, Topology};
use vtox_protocol::{EntryId, FaultSet, FaultType, VehicleId};
use vtox_streams::{
    Commit, Committed, Committer, DeadLetter, DeadLetters, Lane, Log, Ownership, Refusal, Replays, Selection,
    topology,
};
use vtox_test_support::RedisServer;

const LANE: Lane = Lane { partition: Partition::Bare, fault: FaultType::Bearing };
const TOKEN: &str = "1:w:x";

/// A cluster whose bearing lane of the bare stream is ours, with a worker's commits made by hand.
struct Cluster {
    _redis: RedisServer,
    connection: ConnectionManager,
    letters: DeadLetters,
    replays: Replays,
    committer: Committer,
}

impl Cluster {
    async fn start() -> Self {
        let redis = RedisServer::start(&[]);
        let connection = redis.connection().await;
        let wanted =
            Topology { partitions: 1, enabled: FaultSet::EMPTY.with(FaultType::Bearing), slot_tags: 1 };
        topology::agree(&connection, &wanted).await.unwrap();
        let ownership = Ownership::new(connection.clone());
        ownership.stamp("1:a", &[LANE]).await.unwrap().unwrap();
        ownership.grant("1:a", LANE, Some(""), TOKEN, false).await.unwrap();
        Self {
            letters: DeadLetters::new(connection.clone()),
            replays: Replays::new(connection.clone(), Duration::from_secs(60)),
            committer: Committer::new(connection.clone()),
            connection,
            _redis: redis,
        }
    }

    async fn query<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut cmd = redis::cmd(command[0]);
        for argument in &command[1..] {
            cmd.arg(argument);
        }
        cmd.query_async(&mut self.connection.clone()).await.unwrap()
    }

    /// Appends by hand, as a producer that gives no message id.
    async fn append(&self, vehicle: &str) -> EntryId {
        let mut cmd = redis::cmd("XADD");
        cmd.arg(keys::RAW).arg("*").arg("vehicle_id").arg(vehicle).arg("sensor_data").arg(b"\xff\x00binary");
        let id: String = cmd.query_async(&mut self.connection.clone()).await.unwrap();
        id.parse().unwrap()
    }

    async fn raw(&self) -> Vec<(String, HashMap<String, Vec<u8>>)> {
        self.query(&["XRANGE", keys::RAW, "-", "+"]).await
    }

    /// Moves the cursor over `to` with its result, or without.
    async fn answer(&self, from: EntryId, to: EntryId, result_of: Option<&str>) {
        let mut commit = Commit::new(Log::of_lane(LANE), TOKEN, from, to, 1);
        if let Some(message_id) = result_of {
            let fields = [("vehicle_id", "V"), ("fault_type", "bearing"), ("message_id", message_id)];
            commit.append(keys::RESULTS, fields);
        }
        assert_eq!(self.committer.run(&commit).await.unwrap(), Committed::Done);
    }

    /// Moves the cursor over `to` with a dead letter.
    async fn give_up(&self, from: EntryId, to: EntryId, letter: &DeadLetter, raw: &HashMap<String, Vec<u8>>) {
        let mut commit = Commit::new(Log::of_lane(LANE), TOKEN, from, to, 1);
        commit.append(keys::DEAD_LETTERS, letter.fields(raw));
        assert_eq!(self.committer.run(&commit).await.unwrap(), Committed::Done);
    }
}

fn letter(entry: EntryId) -> DeadLetter {
    DeadLetter {
        stream: keys::RAW.to_owned(),
        entry,
        fault: FaultType::Bearing,
        vehicle_id: "V".to_owned(),
        message_id: None,
        attempt: 1,
        original: entry,
        reason: "not JSON".to_owned(),
        consumer_id: "w".to_owned(),
        timestamp: "2026-11-20T08:00:00+00:00".to_owned(),
    }
}

fn selection(again: bool) -> Selection {
    Selection {
        vehicle: VehicleId::new("V").unwrap(),
        from_ms: 0,
        to_ms: u64::MAX,
        faults: FaultSet::EMPTY.with(FaultType::Bearing),
        again,
    }
}

#[tokio::test]
async fn a_dead_letter_is_replayed_once_however_many_try() {
    let c = Cluster::start().await;
    let entry = c.append("V").await;
    let raw = c.raw().await.remove(0).1;
    c.give_up(EntryId::ZERO, entry, &letter(entry), &raw).await;
    let listed = c.letters.list(Some("V")).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].1, letter(entry));
    assert!(c.letters.list(Some("W")).await.unwrap().is_empty());

    let retry = Replays::of_letters(&listed).remove(0);
    let outcomes = join_all((0..8).map(|_| c.replays.run(&retry))).await;
    let mut done: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    done.retain(|o| o.entry.is_some() || o.refused != [(FaultType::Bearing, Refusal::Gone)]);
    assert_eq!(done.len(), 1, "{done:?}");
    assert!(c.letters.list(None).await.unwrap().is_empty());
    assert_eq!(c.replays.run(&retry).await.unwrap().refused, [(FaultType::Bearing, Refusal::Gone)]);

    let appended = c.raw().await;
    assert_eq!(appended.len(), 2);
    assert_eq!(appended[1].0, done[0].entry.unwrap().to_string());
    let message_id = format!("motor_raw_data/{entry}");
    let expected: [(&str, &[u8]); 6] = [
        ("vehicle_id", b"V"),
        ("sensor_data", b"\xff\x00binary"),
        ("message_id", message_id.as_bytes()),
        ("replay", b"bearing"),
        ("replay_of", message_id.as_bytes().strip_prefix(b"motor_raw_data/").unwrap()),
        ("attempt", b"2"),
    ];
    assert_eq!(appended[1].1, expected.map(|(n, v)| (n.to_owned(), v.to_vec())).into());
}

#[tokio::test]
async fn what_failed_again_is_a_further_attempt_on_the_same_message() {
    let c = Cluster::start().await;
    let first = c.append("V").await;
    let raw = c.raw().await.remove(0).1;
    c.give_up(EntryId::ZERO, first, &letter(first), &raw).await;
    let retry = Replays::of_letters(&c.letters.list(None).await.unwrap()).remove(0);
    let second = c.replays.run(&retry).await.unwrap().entry.unwrap();
    let failed = DeadLetter { entry: second, attempt: 2, ..letter(first) };
    let copy = c.raw().await.remove(1).1;
    c.give_up(first, second, &failed, &copy).await;
    // As after the memory of the attempts is over: the letter itself says which it is of.
    let marker = Partition::Bare.replayed(&failed.message());
    assert!(c.query::<i64>(&["PTTL", &marker]).await > 50_000);
    let _: u64 = c.query(&["DEL", &marker]).await;
    let listed = c.letters.list(None).await.unwrap();
    assert_eq!(listed[0].1, failed);
    let outcome = c.replays.run(&Replays::of_letters(&listed)[0]).await.unwrap();
    assert_eq!(outcome.attempt, 3);
    let third = c.raw().await.remove(2).1;
    assert_eq!(third["message_id"], format!("motor_raw_data/{first}").into_bytes());
    assert_eq!(
        (third["replay_of"].clone(), third["attempt"].clone()),
        (first.to_string().into(), b"3".to_vec())
    );
    assert_eq!(third.len(), 6);
}

#[tokio::test]
async fn a_letter_with_a_copy_outlives_its_entry_and_one_without_says_so() {
    let c = Cluster::start().await;
    let entry = c.append("V").await;
    let raw = c.raw().await.remove(0).1;
    c.give_up(EntryId::ZERO, entry, &letter(entry), &raw).await;
    let _: u64 = c.query(&["XTRIM", keys::RAW, "MAXLEN", "0"]).await;
    let (id, of) = c.letters.list(None).await.unwrap().remove(0);
    assert!(c.letters.raw_entry(&of).await.unwrap().is_none());
    let (_, copy) = c.letters.get(id).await.unwrap().unwrap();
    assert_eq!(copy.unwrap().fields, raw);
    let outcome = c.replays.run(&Replays::of_letters(&[(id, of)])[0]).await.unwrap();
    let appended = c.raw().await.remove(0);
    assert_eq!(appended.0, outcome.entry.unwrap().to_string());
    assert_eq!(appended.1["sensor_data"], raw["sensor_data"]);
    assert_eq!(appended.1.len(), 6);

    let large = HashMap::from([("sensor_data".to_owned(), vec![b'x'; (1 << 20) + 1])]);
    let other = EntryId { ms: entry.ms, seq: 99 };
    c.give_up(entry, outcome.entry.unwrap(), &letter(other), &large).await;
    let listed = c.letters.list(None).await.unwrap();
    let refused = c.replays.run(&Replays::of_letters(&listed)[0]).await.unwrap();
    assert_eq!((refused.entry, refused.refused), (None, vec![(FaultType::Bearing, Refusal::NotKept)]));
    assert_eq!(c.letters.list(None).await.unwrap().len(), 1);
    assert!(c.letters.drop(listed[0].0).await.unwrap());
    assert!(!c.letters.drop(listed[0].0).await.unwrap());
}

#[tokio::test]
async fn a_plan_asks_for_exactly_what_was_answered_without_a_result() {
    let c = Cluster::start().await;
    let (with, without, dead) = (c.append("V").await, c.append("V").await, c.append("V").await);
    c.append("W").await;
    let id_of = |entry: EntryId| format!("motor_raw_data/{entry}");
    c.answer(EntryId::ZERO, with, Some(&id_of(with))).await;
    c.answer(with, without, None).await;
    c.give_up(without, dead, &letter(dead), &HashMap::new()).await;
    let waits = c.append("V").await;

    let plan = c.replays.plan(&selection(false)).await.unwrap();
    assert_eq!((plan.messages, plan.answered, plan.waiting, plan.unknown), (4, 1, 1, 0));
    assert_eq!(plan.retries.iter().map(|r| r.original).collect::<Vec<_>>(), [without, dead]);
    // Two that were planned on the same state: the second appends nothing.
    let other = c.replays.plan(&selection(false)).await.unwrap();
    for (mine, theirs) in plan.retries.iter().zip(&other.retries) {
        assert!(c.replays.run(mine).await.unwrap().entry.is_some());
        assert_eq!(c.replays.run(theirs).await.unwrap().entry, None);
    }
    assert_eq!(c.query::<u64>(&["XLEN", keys::RAW]).await, 7);
    // The dead letter went with its replay.
    assert!(c.letters.list(None).await.unwrap().is_empty());
    let plan = c.replays.plan(&selection(false)).await.unwrap();
    assert_eq!((plan.messages, plan.answered, plan.waiting, plan.retries.len()), (4, 1, 3, 0));

    let last: EntryId = c.raw().await[6].0.parse().unwrap();
    c.answer(dead, waits, Some(&id_of(waits))).await;
    c.answer(waits, last, Some(&id_of(without))).await;
    let plan = c.replays.plan(&selection(false)).await.unwrap();
    assert_eq!((plan.answered, plan.waiting), (3, 0));
    assert_eq!(plan.retries.iter().map(|r| r.original).collect::<Vec<_>>(), [dead]);
    let plan = c.replays.plan(&selection(true)).await.unwrap();
    assert_eq!((plan.answered, plan.retries.len()), (3, 4));
    for retry in &plan.retries {
        assert!(c.replays.run(retry).await.unwrap().entry.is_some());
    }
    assert_eq!(c.query::<u64>(&["XLEN", keys::RAW]).await, 11);
}

#[tokio::test]
async fn trimmed_results_leave_it_unknown_and_trimmed_entries_are_told() {
    let c = Cluster::start().await;
    let (first, second) = (c.append("V").await, c.append("V").await);
    c.answer(EntryId::ZERO, first, Some(&format!("motor_raw_data/{first}"))).await;
    c.answer(first, second, None).await;
    let _: u64 = c.query(&["XTRIM", keys::RESULTS, "MAXLEN", "0"]).await;
    let plan = c.replays.plan(&selection(false)).await.unwrap();
    assert_eq!((plan.unknown, plan.retries.len(), plan.raw_kept_from_ms), (2, 0, None));
    assert!(plan.results_kept_from_ms.unwrap() > first.ms);
    let _: u64 = c.query(&["XTRIM", keys::RAW, "MAXLEN", "1"]).await;
    let plan = c.replays.plan(&selection(true)).await.unwrap();
    assert_eq!((plan.messages, plan.retries.len(), plan.raw_kept_from_ms), (1, 1, Some(second.ms)));
}

#[tokio::test]
async fn dead_letters_are_kept_by_age_and_size() {
    let c = Cluster::start().await;
    let raw = HashMap::from([("sensor_data".to_owned(), vec![b'x'; 10_000])]);
    let (mut from, mut ids) = (EntryId::ZERO, Vec::new());
    for _ in 0..20 {
        let entry = c.append("V").await;
        c.give_up(from, entry, &letter(entry), &raw).await;
        from = entry;
        ids.push(entry);
    }
    assert_eq!(c.letters.trim(1 << 20, 0).await.unwrap(), 0);
    assert!(c.letters.trim(100_000, 0).await.unwrap() >= 8);
    let kept = c.letters.list(None).await.unwrap();
    assert!((3..=12).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last().unwrap().1.entry, from);
    assert_eq!(c.letters.trim(1 << 20, u64::MAX).await.unwrap(), kept.len() as u64);
}
