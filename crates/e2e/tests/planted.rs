//! The ledger sees what it must see: bugs are planted one at a time, and each shows in the balance of a trouble that
//! leaves none without it.

use std::time::Duration;

use vtox_e2e::{Cluster, Fleet, Load, Network, ONE_AT_A_TIME, Proxy};
use vtox_ledger::Balance;
use vtox_protocol::keys::ASSIGNMENTS;
use vtox_protocol::{Assignment, token};
use vtox_streams::Bug;
use vtox_test_support::ProcessSignal;

const LOAD: Load = Load { vehicles: 40, interval: Duration::from_millis(100) };
const OTHERS: &str = "turn_fault,insulation,eccentricity,broken_bar";
/// After this long without an answer, what is missing is lost.
const QUIET: Duration = Duration::from_secs(5);

/// What goes wrong outside of VTOX.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    /// A worker is killed.
    WorkerKilled,
    /// The only worker is killed and started again.
    NoWorkerForAWhile,
    /// The only worker of a fault type is killed and started again.
    NoBearingWorkerForAWhile,
    /// Redis is frozen for longer than anyone waits.
    RedisFrozen,
    /// Redis does what the worker asks, and its answers are lost.
    AnswersLost,
    /// The lanes of a worker are given to another and back, and nobody tells the one that loses them.
    MovedUntold,
}

impl Trouble {
    fn workers(self) -> &'static [&'static str] {
        match self {
            Self::NoWorkerForAWhile | Self::RedisFrozen | Self::AnswersLost => &["all"],
            Self::NoBearingWorkerForAWhile => &["bearing", OTHERS],
            Self::WorkerKilled | Self::MovedUntold => &["all", "all"],
        }
    }

    async fn happen(self, cluster: &mut Cluster, network: &Proxy) {
        match self {
            Self::WorkerKilled => cluster.service("worker-1").kill(),
            Self::NoWorkerForAWhile | Self::NoBearingWorkerForAWhile => {
                cluster.service("worker-1").kill();
                tokio::time::sleep(Duration::from_secs(5)).await;
                cluster.service("worker-1").restart();
            }
            Self::RedisFrozen => {
                cluster.redis.signal(ProcessSignal::STOP);
                tokio::time::sleep(Duration::from_millis(6_500)).await;
                cluster.redis.signal(ProcessSignal::CONT);
            }
            Self::AnswersLost => {
                for _ in 0..3 {
                    // Slow, so that commits are on their way when it breaks.
                    network.set(Network::Delay(20, 0));
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    network.set(Network::AnswersLost);
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    network.set(Network::Fine);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            Self::MovedUntold => {
                cluster.service("coordinator").kill();
                let mut assignments = Vec::new();
                for worker in ["worker-1", "worker-2"] {
                    let json: String = cluster.command(&["HGET", ASSIGNMENTS, worker]).await;
                    assignments.push(serde_json::from_str::<Assignment>(&json).unwrap());
                }
                for round in 0..4 {
                    let [from, to] = &mut assignments[..] else { panic!("two workers") };
                    for (n, mut grant) in from.grants.drain(..).enumerate() {
                        to.grants.retain(|g| (g.partition, g.fault) != (grant.partition, grant.fault));
                        grant.token = token::make("1", &to.incarnation, &format!("{round}{n:07}"));
                        let key = grant.partition.ownership(grant.fault);
                        let _: u64 = cluster.command(&["HSET", &key, "owner", &grant.token]).await;
                        to.grants.push(grant);
                    }
                    let worker = if round % 2 == 0 { "worker-2" } else { "worker-1" };
                    let json = serde_json::to_string(to).unwrap();
                    let _: u64 = cluster.command(&["HSET", ASSIGNMENTS, worker, &json]).await;
                    assignments.swap(0, 1);
                    tokio::time::sleep(Duration::from_millis(1_500)).await;
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
}

/// Where a bug shows.
type Shows = fn(&Balance) -> u64;

async fn balance_after(trouble: Trouble, bug: Option<Bug>) -> Balance {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut environment = vec![("VTOX_CLUSTER__PARTITIONS", "8"), ("VTOX_WORKER__RAW_RETENTION_S", "0")];
    environment.extend(bug.map(|bug| ("PLANTED_BUG", bug.name())));
    let mut cluster = Cluster::new(&[], &environment);
    let network = Proxy::start(cluster.redis.port(), 1).await;
    cluster.add_coordinator();
    for (n, faults) in trouble.workers().iter().enumerate() {
        cluster.add_worker_with(&format!("worker-{}", n + 1), faults, &[("REDIS_URL", &network.url())]);
    }
    cluster.add_others();
    cluster.ready().await;
    let fleet = Fleet::start(&cluster.gateway(), &cluster.redis.url(), LOAD).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    trouble.happen(&mut cluster, &network).await;
    let balance = fleet.settle_after(QUIET).await;
    println!("{}: {}", bug.map_or("no bug", Bug::name), balance.summary());
    balance
}

/// Without a bug the trouble leaves nothing to explain; with each bug it leaves what `shows` looks at.
async fn only_bugs_show(trouble: Trouble, bugs: &[(Bug, Shows)]) {
    let sound = balance_after(trouble, None).await;
    assert!(sound.is_exact() && sound.accepted > 100, "{:#?}", (&sound.examples, &sound.counters));
    for (bug, shows) in bugs {
        let balance = balance_after(trouble, Some(*bug)).await;
        assert!(shows(&balance) > 0, "{} went unseen", bug.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_one_step() {
    let bugs: [(Bug, Shows); 2] =
        [(Bug::CursorBeforeResult, |b| b.lost), (Bug::StateOutsideCommit, |b| b.wrong)];
    only_bugs_show(Trouble::WorkerKilled, &bugs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_the_token() {
    only_bugs_show(Trouble::MovedUntold, &[(Bug::NoTokenCompare, |b| b.two_owners + b.wrong)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_the_cursor() {
    only_bugs_show(Trouble::AnswersLost, &[(Bug::NoCursorCompare, |b| b.duplicates)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_without_the_id() {
    only_bugs_show(Trouble::RedisFrozen, &[(Bug::NoIdCheck, |b| b.duplicates)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_stream_with_maxlen() {
    only_bugs_show(Trouble::NoWorkerForAWhile, &[(Bug::RawMaxlen, |b| b.lost)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trimming_that_ignores_the_slowest_fault_type() {
    only_bugs_show(Trouble::NoBearingWorkerForAWhile, &[(Bug::TrimBehindFastest, |b| b.lost)]).await;
}
