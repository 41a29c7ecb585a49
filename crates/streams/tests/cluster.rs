//! On a real Redis Cluster, where a script may only name keys of one slot.

use std::time::Duration;

use vtox_connection::{ConnectionManager, Endpoint};
use vtox_protocol::keys::{self, Partition, Topology};
use vtox_protocol::{EntryId, FaultSet, FaultType, MessageId, Payload, RawEntry, VehicleId};
use vtox_streams::{
    Commit, Committed, Committer, Forwarder, Lane, Log, Ownership, Published, Publisher, topology,
};
use vtox_test_support::{RedisCluster, RedisServer};

const FAULT: FaultType = FaultType::Bearing;

struct Scene {
    _first: RedisServer,
    _others: RedisCluster,
    redis: Endpoint,
    connection: ConnectionManager,
    topology: Topology,
}

impl Scene {
    async fn start() -> Self {
        let (first, others) = RedisCluster::start(3, &[]);
        let redis = Endpoint::open(&others.url()).unwrap();
        let connection = redis.manager(Duration::from_secs(2));
        let wanted = Topology { partitions: 8, enabled: FaultSet::EMPTY.with(FAULT), slot_tags: 4 };
        let topology = topology::agree(&connection, &wanted).await.unwrap();
        Self { _first: first, _others: others, redis, connection, topology }
    }

    async fn query<T: redis::FromRedisValue>(&self, line: &[&str]) -> T {
        let mut command = redis::cmd(line[0]);
        command.arg(&line[1..]).query_async(&mut self.connection.clone()).await.unwrap()
    }

    /// Accepts a message on a partition and commits its result.
    async fn answer(&self, partition: Partition, owner: &str, message: &str) -> EntryId {
        let publisher = Publisher::replicated(self.redis.clone(), 1, Duration::from_secs(2), Duration::ZERO);
        let entry = RawEntry {
            vehicle_id: VehicleId::new("V").unwrap(),
            message_id: MessageId::from_wire(message).unwrap(),
            timestamp: "2026-11-20T08:00:00+00:00".into(),
            payload: Payload::Json(r#"{"data":[{"Ia":1}],"sampling_rate":1}"#.into()),
            metadata: None,
            motor: None,
            traceparent: None,
        };
        let Published::Appended(id) = publisher.publish(partition, &entry, None).await.unwrap() else {
            panic!()
        };
        let lane = Lane { partition, fault: FAULT };
        let (_, cursor) = Ownership::new(self.connection.clone()).read(lane).await.unwrap();
        let mut commit = Commit::new(Log::of_lane(lane), owner, cursor.parse().unwrap(), id, 1);
        commit.append(&self.topology.under(partition.tag(), keys::RESULTS), [("message_id", message)]);
        commit.set(&partition.state(FAULT), [("V", "state")]);
        assert_eq!(Committer::new(self.connection.clone()).run(&commit).await.unwrap(), Committed::Done);
        id
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_all_tags_come_to_the_bare_stream_once() {
    let scene = Scene::start().await;
    let ownership = Ownership::new(scene.connection.clone());
    let lanes = Lane::all(&scene.topology);
    ownership.stamp("1:me", &lanes).await.unwrap().unwrap();
    for lane in &lanes {
        ownership.grant("1:me", *lane, Some(""), "token", false).await.unwrap();
    }
    for (n, partition) in scene.topology.all().enumerate() {
        scene.answer(partition, "token", &format!("m{n}")).await;
    }
    let confirmation = Some((1, Duration::from_secs(2)));
    let mut both = [(); 2].map(|()| Forwarder::all(&scene.redis, &scene.topology, confirmation));
    assert_eq!(both[0].len(), 2 * 5);
    // Two at the same time, as when a lease has moved and the former holder does not know.
    let [first, second] = &mut both;
    let steps = first.iter_mut().chain(second).map(Forwarder::step);
    let forwarded: usize = futures::future::try_join_all(steps).await.unwrap().into_iter().sum();
    // One that came second counts what it finds forwarded, too; the stream has it once.
    assert!(forwarded >= 9, "{forwarded}");
    let ids = |entries: Vec<(String, Vec<String>)>| {
        let mut ids: Vec<String> = entries.into_iter().map(|(_, fields)| fields[1].clone()).collect();
        ids.sort_unstable();
        ids
    };
    let wanted: Vec<String> = (0..9).map(|n| format!("m{n}")).collect();
    assert_eq!(ids(scene.query(&["XRANGE", keys::RESULTS, "-", "+"]).await), wanted);
    // One that begins anew goes on where the others were.
    scene.answer(Partition::Bare, "token", "m9").await;
    for mut forwarder in Forwarder::all(&scene.redis, &scene.topology, None) {
        forwarder.step().await.unwrap();
    }
    assert_eq!(scene.query::<usize>(&["XLEN", keys::RESULTS]).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_apart_can_be_written_again_and_not_by_a_former_holder() {
    let scene = Scene::start().await;
    let (ownership, committer) =
        (Ownership::new(scene.connection.clone()), Committer::new(scene.connection.clone()));
    let log = Log::of_aggregation(true);
    let id: String = scene.query(&["XADD", keys::RESULTS, "*", "message_id", "m"]).await;
    let id: EntryId = id.parse().unwrap();
    assert!(ownership.take_log(&log, "1:a", "1:a").await.unwrap());
    let commit = |token: &str, term: u64, health: &str| {
        let mut commit = Commit::new(log.clone(), token, EntryId::ZERO, id, 1);
        commit.append_once("vtox:history:V", id, 10, [("message_id", "m")]);
        commit.set(keys::VEHICLE_HEALTH, [("V", health)]).apart(term);
        commit
    };
    // It dies before the cursor moves: the next holder writes the same again.
    assert!(ownership.take_log(&log, "2:b", "2:b").await.unwrap());
    assert_eq!(committer.run(&commit("1:a", 1, "first")).await.unwrap(), Committed::Fenced);
    assert_eq!(committer.run(&commit("2:b", 2, "second")).await.unwrap(), Committed::Done);
    // The former one wakes up.
    assert_eq!(committer.run(&commit("1:a", 1, "late")).await.unwrap(), Committed::Fenced);
    assert_eq!(scene.query::<String>(&["HGET", keys::VEHICLE_HEALTH, "V"]).await, "second");
    assert_eq!(scene.query::<usize>(&["XLEN", "vtox:history:V"]).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topology_of_a_single_server_is_refused() {
    let (_first, others) = RedisCluster::start(3, &[]);
    let connection = Endpoint::open(&others.url()).unwrap().manager(Duration::from_secs(2));
    let single = Topology { partitions: 8, enabled: FaultSet::ALL, slot_tags: 1 };
    let error = topology::agree(&connection, &single).await.unwrap_err();
    assert!(error.to_string().contains("cluster.slot_tags"), "{error}");
}
