//! Which faults, in which order.

use std::fmt;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tokio::task::LocalSet;

use crate::arena::Arena;
use crate::faults::Fault;
use crate::table::{End, Row, Tested};

/// It is watched for this long after all is well again.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// What has not come when nothing came for so long is lost.
const QUIET: Duration = Duration::from_secs(10);

/// Faults one after the other, each on a cluster of its own.
pub struct Schedule {
    seed: u64,
    /// A fault, and the seed of its choices.
    pub runs: Vec<(Fault, u64)>,
}

impl Schedule {
    /// The short set.
    pub fn quick(seed: u64) -> Self {
        Self::of(seed, Fault::quick())
    }

    /// Everything, in an order drawn from the seed.
    pub fn full(seed: u64) -> Self {
        let mut faults = Fault::full();
        faults.shuffle(&mut StdRng::seed_from_u64(seed));
        Self::of(seed, faults)
    }

    fn of(seed: u64, faults: Vec<Fault>) -> Self {
        // Own seeds: a fault run alone makes the choices it makes among the others.
        let runs = faults.into_iter().map(|fault| (fault, fault.seed(seed))).collect();
        Self { seed, runs }
    }

    /// Keeps the faults whose name contains `text`.
    pub fn retain(&mut self, text: &str) {
        self.runs.retain(|(fault, _)| fault.to_string().contains(text));
    }

    /// Runs them all.
    pub async fn run(self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (fault, seed) in self.runs {
            eprintln!("{fault}");
            // A run that panics fails its row, not the others.
            let local = LocalSet::new();
            let end = local.run_until(async { tokio::task::spawn_local(run(fault, seed)).await }).await;
            let end = end.unwrap_or_else(|error| End::Broken(format!("the run broke down: {error}")));
            let row = Row { fault: fault.to_string(), end };
            for note in row.notes() {
                eprintln!("  {note}");
            }
            rows.push(row);
        }
        rows
    }
}

async fn run(fault: Fault, seed: u64) -> End {
    if let Some(why) = fault.obstacle() {
        return End::Skipped(why);
    }
    let mut arena = Arena::start(&fault.needs(), StdRng::seed_from_u64(seed)).await;
    fault.strike(&mut arena).await;
    arena.recovered().await;
    tokio::time::sleep(AFTERWARDS).await;
    let Arena { cluster, group, fleet, mut complaints, .. } = arena;
    let balance = fleet.settle_after(QUIET).await;
    if fault.interrupts_sending() && balance.unknown.0 == 0 {
        complaints.push("no send was left open: it did not bite".to_owned());
    }
    drop((cluster, group));
    fault.clean_up();
    eprintln!("  {}", balance.summary());
    End::Run(Box::new(Tested {
        may_vanish: fault.may_vanish(),
        balance,
        gap_limit_ms: fault.gap_limit_ms(),
        must_lose: fault.must_lose(),
        complaints,
    }))
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.runs.iter().map(|(fault, _)| fault.to_string()).collect();
        write!(f, "seed {}: {}", self.seed, names.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_one_schedule() {
        let text = |seed| Schedule::full(seed).to_string();
        assert_eq!(text(7), text(7));
        assert_ne!(text(7).split(": ").nth(1), text(8).split(": ").nth(1));
        assert_eq!(Schedule::full(7).runs.len(), Fault::full().len());
    }
}
