//! Throughput in three steps, each used only where the one before has nothing fresh.

use std::collections::BTreeMap;

use vtox_protocol::{FaultType, ThroughputSource, WorkerLoad};

/// Counters at one moment.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Epoch ms on Redis' clock.
    pub at_ms: u64,
    /// Results committed by each worker since its start, by fault type.
    pub completed: BTreeMap<String, BTreeMap<FaultType, u64>>,
    /// Entries ever appended to the results.
    pub results_added: u64,
    /// Entries ever appended to the raw streams.
    pub accepted: u64,
}

/// Rates between two samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flow {
    /// Messages per s.
    pub throughput: f64,
    /// Where that comes from.
    pub source: ThroughputSource,
    /// Results per s of each fault type.
    pub by_fault: BTreeMap<FaultType, f64>,
    /// Messages accepted per s.
    pub accepted_rate: f64,
}

/// A worker's report older than this says nothing about now, ms.
const FRESH_MS: u64 = 3_000;

/// The flow between `before` and `now`. A message counts once it has a result of every enabled fault type, so results are
/// divided by their number.
pub fn flow(before: &Sample, now: &Sample, loads: &BTreeMap<String, WorkerLoad>, enabled: usize) -> Flow {
    let elapsed_s = now.at_ms.saturating_sub(before.at_ms) as f64 / 1_000.0;
    if elapsed_s <= 0.0 || enabled == 0 {
        return Flow::default();
    }
    let mut by_fault: BTreeMap<FaultType, f64> = BTreeMap::new();
    for (worker, completed) in &now.completed {
        let earlier = before.completed.get(worker);
        for (fault, count) in completed {
            // A counter that fell was reset by a restart of the worker.
            let base = earlier.and_then(|c| c.get(fault)).copied().filter(|b| b <= count).unwrap_or(0);
            *by_fault.entry(*fault).or_default() += (count - base) as f64 / elapsed_s;
        }
    }
    let accepted_rate = now.accepted.saturating_sub(before.accepted) as f64 / elapsed_s;
    // + 0.0: the sum of nothing is -0.0, which JSON would show.
    let per_message = |results: f64| results / enabled as f64 + 0.0;
    let fresh: Vec<&WorkerLoad> = loads
        .values()
        .filter(|l| now.at_ms.saturating_sub((l.last_updated * 1_000.0) as u64) <= FRESH_MS)
        .collect();
    let measured: f64 = by_fault.values().sum();
    let appearing = now.results_added.saturating_sub(before.results_added) as f64 / elapsed_s;
    let (throughput, source) = if !fresh.is_empty() {
        (per_message(measured), ThroughputSource::WorkerCounters)
    } else if appearing > 0.0 {
        (per_message(appearing), ThroughputSource::ResultsStream)
    } else if !loads.is_empty() {
        (per_message(loads.values().map(capacity).sum()), ThroughputSource::Estimate)
    } else {
        (0.0, ThroughputSource::None)
    };
    Flow { throughput, source, by_fault, accepted_rate }
}

/// Results per s a worker did on average since its start: all that is left to go by when it no longer reports.
fn capacity(load: &WorkerLoad) -> f64 {
    if load.uptime > 0.0 { load.total_completed as f64 / load.uptime } else { 0.0 }
}

/// Workers a fault type needs for `rate` messages per s that take `time_s` of a core each, at 70 % of the cores.
pub fn workers_needed(rate: f64, time_s: f64, cores: f64) -> u32 {
    const BUSY: f64 = 0.7;
    let needed = (rate * time_s / (cores.max(1.0) * BUSY)).ceil();
    if needed.is_finite() { (needed as u32).max(1) } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(last_updated: f64) -> WorkerLoad {
        WorkerLoad {
            worker_id: "w".into(),
            current_tasks: 0,
            pending_messages: 0,
            avg_processing_time: 0.0,
            cpu_usage: 0.0,
            memory_usage: 0.0,
            success_rate: 1.0,
            total_completed: 500,
            total_failed: 0,
            uptime: 10.0,
            last_updated,
            healthy: true,
            completed_by_fault: BTreeMap::new(),
            diagnosis_ms_by_fault: BTreeMap::new(),
            failing_partitions: 0,
            incarnation: String::new(),
            draining: false,
            cores: 2.0,
        }
    }

    fn sample(at_ms: u64, bearing: u64, results_added: u64) -> Sample {
        let completed = [("w".to_owned(), [(FaultType::Bearing, bearing)].into())].into();
        Sample { at_ms, completed, results_added, accepted: 0 }
    }

    #[test]
    fn the_workers_counters_come_first() {
        let loads = [("w".to_owned(), load(12.0))].into();
        let flow = flow(&sample(10_000, 100, 0), &sample(12_000, 300, 0), &loads, 5);
        assert_eq!((flow.throughput, flow.source), (20.0, ThroughputSource::WorkerCounters));
        assert_eq!(flow.by_fault[&FaultType::Bearing], 100.0);
    }

    #[test]
    fn then_the_results_then_an_estimate() {
        let stale = [("w".to_owned(), load(1.0))].into();
        let results = flow(&sample(10_000, 100, 0), &sample(12_000, 100, 100), &stale, 5);
        assert_eq!((results.throughput, results.source), (10.0, ThroughputSource::ResultsStream));
        let estimate = flow(&sample(10_000, 100, 7), &sample(12_000, 100, 7), &stale, 5);
        assert_eq!((estimate.throughput, estimate.source), (10.0, ThroughputSource::Estimate));
        let none = flow(&sample(10_000, 100, 7), &sample(12_000, 100, 7), &BTreeMap::new(), 5);
        assert_eq!(none.source, ThroughputSource::None);
    }

    #[test]
    fn a_restarted_worker_counts_from_zero() {
        let loads = [("w".to_owned(), load(12.0))].into();
        let flow = flow(&sample(10_000, 900, 0), &sample(11_000, 50, 0), &loads, 1);
        assert_eq!(flow.throughput, 50.0);
    }

    #[test]
    fn workers_are_needed_by_the_time_they_take() {
        assert_eq!(workers_needed(0.0, 0.001, 2.0), 1);
        assert_eq!(workers_needed(4_167.0, 0.001, 2.0), 3);
        assert_eq!(workers_needed(f64::NAN, 0.001, 2.0), 1);
    }
}
