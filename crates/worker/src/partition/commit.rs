//! Committing a lane's part of a batch.

use std::collections::BTreeSet;

use vtox_protocol::token::grant_of;
use vtox_protocol::{EntryId, keys};
use vtox_streams::{Commit, Committed, Log, StreamError};

use super::PartitionTask;
use crate::batch::LaneJob;
use crate::stats::Done;

/// How a lane's commit ended.
pub(super) enum Outcome {
    Written,
    /// It is somebody else's now.
    Lost,
    /// The cursor is elsewhere: Redis went back in time. Begin again there.
    Elsewhere(EntryId),
}

impl PartitionTask {
    /// Commits a lane's part of a batch, again and again until it is known how it ended.
    pub(super) async fn commit(&self, token: String, job: LaneJob) -> (LaneJob, Outcome) {
        let lane = self.lane(job.fault);
        let commit = self.build_commit(&token, &job);
        let mut failures = 0_u32;
        loop {
            match self.work.committer.run(&commit).await {
                Ok(Committed::Done | Committed::Repeated) => {
                    let done = Done {
                        lane,
                        results: job.output.results.len() as u64,
                        dead_letters: job.output.dead_letters.len() as u64,
                        diagnosing: job.output.diagnosing,
                    };
                    self.work.stats.committed(done, &job.output.verdicts);
                    return (job, Outcome::Written);
                }
                Ok(Committed::Fenced) => {
                    tracing::info!(%lane, "a commit was refused: the lane has another owner");
                    self.work.stats.refused("fenced");
                    return (job, Outcome::Lost);
                }
                Ok(Committed::Moved(cursor)) => {
                    tracing::warn!(%lane, %cursor, "a commit was refused: the cursor is elsewhere");
                    self.work.stats.refused("moved");
                    return (job, Outcome::Elsewhere(cursor));
                }
                Err(error) => {
                    self.work.stats.failed(lane);
                    if failures.is_multiple_of(25) {
                        match &error {
                            StreamError::WrongType(_) | StreamError::Unexpected(_) => {
                                tracing::error!(%error, %lane, "a commit is not possible; trying again");
                            }
                            _ => tracing::warn!(%error, %lane, "a commit failed; trying again"),
                        }
                    }
                    failures += 1;
                }
            }
            if self.pause().await {
                return (job, Outcome::Lost);
            }
        }
    }

    fn build_commit(&self, token: &str, job: &LaneJob) -> Commit {
        let lane = self.lane(job.fault);
        let output = &job.output;
        let mut commit = Commit::new(Log::of_lane(lane), token, job.cursor, output.last, output.entries);
        let (topology, tag) = (&self.work.topology, lane.partition.tag());
        let results = topology.under(tag, keys::RESULTS);
        let letters = topology.under(tag, keys::DEAD_LETTERS);
        for result in &output.results {
            let grant = [("grant", grant_of(token).to_owned())];
            commit.append(&results, result.fields().into_iter().chain(grant));
        }
        for (letter, raw) in &output.dead_letters {
            commit.append(&letters, letter.fields(raw));
        }
        let states = output
            .results
            .iter()
            .filter(|r| r.replay_of.is_none())
            .map(|r| &r.vehicle_id)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .filter_map(|id| Some((id.to_string(), serde_json::to_vec(&job.vehicles.get(id)?.folded).ok()?)));
        commit.set(&self.partition.state(job.fault), states);
        commit
    }
}
