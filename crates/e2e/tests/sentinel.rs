//! The primary dies under Sentinel while its last second has reached no replica.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use tokio::task::JoinSet;
use vtox_connection::Endpoint;
use vtox_e2e::{Cluster, ONE_AT_A_TIME, eventually};
use vtox_ledger::{Balance, Follower, Ledger};
use vtox_protocol::codec::encode_binary;
use vtox_protocol::keys;
use vtox_service_kit::clock;
use vtox_simulation::{Sampling, fleet};
use vtox_streams::views::Views;
use vtox_test_support::{ProcessSignal, SentinelGroup};

const VEHICLES: u64 = 20;
const INTERVAL: Duration = Duration::from_millis(100);
/// From the cut to the kill.
const CUT: Duration = Duration::from_secs(1);

/// What became of the messages that were sent in one phase.
#[derive(Debug, Default)]
struct Tally {
    accepted: AtomicUsize,
    refused: AtomicUsize,
    unknown: AtomicUsize,
}

/// Phases: replication works, is cut, the primary is dead or replaced.
const BEFORE: usize = 0;
const WHILE_CUT: usize = 1;
const AFTER: usize = 2;

/// Vehicles that send each block once, whatever the answer.
#[derive(Default)]
struct Senders {
    client: reqwest::Client,
    ledger: Ledger,
    phase: AtomicUsize,
    tallies: [Tally; 3],
    stop: AtomicBool,
    /// Messages whose answer left open whether they are there.
    unknown: Mutex<Vec<Message>>,
    refusals: Mutex<Vec<String>>,
}

struct Message {
    url: String,
    key: String,
    block: Vec<u8>,
}

enum Outcome {
    Accepted,
    Refused(String),
    Unknown,
}

impl Senders {
    async fn send(&self, message: &Message) -> Outcome {
        let sent_ms = clock::epoch_ms();
        let request = self
            .client
            .post(&message.url)
            .timeout(Duration::from_secs(5))
            .header(CONTENT_TYPE, "application/msgpack")
            .header("Idempotency-Key", &message.key)
            .body(message.block.clone());
        let Ok(answer) = request.send().await else { return Outcome::Unknown };
        let status = answer.status().as_u16();
        let Ok(body) = answer.json::<Value>().await else { return Outcome::Unknown };
        match status {
            200 => {
                self.ledger.accepted(body["message_id"].as_str().expect("an id").to_owned(), sent_ms);
                Outcome::Accepted
            }
            503 if body["detail"].to_string().contains("may have been accepted") => Outcome::Unknown,
            429 | 503 => Outcome::Refused(body["detail"].to_string()),
            status => panic!("answered {status}: {body}"),
        }
    }

    async fn drive(self: Arc<Self>, url: String, blocks: Vec<Vec<u8>>) {
        for (n, block) in blocks.into_iter().cycle().enumerate() {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let message = Message { url: url.clone(), key: n.to_string(), block };
            let tally = &self.tallies[self.phase.load(Ordering::SeqCst)];
            let count = match self.send(&message).await {
                Outcome::Accepted => &tally.accepted,
                Outcome::Refused(why) => {
                    self.refusals.lock().unwrap().push(why);
                    &tally.refused
                }
                Outcome::Unknown => {
                    self.unknown.lock().unwrap().push(message);
                    &tally.unknown
                }
            };
            count.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Sends what is unknown again under its key until it is accepted: then each must have its results once, whether
    /// the first try is there or not.
    async fn resolve(&self) {
        let unknown = std::mem::take(&mut *self.unknown.lock().unwrap());
        for message in unknown {
            eventually(Duration::from_secs(15), "an unknown message to be accepted", async || {
                matches!(self.send(&message).await, Outcome::Accepted)
            })
            .await;
        }
    }

    fn count(&self, phase: usize) -> [usize; 3] {
        let Tally { accepted, refused, unknown } = &self.tallies[phase];
        [accepted, refused, unknown].map(|n| n.load(Ordering::SeqCst))
    }
}

/// A cluster under Sentinel with one replica, and vehicles that send.
struct Scene {
    cluster: Cluster,
    group: SentinelGroup,
    senders: Arc<Senders>,
    results: Follower,
    tasks: JoinSet<()>,
}

impl Scene {
    async fn start(redis: &[&str], durability: &str) -> Self {
        let (primary, group) = SentinelGroup::start(1, redis);
        let environment = [("VTOX_CLUSTER__PARTITIONS", "8"), ("VTOX_REDIS__DURABILITY", durability)];
        let mut cluster = Cluster::on(primary, group.url(), &environment);
        cluster.add_all(&["all", "all"]).await;
        let senders = Arc::new(Senders::default());
        // Not read before the end: a dashboard may have seen what the dead primary alone had, and sees it again.
        let results =
            Follower::open(Endpoint::open(&group.url()).unwrap(), senders.ledger.clone()).await.unwrap();
        let gateway = cluster.gateway();
        let mut tasks = JoinSet::new();
        for mut vehicle in fleet(VEHICLES, 0, 1) {
            let blocks =
                vehicle.pool(&Sampling::new(4_000.0, 256), 0.0, 4).iter().map(encode_binary).collect();
            let url = format!("{gateway}/api/v1/diagnosis-stream/vehicles/{}/data", vehicle.id());
            tasks.spawn(senders.clone().drive(url, blocks));
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        Self { cluster, group, senders, results, tasks }
    }

    fn phase(&self, phase: usize) {
        self.senders.phase.store(phase, Ordering::SeqCst);
    }

    async fn promoted(&self) {
        let first = self.cluster.redis.port();
        eventually(Duration::from_secs(20), "a replica to be promoted", async || {
            self.group.primary_port().is_some_and(|port| port != first)
        })
        .await;
    }

    /// Waits for the first 200 of the last phase and a result after it.
    async fn accepts_again(&self, since: Instant) {
        eventually(Duration::from_secs(30), "messages to be accepted again", async || {
            self.senders.count(AFTER)[0] > 0
        })
        .await;
        let (accepted, accepted_ms) = (since.elapsed(), clock::epoch_ms());
        let views = Views::new(self.cluster.connection().await);
        eventually(Duration::from_secs(20), "the next result", async || {
            let newest = views.newest(keys::RESULTS, 0, 1).await;
            newest.is_ok_and(|entries| entries.first().is_some_and(|e| e.id.ms >= accepted_ms))
        })
        .await;
        println!(
            "the first 200 {accepted:?} and the next result {:?} after the fault began",
            since.elapsed()
        );
    }

    /// Stops sending and counts the results that are in the log in the end.
    async fn settle(mut self) -> (Arc<Senders>, Balance) {
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.senders.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        self.senders.resolve().await;
        let balance = self.results.settle().await.unwrap();
        for (name, phase) in [("before", BEFORE), ("while cut", WHILE_CUT), ("after", AFTER)] {
            let [accepted, refused, unknown] = self.senders.count(phase);
            println!("sent {name}: {accepted} accepted, {refused} refused, {unknown} unknown");
        }
        println!(
            "{} results expected, lost {}, duplicates {}, out of order {}, without a send {}",
            balance.expected, balance.lost, balance.duplicates, balance.out_of_order, balance.without_send
        );
        (self.senders, balance)
    }
}

/// Replication is cut, a second later the primary is killed, a replica is promoted, the old primary comes back.
async fn kill_behind_a_cut(redis: &[&str], durability: &str) -> (Arc<Senders>, Balance) {
    let mut scene = Scene::start(redis, durability).await;
    scene.group.cut_replication(&scene.cluster.redis);
    scene.phase(WHILE_CUT);
    tokio::time::sleep(CUT).await;
    scene.cluster.redis.kill();
    let killed = Instant::now();
    scene.phase(AFTER);
    scene.group.mend_replication();
    scene.promoted().await;
    println!("promoted {:?} after the kill; now the old primary comes back", killed.elapsed());
    scene.cluster.redis.restart();
    scene.accepts_again(killed).await;
    scene.settle().await
}

fn assert_exact(balance: &Balance) {
    assert!(balance.expected > 0);
    assert_eq!(
        (balance.two_owners, balance.counters.as_slice()),
        (0, [].as_slice()),
        "{:?}",
        balance.examples
    );
    assert_eq!(
        (balance.lost, balance.duplicates, balance.out_of_order, balance.without_send),
        (0, 0, 0, 0),
        "of {} results expected",
        balance.expected
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn replicated_loses_nothing_that_was_accepted() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (senders, balance) = kill_behind_a_cut(&["--min-replicas-to-write", "1"], "replicated").await;
    assert!(senders.count(BEFORE)[0] > 0 && senders.count(AFTER)[0] > 0);
    let [accepted, refused, _] = senders.count(WHILE_CUT);
    assert_eq!(accepted, 0, "accepted without a replica");
    assert!(refused > 0);
    let refusals = senders.refusals.lock().unwrap();
    assert!(refusals.iter().any(|why| why.contains("0 of 1 replicas")), "{:?}", refusals.first());
    assert_exact(&balance);
}

/// The control: what is on the dead primary's disk is not on the replica, and the check above notices.
#[tokio::test(flavor = "multi_thread")]
async fn without_waiting_for_replicas_accepted_messages_are_lost() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (senders, balance) = kill_behind_a_cut(&["--appendfsync", "always"], "always").await;
    assert!(senders.count(WHILE_CUT)[0] > 0);
    assert!(balance.lost > 0, "nothing was lost");
    assert_eq!((balance.duplicates, balance.out_of_order, balance.without_send), (0, 0, 0));
}

/// A primary whose host hangs closes no connection; when it wakes up, it still takes itself for the primary.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_hangs_is_left_and_may_wake_up() {
    let _one = ONE_AT_A_TIME.lock().await;
    let scene = Scene::start(&[], "replicated").await;
    scene.cluster.redis.signal(ProcessSignal::STOP);
    let frozen = Instant::now();
    scene.promoted().await;
    println!("promoted {:?} after the primary froze; now it wakes up", frozen.elapsed());
    scene.phase(AFTER);
    scene.cluster.redis.signal(ProcessSignal::CONT);
    scene.accepts_again(frozen).await;
    let (_, balance) = scene.settle().await;
    assert_exact(&balance);
}
