//! A cluster in simulated seconds: what workers report, what is measured, what is decided from it and applied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vtox_balancing::{
    Capacities, Effort, LoadTracker, Overload, PlacementConfig, Placer, Reason, Reported, Strain, Unit,
    Worker,
};

use crate::trace::Trace;

/// What a cluster begins with.
#[derive(Clone, Copy)]
pub struct Setup {
    pub vehicles: usize,
    pub partitions: u32,
    pub workers: u32,
    /// Workers of unlike capacity, and vehicles of unlike message rates.
    pub unlike: bool,
    /// Standard deviation of each measured load, relative.
    pub noise: f64,
}

/// The cluster of the requirement.
pub const LARGE: Setup = Setup { vehicles: 5_000, partitions: 256, workers: 10, unlike: true, noise: 0.0 };
/// Four equal workers.
pub const EQUAL: Setup = Setup { vehicles: 1_000, partitions: 64, workers: 4, unlike: false, noise: 0.0 };

/// A simulated worker: what it is, of which the placer learns only through what it reports.
pub struct Machine {
    pub cores: f64,
    /// How many times as long as its peers it takes for a result.
    pub slowness: f64,
    pub draining: bool,
    joined_s: u64,
    done: Effort,
}

pub struct Cluster {
    pub rng: StdRng,
    /// Messages per second of each partition.
    pub rates: Vec<f64>,
    pub noise: f64,
    pub machines: BTreeMap<u32, Machine>,
    pub owners: BTreeMap<u32, u32>,
    pub now_s: u64,
    pub trace: Trace,
    /// Weights as the placer was given them last.
    weights: BTreeMap<u32, f64>,
    placer: Placer<u32, u32>,
    capacities: Capacities<u32, u8>,
    overload: Overload<u32>,
    tracker: LoadTracker<u32>,
    eligible: Arc<BTreeSet<u32>>,
}

impl Cluster {
    pub fn new(seed: u64, setup: Setup) -> Self {
        let config = PlacementConfig::default();
        let mut rng = StdRng::seed_from_u64(seed);
        let mut rates = vec![0.0; setup.partitions as usize];
        for _ in 0..setup.vehicles {
            // 10 to 250 messages a minute: few vehicles send much.
            let per_minute = if setup.unlike { 10.0 * 25f64.powf(rng.random::<f64>()) } else { 50.0 };
            rates[rng.random_range(0..setup.partitions as usize)] += per_minute / 60.0;
        }
        let mut cluster = Self {
            rng,
            rates,
            noise: setup.noise,
            machines: BTreeMap::new(),
            owners: BTreeMap::new(),
            now_s: 100,
            trace: Trace::default(),
            weights: BTreeMap::new(),
            placer: Placer::new(config),
            capacities: Capacities::new(config.capacity),
            overload: Overload::new(config.overload),
            tracker: LoadTracker::new(config.load_smoothing_ms),
            eligible: Arc::new((0..100).collect()),
        };
        for _ in 0..setup.workers {
            cluster.join(setup.unlike);
        }
        for machine in cluster.machines.values_mut() {
            machine.joined_s = 0;
        }
        cluster
    }

    /// A worker joins; its id.
    pub fn join(&mut self, unlike: bool) -> u32 {
        let id = self.machines.last_key_value().map_or(0, |(id, _)| id + 1);
        let cores = if unlike { self.rng.random_range(0.5..2.0) } else { 1.0 };
        let machine =
            Machine { cores, slowness: 1.0, draining: false, joined_s: self.now_s, done: Effort::default() };
        self.machines.insert(id, machine);
        id
    }

    /// A worker is started again: it joins anew.
    pub fn rejoin(&mut self, id: u32) {
        let now_s = self.now_s;
        let machine = self.machines.get_mut(&id).expect("a worker");
        machine.draining = false;
        machine.joined_s = now_s;
    }

    fn noisy(&mut self, value: f64) -> f64 {
        // Uniform, of the given standard deviation.
        value * (1.0 + self.noise * 3f64.sqrt() * self.rng.random_range(-1.0..1.0))
    }

    /// One second: measure, plan, apply.
    pub fn step(&mut self) {
        self.now_s += 1;
        let now_ms = self.now_s * 1000;
        for unit in 0..self.rates.len() {
            let measured = self.noisy(self.rates[unit]);
            self.tracker.observe(now_ms, &(unit as u32), measured);
        }
        let units: Vec<Unit<u32, u32>> = (0..self.rates.len() as u32)
            .map(|id| Unit { id, load: self.tracker.load(&id), eligible: self.eligible.clone() })
            .collect();
        let workers = self.workers(now_ms);
        self.weights = workers.iter().map(|w| (w.id, w.weight)).collect();
        let plan = self.placer.round(now_ms, &workers, &units, &self.owners);
        let cap = ((self.rates.len() as f64 * 0.02) as usize).max(2);
        assert!(plan.moves.iter().filter(|m| m.reason == Reason::Balance).count() <= cap);
        self.trace.plan(self.now_s, &plan, &self.rates);
        self.owners.extend(plan.assign);
        self.owners.extend(plan.moves.into_iter().map(|m| (m.unit, m.to)));
    }

    /// What the workers report, and what the placer is told of them.
    fn workers(&mut self, now_ms: u64) -> Vec<Worker<u32>> {
        let ids: Vec<u32> = self.machines.keys().copied().collect();
        let mut reported = BTreeMap::new();
        for id in ids {
            let rate = self.load(id);
            let cost_ms = self.noisy(1.0) * self.machines[&id].slowness;
            let score = 0.9 * (1.0 + 0.2 * (self.noisy(1.0) - 1.0));
            let machine = self.machines.get_mut(&id).expect("a worker");
            machine.done.results += rate.round() as u64;
            machine.done.ms += rate.round() * cost_ms;
            let (cores, done) = (machine.cores, machine.done);
            reported.insert(id, Reported { score, cores, serves: [0].into(), done: [(0, done)].into() });
        }
        let capacities = self.capacities.update(now_ms, &reported);
        let total: f64 = capacities.values().map(|c| c.weight).sum();
        let strains = capacities
            .iter()
            .map(|(id, capacity)| {
                let target = capacity.weight / total * self.total_rate();
                let fill = Some(self.load(*id) / target);
                (*id, Strain { lag_s: 0.0, fill, slow: capacity.is_slow() })
            })
            .collect();
        let overloaded = self.overload.update(now_ms, &strains, self.placer.config().stop_deviation);
        self.machines
            .iter()
            .map(|(id, machine)| Worker {
                id: *id,
                weight: capacities[id].weight,
                health: 1.0,
                joined_at_ms: machine.joined_s * 1000,
                draining: machine.draining,
                failing: false,
                overloaded: overloaded.contains(id),
            })
            .collect()
    }

    pub fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.step();
        }
    }

    /// Runs; the largest deviation met, from the true loads.
    pub fn worst_over(&mut self, seconds: u64) -> f64 {
        (0..seconds)
            .map(|_| {
                self.step();
                self.worst_deviation()
            })
            .fold(0.0, f64::max)
    }

    pub fn total_rate(&self) -> f64 {
        self.rates.iter().sum()
    }

    /// Fair share of a worker: of its true capacity, but for a slow one, whose capacity is only known by measurement.
    pub fn share(&self, worker: u32) -> f64 {
        let weight = |id: &u32| {
            let machine = &self.machines[id];
            let measured = self.weights.get(id).map_or(1.0, |w| w / (0.9 * machine.cores));
            if machine.slowness > 1.0 { machine.cores * measured } else { machine.cores }
        };
        weight(&worker) / self.machines.keys().map(weight).sum::<f64>()
    }

    pub fn load(&self, worker: u32) -> f64 {
        self.owners.iter().filter(|(_, w)| **w == worker).map(|(u, _)| self.rates[*u as usize]).sum()
    }

    pub fn deviation(&self, worker: u32) -> f64 {
        self.load(worker) / (self.share(worker) * self.total_rate()) - 1.0
    }

    /// Of all workers but slow ones: what is left of their share may be less than a few units.
    pub fn worst_deviation(&self) -> f64 {
        let even = self.machines.iter().filter(|(_, m)| m.slowness <= 1.0);
        even.map(|(id, _)| self.deviation(*id).abs()).fold(0.0, f64::max)
    }

    /// Largest load over smallest, less 1.
    pub fn spread(&self) -> f64 {
        let loads: Vec<f64> = self.machines.keys().map(|id| self.load(*id)).collect();
        loads.iter().copied().fold(0.0, f64::max) / loads.iter().copied().fold(f64::MAX, f64::min) - 1.0
    }

    /// Forgets the loads measured so far.
    pub fn measure_anew(&mut self, tracker: LoadTracker<u32>) {
        self.tracker = tracker;
    }

    /// Begins to measure anew.
    pub fn forget(&mut self) {
        self.trace = Trace::default();
    }
}
