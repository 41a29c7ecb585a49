//! Placement under thousands of rounds, with the code that runs in production: measured loads, capacities, overload and
//! the placer. `cargo test -p vtox-balancing --test placement_simulation -- --nocapture` prints the figures.

mod cluster;
mod scenarios;
mod trace;

use scenarios::{Figures, SCENARIOS, Scenario};

/// Within 10 minutes, per worker.
const MOST_DIRECTION_CHANGES: usize = 2;

fn merge(a: &Figures, b: &Figures) -> Figures {
    Figures {
        worst: a.worst.max(b.worst),
        moved: a.moved + b.moved,
        least: a.least + b.least,
        worst_ratio: a.worst_ratio.max(b.worst_ratio),
        turns: a.turns.max(b.turns),
        returns: a.returns + b.returns,
        moved_units: a.moved_units + b.moved_units,
    }
}

fn run(scenario: &Scenario) -> Result<(), String> {
    let per_seed: Vec<Figures> = (0..scenario.seeds)
        .map(|seed| {
            let mut figures = (scenario.run)(seed);
            figures.worst_ratio = if figures.least > 0.0 { figures.moved / figures.least } else { 0.0 };
            figures
        })
        .collect();
    let all = per_seed.into_iter().reduce(|a, b| merge(&a, &b)).expect("seeds");
    let ratio = if all.least > 0.0 { format!("{:.3}", all.moved / all.least) } else { "-".to_owned() };
    println!(
        "{:<58} | {:>2} | {:>5.2} % | {:>5} | {:>5} | {:>2} | {:>2}",
        scenario.name,
        scenario.seeds,
        100.0 * all.worst,
        ratio,
        all.moved_units,
        all.turns,
        all.returns
    );
    let mut wrong = Vec::new();
    if all.worst > scenario.worst {
        wrong.push(format!("deviation {:.4} above {}", all.worst, scenario.worst));
    }
    // With noise what a single run corrects afterwards is left to chance; over all of them it is not.
    let ratio = if scenario.worst > 0.05 { all.moved / all.least.max(1.0) } else { all.worst_ratio };
    if all.least > 0.0 && ratio > 1.1 {
        wrong.push(format!("moved {ratio:.3} times the minimum"));
    }
    if all.turns > MOST_DIRECTION_CHANGES {
        wrong.push(format!("{} changes of direction in 10 minutes", all.turns));
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}: {}", scenario.name, wrong.join(", "))) }
}

#[test]
fn placement_keeps_to_its_limits() {
    println!(
        "{:<58} | {:>2} | {:>7} | {:>5} | {:>5} | {:>2} | {:>2}",
        "scenario (moved: over the minimum; turns: per worker in 10 min)",
        "n",
        "worst",
        "moved",
        "units",
        "tu",
        "re"
    );
    let wrong: Vec<String> = SCENARIOS.iter().filter_map(|s| run(s).err()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
