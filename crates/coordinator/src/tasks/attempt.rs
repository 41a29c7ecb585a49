//! One attempt: one request to one worker, and what it says of the worker.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use vtox_balancing::routing::{Outcome, Pick};
use vtox_protocol::FaultSet;
use vtox_protocol::task::{OUTCOME_HEADER, TIMEOUT_HEADER};
use vtox_service_kit::trace::TRACEPARENT;

use super::Tasks;
use super::answer::{Verdicts, WorkerAnswer};

/// An attempt that got less time than this and ran out of it says nothing of the worker, ms.
const JUDGED_MS: u64 = 500;

/// How an attempt ended.
pub enum End {
    /// With verdicts.
    Verdicts(Verdicts),
    /// The task is refused; another worker would do the same.
    Refused(StatusCode, Bytes),
    /// Another worker may do it: what to count it as, and what happened.
    Retry(&'static str, String),
}

/// A pick in flight. An attempt that is dropped, because its client went away, is given back without a judgement.
pub struct Flight {
    tasks: Arc<Tasks>,
    pick: Option<Pick>,
}

impl Flight {
    /// Takes a pick.
    pub fn new(tasks: Arc<Tasks>, pick: Pick) -> Self {
        Self { tasks, pick: Some(pick) }
    }

    fn land(mut self, outcome: Outcome) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: Outcome) {
        if let Some(pick) = self.pick.take() {
            let now_ms = self.tasks.now_ms();
            self.tasks.router().finish(now_ms, pick, outcome);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.finish(Outcome::Cancelled);
    }
}

/// What is asked of a worker.
pub struct Request {
    /// Its address.
    pub url: String,
    /// Fault types.
    pub faults: FaultSet,
    /// The block in binary form.
    pub block: Bytes,
    /// Longest time for the answer.
    pub time: Duration,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// Sends the request and judges the worker.
pub async fn attempt(flight: Flight, request: Request) -> End {
    let (end, outcome) = ask(&flight.tasks.client, request).await;
    flight.land(outcome);
    end
}

async fn ask(client: &reqwest::Client, request: Request) -> (End, Outcome) {
    let time_ms = request.time.as_millis() as u64;
    let mut call = client
        .post(format!("{}/diagnose", request.url))
        .query(&[("fault_type", request.faults.to_string())])
        .header("content-type", "application/msgpack")
        // Less than there is, so that a worker that is only busy says so in time.
        .header(TIMEOUT_HEADER, (time_ms * 9 / 10).max(1))
        .timeout(request.time)
        .body(request.block);
    if let Some(parent) = request.traceparent {
        call = call.header(TRACEPARENT, parent);
    }
    let answered = async {
        let response = call.send().await?;
        let crashed = response.headers().get(OUTCOME_HEADER).is_some_and(|o| o == "crashed");
        Ok::<_, reqwest::Error>((response.status(), crashed, response.bytes().await?))
    };
    match answered.await {
        Ok((status, crashed, body)) => judge(status, crashed, body, request.faults),
        Err(error) if error.is_timeout() && !error.is_connect() => {
            let outcome = if time_ms >= JUDGED_MS { Outcome::Timeout } else { Outcome::TooSlow };
            (End::Retry("timeout", format!("no answer within {time_ms} ms")), outcome)
        }
        Err(error) if error.is_connect() => {
            (End::Retry("connect", "it cannot be reached".to_owned()), Outcome::Failure)
        }
        Err(error) => {
            tracing::debug!(%error, "an attempt was cut off");
            (End::Retry("cut_off", "the connection broke".to_owned()), Outcome::Failure)
        }
    }
}

fn judge(status: StatusCode, crashed: bool, body: Bytes, asked: FaultSet) -> (End, Outcome) {
    if crashed {
        return (End::Refused(status, body), Outcome::Cancelled);
    }
    if status.is_success() {
        let whole = |verdicts: &Verdicts| asked.iter().all(|fault| verdicts.contains_key(fault.name()));
        return match serde_json::from_slice::<WorkerAnswer>(&body) {
            Ok(answer) if whole(&answer.verdicts) => (End::Verdicts(answer.verdicts), Outcome::Success),
            _ => (End::Retry("answer", "its answer cannot be read".to_owned()), Outcome::Failure),
        };
    }
    let retry = |reason| End::Retry(reason, format!("it answered {status}"));
    match status {
        // It is busy, not broken.
        StatusCode::GATEWAY_TIMEOUT => (retry("timeout"), Outcome::TooSlow),
        status if status.is_client_error() => (End::Refused(status, body), Outcome::Success),
        _ => (retry("status"), Outcome::Failure),
    }
}
