//! Writing tokens and assignments.

use std::collections::BTreeMap;
use std::time::Instant;

use futures::future::join_all;
use vtox_protocol::{Assignment, Position, token};
use vtox_streams::{Granted, Lane};

use super::Control;
use super::leading::Leading;
use crate::fleet::Alive;
use crate::lanes::Lanes;

/// Grants written at the same time.
const GRANTS_AT_ONCE: usize = 64;

impl Control {
    /// Writes the tokens that are due. False when a later leader has stamped a key.
    pub(super) async fn grant(
        &mut self,
        now_ms: u64,
        leading: &mut Leading,
        alive: &BTreeMap<String, Alive>,
    ) -> anyhow::Result<bool> {
        let due = leading.lanes.due(now_ms, alive, self.handover_ms);
        for chunk in due.chunks(GRANTS_AT_ONCE) {
            let began = Instant::now();
            let calls = chunk.iter().filter_map(|grant| {
                let run = &alive.get(&grant.to)?.incarnation;
                let term = leading.stamp.split(':').next().unwrap_or_default();
                let token = token::make(term, run, &uuid::Uuid::new_v4().simple().to_string());
                let (ownership, stamp) = (&self.ownership, &leading.stamp);
                Some(async move {
                    let answer =
                        ownership.grant(stamp, grant.lane, Some(&grant.from), &token, grant.owner_died).await;
                    (grant, token, answer)
                })
            });
            for (grant, token, answer) in join_all(calls).await {
                let Some(state) = leading.lanes.0.get_mut(&grant.lane) else {
                    continue;
                };
                match answer {
                    Ok(Granted::Done { suspect }) => {
                        if grant.forced {
                            tracing::warn!(lane = %grant.lane, to = grant.to, "taken over: not given back in time");
                            self.metrics.forced.inc();
                        }
                        state.owner = token;
                        state.granted_ms = now_ms;
                        state.suspect = suspect;
                        state.asked_ms = None;
                        leading.grants += 1;
                        self.metrics.grants.inc();
                    }
                    Ok(Granted::Held(owner)) => {
                        state.owner = owner;
                        // Perhaps our own grant, whose answer was lost.
                        state.suspect |= grant.owner_died;
                    }
                    Ok(Granted::Stale(stamp)) => {
                        tracing::warn!(stamp, lane = %grant.lane, "another term is on an ownership key");
                        return Ok(false);
                    }
                    Err(error) => tracing::warn!(%error, lane = %grant.lane, "a grant failed"),
                }
            }
            leading.grant_time += began.elapsed();
        }
        Ok(true)
    }

    /// Tells the workers what they own: nothing, while consumption is stopped.
    pub(super) async fn write_assignments(
        &self,
        leading: &mut Leading,
        alive: &BTreeMap<String, Alive>,
        consumption: Position,
    ) -> anyhow::Result<()> {
        let assignments = match consumption {
            Position::Running => leading.lanes.assignments(alive),
            Position::Stopped => Lanes::nothing(alive),
        };
        let changed: Vec<(&str, &Assignment)> = assignments
            .iter()
            .filter(|(id, a)| leading.written.get(*id) != Some(*a))
            .map(|(id, a)| (id.as_str(), a))
            .collect();
        let gone: Vec<&str> =
            leading.written.keys().filter(|id| !assignments.contains_key(*id)).map(String::as_str).collect();
        if !changed.is_empty() || !gone.is_empty() {
            self.placement.write(changed, gone).await?;
            leading.written = assignments;
        }
        Ok(())
    }

    /// Reads the owners of some lanes, or of all.
    pub(super) async fn read_owners(
        &self,
        leading: &mut Leading,
        lanes: Option<Vec<Lane>>,
    ) -> anyhow::Result<()> {
        let lanes = lanes.unwrap_or_else(|| leading.lanes.0.keys().copied().collect());
        if lanes.is_empty() {
            return Ok(());
        }
        let owners = self.ownership.owners(&lanes).await?;
        for (lane, owner) in lanes.into_iter().zip(owners) {
            if let Some(state) = leading.lanes.0.get_mut(&lane) {
                state.owner = owner;
            }
        }
        Ok(())
    }
}
