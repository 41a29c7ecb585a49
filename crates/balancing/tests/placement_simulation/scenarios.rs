//! What happens to the simulated clusters, and what may come of it.

use rand::Rng;
use vtox_balancing::LoadTracker;

use crate::cluster::{Cluster, EQUAL, LARGE, Setup};

/// What came of a run.
pub struct Figures {
    /// Worst deviation from a fair share, once settled.
    pub worst: f64,
    /// Load that moved, and the least that had to.
    pub moved: f64,
    pub least: f64,
    /// The worst seed's ratio of the two; filled in by the caller.
    pub worst_ratio: f64,
    pub turns: usize,
    pub returns: usize,
    pub moved_units: usize,
}

pub struct Scenario {
    pub name: &'static str,
    pub seeds: u64,
    /// Limit of the deviation.
    pub worst: f64,
    pub run: fn(u64) -> Figures,
}

const NOISY: f64 = 0.2;

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "constant loads, known exactly, 30 min",
        seeds: 20,
        worst: 0.05,
        run: |s| steady(s, LARGE),
    },
    Scenario {
        name: "constant loads, 20 % noise, 30 min",
        seeds: 20,
        worst: 0.08,
        run: |s| steady(s, Setup { noise: NOISY, ..LARGE }),
    },
    Scenario { name: "filled before anything was measured", seeds: 20, worst: 0.05, run: filled_blindly },
    Scenario { name: "a worker leaves, exact", seeds: 20, worst: 0.05, run: |s| leave(s, LARGE) },
    Scenario { name: "a worker joins, exact", seeds: 20, worst: 0.05, run: |s| join(s, LARGE) },
    Scenario {
        name: "a worker leaves, 20 % noise",
        seeds: 20,
        worst: 0.08,
        run: |s| leave(s, Setup { noise: NOISY, ..LARGE }),
    },
    Scenario {
        name: "a worker joins, 20 % noise",
        seeds: 20,
        worst: 0.08,
        run: |s| join(s, Setup { noise: NOISY, ..LARGE }),
    },
    Scenario { name: "a worker 4 x slower, after 15 s", seeds: 20, worst: 0.1, run: slow_down },
    Scenario { name: "rolling restart, 20 % noise", seeds: 20, worst: 0.08, run: rolling_restart },
    Scenario {
        name: "joins, leaves, slow-downs, drift, 20 % noise, 2 h",
        seeds: 20,
        worst: 0.08,
        run: mixed,
    },
    Scenario { name: "4 equal workers, 64 partitions: spread of loads", seeds: 40, worst: 0.05, run: equal },
];

fn figures(cluster: &Cluster, worst: f64, least: f64) -> Figures {
    let trace = &cluster.trace;
    Figures {
        worst,
        moved: trace.moved_load,
        least,
        worst_ratio: 0.0,
        turns: trace.direction_changes(),
        returns: trace.returns,
        moved_units: trace.moved_units,
    }
}

fn settled(seed: u64, setup: Setup) -> Cluster {
    let mut cluster = Cluster::new(seed, setup);
    cluster.run(120);
    cluster.forget();
    cluster
}

fn steady(seed: u64, setup: Setup) -> Figures {
    let mut cluster = settled(seed, setup);
    let worst = cluster.worst_over(1_800);
    assert!(setup.noise > 0.0 || cluster.trace.moved_units == 0, "constant loads need no more moves");
    figures(&cluster, worst, 0.0)
}

fn filled_blindly(seed: u64) -> Figures {
    let mut cluster = Cluster::new(seed, LARGE);
    let rates = std::mem::replace(&mut cluster.rates, vec![0.0; LARGE.partitions as usize]);
    cluster.step();
    cluster.rates = rates;
    cluster.measure_anew(LoadTracker::default());
    cluster.forget();
    cluster.run(60);
    let worst = cluster.worst_over(120);
    figures(&cluster, worst, 0.0)
}

fn leave(seed: u64, setup: Setup) -> Figures {
    let mut cluster = settled(seed, setup);
    let orphaned = cluster.load(3);
    cluster.machines.remove(&3);
    cluster.run(30);
    let worst = cluster.worst_over(120);
    figures(&cluster, worst, orphaned)
}

fn join(seed: u64, setup: Setup) -> Figures {
    let mut cluster = settled(seed, setup);
    let id = cluster.join(true);
    let least = cluster.share(id) * cluster.total_rate();
    cluster.run(60);
    let worst = cluster.worst_over(120);
    figures(&cluster, worst, least)
}

/// Worst: how far the slow worker is above its new share 15 s later.
fn slow_down(seed: u64) -> Figures {
    let mut cluster = settled(seed, Setup { noise: NOISY, ..LARGE });
    cluster.machines.get_mut(&2).expect("a worker").slowness = 4.0;
    cluster.run(15);
    let (share, full) = (cluster.share(2), cluster.machines[&2].cores);
    let all: f64 = cluster.machines.values().map(|m| m.cores).sum();
    let quarter = full / 4.0 / (all - 0.75 * full);
    assert!((share / quarter - 1.0).abs() < 0.25, "seed {seed}: share {share}, a quarter is {quarter}");
    let worst = cluster.deviation(2).max(0.0);
    figures(&cluster, worst, 0.0)
}

fn rolling_restart(seed: u64) -> Figures {
    let mut cluster = settled(seed, Setup { noise: NOISY, ..LARGE });
    for id in 0..LARGE.workers {
        cluster.machines.get_mut(&id).expect("a worker").draining = true;
        cluster.step();
        assert_eq!(cluster.load(id), 0.0, "drained in one round");
        cluster.run(2);
        cluster.rejoin(id);
        cluster.run(30);
        assert_eq!(cluster.owners.len(), LARGE.partitions as usize);
    }
    cluster.run(120);
    cluster.forget();
    let worst = cluster.worst_over(600);
    figures(&cluster, worst, 0.0)
}

/// Two hours in which something happens every five to ten minutes; measured from two minutes after each event on.
fn mixed(seed: u64) -> Figures {
    let mut cluster = settled(seed, Setup { noise: NOISY, ..LARGE });
    let (mut worst, mut slow) = (0.0f64, None::<u32>);
    let until = cluster.now_s + 7_200;
    while cluster.now_s < until {
        let ids: Vec<u32> = cluster.machines.keys().copied().collect();
        let any = ids[cluster.rng.random_range(0..ids.len())];
        match cluster.rng.random_range(0..4) {
            0 if ids.len() < 14 => drop(cluster.join(true)),
            1 if ids.len() > 6 && slow != Some(any) => drop(cluster.machines.remove(&any)),
            2 => match slow.take() {
                Some(id) => cluster.machines.get_mut(&id).expect("a worker").slowness = 1.0,
                None => {
                    cluster.machines.get_mut(&any).expect("a worker").slowness = 4.0;
                    slow = Some(any);
                }
            },
            _ => {
                for unit in 0..cluster.rates.len() {
                    cluster.rates[unit] *= cluster.rng.random_range(0.9..1.1);
                }
            }
        }
        cluster.trace.settling(true);
        cluster.run(120);
        cluster.trace.settling(false);
        let quiet_s = cluster.rng.random_range(180..480);
        worst = worst.max(cluster.worst_over(quiet_s));
    }
    figures(&cluster, worst, 0.0)
}

fn equal(seed: u64) -> Figures {
    let mut cluster = settled(seed, Setup { noise: 0.05, ..EQUAL });
    let worst = (0..600)
        .map(|_| {
            cluster.step();
            cluster.spread()
        })
        .fold(0.0, f64::max);
    figures(&cluster, worst, 0.0)
}
