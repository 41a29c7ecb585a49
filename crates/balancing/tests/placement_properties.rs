//! What holds for every cluster, however odd.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use vtox_balancing::{PlacementConfig, Placer, Plan, Reason, Unit, Worker};

fn workers() -> impl Strategy<Value = Vec<Worker<u8>>> {
    let rarely = || prop::bool::weighted(0.2);
    let one = (0.0..3.0f64, 0.0..1.0f64, 0..40_000u64, rarely(), rarely(), rarely());
    prop::collection::vec(one, 0..6).prop_map(|all| {
        (0u8..)
            .zip(all)
            .map(|(id, (weight, health, joined_at_ms, draining, failing, overloaded))| Worker {
                id,
                weight,
                health,
                joined_at_ms,
                draining,
                failing,
                overloaded,
            })
            .collect()
    })
}

fn units() -> impl Strategy<Value = Vec<Unit<u16, u8>>> {
    prop::collection::vec((0.0..20.0f64, 1u8..64), 0..60).prop_map(|all| {
        (0u16..)
            .zip(all)
            .map(|(id, (load, mask))| Unit {
                id,
                load,
                eligible: Arc::new((0..6).filter(|w| mask >> w & 1 == 1).collect()),
            })
            .collect()
    })
}

fn check(
    plan: &Plan<u16, u8>,
    workers: &[Worker<u8>],
    units: &[Unit<u16, u8>],
    owners: &BTreeMap<u16, u8>,
) -> Result<(), TestCaseError> {
    let worker = |id: u8| workers.iter().find(|w| w.id == id);
    let takes = |w: &Worker<u8>| w.health >= 0.5 && !w.draining && !w.failing && !w.overloaded;
    let steps = plan.assign.iter().map(|(u, to)| (*u, None, *to, Reason::Orphan));
    let steps = steps.chain(plan.moves.iter().map(|m| (m.unit, Some(m.from), m.to, m.reason)));
    let mut seen = BTreeSet::new();
    for (unit, from, to, reason) in steps {
        prop_assert!(seen.insert(unit), "a unit is decided once");
        let eligible = &units.iter().find(|u| u.id == unit).expect("a known unit").eligible;
        prop_assert_eq!(from, owners.get(&unit).copied().filter(|o| worker(*o).is_some()));
        prop_assert!(eligible.contains(&to) && from != Some(to));
        let to = worker(to).expect("a worker that is there");
        prop_assert!(!to.draining);
        let someone_takes = workers.iter().any(|w| takes(w) && eligible.contains(&w.id));
        prop_assert!(takes(to) || (!someone_takes && !matches!(reason, Reason::Balance | Reason::Overload)));
    }
    for unit in &units.iter().map(|u| u.id).collect::<Vec<_>>() {
        let owned = owners.get(unit).is_some_and(|o| worker(*o).is_some()) || seen.contains(unit);
        prop_assert!(owned || plan.unplaced.contains(unit), "{unit} forgotten");
    }
    let balanced = plan.moves.iter().filter(|m| m.reason == Reason::Balance).count();
    prop_assert!(balanced <= 2, "at most 1 of fewer than 100, or a swap");
    prop_assert!(plan.worst_deviation.is_finite());
    for fill in plan.fills.values() {
        prop_assert!(fill.target.is_finite() && fill.load >= -1e-9 && fill.fill.is_none_or(f64::is_finite));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Two clusters one after the other: the second one's rounds start from the first one's placement.
    #[test]
    fn every_decision_is_legal_and_a_quiet_cluster_comes_to_rest(
        first in workers(),
        second in workers(),
        units in units(),
    ) {
        let mut placer = Placer::new(PlacementConfig::default());
        let mut owners: BTreeMap<u16, u8> = BTreeMap::new();
        let mut last_move_s = 0;
        for s in 0..700 {
            let workers = if s < 20 { &first } else { &second };
            let plan = placer.round(s * 1000, workers, &units, &owners);
            check(&plan, workers, &units, &owners)?;
            if !plan.moves.is_empty() {
                last_move_s = s;
            }
            owners.extend(plan.assign);
            owners.extend(plan.moves.into_iter().map(|m| (m.unit, m.to)));
        }
        prop_assert!(last_move_s < 400, "still moving at {last_move_s} s");
    }
}
