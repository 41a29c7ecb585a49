//! Which workers there are to be, and with which fault types.

use std::collections::BTreeMap;

use vtox_protocol::{FaultSet, FaultType};

/// Name and fault types of the workers of a cluster: `total` among which the fault types are divided, and then as many
/// for single fault types as `of_faults` asks for. What is too much is taken from the last ones; a worker for which
/// nothing is left does not appear.
pub fn wanted(total: u16, of_faults: &BTreeMap<FaultType, u16>) -> BTreeMap<String, FaultSet> {
    let mut workers: BTreeMap<String, FaultSet> = split(total)
        .into_iter()
        .enumerate()
        .map(|(n, faults)| (format!("worker-{}", n + 1), faults))
        .collect();
    if total == 0 {
        return workers;
    }
    for (fault, count) in of_faults {
        let count = usize::from(*count);
        let mut serving: Vec<String> =
            workers.iter().filter(|(_, f)| f.contains(*fault)).map(|(name, _)| name.clone()).collect();
        serving.sort_by_key(|name| (name.len(), name.clone()));
        for name in serving.iter().skip(count) {
            if let Some(faults) = workers.get_mut(name) {
                *faults = faults.without(*fault);
            }
        }
        for n in serving.len()..count {
            let name = format!("worker-{fault}-{}", n + 1);
            workers.insert(name, FaultSet::EMPTY.with(*fault));
        }
    }
    workers.retain(|_, faults| !faults.is_empty());
    workers
}

/// Fault types of each of `workers` workers: divided among up to five, all for each of more.
fn split(workers: u16) -> Vec<FaultSet> {
    let workers = usize::from(workers);
    if workers == 0 {
        return Vec::new();
    }
    if workers > FaultType::ALL.len() {
        return vec![FaultSet::ALL; workers];
    }
    let share = FaultType::ALL.len().div_ceil(workers);
    let mut shares: Vec<FaultSet> =
        FaultType::ALL.chunks(share).map(|faults| faults.iter().copied().collect()).collect();
    // Chunks may come out one short (5 into 4); the first share that has two gives one away.
    while shares.len() < workers {
        let Some(wide) = shares.iter().position(|s| s.len() > 1) else {
            break;
        };
        let moved = shares[wide].iter().last();
        if let Some(fault) = moved {
            shares[wide] = shares[wide].without(fault);
            shares.push(FaultSet::EMPTY.with(fault));
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fault_types_are_divided_as_the_modes_say() {
        let names = |workers| split(workers).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(3), ["turn_fault,insulation", "bearing,eccentricity", "broken_bar"]);
        assert_eq!(names(2).len(), 2);
        for workers in 1..=5 {
            let shares = split(workers);
            assert_eq!(shares.len(), usize::from(workers));
            assert_eq!(shares.iter().map(|s| s.len()).sum::<usize>(), 5);
        }
        assert!(split(6).iter().all(|s| *s == FaultSet::ALL));
    }

    #[test]
    fn a_fault_type_gets_workers_of_its_own() {
        let workers = wanted(3, &BTreeMap::from([(FaultType::Bearing, 3)]));
        let names: Vec<&str> = workers.keys().map(String::as_str).collect();
        assert_eq!(names, ["worker-1", "worker-2", "worker-3", "worker-bearing-2", "worker-bearing-3"]);
        assert!(wanted(0, &BTreeMap::from([(FaultType::Bearing, 3)])).is_empty());
    }

    proptest! {
        #[test]
        fn every_fault_type_has_as_many_workers_as_were_asked_for(
            total in 1_u16..=24,
            asked in proptest::collection::btree_map(0_usize..5, 1_u16..=20, 0..=5),
        ) {
            let asked: BTreeMap<FaultType, u16> =
                asked.into_iter().map(|(n, count)| (FaultType::ALL[n], count)).collect();
            let workers = wanted(total, &asked);
            prop_assert!(workers.values().all(|faults| !faults.is_empty()));
            for fault in FaultType::ALL {
                let serving = workers.values().filter(|f| f.contains(fault)).count();
                let usual = if total > 5 { usize::from(total) } else { 1 };
                prop_assert_eq!(serving, asked.get(&fault).map_or(usual, |count| usize::from(*count)));
            }
        }
    }
}
