//! Dashboards: each is passed on to a bridge that lives. Frames wait in no queue of ours: a dashboard that is slow slows its
//! bridge's connection, and there loses its oldest frames.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures::{Sink, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message as BridgeMessage};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use vtox_protocol::{ServiceRecord, ServiceType};

use super::{KEEPALIVE, SEND_LIMIT, admit, close, idle};
use crate::api::Api;
use crate::cluster::lives;
use crate::door::standing::Standing;
use crate::reply::{Code, Detail, Refusal};

/// A bridge that does not answer for this long is passed over.
const DIAL_LIMIT: Duration = Duration::from_secs(2);
/// Largest message of a dashboard, and of a bridge, bytes.
const MAX_CLIENT_MESSAGE: usize = 64 << 10;
const MAX_BRIDGE_MESSAGE: usize = 1 << 20;
/// Read ahead of a dashboard, bytes.
const READ_BUFFER: usize = 4 << 10;

type Bridge = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Watch results
///
/// A WebSocket. Results and assessments come as one JSON object per text frame. `{"type": "heartbeat"}` is answered, and
/// `{"type": "subscribe", "vehicles": [...], "fault_types": [...]}` selects. Close code 1012 means: connect again.
#[utoipa::path(
    get,
    path = "/ws/frontend",
    tag = "WebSockets",
    responses(
        (status = 101, description = "The WebSocket is open."),
        (status = 426, description = "The request asks for no upgrade.", body = Detail),
    ),
)]
pub async fn connect(
    State(api): State<Arc<Api>>,
    Extension(standing): Extension<Standing>,
    RawQuery(query): RawQuery,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let (mut upgrade, place) = admit(&api.dashboards, &standing.principal, upgrade)?;
    let protocols: Vec<HeaderValue> = upgrade.requested_protocols().cloned().collect();
    let (bridge, chosen) = dial(&api, query.as_deref(), &protocols).await?;
    if let Some(chosen) = chosen {
        upgrade.set_selected_protocol(chosen);
    }
    // Tracked: the server itself does not wait for upgraded connections.
    let tracked = api.service.lifecycle.tasks.token();
    let upgrade = upgrade
        .max_message_size(MAX_CLIENT_MESSAGE)
        .max_frame_size(MAX_CLIENT_MESSAGE)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MAX_BRIDGE_MESSAGE);
    Ok(upgrade.on_upgrade(move |client| async move {
        pass(&api, &standing, client, bridge).await;
        drop((tracked, place));
    }))
}

/// A connection to a bridge, and the subprotocol it chose.
async fn dial(
    api: &Api,
    query: Option<&str>,
    protocols: &[HeaderValue],
) -> Result<(Bridge, Option<HeaderValue>), Refusal> {
    let members = api.registry.members().await?;
    let mut bridges: Vec<&ServiceRecord> = members
        .services
        .values()
        .filter(|r| r.service_type == ServiceType::Bridge && lives(api, &members, r))
        .collect();
    let clients = |r: &ServiceRecord| r.metadata.get("clients").and_then(serde_json::Value::as_u64);
    bridges.sort_by_key(|r| clients(r).unwrap_or(0));
    let mut why = "no bridge is registered".to_owned();
    for bridge in bridges {
        let dialed = dial_one(bridge, query, protocols);
        match tokio::time::timeout(DIAL_LIMIT, dialed).await {
            Ok(Ok(dialed)) => return Ok(dialed),
            Ok(Err(error)) => why = format!("{} refuses: {error}", bridge.service_id),
            Err(_) => why = format!("{} does not answer", bridge.service_id),
        }
        tracing::debug!(why, "a bridge is passed over");
    }
    Err(Refusal::new(Code::NoBridge, why))
}

async fn dial_one(
    bridge: &ServiceRecord,
    query: Option<&str>,
    protocols: &[HeaderValue],
) -> Result<(Bridge, Option<HeaderValue>), tungstenite::Error> {
    let query = query.map(without_token).filter(|q| !q.is_empty()).map(|q| format!("?{q}"));
    let url = format!("ws://{}:{}/ws/frontend{}", bridge.host, bridge.port, query.unwrap_or_default());
    let mut request = url.into_client_request()?;
    let names: Vec<&str> = protocols.iter().filter_map(|p| p.to_str().ok()).collect();
    if let Ok(names) = HeaderValue::from_str(&names.join(", "))
        && !protocols.is_empty()
    {
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, names);
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_BRIDGE_MESSAGE))
        .max_frame_size(Some(MAX_BRIDGE_MESSAGE))
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MAX_CLIENT_MESSAGE);
    let (stream, answer) = connect_async_with_config(request, Some(config), true).await?;
    Ok((stream, answer.headers().get(header::SEC_WEBSOCKET_PROTOCOL).cloned()))
}

/// The query without what is the gateway's business alone.
fn without_token(query: &str) -> String {
    let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("access_token=")).collect();
    pairs.join("&")
}

/// What each end is told when it is over; none: it is gone, or takes nothing.
struct End {
    client: Option<CloseFrame>,
    bridge: Option<CloseFrame>,
}

impl End {
    fn client_gone() -> Self {
        Self { client: None, bridge: Some(close::frame(close_code::AWAY, "the dashboard is gone")) }
    }

    fn bridge_gone() -> Self {
        Self { client: Some(close::again("the bridge is gone; connect again")), bridge: None }
    }
}

/// Passes frames both ways until one end is done.
async fn pass(api: &Api, standing: &Standing, client: WebSocket, bridge: Bridge) {
    let (mut to_client, mut from_client) = client.split();
    let (mut to_bridge, mut from_bridge) = bridge.split();
    let (limit, interval) = idle(api);
    let down = async {
        let mut ping = tokio::time::interval(interval);
        loop {
            let message = tokio::select! {
                _ = ping.tick() => Message::Ping(KEEPALIVE.into()),
                message = from_bridge.next() => match message {
                    Some(Ok(BridgeMessage::Close(frame))) => return of_bridge(frame),
                    Some(Ok(message)) => match for_client(message) {
                        Some(message) => message,
                        None => continue,
                    },
                    Some(Err(_)) | None => return End::bridge_gone(),
                },
            };
            if !send(&mut to_client, message).await {
                return End::client_gone();
            }
        }
    };
    let up = async {
        loop {
            let message = match tokio::time::timeout(limit, from_client.next()).await {
                Err(_) => {
                    let silent = close::frame(close_code::POLICY, "no sign of life for gateway.ws_idle_s");
                    return End { client: Some(silent), ..End::client_gone() };
                }
                Ok(Some(Ok(Message::Close(frame)))) => return End { client: None, bridge: frame },
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return End { client: close::of_error(error), ..End::client_gone() },
                Ok(None) => return End::client_gone(),
            };
            let Some(message) = for_bridge(message) else { continue };
            if !send(&mut to_bridge, message).await {
                return End::bridge_gone();
            }
        }
    };
    let end = tokio::select! {
        end = down => end,
        end = up => end,
        denied = standing.lost(api) => End { client: Some(close::denied(&denied)), ..End::client_gone() },
        () = api.service.lifecycle.soft.cancelled() => End {
            client: Some(close::again("the gateway stops; connect again")),
            bridge: Some(close::frame(close_code::AWAY, "the gateway stops")),
        },
    };
    if let Some(frame) = end.client {
        send(&mut to_client, Message::Close(Some(frame))).await;
    }
    // Also where the client closed: our answer to it is still to be written.
    drop(tokio::time::timeout(SEND_LIMIT, to_client.close()).await);
    let frame = end
        .bridge
        .map(|f| tungstenite::protocol::CloseFrame { code: f.code.into(), reason: f.reason.as_str().into() });
    send(&mut to_bridge, BridgeMessage::Close(frame)).await;
}

/// False when it was not taken in time or at all.
async fn send<T>(sink: &mut (impl Sink<T> + Unpin), message: T) -> bool {
    matches!(tokio::time::timeout(SEND_LIMIT, sink.send(message)).await, Ok(Ok(())))
}

/// A bridge that stops says no more than that, or that it goes away.
fn of_bridge(frame: Option<tungstenite::protocol::CloseFrame>) -> End {
    match frame {
        Some(frame) if u16::from(frame.code) != close_code::AWAY => {
            let frame = CloseFrame { code: frame.code.into(), reason: frame.reason.as_str().into() };
            End { client: Some(frame), bridge: None }
        }
        _ => End::bridge_gone(),
    }
}

fn for_client(message: BridgeMessage) -> Option<Message> {
    Some(match message {
        BridgeMessage::Text(text) => Message::Text(text.as_str().into()),
        BridgeMessage::Binary(bytes) => Message::Binary(bytes),
        BridgeMessage::Ping(bytes) => Message::Ping(bytes),
        BridgeMessage::Pong(bytes) => Message::Pong(bytes),
        BridgeMessage::Close(_) | BridgeMessage::Frame(_) => return None,
    })
}

fn for_bridge(message: Message) -> Option<BridgeMessage> {
    Some(match message {
        Message::Text(text) => BridgeMessage::Text(text.as_str().into()),
        Message::Binary(bytes) => BridgeMessage::Binary(bytes),
        Message::Ping(bytes) => BridgeMessage::Ping(bytes),
        Message::Pong(bytes) if bytes == KEEPALIVE => return None,
        Message::Pong(bytes) => BridgeMessage::Pong(bytes),
        Message::Close(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_passed_on() {
        assert_eq!(without_token("a=1&access_token=secret&b=2"), "a=1&b=2");
        assert_eq!(without_token("access_token=secret"), "");
    }

    #[test]
    fn a_bridge_that_stops_sends_dashboards_elsewhere() {
        let code = |frame: Option<(u16, &'static str)>| {
            let frame = frame.map(|(code, reason)| tungstenite::protocol::CloseFrame {
                code: code.into(),
                reason: reason.into(),
            });
            of_bridge(frame).client.map(|f| f.code)
        };
        assert_eq!(code(None), Some(1012));
        assert_eq!(code(Some((1001, ""))), Some(1012));
        assert_eq!(code(Some((1008, "no"))), Some(1008));
    }
}
