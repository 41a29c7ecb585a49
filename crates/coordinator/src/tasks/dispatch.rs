//! The way of a task: divided where no single worker serves all of it, tried again where a worker fails, put together at the end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;
use vtox_balancing::routing::Routing;
use vtox_protocol::FaultSet;

use super::Tasks;
use super::answer::{Failed, Verdicts, Way, Why};
use super::attempt::{End, Flight, Request, attempt};
use super::crew::Crew;

/// Attempts at a part of a task.
const MAX_ATTEMPTS: u32 = 3;

/// A task.
pub struct Task {
    /// Fault types asked for.
    pub faults: FaultSet,
    /// The block in binary form, never looked into.
    pub block: Bytes,
    /// When its time is over.
    pub deadline: Instant,
    /// Key for `consistent_hash`.
    pub affinity: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// Fault types of a task that go to one worker.
#[derive(Clone)]
struct Part {
    faults: FaultSet,
    /// Workers that failed at it.
    tried: BTreeSet<String>,
    /// Attempts made.
    attempts: u32,
    /// What happened in them.
    story: Vec<String>,
}

/// Diagnoses a task.
pub async fn dispatch(tasks: &Arc<Tasks>, task: &Task, way: &mut Way) -> Result<Verdicts, Failed> {
    let mut verdicts = Verdicts::new();
    let mut running = FuturesUnordered::new();
    let mut ready =
        vec![Part { faults: task.faults, tried: BTreeSet::new(), attempts: 0, story: Vec::new() }];
    loop {
        while let Some(part) = ready.pop() {
            for part in divide(tasks, &part)? {
                let (worker, request, flight) = begin(tasks, task, &part, way)?;
                let why = way.why.as_ref().map(|all| all.len() - 1);
                running.push(async move { (part, worker, why, attempt(flight, request).await) });
            }
        }
        let Some((mut part, worker, why, end)) = running.next().await else { return Ok(verdicts) };
        let mut note = |outcome: &str| {
            if let Some(why) = why.and_then(|n| way.why.as_mut()?.get_mut(n)) {
                outcome.clone_into(&mut why.outcome);
            }
        };
        match end {
            End::Verdicts(found) => {
                note("answered");
                way.workers.push(worker);
                verdicts.extend(found);
            }
            End::Refused(status, body) => {
                way.workers.push(worker);
                return Err(Failed::Refused(status, body));
            }
            End::Retry(reason, what) => {
                note(&what);
                part.story.push(format!("{worker}: {what}"));
                part.tried.insert(worker);
                part.attempts += 1;
                if Instant::now() >= task.deadline {
                    return Err(Failed::deadline(format!("the time is over; {}", part.story.join("; "))));
                }
                if part.attempts >= MAX_ATTEMPTS {
                    return Err(gave_up(&part));
                }
                tasks.metrics.retried(reason);
                ready.push(part);
            }
        }
    }
}

/// Divides a part where no single worker that may be picked serves all of it.
fn divide(tasks: &Tasks, part: &Part) -> Result<Vec<Part>, Failed> {
    let crew = tasks.crew.borrow().clone();
    let now_ms = tasks.now_ms();
    let router = tasks.router();
    let divided = crew.split(part.faults, |id| !part.tried.contains(id) && router.admits(now_ms, id));
    match divided {
        Ok(sets) => Ok(sets.into_iter().map(|faults| Part { faults, ..part.clone() }).collect()),
        Err(_) if part.attempts > 0 => Err(gave_up(part)),
        Err(unserved) => {
            let wait_ms = router.opens_in_ms(now_ms, crew.serving(unserved));
            Err(nobody(&crew, unserved, wait_ms))
        }
    }
}

fn gave_up(part: &Part) -> Failed {
    let detail = format!("no other worker is left to try {}: {}", part.faults, part.story.join("; "));
    Failed::here(StatusCode::BAD_GATEWAY, "workers_failed", detail)
}

fn nobody(crew: &Crew, unserved: FaultSet, wait_ms: u64) -> Failed {
    if crew.split(unserved, |_| true).is_ok() {
        let retry_after_s = wait_ms.div_ceil(1_000).max(1);
        return Failed::unavailable(
            "workers_failing",
            retry_after_s,
            format!(
                "the workers that serve {unserved} have failed and get nothing for a moment; try again in {retry_after_s} s"
            ),
        );
    }
    Failed::unavailable(
        "no_worker",
        2,
        format!("no worker that lives serves {unserved}; start one, or ask for other fault types"),
    )
}

/// Picks a worker for a part.
fn begin(
    tasks: &Arc<Tasks>,
    task: &Task,
    part: &Part,
    way: &mut Way,
) -> Result<(String, Request, Flight), Failed> {
    let crew = tasks.crew.borrow().clone();
    let candidates = crew.candidates(part.faults, &part.tried);
    let now_ms = tasks.now_ms();
    let (pick, standings, strategy) = {
        let mut router = tasks.router();
        let standings = way.why.is_some().then(|| router.explain(now_ms, &candidates));
        let pick = router.pick(now_ms, &candidates, task.affinity.as_deref(), rand::random());
        let Routing { strategy, .. } = router.routing();
        (pick, standings, *strategy)
    };
    let found = pick.and_then(|pick| Some((crew.get(&pick.worker)?.url.clone(), pick)));
    let Some((url, pick)) = found else {
        // A probe of somebody else came in between.
        return Err(nobody(&crew, part.faults, 0));
    };
    way.attempts += 1;
    let worker = pick.worker.clone();
    if let (Some(why), Some(candidates)) = (&mut way.why, standings) {
        why.push(Why {
            attempt: part.attempts + 1,
            fault_types: part.faults,
            strategy: strategy.name(),
            worker: worker.clone(),
            candidates,
            outcome: "pending".to_owned(),
        });
    }
    // Attempts that may still follow get as much time as this one.
    let left = task.deadline.saturating_duration_since(Instant::now());
    let attempts = (candidates.len() as u32).min(MAX_ATTEMPTS - part.attempts).max(1);
    let request = Request {
        url,
        faults: part.faults,
        block: task.block.clone(),
        time: (left / attempts).max(Duration::from_millis(1)),
        traceparent: task.traceparent.clone(),
    };
    Ok((worker, request, Flight::new(tasks.clone(), pick)))
}
