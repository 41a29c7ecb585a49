//! A rolling upgrade: services of another version are replaced one after the other while messages come.
//!
//! `scripts/test-upgrade.sh` builds that version and runs this; VTOX_TEST_OTHER_VERSION is the directory of its binaries.

use std::path::{Path, PathBuf};
use std::time::Duration;

use vtox_e2e::{Cluster, Fleet, Load, ONE_AT_A_TIME, assert_exact};
use vtox_test_support::ProcessSignal;

const WORKERS: [&str; 3] = ["all", "all", "all"];
/// Longest time a service takes to stop.
const STOP: Duration = Duration::from_secs(15);

fn other_version() -> PathBuf {
    let directory = std::env::var_os("VTOX_TEST_OTHER_VERSION")
        .expect("VTOX_TEST_OTHER_VERSION; use scripts/test-upgrade.sh");
    PathBuf::from(directory)
}

/// In the order of docs/upgrade.md: what reads first, then what writes.
const ORDER: [&str; 7] = ["coordinator", "worker-1", "worker-2", "worker-3", "bridge", "monitor", "gateway"];

struct Rolling {
    cluster: Cluster,
    fleet: Fleet,
}

impl Rolling {
    /// All services of the other version, and vehicles that send.
    async fn start(partitions: &str) -> Self {
        let mut cluster = Cluster::new(&[], &[("VTOX_CLUSTER__PARTITIONS", partitions)]);
        cluster.programs = Some(other_version());
        cluster.add_all(&WORKERS).await;
        let load = Load { vehicles: 60, interval: Duration::from_millis(500) };
        let fleet = Fleet::start(&cluster.gateway(), &cluster.redis.url(), load).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        Self { cluster, fleet }
    }

    /// Replaces one service after the other.
    async fn replace<'a>(&mut self, order: impl Iterator<Item = &'a str>, by: Option<&Path>) {
        for name in order {
            let service = self.cluster.service(name);
            service.signal(ProcessSignal::TERM);
            let status = service.ended(STOP).await;
            assert!(status.success(), "{name} ended with {status}");
            service.restart_from(by);
            self.cluster.ready().await;
            // Both versions work side by side.
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binaries of another version: scripts/test-upgrade.sh"]
async fn nothing_is_lost_there_and_back() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut rolling = Rolling::start("16").await;
    rolling.replace(ORDER.into_iter(), None).await;
    rolling.replace(ORDER.into_iter().rev(), Some(&other_version())).await;
    assert_exact("a rolling upgrade and back", &rolling.fleet.settle().await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binaries of another version: scripts/test-upgrade.sh"]
async fn nothing_is_lost_on_the_bare_stream() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut rolling = Rolling::start("1").await;
    rolling.replace(ORDER.into_iter(), None).await;
    assert_exact("a rolling upgrade", &rolling.fleet.settle().await);
}

/// As where all are replaced at once: no two versions write in different forms.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binaries of another version: scripts/test-upgrade.sh"]
async fn nothing_is_lost_with_the_gateway_first() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut rolling = Rolling::start("16").await;
    rolling.replace(ORDER.into_iter().rev(), None).await;
    assert_exact("a rolling upgrade from the gateway on", &rolling.fleet.settle().await);
}
