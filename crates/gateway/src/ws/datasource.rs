//! Data sources: each frame is a signal block with its vehicle. What was kept is acknowledged in batches, in the order of the
//! frames.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Extension, State};
use axum::response::Response;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, sleep_until, timeout};
use vtox_service_kit::clock;
use vtox_service_kit::wire::Meter;

use super::pipeline::{Frame, Outcome, Pipeline};
use super::{KEEPALIVE, SEND_LIMIT, admit, close, idle};
use crate::api::Api;
use crate::door::body;
use crate::door::standing::Standing;
use crate::reply::{Detail, Refusal};

/// Most frames that one acknowledgement is for, and how long the first of them waits for it.
const ACK_FRAMES: usize = 64;
const ACK_WAIT: Duration = Duration::from_millis(100);
/// Read ahead of a data source, bytes.
const READ_BUFFER: usize = 16 << 10;
/// Pause before the next frame is read after one that must be sent again; doubles up to the time that the refusal names.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How long a close frame may take to reach whoever is still sending.
const LINGER: Duration = Duration::from_secs(1);

/// Send signal blocks
///
/// A WebSocket. Each text frame is `{"vehicle_id": ..., "sensor_data": {...}}`, with `metadata`, `location` and `key` as in a
/// batch, or has the fields of `sensor_data` beside `vehicle_id`. Each binary frame is the same as a MessagePack map with the
/// binary form in `block`. Acknowledgements come in batches; what is among `message_ids` is kept, and will be diagnosed once.
#[utoipa::path(
    get,
    path = "/ws/datasource",
    tag = "WebSockets",
    responses(
        (status = 101, description = "The WebSocket is open."),
        (status = 426, description = "The request asks for no upgrade.", body = Detail),
    ),
)]
pub async fn connect(
    State(api): State<Arc<Api>>,
    Extension(standing): Extension<Standing>,
    Extension(meter): Extension<Meter>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let (upgrade, place) = admit(&api.sources, &standing.principal, upgrade)?;
    let limit = api.service.settings.gateway.body_limit_bytes;
    // Tracked: the server itself does not wait for upgraded connections.
    let tracked = api.service.lifecycle.tasks.token();
    let upgrade = upgrade
        .max_message_size(limit)
        .max_frame_size(limit)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0);
    // What has arrived of a frame takes memory like what has arrived of a body.
    meter.count_into(body::take(&api.bodies, &standing.principal, 0)?);
    Ok(upgrade.on_upgrade(move |socket| async move {
        Source::new(api, standing, meter, socket).run().await;
        drop((tracked, place));
    }))
}

/// What became of some frames in a row.
#[derive(Debug, Serialize)]
struct Ack {
    status: &'static str,
    /// Frames of this socket under way.
    queue_size: usize,
    timestamp: String,
    /// Frames of this batch that were accepted.
    processed_count: usize,
    /// Number of the first frame of this batch on this socket, from 0.
    first_index: u64,
    /// Of those that were accepted, in their order.
    message_ids: Vec<String>,
    errors: Vec<AckError>,
}

#[derive(Debug, Serialize)]
struct AckError {
    index: u64,
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
}

/// Outcomes that are not acknowledged yet.
#[derive(Default)]
struct Unacknowledged {
    first_index: u64,
    message_ids: Vec<String>,
    errors: Vec<AckError>,
    since: Option<Instant>,
}

impl Unacknowledged {
    fn len(&self) -> usize {
        self.message_ids.len() + self.errors.len()
    }

    fn add(&mut self, outcome: Outcome) {
        self.since.get_or_insert_with(Instant::now);
        let index = self.first_index + self.len() as u64;
        match outcome {
            Ok(id) => self.message_ids.push(id.to_string()),
            Err(Refusal { code, detail, retry_after_s, .. }) => {
                self.errors.push(AckError { index, code: code.name(), detail, retry_after_s });
            }
        }
    }

    /// The acknowledgement; empty afterwards.
    fn take(&mut self, queue_size: usize) -> Ack {
        let next = Self { first_index: self.first_index + self.len() as u64, ..Self::default() };
        let Self { first_index, message_ids, errors, .. } = std::mem::replace(self, next);
        Ack {
            status: "received_batch",
            queue_size,
            timestamp: clock::timestamp(),
            processed_count: message_ids.len(),
            first_index,
            message_ids,
            errors,
        }
    }
}

struct Source {
    api: Arc<Api>,
    standing: Standing,
    meter: Meter,
    socket: WebSocket,
    pipeline: Pipeline,
    done: Unacknowledged,
    /// Nothing is read before this.
    paused: Option<Instant>,
    pause: Duration,
}

impl Source {
    fn new(api: Arc<Api>, standing: Standing, meter: Meter, socket: WebSocket) -> Self {
        Self {
            pipeline: Pipeline::new(api.clone(), standing.principal.clone()),
            standing,
            api,
            meter,
            socket,
            done: Unacknowledged::default(),
            paused: None,
            pause: FIRST_PAUSE,
        }
    }

    async fn run(mut self) {
        let end = self.work().await;
        // What was begun is finished and said.
        while self.pipeline.len() > 0 {
            let outcome = self.pipeline.next().await;
            self.done.add(outcome);
        }
        if let Some(frame) = end
            && self.acknowledge().await
            && self.send(Message::Close(Some(frame))).await
        {
            // A connection that is closed while the other end sends is reset, and the close frame may be lost.
            drop(timeout(LINGER, self.outlast()).await);
        }
    }

    /// Reads frames until the socket is to be closed with a frame, or is gone.
    async fn work(&mut self) -> Option<CloseFrame> {
        let soft = self.api.service.lifecycle.soft.clone();
        let (api, standing) = (self.api.clone(), self.standing.clone());
        let mut lost = std::pin::pin!(standing.lost(&api));
        let most = self.api.service.settings.gateway.ws_in_flight;
        let (limit, interval) = idle(&self.api);
        let mut ping = tokio::time::interval(interval);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let busy = self.pipeline.len() > 0;
            let reads = self.paused.is_none() && self.pipeline.len() < most;
            let due = self.done.since.map(|since| since + ACK_WAIT);
            let resume = self.paused.filter(|_| !busy);
            tokio::select! {
                () = soft.cancelled() => return Some(close::again("the gateway stops; connect again")),
                denied = &mut lost => return Some(close::denied(&denied)),
                outcome = self.pipeline.next() => {
                    self.take(outcome);
                    let settled = self.pipeline.len() == 0 || self.done.len() >= ACK_FRAMES;
                    if settled && !self.acknowledge().await {
                        return None;
                    }
                }
                () = at(due) => if !self.acknowledge().await { return None },
                () = at(resume), if resume.is_some() => {
                    (self.paused, heard) = (None, Instant::now());
                }
                message = self.socket.recv(), if reads => {
                    heard = Instant::now();
                    self.meter.settle();
                    match message {
                        Some(Ok(Message::Text(text))) => self.pipeline.push(Frame::Text(text.into())),
                        Some(Ok(Message::Binary(bytes))) => self.pipeline.push(Frame::Binary(bytes)),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Close(_))) | None => return None,
                        Some(Err(error)) => return close::of_error(error),
                    }
                }
                _ = ping.tick() => {
                    if !reads {
                        heard = Instant::now();
                    } else if heard.elapsed() >= limit {
                        return Some(close::frame(close_code::POLICY, "no sign of life for gateway.ws_idle_s"));
                    }
                    if !self.send(Message::Ping(KEEPALIVE.into())).await {
                        return None;
                    }
                }
            }
        }
    }

    /// Waits until the other end has closed; what cannot be read is in the way of that.
    async fn outlast(&mut self) {
        while let Some(message) = self.socket.recv().await {
            if message.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Notes an outcome; what must be sent again slows reading down.
    fn take(&mut self, outcome: Outcome) {
        match &outcome {
            Ok(_) => self.pause = FIRST_PAUSE,
            Err(Refusal { retry_after_s: Some(seconds), .. }) if self.paused.is_none() => {
                self.paused = Some(Instant::now() + self.pause);
                self.pause = (self.pause * 2).min(Duration::from_secs(*seconds));
            }
            Err(_) => {}
        }
        self.done.add(outcome);
    }

    /// False when the socket is gone.
    async fn acknowledge(&mut self) -> bool {
        if self.done.len() == 0 {
            return true;
        }
        let ack = self.done.take(self.pipeline.len());
        match serde_json::to_string(&ack) {
            Ok(text) => self.send(Message::Text(text.into())).await,
            Err(error) => {
                tracing::error!(%error, "an acknowledgement cannot be written");
                false
            }
        }
    }

    async fn send(&mut self, message: Message) -> bool {
        matches!(timeout(SEND_LIMIT, self.socket.send(message)).await, Ok(Ok(())))
    }
}

/// Waits until then; for ever without a time.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use vtox_protocol::MessageId;

    use super::*;
    use crate::reply::Code;

    #[test]
    fn an_acknowledgement_has_the_contracts_names_and_counts_on() {
        let mut done = Unacknowledged::default();
        done.add(Ok(MessageId::from_wire("m-1").unwrap()));
        done.add(Err(Refusal::new(Code::InvalidJson, "no")));
        let mut ack = serde_json::to_value(done.take(3)).unwrap();
        ack["timestamp"] = "t".into();
        let expected = serde_json::json!({
            "status": "received_batch", "queue_size": 3, "timestamp": "t", "processed_count": 1, "first_index": 0,
            "message_ids": ["m-1"], "errors": [{"index": 1, "code": "invalid_json", "detail": "no"}],
        });
        assert_eq!(ack, expected);
        done.add(Err(Refusal::new(Code::Backlog, "full")));
        let ack = serde_json::to_value(done.take(0)).unwrap();
        assert_eq!((ack["first_index"].as_u64(), ack["errors"][0]["index"].as_u64()), (Some(2), Some(2)));
        assert_eq!(ack["errors"][0]["retry_after_s"], 5);
    }
}
