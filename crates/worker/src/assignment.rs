//! Keeping what is owned in step with what the coordinator assigned.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use vtox_protocol::keys::Partition;
use vtox_protocol::{Assignment, FaultType};
use vtox_registry::{Placement, watch_placement};
use vtox_service_kit::Service;

use crate::partition::{Command, PartitionTask};
use crate::work::Work;

/// The assignment is read this often even when nobody says that it changed.
const POLL: Duration = Duration::from_millis(500);

/// The task of a partition, and the token of each lane it was told to own.
struct Running {
    commands: mpsc::UnboundedSender<Command>,
    tokens: BTreeMap<FaultType, String>,
}

/// Runs until the soft token is cancelled; then waits until everything has been given back.
pub async fn run(service: Arc<Service>, work: Arc<Work>) -> anyhow::Result<()> {
    let placement = Placement::new(service.redis.control.clone());
    let changed = Arc::new(Notify::new());
    let watcher = tokio::spawn({
        let (client, changed) = (service.redis.client.clone(), changed.clone());
        async move { watch_placement(client, &changed).await }
    });
    let mut running = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let soft = service.lifecycle.soft.clone();
    loop {
        tokio::select! {
            () = soft.cancelled() => break,
            () = changed.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
        match placement.of(&work.id).await {
            Ok(assignment) => {
                // What was meant for an earlier run of this worker is not meant for this one.
                let assignment = assignment.filter(|a| a.incarnation == work.incarnation).unwrap_or_default();
                let released = follow(&work, &mut running, &mut tasks, &assignment);
                work.stats.lanes(running.values().map(|r: &Running| r.tokens.len()).sum());
                service.readiness.ready();
                if released {
                    drop(placement.notify("released").await);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the assignment cannot be read");
                service.readiness.not_ready(error.to_string());
            }
        }
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended {
                anyhow::bail!("a partition's task crashed: {error}");
            }
        }
    }
    watcher.abort();
    drop(running);
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a partition's task crashed while it stopped");
        }
    }
    drop(placement.notify("released").await);
    Ok(())
}

/// Gives commands so that exactly the assigned lanes are owned; true when some were told to be given back.
fn follow(
    work: &Arc<Work>,
    running: &mut BTreeMap<Partition, Running>,
    tasks: &mut JoinSet<()>,
    assignment: &Assignment,
) -> bool {
    let mut released = false;
    for (partition, run) in running.iter_mut() {
        let kept = |fault: FaultType, token: &str| {
            assignment
                .grants
                .iter()
                .any(|g| g.partition == *partition && g.fault == fault && g.token == token)
        };
        let gone: Vec<FaultType> =
            run.tokens.iter().filter(|(fault, token)| !kept(**fault, token)).map(|(f, _)| *f).collect();
        for fault in gone {
            run.tokens.remove(&fault);
            released = true;
            drop(run.commands.send(Command::Release(fault)));
        }
    }
    for grant in assignment.grants.iter().filter(|g| work.faults.contains(g.fault)) {
        let run = running.entry(grant.partition).or_insert_with(|| {
            let (commands, receiver) = mpsc::unbounded_channel();
            tasks.spawn(PartitionTask::new(work.clone(), grant.partition, receiver).run());
            Running { commands, tokens: BTreeMap::new() }
        });
        if run.tokens.get(&grant.fault) != Some(&grant.token) {
            run.tokens.insert(grant.fault, grant.token.clone());
            drop(run.commands.send(Command::Own(grant.clone())));
        }
    }
    released
}
