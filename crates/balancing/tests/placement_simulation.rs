//! The placer under thousands of rounds: 5,000 vehicles of unlike message rates hashed into 256
//! partitions, 10 unlike workers, seeded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vtox_balancing::{LoadTracker, PlacementConfig, Placer, Reason, Unit, Worker};

const VEHICLES: usize = 5_000;
const PARTITIONS: u32 = 256;
const WORKERS: u32 = 10;

struct Simulation {
    rng: StdRng,
    placer: Placer<u32, u32>,
    tracker: LoadTracker<u32>,
    /// Messages per second of each partition.
    rates: Vec<f64>,
    /// Relative noise of each measured load: the sample is off by up to 1.73 times as much.
    noise: f64,
    workers: Vec<Worker<u32>>,
    eligible: Arc<BTreeSet<u32>>,
    owners: BTreeMap<u32, u32>,
    now_s: u64,
    trace: Trace,
}

/// What balancing moved, per second.
#[derive(Default)]
struct Trace {
    moved_load: f64,
    moved_units: usize,
    /// Per worker the seconds in which it gained (true) or lost (false) load, net.
    flows: BTreeMap<u32, Vec<(u64, bool)>>,
    /// Per unit the owners it left, in order.
    left: BTreeMap<u32, Vec<u32>>,
    returns: usize,
}

impl Simulation {
    fn new(seed: u64, noise: f64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut rates = vec![0.0; PARTITIONS as usize];
        for _ in 0..VEHICLES {
            // 10 to 250 messages a minute: few vehicles send much.
            let per_minute = 10.0 * 25f64.powf(rng.random::<f64>());
            rates[rng.random_range(0..PARTITIONS as usize)] += per_minute / 60.0;
        }
        let workers = (0..WORKERS)
            .map(|id| Worker {
                id,
                weight: rng.random_range(0.5..2.0),
                health: 1.0,
                joined_at_ms: 0,
                draining: false,
                overloaded: false,
            })
            .collect();
        Self {
            rng,
            placer: Placer::new(PlacementConfig::default()),
            tracker: LoadTracker::default(),
            rates,
            noise,
            workers,
            eligible: Arc::new((0..100).collect()),
            owners: BTreeMap::new(),
            now_s: 100,
            trace: Trace::default(),
        }
    }

    /// One second: measure, plan, apply.
    fn step(&mut self) {
        self.now_s += 1;
        let now_ms = self.now_s * 1000;
        for (unit, rate) in (0..).zip(&self.rates) {
            let off = self.noise * 3f64.sqrt() * self.rng.random_range(-1.0..1.0);
            self.tracker.observe(now_ms, &unit, rate * (1.0 + off));
        }
        let units: Vec<Unit<u32, u32>> = (0..PARTITIONS)
            .map(|id| Unit { id, load: self.tracker.load(&id), eligible: self.eligible.clone() })
            .collect();
        let plan = self.placer.round(now_ms, &self.workers, &units, &self.owners);
        self.owners.extend(plan.assign);
        let mut net: BTreeMap<u32, f64> = BTreeMap::new();
        let cap = (PARTITIONS as f64 * 0.02) as usize;
        assert!(plan.moves.iter().filter(|m| m.reason == Reason::Balance).count() <= cap);
        for m in plan.moves {
            let rate = self.rates[m.unit as usize];
            *net.entry(m.from).or_default() -= rate;
            *net.entry(m.to).or_default() += rate;
            self.trace.moved_load += rate;
            self.trace.moved_units += 1;
            let left = self.trace.left.entry(m.unit).or_default();
            self.trace.returns += usize::from(left.contains(&m.to));
            left.push(m.from);
            self.owners.insert(m.unit, m.to);
        }
        for (worker, load) in net.into_iter().filter(|(_, load)| load.abs() > 1e-9) {
            self.trace.flows.entry(worker).or_default().push((self.now_s, load > 0.0));
        }
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.step();
        }
    }

    /// Runs and returns the largest deviation met, with the true loads.
    fn worst_over(&mut self, seconds: u64) -> f64 {
        (0..seconds)
            .map(|_| {
                self.step();
                self.worst_deviation()
            })
            .fold(0.0, f64::max)
    }

    fn total_rate(&self) -> f64 {
        self.rates.iter().sum()
    }

    fn share(&self, worker: u32) -> f64 {
        let sum: f64 = self.workers.iter().map(|w| w.weight).sum();
        self.workers.iter().find(|w| w.id == worker).expect("a worker").weight / sum
    }

    fn load(&self, worker: u32) -> f64 {
        self.owners.iter().filter(|(_, w)| **w == worker).map(|(u, _)| self.rates[*u as usize]).sum()
    }

    fn worst_deviation(&self) -> f64 {
        self.workers
            .iter()
            .map(|w| (self.load(w.id) / (self.share(w.id) * self.total_rate()) - 1.0).abs())
            .fold(0.0, f64::max)
    }

    /// Most changes of direction of a worker's net flow within any 10 minutes.
    fn direction_changes(&self) -> usize {
        let turns = |flows: &Vec<(u64, bool)>| {
            let at: Vec<u64> = flows.windows(2).filter(|w| w[0].1 != w[1].1).map(|w| w[1].0).collect();
            at.iter().map(|t| at.iter().filter(|u| (*t..*t + 600).contains(u)).count()).max().unwrap_or(0)
        };
        self.trace.flows.values().map(turns).max().unwrap_or(0)
    }

    /// Starts to measure movement anew.
    fn forget(&mut self) {
        self.trace = Trace::default();
    }
}

#[test]
fn exact_loads_settle_within_5_percent_and_stay() {
    for seed in 0..20 {
        let mut s = Simulation::new(seed, 0.0);
        s.run(60);
        s.forget();
        let worst = s.worst_over(300);
        println!("seed {seed}: worst {worst:.4}, moved {}", s.trace.moved_units);
        assert!(worst <= 0.05, "seed {seed}: {worst}");
        assert_eq!(s.trace.moved_units, 0, "seed {seed}: constant loads need no more moves");
    }
}

#[test]
fn a_cluster_filled_by_count_before_anything_is_measured_gets_even() {
    for seed in 0..20 {
        let mut s = Simulation::new(seed, 0.0);
        let rates = std::mem::replace(&mut s.rates, vec![0.0; PARTITIONS as usize]);
        s.step();
        s.rates = rates;
        s.tracker = LoadTracker::default();
        let before = s.worst_deviation();
        s.run(60);
        println!(
            "seed {seed}: {before:.3} before, {:.4} after {} moves",
            s.worst_deviation(),
            s.trace.moved_units
        );
        assert!(s.worst_deviation() <= 0.05, "seed {seed}: {}", s.worst_deviation());
        assert_eq!(s.trace.returns, 0, "seed {seed}");
    }
}

#[test]
fn noisy_loads_stay_within_8_percent_without_oscillation() {
    for seed in 0..20 {
        let mut s = Simulation::new(seed, 0.2);
        s.run(120);
        s.forget();
        let worst = s.worst_over(900);
        let turns = s.direction_changes();
        println!(
            "seed {seed}: worst {worst:.4}, moved {} in 15 min, turns {turns}, returns {}",
            s.trace.moved_units, s.trace.returns
        );
        assert!(worst <= 0.08, "seed {seed}: {worst}");
        assert!(turns <= 2, "seed {seed}: {turns}");
        assert_eq!(s.trace.returns, 0, "seed {seed}");
    }
}

#[test]
fn a_leaving_worker_moves_little_more_than_its_own_load() {
    let (mut moved, mut least) = (0.0, 0.0);
    for seed in 0..20 {
        let mut s = Simulation::new(seed, 0.0);
        s.run(60);
        s.forget();
        let gone = s.workers.remove(3).id;
        let orphaned = s.load(gone);
        s.run(120);
        let all = orphaned + s.trace.moved_load;
        println!(
            "seed {seed}: {:.1} % left, {:.1} % moved, worst {:.4}",
            100.0 * orphaned / s.total_rate(),
            100.0 * all / s.total_rate(),
            s.worst_deviation()
        );
        assert!(s.worst_deviation() <= 0.05, "seed {seed}");
        assert!(all <= 1.1 * orphaned, "seed {seed}: {}", all / orphaned);
        moved += all;
        least += orphaned;
    }
    println!("moved over minimum {:.3}", moved / least);
}

#[test]
fn a_joining_worker_moves_little_more_than_its_share() {
    let (mut moved, mut least) = (0.0, 0.0);
    for seed in 0..20 {
        let mut s = Simulation::new(seed, 0.0);
        s.run(60);
        s.forget();
        let id = WORKERS;
        let joined_at_ms = s.now_s * 1000;
        let weight = s.rng.random_range(0.5..2.0);
        s.workers.push(Worker { id, weight, joined_at_ms, ..s.workers[0].clone() });
        s.run(180);
        let share = s.share(id) * s.total_rate();
        println!(
            "seed {seed}: share {:.1} %, {:.1} % moved, worst {:.4}, turns {}, returns {}",
            100.0 * share / s.total_rate(),
            100.0 * s.trace.moved_load / s.total_rate(),
            s.worst_deviation(),
            s.direction_changes(),
            s.trace.returns
        );
        assert!(s.worst_deviation() <= 0.05, "seed {seed}");
        assert!(s.trace.moved_load <= 1.1 * share, "seed {seed}: {}", s.trace.moved_load / share);
        assert!(s.direction_changes() <= 2 && s.trace.returns == 0, "seed {seed}");
        moved += s.trace.moved_load;
        least += share;
    }
    println!("moved over minimum {:.3}", moved / least);
}

#[test]
fn a_worker_slowed_to_a_quarter_has_its_share_within_15_s() {
    for seed in 0..10 {
        let mut s = Simulation::new(seed, 0.2);
        s.run(120);
        s.workers[2].weight /= 4.0;
        s.workers[2].overloaded = true;
        s.run(15);
        let fill = s.load(2) / (s.share(2) * s.total_rate());
        assert!(fill <= 1.1, "seed {seed}: fill {fill}");
    }
}

#[test]
fn a_rolling_restart_keeps_every_unit_owned_and_ends_even() {
    for seed in 0..5 {
        let mut s = Simulation::new(seed, 0.2);
        s.run(60);
        for i in 0..WORKERS as usize {
            s.workers[i].draining = true;
            s.step();
            assert_eq!(s.load(s.workers[i].id), 0.0, "drained in one round");
            s.run(2);
            s.workers[i].draining = false;
            s.workers[i].joined_at_ms = s.now_s * 1000;
            s.run(30);
            assert_eq!(s.owners.len(), PARTITIONS as usize);
        }
        s.run(120);
        assert!(s.worst_deviation() <= 0.08, "seed {seed}: {}", s.worst_deviation());
    }
}
