//! Entries that may have ended the owner before: they are tried alone, and counted.

use vtox_protocol::{EntryId, FaultType};

use super::{Owned, PartitionTask};

/// Attempts on a suspect entry before it is answered with a dead letter.
const MAX_ATTEMPTS: u32 = 3;

/// The owner before died with a batch in flight: the entries it may have held are tried alone.
#[derive(Clone, Copy)]
pub(super) struct Suspicion {
    /// Entries appended later cannot have been in flight.
    pub(super) before_ms: u64,
    /// Nor can more of them than a batch holds.
    pub(super) left: usize,
}

impl PartitionTask {
    /// Counts an attempt on `entry` for each lane it is suspect to; answers the lanes it has ended too often.
    pub(super) async fn count_attempts(&mut self, entry: EntryId) -> Vec<FaultType> {
        let mut poisoned = Vec::new();
        let suspicious: Vec<(FaultType, String)> = self
            .lanes
            .iter()
            .filter(|(_, l)| l.suspicion.is_some() && l.cursor < entry)
            .map(|(fault, l)| (*fault, l.token.clone()))
            .collect();
        for (fault, token) in suspicious {
            let lane = self.lane(fault);
            loop {
                match self.work.ownership.attempt(lane, &token, entry).await {
                    Ok(Some(attempts)) => {
                        if attempts > MAX_ATTEMPTS {
                            tracing::warn!(%lane, %entry, "an entry ended {MAX_ATTEMPTS} workers: dead letter");
                            poisoned.push(fault);
                        }
                        break;
                    }
                    Ok(None) => {
                        self.lanes.remove(&fault);
                        break;
                    }
                    Err(error) => tracing::debug!(%error, %lane, "an attempt cannot be counted"),
                }
                if self.pause().await {
                    break;
                }
            }
        }
        poisoned
    }

    /// Takes back the attempts on an entry that was diagnosed: a commit that cannot be done must not make it poison.
    pub(super) async fn survived(&self, entry: EntryId, poisoned: &[FaultType]) {
        let tried = |fault: &FaultType, lane: &Owned| {
            lane.suspicion.is_some() && lane.cursor < entry && !poisoned.contains(fault)
        };
        for (fault, owned) in self.lanes.iter().filter(|(f, l)| tried(f, l)) {
            while let Err(error) = self.work.ownership.survived(self.lane(*fault), &owned.token, entry).await
            {
                tracing::debug!(%error, "an attempt cannot be taken back");
                if self.pause().await {
                    return;
                }
            }
        }
    }
}
