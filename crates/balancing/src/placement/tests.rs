use std::sync::Arc;

use super::*;

type Owners = BTreeMap<u32, String>;

fn worker(id: &str, weight: f64) -> Worker<String> {
    Worker {
        id: id.to_owned(),
        weight,
        health: 1.0,
        joined_at_ms: 0,
        draining: false,
        failing: false,
        overloaded: false,
    }
}

fn units(loads: &[f64], eligible: &[&str]) -> Vec<Unit<u32, String>> {
    let eligible: Arc<BTreeSet<String>> = Arc::new(eligible.iter().map(|w| (*w).to_owned()).collect());
    (0..).zip(loads).map(|(id, load)| Unit { id, load: *load, eligible: eligible.clone() }).collect()
}

fn apply(owners: &mut Owners, plan: &Plan<u32, String>) {
    owners.extend(plan.assign.iter().cloned());
    owners.extend(plan.moves.iter().map(|m| (m.unit, m.to.clone())));
}

fn counts(owners: &Owners) -> BTreeMap<&str, usize> {
    owners.values().fold(BTreeMap::new(), |mut counts, w| {
        *counts.entry(w.as_str()).or_default() += 1;
        counts
    })
}

/// Rounds of a second from `from_s` on; the moves of each.
fn run(
    placer: &mut Placer<u32, String>,
    from_s: u64,
    rounds: u64,
    workers: &[Worker<String>],
    units: &[Unit<u32, String>],
    owners: &mut Owners,
) -> Vec<Vec<Move<u32, String>>> {
    (from_s..from_s + rounds)
        .map(|s| {
            let plan = placer.round(s * 1000, workers, units, owners);
            apply(owners, &plan);
            plan.moves
        })
        .collect()
}

#[test]
fn idle_units_spread_by_count() {
    let ids = ["a", "b", "c", "d"];
    let workers = ids.map(|id| worker(id, 1.0));
    let mut owners = Owners::new();
    let plan = Placer::new(PlacementConfig::default()).round(0, &workers, &units(&[0.0; 65], &ids), &owners);
    apply(&mut owners, &plan);
    assert_eq!(plan.assign.len(), 65);
    assert!(counts(&owners).values().all(|n| (16..=17).contains(n)), "{:?}", counts(&owners));
}

#[test]
fn shares_follow_the_weights() {
    let workers = [worker("a", 1.0), worker("b", 3.0)];
    let mut owners = Owners::new();
    let plan = Placer::new(PlacementConfig::default()).round(
        20_000,
        &workers,
        &units(&[5.0; 100], &["a", "b"]),
        &owners,
    );
    apply(&mut owners, &plan);
    assert_eq!(counts(&owners), BTreeMap::from([("a", 25), ("b", 75)]));
    assert!(plan.worst_deviation < 0.01);
}

#[test]
fn the_unhealthy_and_the_overloaded_get_orphans_only_when_nobody_else_can() {
    let mut sick = worker("sick", 1.0);
    sick.health = 0.49;
    let mut busy = worker("busy", 1.0);
    busy.overloaded = true;
    let mut leaving = worker("leaving", 1.0);
    leaving.draining = true;
    let mut placer = Placer::new(PlacementConfig::default());
    let mut place = |workers: &[Worker<String>]| {
        let units = units(&[1.0; 10], &["sick", "busy", "leaving", "well"]);
        let mut owners = Owners::new();
        let plan = placer.round(60_000, workers, &units, &owners);
        apply(&mut owners, &plan);
        (counts(&owners).into_iter().map(|(w, n)| (w.to_owned(), n)).collect::<Vec<_>>(), plan.unplaced.len())
    };
    let all = [sick.clone(), busy.clone(), leaving.clone(), worker("well", 1.0)];
    assert_eq!(place(&all), (vec![("well".to_owned(), 10)], 0));
    assert_eq!(place(&all[..3]), (vec![("busy".to_owned(), 10)], 0));
    assert_eq!(place(&[sick, leaving.clone()]), (vec![("sick".to_owned(), 10)], 0));
    assert_eq!(place(&[leaving]), (vec![], 10));
}

#[test]
fn units_go_only_where_they_may() {
    let workers = [worker("a", 1.0), worker("b", 1.0), worker("c", 1.0)];
    let mut all = units(&[1.0; 30], &["a", "b", "c"]);
    all.extend(units(&[1.0; 30], &["a"]).into_iter().map(|u| Unit { id: u.id + 30, ..u }));
    all.extend(units(&[1.0; 5], &["gone"]).into_iter().map(|u| Unit { id: u.id + 60, ..u }));
    let mut placer = Placer::new(PlacementConfig::default());
    let mut owners = Owners::new();
    let plan = placer.round(60_000, &workers, &all, &owners);
    apply(&mut owners, &plan);
    assert_eq!(counts(&owners), BTreeMap::from([("a", 30), ("b", 15), ("c", 15)]));
    assert_eq!(plan.unplaced, [60, 61, 62, 63, 64]);

    // Units 0..10 may no longer be where they are.
    let shrunk: Vec<_> = all
        .iter()
        .map(|u| match owners.get(&u.id).map(String::as_str) {
            Some("b") => {
                Unit { eligible: Arc::new(BTreeSet::from(["a".to_owned(), "c".to_owned()])), ..u.clone() }
            }
            _ => u.clone(),
        })
        .collect();
    let plan = placer.round(60_100, &workers, &shrunk, &owners);
    assert_eq!(plan.moves.iter().filter(|m| m.reason == Reason::NotEligible && m.from == "b").count(), 15);
    apply(&mut owners, &plan);
    run(&mut placer, 61, 200, &workers, &shrunk, &mut owners);
    assert!(shrunk[..60].iter().all(|u| u.eligible.contains(&owners[&u.id])));
    assert!(counts(&owners)["a"] <= 31 && counts(&owners)["b"] >= 14, "{:?}", counts(&owners));
}

#[test]
fn orphans_of_a_dead_worker_are_placed_at_once() {
    let ids = ["a", "b", "c"];
    let workers = ids.map(|id| worker(id, 1.0));
    let units = units(&[2.0; 60], &ids);
    let mut placer = Placer::new(PlacementConfig::default());
    let mut owners = Owners::new();
    run(&mut placer, 20, 3, &workers, &units, &mut owners);
    let plan = placer.round(22_100, &workers[..2], &units, &owners);
    assert_eq!((plan.assign.len(), plan.moves.len()), (20, 0));
    apply(&mut owners, &plan);
    assert_eq!(counts(&owners), BTreeMap::from([("a", 30), ("b", 30)]));
}

#[test]
fn a_drained_worker_is_empty_after_one_round() {
    let ids = ["a", "b", "c"];
    let mut workers = ids.map(|id| worker(id, 1.0));
    let units = units(&[2.0; 60], &ids);
    let mut placer = Placer::new(PlacementConfig::default());
    let mut owners = Owners::new();
    run(&mut placer, 20, 3, &workers, &units, &mut owners);
    workers[0].draining = true;
    let plan = placer.round(22_100, &workers, &units, &owners);
    assert!(plan.assign.is_empty() && plan.moves.iter().all(|m| m.reason == Reason::Drain && m.from == "a"));
    apply(&mut owners, &plan);
    assert_eq!(counts(&owners), BTreeMap::from([("b", 30), ("c", 30)]));
}

#[test]
fn an_overloaded_worker_gives_its_surplus_away_in_one_round_and_no_more() {
    let ids = ["a", "b", "c", "d"];
    let mut workers = ids.map(|id| worker(id, 1.0));
    let units = units(&[2.0; 130], &ids);
    let mut placer = Placer::new(PlacementConfig::default());
    let mut owners = Owners::new();
    run(&mut placer, 20, 3, &workers, &units, &mut owners);
    workers[0].weight = 0.25;
    workers[0].overloaded = true;
    run(&mut placer, 23, 1, &workers, &units, &mut owners);
    assert_eq!(counts(&owners)["a"], 10);
}

#[test]
fn a_newcomer_is_filled_slowly_within_the_cap_and_moved_units_rest() {
    let ids = ["a", "b", "c", "d"];
    let mut workers = ids.map(|id| worker(id, 1.0));
    let units = units(&[2.0; 200], &ids);
    let mut placer = Placer::new(PlacementConfig::default());
    let mut owners = Owners::new();
    run(&mut placer, 20, 3, &workers[..3], &units, &mut owners);
    workers[3].joined_at_ms = 23_000;
    let moves = run(&mut placer, 23, 60, &workers, &units, &mut owners);
    assert!(moves.iter().all(|m| m.len() <= 4), "2 % of 200");
    assert!(
        moves[..5].iter().flatten().count() < 20,
        "a third of the slow start is under a third of the share"
    );
    assert!((48..=52).contains(&counts(&owners)["d"]), "{:?}", counts(&owners));
    let moved: Vec<u32> = moves.iter().flatten().map(|m| m.unit).collect();
    assert_eq!(moved.iter().collect::<BTreeSet<_>>().len(), moved.len(), "none moved twice");
    // The newcomer fails to be of use; what it was given rests for 60 s, then goes back.
    let unit = moved[0];
    let at_ms = placer.decisions[&unit].at_ms;
    assert_eq!(placer.resting_until_ms(at_ms + 1, &unit), Some(at_ms + 60_000));
    assert_eq!(placer.resting_until_ms(at_ms + 60_000, &unit), None);
}

#[test]
fn units_too_coarse_to_be_even_settle() {
    for (loads, ids) in [
        (vec![1.0; 5], vec!["a", "b"]),
        (vec![10.0, 1.0, 1.0], vec!["a", "b", "c"]),
        (vec![7.0, 5.0, 5.0, 3.0, 1.0], vec!["a", "b", "c", "d"]),
        (vec![1.0], vec!["a", "b"]),
    ] {
        let workers: Vec<_> = ids.iter().map(|id| worker(id, 1.0)).collect();
        let units = units(&loads, &ids);
        let mut owners: Owners = units.iter().map(|u| (u.id, "a".to_owned())).collect();
        let mut placer = Placer::new(PlacementConfig::default());
        run(&mut placer, 20, 200, &workers, &units, &mut owners);
        let later = run(&mut placer, 220, 600, &workers, &units, &mut owners);
        assert_eq!(later.iter().flatten().count(), 0, "{loads:?}");
    }
}

#[test]
fn a_swap_is_made_where_no_single_move_helps_and_pays_for_two() {
    let workers = [worker("a", 1.0), worker("b", 1.0)];
    let units = units(&[6.0, 4.0, 3.0, 3.0], &["a", "b"]);
    let mut owners: Owners = [(0, "a"), (1, "a"), (2, "b"), (3, "b")].map(|(u, w)| (u, w.to_owned())).into();
    let mut placer = Placer::new(PlacementConfig { rest_ms: 0, ..Default::default() });
    let moves = run(&mut placer, 20, 4, &workers, &units, &mut owners);
    assert_eq!(moves.iter().map(Vec::len).collect::<Vec<_>>(), [0, 2, 0, 0]);
    let load_of_a: f64 = units.iter().filter(|u| owners[&u.id] == "a").map(|u| u.load).sum();
    assert!((7.0..=9.0).contains(&load_of_a), "{load_of_a}");
}

#[test]
fn zero_and_broken_weights_and_loads_do_no_harm() {
    let ids = ["a", "b"];
    for (x, y) in [(0.0, 0.0), (f64::NAN, 1.0), (f64::INFINITY, -1.0)] {
        let workers = [worker("a", x), worker("b", y)];
        let units = units(&[f64::NAN, f64::INFINITY, -4.0, 1.0], &ids);
        let plan = Placer::new(PlacementConfig::default()).round(0, &workers, &units, &Owners::new());
        assert_eq!(plan.assign.len(), 4);
        assert!(plan.worst_deviation.is_finite());
    }
    let nobody = Placer::new(PlacementConfig::default()).round(0, &[], &units(&[1.0], &ids), &Owners::new());
    assert_eq!(nobody.unplaced, [0]);
}

#[test]
fn explains_the_owner_and_the_others() {
    let ids = ["a", "b", "c"];
    let mut workers = ids.map(|id| worker(id, 1.0));
    workers[1].health = 0.2;
    let units = units(&[2.0, 3.0], &["a", "b"]);
    let mut owners = Owners::new();
    let mut placer = Placer::new(PlacementConfig::default());
    run(&mut placer, 20, 1, &workers, &units, &mut owners);
    let why = placer.explain(21_000, &workers, &units, &owners, &1).unwrap();
    assert_eq!(why.owner.as_deref(), Some("a"));
    assert_eq!(why.decision.as_ref().unwrap().reason, Reason::Orphan);
    let standings: Vec<_> = why.candidates.iter().map(|c| (c.worker.as_str(), c.standing)).collect();
    assert_eq!(standings, [("a", Standing::Takes), ("b", Standing::Unhealthy), ("c", Standing::NotEligible)]);
    let json = serde_json::to_value(&why).unwrap();
    assert_eq!(json["candidates"][1]["standing"], "unhealthy");
    assert!(placer.explain(21_000, &workers, &units, &owners, &9).is_none());
}
