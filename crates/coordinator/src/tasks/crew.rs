//! The workers tasks may go to.

use std::collections::{BTreeMap, BTreeSet};

use vtox_balancing::ScoreWeights;
use vtox_balancing::routing::Candidate;
use vtox_protocol::{FaultSet, ServiceStatus, ServiceType};
use vtox_registry::Members;

use crate::fleet::score;

/// A worker that lives.
#[derive(Debug, Clone)]
pub struct Mate {
    /// `http://HOST:PORT`.
    pub url: String,
    /// Fault types it serves.
    pub faults: FaultSet,
    /// Its score, 0 to 1.
    pub score: f64,
    /// Its cores.
    pub cores: f64,
}

/// The workers that live, by id.
#[derive(Debug, Clone, Default)]
pub struct Crew(BTreeMap<String, Mate>);

impl Crew {
    /// Workers whose heartbeat is within the lease, and that neither stop nor are to be drained.
    pub fn of(members: &Members, lease_ms: u64, weights: &ScoreWeights) -> Self {
        let workers = members.services.values().filter(|record| {
            record.service_type == ServiceType::Worker
                && matches!(record.status, ServiceStatus::Healthy | ServiceStatus::Unhealthy)
                && members.silence_ms(&record.service_id).is_some_and(|silence| silence < lease_ms)
                && !members.draining.contains_key(&record.service_id)
        });
        Self(
            workers
                .filter_map(|record| {
                    let load = members.loads.get(&record.service_id).filter(|load| !load.draining)?;
                    let mate = Mate {
                        url: format!("http://{}:{}", record.host, record.port),
                        faults: record.capabilities,
                        score: score(weights, load).total,
                        cores: load.cores,
                    };
                    Some((record.service_id.clone(), mate))
                })
                .collect(),
        )
    }

    /// Cores of all.
    pub fn cores(&self) -> f64 {
        self.0.values().map(|mate| mate.cores.max(1.0)).sum()
    }

    /// A worker.
    pub fn get(&self, id: &str) -> Option<&Mate> {
        self.0.get(id)
    }

    /// Workers that serve something of the fault types.
    pub fn serving(&self, faults: FaultSet) -> impl Iterator<Item = &str> {
        let some = move |mate: &Mate| !mate.faults.intersection(faults).is_empty();
        self.0.iter().filter(move |(_, mate)| some(mate)).map(|(id, _)| id.as_str())
    }

    /// Workers that serve all the fault types, without some.
    pub fn candidates(&self, faults: FaultSet, without: &BTreeSet<String>) -> Vec<Candidate> {
        let fits =
            |id: &String, mate: &Mate| mate.faults.intersection(faults) == faults && !without.contains(id);
        let candidate = |(id, mate): (&String, &Mate)| Candidate { id: id.clone(), score: mate.score };
        self.0.iter().filter(|(id, mate)| fits(id, mate)).map(candidate).collect()
    }

    /// Divides fault types into as few parts as greedily possible, each served by a worker that `may` have it; the fault types
    /// nobody serves otherwise.
    pub fn split(&self, faults: FaultSet, may: impl Fn(&str) -> bool) -> Result<Vec<FaultSet>, FaultSet> {
        let served: BTreeSet<FaultSet> =
            self.0.iter().filter(|(id, _)| may(id)).map(|(_, mate)| mate.faults).collect();
        let (mut left, mut parts) = (faults, Vec::new());
        while !left.is_empty() {
            let part = served.iter().map(|s| s.intersection(left)).max_by_key(|part| part.len());
            let Some(part) = part.filter(|p| !p.is_empty()) else { return Err(left) };
            parts.push(part);
            left = part.iter().fold(left, FaultSet::without);
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crew(workers: &[(&str, &str)]) -> Crew {
        let mate = |faults: &str| Mate {
            url: String::new(),
            faults: faults.parse().unwrap(),
            score: 1.0,
            cores: 2.0,
        };
        Crew(workers.iter().map(|(id, faults)| ((*id).to_owned(), mate(faults))).collect())
    }

    #[test]
    fn tasks_are_split_only_where_no_worker_serves_all() {
        let split = |crew: &Crew| {
            crew.split(FaultSet::ALL, |_| true)
                .map(|parts| parts.iter().map(FaultSet::to_string).collect::<Vec<_>>())
        };
        let three =
            crew(&[("a", "turn_fault,insulation"), ("b", "bearing,eccentricity"), ("c", "broken_bar")]);
        assert_eq!(split(&three).unwrap().len(), 3);
        let one = crew(&[("a", "turn_fault"), ("b", "all")]);
        assert_eq!(split(&one).unwrap(), [FaultSet::ALL.to_string()]);
        let lacking = crew(&[("a", "turn_fault,insulation"), ("c", "broken_bar")]);
        assert_eq!(split(&lacking).unwrap_err().to_string(), "bearing,eccentricity");
        assert_eq!(one.split(FaultSet::ALL, |id| id != "b").unwrap_err().len(), 4);
    }

    #[test]
    fn candidates_serve_everything_and_were_not_tried() {
        let crew = crew(&[("a", "all"), ("b", "bearing"), ("c", "bearing,broken_bar")]);
        let ids = |faults: &str, tried: &[&str]| -> Vec<String> {
            let tried = tried.iter().map(|t| (*t).to_owned()).collect();
            crew.candidates(faults.parse().unwrap(), &tried).into_iter().map(|c| c.id).collect()
        };
        assert_eq!(ids("bearing", &[]), ["a", "b", "c"]);
        assert_eq!(ids("bearing,broken_bar", &["a"]), ["c"]);
        assert_eq!(crew.cores(), 6.0);
    }
}
