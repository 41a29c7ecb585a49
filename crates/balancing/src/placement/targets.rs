//! Fair parts of the load where not every worker may own every unit.

/// Sweeps over the classes; two are enough where all workers are eligible for everything.
const MAX_SWEEPS: usize = 60;
/// Halvings of the level; leaves 2^-60 of it.
const HALVINGS: usize = 60;

/// Load that may go to the same workers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Class {
    pub load: f64,
    /// Workers that may have it, as indices.
    pub eligible: Vec<usize>,
}

/// The division of the loads that minimises sum(target^2 / weight), and with it the highest fill,
/// with no worker above its cap unless its class fits nowhere else. Found by filling one class
/// after the other around what the others have been given, until nothing changes: coordinate
/// descent on a convex function. `weights` are > 0.
pub(super) fn targets(weights: &[f64], caps: &[f64], classes: &[Class]) -> Vec<f64> {
    let mut targets = vec![0.0; weights.len()];
    let mut given: Vec<Vec<f64>> = classes.iter().map(|c| vec![0.0; c.eligible.len()]).collect();
    let total: f64 = classes.iter().map(|c| c.load).sum();
    for _ in 0..MAX_SWEEPS {
        let mut change = 0.0f64;
        for (class, given) in classes.iter().zip(&mut given) {
            for (worker, amount) in class.eligible.iter().zip(given.iter()) {
                targets[*worker] -= amount;
            }
            let pots: Vec<Pot> = class
                .eligible
                .iter()
                .map(|&w| Pot {
                    weight: weights[w],
                    content: targets[w].max(0.0),
                    room: (caps[w] - targets[w]).max(0.0),
                })
                .collect();
            for ((worker, amount), next) in class.eligible.iter().zip(given).zip(pour(class.load, &pots)) {
                change = change.max((*amount - next).abs());
                *amount = next;
                targets[*worker] += next;
            }
        }
        if change <= 1e-9 * total {
            break;
        }
    }
    targets
}

/// A worker as one class sees it.
struct Pot {
    weight: f64,
    /// What other classes have put in.
    content: f64,
    /// What may still be put in.
    room: f64,
}

/// Pours `load` into pots so that those that get any stand at the same level (content / weight).
fn pour(load: f64, pots: &[Pot]) -> Vec<f64> {
    let fits = pots.iter().map(|p| p.room).sum::<f64>() >= load;
    let at = |level: f64, p: &Pot| {
        let amount = (level * p.weight - p.content).max(0.0);
        if fits { amount.min(p.room) } else { amount }
    };
    let poured = |level: f64| pots.iter().map(|p| at(level, p)).sum::<f64>();
    let mut low = 0.0;
    let mut high = pots.iter().map(|p| (p.content + load) / p.weight).fold(0.0, f64::max);
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if poured(middle) < load {
            low = middle;
        } else {
            high = middle;
        }
    }
    let sum = poured(high);
    let scale = if sum > 0.0 { load / sum } else { 0.0 };
    pots.iter().map(|p| at(high, p) * scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPEN: f64 = f64::INFINITY;

    fn close(got: &[f64], expected: &[f64]) {
        for (g, e) in got.iter().zip(expected) {
            assert!((g - e).abs() < 1e-6 * (1.0 + e), "{got:?} against {expected:?}");
        }
    }

    #[test]
    fn follow_the_weights_where_everyone_may_have_everything() {
        let class = Class { load: 100.0, eligible: vec![0, 1, 2] };
        close(&targets(&[1.0, 1.0, 3.0], &[OPEN; 3], &[class]), &[20.0, 20.0, 60.0]);
    }

    #[test]
    fn a_class_of_one_worker_makes_room_for_itself() {
        let classes =
            [Class { load: 40.0, eligible: vec![0] }, Class { load: 60.0, eligible: vec![0, 1, 2] }];
        close(&targets(&[1.0; 3], &[OPEN; 3], &classes), &[40.0, 30.0, 30.0]);
    }

    #[test]
    fn a_chain_of_classes_is_levelled_through() {
        let classes =
            [Class { load: 90.0, eligible: vec![0, 1] }, Class { load: 30.0, eligible: vec![1, 2] }];
        close(&targets(&[1.0; 3], &[OPEN; 3], &classes), &[45.0, 45.0, 30.0]);
        let classes =
            [Class { load: 50.0, eligible: vec![0, 1] }, Class { load: 70.0, eligible: vec![1, 2] }];
        close(&targets(&[1.0; 3], &[OPEN; 3], &classes), &[40.0, 40.0, 40.0]);
    }

    #[test]
    fn caps_hold_unless_it_fits_nowhere() {
        let class = Class { load: 90.0, eligible: vec![0, 1, 2] };
        close(&targets(&[1.0; 3], &[10.0, OPEN, OPEN], std::slice::from_ref(&class)), &[10.0, 40.0, 40.0]);
        close(&targets(&[1.0; 3], &[10.0, 10.0, 10.0], &[class]), &[30.0, 30.0, 30.0]);
    }

    proptest! {
        #[test]
        fn give_away_all_load_with_the_lowest_possible_highest_fill(
            weights in prop::collection::vec(0.1..10.0f64, 5),
            classes in prop::collection::vec((0.0..100.0f64, 1u8..32), 1..6),
        ) {
            let classes: Vec<Class> = classes
                .into_iter()
                .map(|(load, mask)| Class { load, eligible: (0..5).filter(|w| mask >> w & 1 == 1).collect() })
                .collect();
            let got = targets(&weights, &[OPEN; 5], &classes);
            let total: f64 = classes.iter().map(|c| c.load).sum();
            prop_assert!((got.iter().sum::<f64>() - total).abs() <= 1e-6 * (1.0 + total));
            prop_assert!(got.iter().all(|t| t.is_finite() && *t >= -1e-9));

            // No division can do better than the tightest set of classes over all it may use.
            let bound = (1u32..1 << classes.len())
                .map(|set| {
                    let chosen = || classes.iter().enumerate().filter(|(c, _)| set >> c & 1 == 1).map(|(_, c)| c);
                    let load: f64 = chosen().map(|c| c.load).sum();
                    let may = |w: &usize| chosen().any(|c| c.eligible.contains(w));
                    load / (0..5).filter(may).map(|w| weights[w]).sum::<f64>()
                })
                .fold(0.0, f64::max);
            let highest = got.iter().zip(&weights).map(|(t, w)| t / w).fold(0.0, f64::max);
            prop_assert!(highest <= bound * 1.005 + 1e-9, "{highest} against {bound}");
        }
    }
}
