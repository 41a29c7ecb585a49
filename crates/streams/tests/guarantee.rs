//! The guarantee on a real Redis: publish once, one owner, fenced commits, dead letters, trimming.

use std::time::Duration;

use vtox_connection::ConnectionManager;
use vtox_protocol::keys::{self, Partition, Topology};
use vtox_protocol::{EntryId, FaultSet, FaultType, MessageId, Payload, RawEntry, VehicleId};
use vtox_streams::{
    Claim, Commit, Committed, Committer, Granted, Janitor, Lane, Log, Ownership, Published, Publisher,
    Reader, StreamError, topology,
};
use vtox_test_support::RedisServer;

const LANE: Lane = Lane { partition: Partition::Bare, fault: FaultType::Bearing };

fn entry(message_id: &str) -> RawEntry {
    RawEntry {
        vehicle_id: VehicleId::new("粤B·SEAL·1").unwrap(),
        message_id: MessageId::from_wire(message_id).unwrap(),
        timestamp: "2026-11-20T08:00:00+00:00".into(),
        payload: Payload::Json(r#"{"data":[{"Ia":1}],"sampling_rate":1}"#.into()),
        metadata: None,
        motor: None,
        traceparent: None,
    }
}

fn claim() -> Claim {
    Claim { sender: "s1".into(), content: "c1".into() }
}

fn entry_of(published: &Published) -> EntryId {
    match published {
        Published::Appended(entry) | Published::Repeated(entry) => *entry,
        Published::Claimed(_) => panic!("{published:?}"),
    }
}

struct Cluster {
    redis: RedisServer,
    connection: ConnectionManager,
    publisher: Publisher,
    ownership: Ownership,
    committer: Committer,
    janitor: Janitor,
}

impl Cluster {
    async fn start() -> Self {
        let redis = RedisServer::start(&[]);
        let connection = redis.connection().await;
        Self {
            publisher: Publisher::new(connection.clone(), Duration::from_secs(60)),
            ownership: Ownership::new(connection.clone()),
            committer: Committer::new(connection.clone()),
            janitor: Janitor::new(connection.clone()),
            connection,
            redis,
        }
    }

    /// The lane owned by `token` under term 1.
    async fn owned_by(token: &str) -> Self {
        let cluster = Self::start().await;
        cluster.ownership.stamp("1:a", &[LANE]).await.unwrap().unwrap();
        let granted = cluster.ownership.grant("1:a", LANE, Some(""), token, false).await.unwrap();
        assert_eq!(granted, Granted::Done { suspect: false });
        cluster
    }

    async fn publish(&self, message_id: &str) -> EntryId {
        entry_of(&self.publisher.publish(Partition::Bare, &entry(message_id), Some(&claim())).await.unwrap())
    }

    fn commit(&self, token: &str, from: EntryId, to: EntryId) -> Commit {
        let mut commit = Commit::new(Log::of_lane(LANE), token, from, to, 1);
        commit.append(keys::RESULTS, [("message_id", format!("of {to}"))]);
        commit.set(&Partition::Bare.state(FaultType::Bearing), [("粤B·SEAL·1", "state")]);
        commit
    }

    async fn query<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut cmd = redis::cmd(command[0]);
        for argument in &command[1..] {
            cmd.arg(argument);
        }
        cmd.query_async(&mut self.connection.clone()).await.unwrap()
    }
}

#[tokio::test]
async fn a_message_is_appended_once() {
    let c = Cluster::start().await;
    let publish =
        async |claim: Claim| c.publisher.publish(Partition::Bare, &entry("m1"), Some(&claim)).await.unwrap();
    let Published::Appended(first) = publish(claim()).await else { panic!("it was there before") };
    assert_eq!(publish(claim()).await, Published::Repeated(first));
    for other in [Claim { sender: "s2".into(), ..claim() }, Claim { content: "c2".into(), ..claim() }] {
        assert_eq!(publish(other).await, Published::Claimed(claim()));
    }
    assert_eq!(c.query::<u64>(&["XLEN", keys::RAW]).await, 1);
    // As the version before remembered it: without a claim.
    let seen = Partition::Bare.seen(&entry("m1").message_id);
    let _: String = c.query(&["SET", &seen, &first.to_string()]).await;
    assert_eq!(publish(claim()).await, Published::Repeated(first));
}

#[tokio::test]
async fn entries_are_read_back_as_they_were_written() {
    let c = Cluster::start().await;
    let id = c.publish("m1").await;
    let mut reader = Reader::new(c.redis.client());
    let after = [(keys::RAW.to_owned(), EntryId::ZERO)];
    let read = reader.read(&after, 10, Duration::from_millis(50)).await.unwrap();
    let (index, entries) = &read[0];
    assert_eq!((*index, entries.len(), entries[0].id), (0, 1, id));
    let message = vtox_protocol::decode_entry(keys::RAW, id, &entries[0].fields).unwrap();
    assert_eq!(message.message_id.as_str(), "m1");
    let after = [(keys::RAW.to_owned(), id)];
    assert!(reader.read(&after, 10, Duration::from_millis(50)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_commit_moves_everything_together_and_shows_in_the_group() {
    let c = Cluster::owned_by("1:w1:x").await;
    let id = c.publish("m1").await;
    let commit = c.commit("1:w1:x", EntryId::ZERO, id);
    assert_eq!(c.committer.run(&commit).await.unwrap(), Committed::Done);
    assert_eq!(c.committer.run(&commit).await.unwrap(), Committed::Repeated);
    assert_eq!(c.query::<u64>(&["XLEN", keys::RESULTS]).await, 1);
    assert_eq!(c.ownership.read(LANE).await.unwrap(), ("1:w1:x".to_owned(), id.to_string()));
    let groups: Vec<std::collections::HashMap<String, redis::Value>> =
        c.query(&["XINFO", "GROUPS", keys::RAW]).await;
    assert_eq!(groups[0]["name"], redis::Value::BulkString(b"bearing_diagnosis_group".to_vec()));
    assert_eq!(groups[0]["lag"], redis::Value::Int(0));
    assert_eq!(groups[0]["entries-read"], redis::Value::Int(1));
}

#[tokio::test]
async fn a_zombies_late_commit_changes_nothing() {
    let c = Cluster::owned_by("1:w1:x").await;
    let id = c.publish("m1").await;
    let late = c.commit("1:w1:x", EntryId::ZERO, id);
    let granted = c.ownership.grant("1:a", LANE, Some("1:w1:x"), "1:w2:y", true).await.unwrap();
    assert_eq!(granted, Granted::Done { suspect: true });
    assert_eq!(c.committer.run(&late).await.unwrap(), Committed::Fenced);
    assert_eq!(c.query::<u64>(&["XLEN", keys::RESULTS]).await, 0);
    assert_eq!(c.query::<u64>(&["EXISTS", &Partition::Bare.state(FaultType::Bearing)]).await, 0);
    assert!(!c.ownership.release(LANE, "1:w1:x").await.unwrap());
}

#[tokio::test]
async fn a_commit_from_another_cursor_changes_nothing() {
    let c = Cluster::owned_by("t").await;
    let (one, two) = (c.publish("m1").await, c.publish("m2").await);
    assert_eq!(c.committer.run(&c.commit("t", EntryId::ZERO, one)).await.unwrap(), Committed::Done);
    assert_eq!(c.committer.run(&c.commit("t", EntryId::ZERO, two)).await.unwrap(), Committed::Moved(one));
    assert_eq!(c.query::<u64>(&["XLEN", keys::RESULTS]).await, 1);
}

#[tokio::test]
async fn a_target_of_the_wrong_type_is_found_before_the_first_write() {
    let c = Cluster::owned_by("t").await;
    let id = c.publish("m1").await;
    let _: () = c.query(&["SET", &Partition::Bare.state(FaultType::Bearing), "not a hash"]).await;
    let refused = c.committer.run(&c.commit("t", EntryId::ZERO, id)).await;
    assert!(matches!(refused, Err(StreamError::WrongType(_))), "{refused:?}");
    assert_eq!(c.query::<u64>(&["EXISTS", keys::RESULTS]).await, 0);
    assert_eq!(c.ownership.read(LANE).await.unwrap().1, "0-0");
}

#[tokio::test]
async fn a_full_redis_refuses_what_is_new_and_drains_what_is_there() {
    let c = Cluster::owned_by("t").await;
    let id = c.publish("m1").await;
    let topology = Topology { partitions: 4, enabled: FaultSet::ALL, slot_tags: 1 };
    topology::agree(&c.connection, &topology).await.unwrap();
    let _: () = c.query(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_eq!(topology::agree(&c.connection, &topology).await.unwrap(), topology, "a worker can start");
    let refused = c.publisher.publish(Partition::Bare, &entry("m2"), Some(&claim())).await;
    assert!(matches!(refused, Err(StreamError::Refused(_))), "{refused:?}");
    assert_eq!(c.committer.run(&c.commit("t", EntryId::ZERO, id)).await.unwrap(), Committed::Done);
}

#[tokio::test]
async fn lost_scripts_and_groups_come_back() {
    let c = Cluster::owned_by("t").await;
    let id = c.publish("m1").await;
    let _: () = c.query(&["SCRIPT", "FLUSH"]).await;
    let _: i64 = c.query(&["XGROUP", "DESTROY", keys::RAW, "bearing_diagnosis_group"]).await;
    assert_eq!(c.committer.run(&c.commit("t", EntryId::ZERO, id)).await.unwrap(), Committed::Done);
    let groups: Vec<redis::Value> = c.query(&["XINFO", "GROUPS", keys::RAW]).await;
    assert_eq!(groups.len(), 1);
}

#[tokio::test]
async fn a_stale_leader_can_change_nothing() {
    let c = Cluster::owned_by("t").await;
    c.ownership.stamp("2:b", &[LANE]).await.unwrap().unwrap();
    let stale = c.ownership.grant("1:a", LANE, None, "1:w9:z", false).await.unwrap();
    assert_eq!(stale, Granted::Stale("2:b".to_owned()));
    assert_eq!(c.ownership.stamp("1:a", &[LANE]).await.unwrap(), Err("2:b".to_owned()));
    assert_eq!(c.ownership.stamp("2:c", &[LANE]).await.unwrap(), Err("2:b".to_owned()));
    assert_eq!(c.ownership.read(LANE).await.unwrap().0, "t");
}

#[tokio::test]
async fn attempts_on_a_suspect_are_counted_until_a_commit() {
    let c = Cluster::owned_by("t").await;
    let id = c.publish("m1").await;
    for expected in 1..=3 {
        assert_eq!(c.ownership.attempt(LANE, "t", id).await.unwrap(), Some(expected));
    }
    assert_eq!(c.ownership.attempt(LANE, "other", id).await.unwrap(), None);
    // Who has diagnosed it is not ended by it, whatever happens to the commit.
    c.ownership.survived(LANE, "other", id).await.unwrap();
    assert_eq!(c.ownership.attempt(LANE, "t", id).await.unwrap(), Some(4));
    c.ownership.survived(LANE, "t", id).await.unwrap();
    assert_eq!(c.ownership.attempt(LANE, "t", id).await.unwrap(), Some(1));
    assert_eq!(c.committer.run(&c.commit("t", EntryId::ZERO, id)).await.unwrap(), Committed::Done);
    let next = c.publish("m2").await;
    assert_eq!(c.ownership.attempt(LANE, "t", next).await.unwrap(), Some(1));
}

#[tokio::test]
async fn lag_is_counted_and_nothing_unread_is_trimmed() {
    let c = Cluster::owned_by("t").await;
    let topology =
        Topology { partitions: 1, enabled: FaultSet::EMPTY.with(FaultType::Bearing), slot_tags: 1 };
    topology::agree(&c.connection, &topology).await.unwrap();
    let ids = [c.publish("m1").await, c.publish("m2").await, c.publish("m3").await];
    assert_eq!(c.janitor.trim_partition(Partition::Bare, u64::MAX, 0).await.unwrap(), 0);
    assert_eq!(c.committer.run(&c.commit("t", EntryId::ZERO, ids[0])).await.unwrap(), Committed::Done);
    assert_eq!(c.committer.run(&c.commit("t", ids[0], ids[1])).await.unwrap(), Committed::Done);
    let backlog = c.janitor.backlog(&topology).await.unwrap();
    assert_eq!((backlog.entries(), backlog.added(), backlog.read_of(FaultType::Bearing)), (1, 3, 2));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(c.janitor.trim_partition(Partition::Bare, u64::MAX, 60_000).await.unwrap(), 0);
    assert_eq!(c.janitor.trim_partition(Partition::Bare, u64::MAX, 0).await.unwrap(), 1);
    assert_eq!(c.query::<u64>(&["XLEN", keys::RAW]).await, 2);
    let after = c.janitor.backlog(&topology).await.unwrap();
    assert_eq!((after.entries(), after.added()), (1, 3));
}

#[tokio::test]
async fn lag_is_counted_without_any_group() {
    let c = Cluster::start().await;
    c.publish("m1").await;
    let topology = Topology { partitions: 1, enabled: FaultSet::ALL, slot_tags: 1 };
    let backlog = c.janitor.backlog(&topology).await.unwrap();
    assert_eq!((backlog.entries(), backlog.lag_of(FaultType::Insulation)), (1, 1));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(c.janitor.backlog(&topology).await.unwrap().oldest_age_ms() >= 1_000);
}

/// What a worker read from the old primary and the new one does not have must not move the cursor: entries that the new
/// one appends under smaller ids would be passed over.
#[tokio::test]
async fn an_entry_that_is_not_there_is_not_answered() {
    let c = Cluster::owned_by("t").await;
    let there = c.publish("m1").await;
    let gone = EntryId { ms: there.ms + 60_000, seq: 0 };
    let commit = c.commit("t", EntryId::ZERO, gone);
    assert_eq!(c.committer.run(&commit).await.unwrap(), Committed::Moved(EntryId::ZERO));
    assert_eq!(c.committer.run(&c.commit("t", EntryId::ZERO, there)).await.unwrap(), Committed::Done);
}

#[tokio::test]
async fn replicated_is_unknown_while_no_replica_confirms() {
    let redis = RedisServer::start(&[]);
    let publisher =
        Publisher::replicated(redis.client(), 1, Duration::from_millis(100), Duration::from_secs(60));
    let unknown = publisher.publish(Partition::Bare, &entry("m1"), Some(&claim())).await;
    assert!(matches!(unknown, Err(StreamError::Unknown(_))), "{unknown:?}");
}

#[tokio::test]
async fn the_first_topology_holds_for_all() {
    let c = Cluster::start().await;
    let first = Topology { partitions: 64, enabled: FaultSet::ALL, slot_tags: 1 };
    let second = Topology { partitions: 1, enabled: FaultSet::ALL, slot_tags: 1 };
    assert_eq!(topology::agree(&c.connection, &first).await.unwrap(), first);
    assert_eq!(topology::agree(&c.connection, &second).await.unwrap(), first);
}

#[tokio::test]
async fn who_starts_waits_while_the_primary_waits_for_its_replicas() {
    let redis = RedisServer::start(&["--min-replicas-to-write", "1"]);
    let connection = redis.connection().await;
    let wanted = Topology { partitions: 8, enabled: FaultSet::ALL, slot_tags: 1 };
    let refused = topology::agree(&connection, &wanted).await;
    assert!(matches!(&refused, Err(StreamError::Refused(why)) if why.contains("NOREPLICAS")), "{refused:?}");
    let starting = tokio::spawn({
        let (connection, wanted) = (connection.clone(), wanted.clone());
        async move { topology::agree_at_start(&connection, &wanted).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!starting.is_finished(), "it waits");
    let _replica = RedisServer::start(&["--replicaof", "127.0.0.1", &redis.port().to_string()]);
    let agreed = tokio::time::timeout(Duration::from_secs(30), starting).await.unwrap().unwrap().unwrap();
    assert_eq!(agreed, wanted);
}

#[tokio::test]
async fn a_fault_type_is_enabled_from_a_recorded_entry() {
    let c = Cluster::owned_by("t").await;
    let only = Topology { partitions: 1, enabled: FaultSet::EMPTY.with(FaultType::Bearing), slot_tags: 1 };
    topology::agree(&c.connection, &only).await.unwrap();
    let before = c.publish("m1").await;
    let both = topology::set_enabled(&c.connection, FaultType::Insulation, true).await.unwrap();
    assert_eq!(both.enabled.len(), 2);
    let lane = Lane { partition: Partition::Bare, fault: FaultType::Insulation };
    assert_eq!(c.ownership.read(lane).await.unwrap().1, before.to_string());
    let after = c.publish("m2").await;
    let backlog = c.janitor.backlog(&both).await.unwrap();
    assert_eq!((backlog.lag_of(FaultType::Bearing), backlog.lag_of(FaultType::Insulation)), (2, 1));
    // What the newly enabled type has not read is not trimmed, though the other one has.
    assert_eq!(c.committer.run(&c.commit("t", EntryId::ZERO, before)).await.unwrap(), Committed::Done);
    assert_eq!(c.committer.run(&c.commit("t", before, after)).await.unwrap(), Committed::Done);
    tokio::time::sleep(Duration::from_millis(5)).await;
    c.janitor.trim_partition(Partition::Bare, u64::MAX, 0).await.unwrap();
    assert_eq!(c.query::<u64>(&["XLEN", keys::RAW]).await, 2);
    // Disabled again, it no longer holds anything up.
    topology::set_enabled(&c.connection, FaultType::Insulation, false).await.unwrap();
    c.janitor.trim_partition(Partition::Bare, u64::MAX, 0).await.unwrap();
    assert_eq!(c.query::<u64>(&["XLEN", keys::RAW]).await, 1);
}

#[tokio::test]
async fn what_an_earlier_system_trimmed_away_does_not_count_as_backlog() {
    let c = Cluster::start().await;
    for n in 0..50 {
        let n = n.to_string();
        let _: String = c.query(&["XADD", keys::RAW, "MAXLEN", "10", "*", "vehicle_id", "V", "n", &n]).await;
    }
    c.ownership.stamp("1:a", &[LANE]).await.unwrap().unwrap();
    let topology =
        Topology { partitions: 1, enabled: FaultSet::EMPTY.with(FaultType::Bearing), slot_tags: 1 };
    assert_eq!(c.janitor.backlog(&topology).await.unwrap().entries(), 10);
    // Nor does what somebody deletes later, once it is behind the cursor's reach.
    let _: u64 = c.query(&["XTRIM", keys::RAW, "MAXLEN", "0"]).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(c.janitor.backlog(&topology).await.unwrap().entries(), 0);
}

#[tokio::test]
async fn a_stream_over_its_size_keeps_less_time() {
    let c = Cluster::owned_by("t").await;
    let topology =
        Topology { partitions: 1, enabled: FaultSet::EMPTY.with(FaultType::Bearing), slot_tags: 1 };
    topology::agree(&c.connection, &topology).await.unwrap();
    let mut last = EntryId::ZERO;
    for n in 0..200 {
        let mut large = entry(&format!("m{n}"));
        large.metadata = Some("x".repeat(2_000));
        last = entry_of(&c.publisher.publish(Partition::Bare, &large, None).await.unwrap());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(c.committer.run(&c.commit("t", EntryId::ZERO, last)).await.unwrap(), Committed::Done);
    assert_eq!(c.janitor.trim_partition(Partition::Bare, u64::MAX, 60_000).await.unwrap(), 0);
    let gone = c.janitor.trim_partition(Partition::Bare, 200_000, 60_000).await.unwrap();
    assert!((50..=180).contains(&gone), "{gone}");
}
