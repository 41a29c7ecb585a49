use super::*;

/// Workers that do 100 results a second, each at a cost of its own, in ms.
struct Fleet {
    capacities: Capacities<usize, u8>,
    reported: BTreeMap<usize, Reported<u8>>,
    now_ms: u64,
}

impl Fleet {
    fn new(workers: usize) -> Self {
        let worker = Reported { score: 0.9, cores: 2.0, serves: [1, 2].into(), done: BTreeMap::new() };
        Self {
            capacities: Capacities::new(CapacityConfig::default()),
            reported: (0..workers).map(|w| (w, worker.clone())).collect(),
            now_ms: 1_000_000,
        }
    }

    /// Runs for `seconds`; kind 2 costs five times as much as kind 1.
    fn run(&mut self, seconds: u64, cost_ms: &[f64]) -> BTreeMap<usize, Capacity> {
        let mut last = BTreeMap::new();
        for _ in 0..2 * seconds {
            self.now_ms += 500;
            for (worker, cost_ms) in self.reported.values_mut().zip(cost_ms) {
                for (kind, factor) in [(1, 1.0), (2, 5.0)] {
                    let effort = worker.done.entry(kind).or_default();
                    effort.results += 25;
                    effort.ms += 25.0 * cost_ms * factor;
                }
            }
            last = self.capacities.update(self.now_ms, &self.reported);
        }
        last
    }
}

#[test]
fn noise_between_equal_workers_changes_nothing() {
    let mut fleet = Fleet::new(4);
    for round in 0..60 {
        let cost = [1.0, 1.4, 0.8, 1.2].map(|c| c * if round % 2 == 0 { 1.1 } else { 0.9 });
        fleet.reported.get_mut(&1).unwrap().score = 0.84;
        fleet.reported.get_mut(&2).unwrap().score = 0.95;
        let capacities = fleet.run(2, &cost);
        let weights: Vec<f64> = capacities.values().map(|c| c.weight).collect();
        assert!(weights.iter().all(|w| (w - weights[0]).abs() < 1e-12), "{weights:?}");
    }
}

#[test]
fn a_slow_worker_counts_as_slow_within_seconds_and_is_well_again_later() {
    let mut fleet = Fleet::new(4);
    fleet.run(20, &[1.0; 4]);
    let slow = [1.0, 1.0, 4.0, 1.0];
    assert_eq!(fleet.run(2, &slow)[&2].speed, 1.0, "not yet confirmed");
    let capacity = fleet.run(4, &slow)[&2];
    assert!((0.22..0.32).contains(&capacity.speed), "{capacity:?}");
    let capacity = fleet.run(30, &slow)[&2];
    assert!((0.22..0.28).contains(&capacity.speed), "{capacity:?}");
    // Between the two thresholds nothing changes but the amount.
    assert!(fleet.run(30, &[1.0, 1.0, 1.4, 1.0])[&2].is_slow());
    assert!(!fleet.run(30, &[1.0, 1.0, 1.1, 1.0])[&2].is_slow());
}

#[test]
fn of_two_workers_the_slower_one_is_slow_and_alone_nobody_is() {
    let mut fleet = Fleet::new(2);
    let capacities = fleet.run(10, &[3.0, 1.0]);
    assert!(capacities[&0].is_slow() && !capacities[&1].is_slow());
    assert_eq!(Fleet::new(1).run(10, &[3.0])[&0].measured_speed, None);
    // Whoever serves other kinds is no peer: a detector alone pays for the preparation it shares elsewhere.
    let mut fleet = Fleet::new(2);
    fleet.reported.get_mut(&0).unwrap().serves = [2].into();
    assert!(!fleet.run(10, &[3.0, 1.0])[&0].is_slow());
}

#[test]
fn a_slow_worker_without_results_is_tried_again() {
    let mut fleet = Fleet::new(3);
    assert!(fleet.run(10, &[1.0, 1.0, 9.0])[&2].is_slow());
    for _ in 0..180 {
        fleet.now_ms += 500;
        let capacities = fleet.capacities.update(fleet.now_ms, &fleet.reported);
        if !capacities[&2].is_slow() {
            return;
        }
    }
    panic!("still slow");
}

#[test]
fn a_clearly_lower_score_counts() {
    let mut fleet = Fleet::new(3);
    fleet.reported.get_mut(&0).unwrap().score = 0.45;
    let capacities = fleet.run(60, &[1.0; 3]);
    assert!((capacities[&0].weight - 0.9).abs() < 1e-6 && (capacities[&1].weight - 1.8).abs() < 1e-6);
}
