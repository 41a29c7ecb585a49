use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_assume, proptest};

use super::*;

fn candidates(scores: &[f64]) -> Vec<Candidate> {
    scores.iter().enumerate().map(|(i, score)| Candidate { id: format!("w{i}"), score: *score }).collect()
}

fn router(strategy: Strategy) -> Router {
    Router::new(RoutingConfig::default(), Routing { strategy, ..Routing::default() })
}

/// Evenly distributed numbers from a counter (SplitMix64).
fn random(n: u64) -> u64 {
    let z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Closed-loop clients: each sends its next task when the last one is answered. Answers the picks per worker.
fn run(
    router: &mut Router,
    candidates: &[Candidate],
    clients: usize,
    tasks: u64,
    mut serve: impl FnMut(&str, u64) -> (u64, Outcome),
) -> BTreeMap<String, u64> {
    let mut picks = BTreeMap::new();
    let mut flying: Vec<(u64, Pick, Outcome)> = Vec::new();
    let mut now_ms = 0;
    for n in 0..tasks {
        if flying.len() >= clients {
            flying.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
            let (at, pick, outcome) = flying.pop().unwrap();
            now_ms = now_ms.max(at);
            router.finish(now_ms, pick, outcome);
        }
        let Some(pick) = router.pick(now_ms, candidates, None, random(n)) else {
            now_ms += 10;
            continue;
        };
        *picks.entry(pick.worker.clone()).or_default() += 1;
        let (took_ms, outcome) = serve(&pick.worker, now_ms);
        flying.push((now_ms + took_ms, pick, outcome));
    }
    picks
}

fn share(picks: &BTreeMap<String, u64>, worker: &str) -> f64 {
    picks.get(worker).copied().unwrap_or(0) as f64 / picks.values().sum::<u64>() as f64
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equal_workers_get_equal_shares(strategy in prop::sample::select(&Strategy::ALL[..]), workers in 1..8_usize, clients in 1..12_usize) {
        let candidates = candidates(&vec![0.8; workers]);
        let mut served = 0;
        let picks = run(&mut router(strategy), &candidates, clients, 4_000, |_, _| {
            served += 1;
            (15 + random(served) % 10, Outcome::Success)
        });
        for worker in &candidates {
            let deviation = share(&picks, &worker.id) * workers as f64 - 1.0;
            let tolerance = match strategy {
                Strategy::PeakEwma | Strategy::ConsistentHash => 0.25,
                Strategy::Smart | Strategy::LeastConnections => 0.05,
                Strategy::RoundRobin | Strategy::WeightedRoundRobin => 0.01,
            };
            prop_assert!(deviation.abs() <= tolerance, "{strategy:?}: {picks:?}");
        }
    }

    #[test]
    fn turns_are_exact_in_every_window(workers in 1..8_usize, offset in 0..20_usize) {
        let candidates = candidates(&vec![0.5; workers]);
        let mut router = router(Strategy::RoundRobin);
        let mut order = Vec::new();
        for n in 0..60 {
            order.push(router.pick(n, &candidates, None, random(n)).unwrap().worker);
        }
        let window: BTreeSet<&String> = order[offset..offset + workers].iter().collect();
        prop_assert_eq!(window.len(), workers);
    }

    #[test]
    fn weights_are_respected_smoothly(weights in prop::collection::vec(0..6_u32, 2..6)) {
        prop_assume!(weights.iter().any(|w| *w > 0));
        let candidates = candidates(&vec![0.7; weights.len()]);
        let named = candidates.iter().zip(&weights).map(|(c, w)| (c.id.clone(), f64::from(*w))).collect();
        let routing = Routing { strategy: Strategy::WeightedRoundRobin, weights: named, score: None };
        prop_assert!(routing.validate().is_ok());
        let mut router = Router::new(RoutingConfig::default(), routing);
        let total: u32 = weights.iter().sum();
        let mut counts = vec![0_u32; weights.len()];
        for n in 0..u64::from(3 * total) {
            let pick = router.pick(n, &candidates, None, random(n)).unwrap();
            counts[pick.worker[1..].parse::<usize>().unwrap()] += 1;
            // Never more than one turn away from the exact share.
            for (count, weight) in counts.iter().zip(&weights) {
                let due = f64::from(*weight) / f64::from(total) * (n + 1) as f64;
                prop_assert!((f64::from(*count) - due).abs() <= weights.len() as f64 / 2.0, "{counts:?} of {weights:?}");
            }
        }
        prop_assert_eq!(counts, weights.iter().map(|w| 3 * w).collect::<Vec<_>>());
    }

    #[test]
    fn unnamed_workers_weigh_their_score(scores in prop::collection::vec(0.1..1.0_f64, 2..5)) {
        let candidates = candidates(&scores);
        let picks = run(&mut router(Strategy::WeightedRoundRobin), &candidates, 4, 5_000, |_, _| (5, Outcome::Success));
        let sum: f64 = scores.iter().sum();
        for (candidate, score) in candidates.iter().zip(&scores) {
            prop_assert!((share(&picks, &candidate.id) - score / sum).abs() < 0.01);
        }
    }

    #[test]
    fn nobody_is_loaded_beyond_the_bound(keys in prop::collection::vec(0..4_u64, 1..200), workers in 1..8_usize) {
        let candidates = candidates(&vec![0.9; workers]);
        let mut router = router(Strategy::ConsistentHash);
        let mut loads: BTreeMap<String, u32> = BTreeMap::new();
        for (n, key) in keys.iter().enumerate() {
            let pick = router.pick(0, &candidates, Some(&format!("vehicle {key}")), 0).unwrap();
            let load = loads.entry(pick.worker).or_default();
            *load += 1;
            let bound = (1.25 * (n + 1) as f64 / workers as f64).ceil();
            prop_assert!(f64::from(*load) <= bound, "{load} of {n} on {workers}");
        }
    }

    #[test]
    fn only_the_keys_of_a_leaving_worker_move(workers in 2..9_usize, leaver in 0..9_usize) {
        let all = candidates(&vec![0.9; workers]);
        let leaver = &all[leaver % workers].id;
        let rest: Vec<Candidate> = all.iter().filter(|c| &c.id != leaver).cloned().collect();
        let mut router = router(Strategy::ConsistentHash);
        let mut moved = 0;
        for key in 0..500 {
            let key = format!("key {key}");
            let mut place = |candidates: &[Candidate]| {
                let pick = router.pick(0, candidates, Some(&key), 0).unwrap();
                let worker = pick.worker.clone();
                router.finish(0, pick, Outcome::Success);
                worker
            };
            let (before, after) = (place(&all), place(&rest));
            if before == *leaver {
                moved += 1;
            } else {
                prop_assert_eq!(before, after);
            }
        }
        let share = f64::from(moved) / 500.0 * workers as f64;
        prop_assert!((0.5..1.6).contains(&share), "{moved} of 500 keys moved among {workers}");
    }

    #[test]
    fn probes_are_bounded_and_an_open_breaker_gets_nothing(
        probes in 1..4_u32,
        steps in prop::collection::vec((0..400_u64, prop::bool::weighted(0.3), any::<u8>()), 1..300),
    ) {
        let breaker = BreakerConfig { probes, ..BreakerConfig::default() };
        let mut router = Router::new(
            RoutingConfig { breaker, ..RoutingConfig::default() },
            Routing { strategy: Strategy::LeastConnections, ..Routing::default() },
        );
        let one = candidates(&[0.9]);
        let mut flying: Vec<(Pick, bool)> = Vec::new();
        let mut now_ms = 0;
        for (wait_ms, success, which) in steps {
            now_ms += wait_ms;
            let state = router.breakers(now_ms).next().map_or(BreakerState::Closed, |(_, s)| s);
            let pick = router.pick(now_ms, &one, None, 0);
            match (state, &pick) {
                (BreakerState::Open, pick) => prop_assert!(pick.is_none()),
                (BreakerState::Closed, pick) => prop_assert!(pick.is_some()),
                (BreakerState::HalfOpen, _) => {}
            }
            flying.extend(pick.map(|p| (p, state == BreakerState::HalfOpen)));
            prop_assert!(flying.iter().filter(|(_, probe)| *probe).count() <= probes as usize);
            if which % 3 != 0 && !flying.is_empty() {
                let (pick, _) = flying.swap_remove(usize::from(which) % flying.len());
                router.finish(now_ms, pick, if success { Outcome::Success } else { Outcome::Failure });
            }
        }
    }

    #[test]
    fn a_worker_that_fails_fast_attracts_nothing(strategy in prop::sample::select(&Strategy::ALL[..]), clients in 1..9_usize) {
        let candidates = candidates(&[0.9, 0.9, 0.9]);
        let picks = run(&mut router(strategy), &candidates, clients, 20_000, |worker, _| match worker {
            "w1" => (1, Outcome::Failure),
            _ => (20, Outcome::Success),
        });
        prop_assert!(share(&picks, "w1") < 0.01, "{strategy:?}: {picks:?}");
    }
}

#[test]
fn under_smart_and_peak_ewma_one_failure_is_enough_to_lose_tasks() {
    for strategy in [Strategy::Smart, Strategy::PeakEwma] {
        let breaker = BreakerConfig { consecutive_failures: 1_000, window: 64, ..BreakerConfig::default() };
        let routing = Routing { strategy, ..Routing::default() };
        let mut router = Router::new(RoutingConfig { breaker, ..RoutingConfig::default() }, routing);
        // Half of what it gets fails: the breaker stays closed for long.
        let mut flip = 0;
        let picks = run(&mut router, &candidates(&[0.9, 0.9, 0.9]), 4, 5_000, |worker, _| match worker {
            "w1" => {
                flip += 1;
                (1, if flip % 2 == 0 { Outcome::Success } else { Outcome::Failure })
            }
            _ => (20, Outcome::Success),
        });
        assert!(share(&picks, "w1") < 0.05, "{strategy:?}: {picks:?}");
    }
}

#[test]
fn slow_workers_get_less_where_latency_or_load_counts() {
    for strategy in [Strategy::Smart, Strategy::LeastConnections, Strategy::PeakEwma] {
        let picks = run(&mut router(strategy), &candidates(&[0.9; 3]), 9, 9_000, |worker, _| {
            (if worker == "w2" { 100 } else { 20 }, Outcome::Success)
        });
        assert!(share(&picks, "w2") < 0.2, "{strategy:?}: {picks:?}");
    }
}

#[test]
fn the_open_time_doubles_up_to_its_limit_and_probes_close_the_breaker() {
    let breaker = BreakerConfig { longest_open_ms: 4_000, ..BreakerConfig::default() };
    let config = RoutingConfig { breaker, ..RoutingConfig::default() };
    let mut router = Router::new(config, Routing::default());
    let one = candidates(&[0.9]);
    let fail = |router: &mut Router, now_ms| {
        let pick = router.pick(now_ms, &one, None, 0).unwrap();
        router.finish(now_ms, pick, Outcome::Failure);
    };
    for _ in 0..3 {
        fail(&mut router, 0);
    }
    let mut now_ms = 0;
    for open_ms in [1_000, 2_000, 4_000, 4_000] {
        assert!(router.pick(now_ms + open_ms - 1, &one, None, 0).is_none());
        assert_eq!(router.opens_in_ms(now_ms + open_ms - 1, ["w0"]), 1);
        now_ms += open_ms;
        fail(&mut router, now_ms);
    }
    now_ms += 4_000;
    let probe = router.pick(now_ms, &one, None, 0).unwrap();
    assert!(router.pick(now_ms, &one, None, 0).is_none(), "a second probe");
    router.finish(now_ms + 5, probe, Outcome::Success);
    assert_eq!(router.breakers(now_ms + 5).next().unwrap().1, BreakerState::Closed);
    assert!(router.pick(now_ms + 5, &one, None, 0).is_some());
}

#[test]
fn a_timeout_counts_against_a_worker_that_answers_nothing_meanwhile() {
    let one = candidates(&[0.9]);
    for (busy, open) in [(true, false), (false, true)] {
        let mut router = router(Strategy::Smart);
        for n in 0..5 {
            let Some(slow) = router.pick(n * 1_000, &one, None, 0) else { break };
            let quick = router.pick(n * 1_000, &one, None, 0).unwrap();
            router.finish(n * 1_000 + 20, quick, if busy { Outcome::Success } else { Outcome::Cancelled });
            router.finish(n * 1_000 + 900, slow, Outcome::Timeout);
        }
        assert_eq!(router.pick(2_950, &one, None, 0).is_none(), open, "answering meanwhile: {busy}");
    }
}

#[test]
fn half_of_the_outcomes_failing_opens_the_breaker_too() {
    let mut router = router(Strategy::Smart);
    let one = candidates(&[0.9]);
    for n in 0..20 {
        let pick = router.pick(0, &one, None, 0).unwrap();
        router.finish(0, pick, if n % 2 == 0 { Outcome::Failure } else { Outcome::Success });
    }
    assert!(router.pick(0, &one, None, 0).is_none());
}

#[test]
fn a_pick_is_explained_and_settings_are_checked() {
    let mut router = router(Strategy::Smart);
    let all = candidates(&[0.9, 0.5]);
    let pick = router.pick(0, &all, None, 0).unwrap();
    let why = router.explain(0, &all);
    assert_eq!((pick.worker.as_str(), why[0].in_flight, why[1].in_flight), ("w0", 1, 0));
    assert_eq!(why[1].weight, 0.5);
    router.finish(30, pick, Outcome::Success);
    assert!((router.explain(30, &all)[0].latency_ms - 30.0).abs() < 1e-9);
    let bad = |weights: &[(&str, f64)]| {
        let weights = weights.iter().map(|(w, n)| ((*w).to_owned(), *n)).collect();
        Routing { weights, ..Routing::default() }.validate().unwrap_err()
    };
    assert!(bad(&[("w0", -1.0)]).contains("finite number >= 0"));
    assert!(bad(&[("w0", 0.0)]).contains("at least one above 0"));
    let score = Some(ScoreWeights { cpu: -1.0, ..ScoreWeights::default() });
    assert!(Routing { score, ..Routing::default() }.validate().unwrap_err().contains("score.cpu is -1"));
    assert!(RoutingConfig { load_bound: 1.0, ..RoutingConfig::default() }.validate().is_err());
}
