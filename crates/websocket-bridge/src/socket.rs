//! One dashboard.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use vtox_service_kit::clock;

use crate::fanout::Hub;
use crate::frames::Frame;

/// A dashboard that takes no frame for this long is let go.
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// Largest message a dashboard may send, bytes.
const MAX_CLIENT_MESSAGE: usize = 64 << 10;

/// `GET /ws/frontend`.
pub async fn connect(State(hub): State<Arc<Hub>>, mut upgrade: WebSocketUpgrade) -> Response {
    let limit = hub.service.settings.bridge.max_clients as i64;
    if hub.metrics.clients.get() >= limit {
        let detail =
            format!("{limit} dashboards are connected already; try again later or raise bridge.max_clients");
        return (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({"detail": detail}))).into_response();
    }
    // There is one protocol, whatever a client calls it; a browser gives up when what it asked for is not answered.
    let asked = upgrade.requested_protocols().next().cloned();
    if let Some(protocol) = asked {
        upgrade.set_selected_protocol(protocol);
    }
    let tasks = hub.service.lifecycle.tasks.clone();
    // Tracked: the server itself does not wait for upgraded connections.
    let tracked = tasks.token();
    upgrade.max_message_size(MAX_CLIENT_MESSAGE).on_upgrade(move |socket| async move {
        hub.metrics.clients.inc();
        let mut client = Client { hub: hub.clone(), socket, filter: Filter::default(), sent: 0, lost: 0 };
        if let Err(error) = client.run().await {
            tracing::debug!(%error, "a dashboard is gone");
        }
        hub.metrics.clients.dec();
        drop(tracked);
    })
}

/// What a dashboard wants to see; it sees everything until it says something.
#[derive(Debug, Default, Deserialize)]
struct Filter {
    #[serde(default)]
    vehicles: BTreeSet<String>,
    #[serde(default)]
    fault_types: BTreeSet<String>,
}

impl Filter {
    fn lets(&self, frame: &Frame) -> bool {
        // Who asks for fault types asks for results.
        let fault = self.fault_types.is_empty()
            || frame.fault_type.as_ref().is_some_and(|f| self.fault_types.contains(f));
        fault && (self.vehicles.is_empty() || self.vehicles.contains(&frame.vehicle_id))
    }
}

struct Client {
    hub: Arc<Hub>,
    socket: WebSocket,
    filter: Filter,
    sent: u64,
    lost: u64,
}

impl Client {
    async fn run(&mut self) -> Result<(), axum::Error> {
        let mut frames = self.hub.frames.subscribe();
        let soft = self.hub.service.lifecycle.soft.clone();
        loop {
            tokio::select! {
                () = soft.cancelled() => {
                    return self.send(Message::Close(None)).await;
                }
                frame = frames.recv() => match frame {
                    Ok(frame) => {
                        if self.filter.lets(&frame) {
                            self.send(Message::Text(frame.text.clone())).await?;
                            self.sent += 1;
                            self.hub.metrics.sent.inc();
                        }
                    }
                    Err(RecvError::Lagged(count)) => {
                        self.lost += count;
                        self.hub.metrics.dropped.inc_by(count);
                    }
                    Err(RecvError::Closed) => return Ok(()),
                },
                message = self.socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => {
                        if let Some(answer) = self.answer(&text, frames.len()) {
                            self.send(Message::Text(answer.to_string().into())).await?;
                        }
                    }
                    Some(Ok(Message::Close(_))) | None => return Ok(()),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                },
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), axum::Error> {
        tokio::time::timeout(SEND_LIMIT, self.socket.send(message)).await.map_err(axum::Error::new)?
    }

    fn answer(&mut self, text: &str, waiting: usize) -> Option<Value> {
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            return Some(
                json!({"type": "error", "detail": "not JSON; send {\"type\": \"heartbeat\"} or subscribe"}),
            );
        };
        let uptime_s = self.hub.started.elapsed().as_secs_f64();
        match message["type"].as_str() {
            Some("heartbeat") => Some(json!({
                "type": "heartbeat_response",
                "timestamp": message["timestamp"],
                "server_time": clock::timestamp(),
                "queue_size": waiting,
                "processing_rate": self.hub.metrics.sent.get() as f64 / uptime_s.max(1.0),
                "sampling_rate": 1.0,
                "bridge": self.hub.switches.borrow().bridge.value,
                "stats": {"sent": self.sent, "lost": self.lost, "clients": self.hub.metrics.clients.get()},
            })),
            Some("subscribe") => match serde_json::from_value(message) {
                Ok(filter) => {
                    self.filter = filter;
                    Some(json!({"type": "subscribed", "server_time": clock::timestamp()}))
                }
                Err(error) => Some(json!({"type": "error", "detail": error.to_string()})),
            },
            // `test` and whatever else old clients say.
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_lets_through_what_it_names() {
        let frame = |vehicle: &str, fault: Option<&str>| Frame {
            text: "".into(),
            vehicle_id: vehicle.into(),
            fault_type: fault.map(str::to_owned),
        };
        let all = Filter::default();
        assert!(all.lets(&frame("a", Some("bearing"))));
        let some: Filter =
            serde_json::from_str(r#"{"type":"subscribe","vehicles":["a"],"fault_types":["bearing"]}"#)
                .unwrap();
        assert!(some.lets(&frame("a", Some("bearing"))));
        assert!(!some.lets(&frame("a", None)));
        assert!(!some.lets(&frame("a", Some("insulation"))));
        assert!(!some.lets(&frame("b", Some("bearing"))));
    }
}
