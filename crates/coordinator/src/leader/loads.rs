//! Measuring: the load of each partition, and how far each worker is behind.

use std::collections::BTreeMap;
use std::time::Instant;

use vtox_balancing::lower_median;
use vtox_streams::{Backlog, Lane};

use super::leading::Leading;
use super::{Control, LOAD_INTERVAL};
use crate::fleet::Alive;
use crate::lanes::{Lanes, by_incarnation};

/// A lane that was granted less than this ago is behind because of its owner before, ms.
const CATCHING_UP_MS: u64 = 10_000;
/// Least load a lag is held against, entries/s.
const LEAST_RATE: f64 = 1.0;

impl Control {
    /// Reads, once a second, what is appended to each partition and how far its readers are.
    pub(super) async fn read_loads(
        &self,
        now_ms: u64,
        leading: &mut Leading,
        alive: &BTreeMap<String, Alive>,
    ) {
        let since = leading.last_load.map(|at| at.elapsed());
        if since.is_some_and(|s| s < LOAD_INTERVAL) {
            return;
        }
        let backlog = match self.janitor.backlog(&self.topology).await {
            Ok(backlog) => backlog,
            Err(error) => {
                tracing::debug!(%error, "the backlog cannot be read");
                return;
            }
        };
        leading.backlog_entries = backlog.entries();
        for partition in &backlog.partitions {
            let before = leading.added.insert(partition.partition, partition.added);
            if let (Some(before), Some(since)) = (before, since) {
                let rate = partition.added.saturating_sub(before) as f64 / since.as_secs_f64();
                leading.loads.observe(now_ms, &partition.partition, rate);
            }
        }
        leading.last_load = Some(Instant::now());
        leading.lags = lags(now_ms, leading, &backlog, &by_incarnation(alive));
    }
}

/// How far the lanes of each worker are behind, s of their load: the median of them, since a lane that is stuck is not made
/// better by taking others away from its owner.
fn lags(
    now_ms: u64,
    leading: &Leading,
    backlog: &Backlog,
    by_run: &BTreeMap<&str, &str>,
) -> BTreeMap<String, f64> {
    let mut lags: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for partition in &backlog.partitions {
        let rate = leading.loads.load(&partition.partition).max(LEAST_RATE);
        for (fault, progress) in &partition.by_fault {
            let lane = Lane { partition: partition.partition, fault: *fault };
            let Some(state) = leading.lanes.0.get(&lane) else { continue };
            let Some(owner) = Lanes::living_owner(state, by_run) else { continue };
            if now_ms.saturating_sub(state.granted_ms) >= CATCHING_UP_MS {
                lags.entry(owner).or_default().push(progress.lag as f64 / rate);
            }
        }
    }
    lags.into_iter().map(|(id, lags)| (id.to_owned(), lower_median(lags))).collect()
}
