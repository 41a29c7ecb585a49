//! What was moved, and whether it was moved to and fro.

use std::collections::BTreeMap;

use vtox_balancing::Plan;

/// Moves between living workers, and assignments of orphans.
#[derive(Default)]
pub struct Trace {
    /// Load that changed hands, orphans included, messages/s.
    pub moved_load: f64,
    /// Units that moved between living workers.
    pub moved_units: usize,
    /// Units that came back to an owner they had left.
    pub returns: usize,
    /// Per worker the seconds in which it gained (true) or lost (false) load, net.
    flows: BTreeMap<u32, Vec<(u64, bool)>>,
    /// The directions are not noted for now: something has just happened to the cluster.
    settling: bool,
    turns_before: usize,
    left: BTreeMap<u32, Vec<u32>>,
}

impl Trace {
    /// Takes in a plan that is carried out.
    pub fn plan(&mut self, now_s: u64, plan: &Plan<u32, u32>, rates: &[f64]) {
        let rate = |unit: u32| rates[unit as usize];
        self.moved_load += plan.assign.iter().map(|(unit, _)| rate(*unit)).sum::<f64>();
        let mut net: BTreeMap<u32, f64> = BTreeMap::new();
        for m in &plan.moves {
            *net.entry(m.from).or_default() -= rate(m.unit);
            *net.entry(m.to).or_default() += rate(m.unit);
            self.moved_load += rate(m.unit);
            self.moved_units += 1;
            let left = self.left.entry(m.unit).or_default();
            self.returns += usize::from(left.contains(&m.to));
            left.push(m.from);
        }
        if self.settling {
            return;
        }
        for (worker, load) in net.into_iter().filter(|(_, load)| load.abs() > 1e-9) {
            self.flows.entry(worker).or_default().push((now_s, load > 0.0));
        }
    }

    /// Something happens to the cluster, or it has had its time to settle. What a worker gains before and loses after is no
    /// oscillation.
    pub fn settling(&mut self, settling: bool) {
        self.turns_before = self.direction_changes();
        self.flows.clear();
        self.settling = settling;
    }

    /// Most changes of direction of a worker's net flow within any 10 minutes.
    pub fn direction_changes(&self) -> usize {
        let turns = |flows: &Vec<(u64, bool)>| {
            let at: Vec<u64> = flows.windows(2).filter(|w| w[0].1 != w[1].1).map(|w| w[1].0).collect();
            at.iter().map(|t| at.iter().filter(|u| (*t..*t + 600).contains(u)).count()).max().unwrap_or(0)
        };
        self.flows.values().map(turns).max().unwrap_or(0).max(self.turns_before)
    }
}
