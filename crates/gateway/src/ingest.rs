//! Accepting signal blocks. A 200 means: it is in its stream, as durable as configured, and will be diagnosed once.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::IntGauge;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tracing::{Instrument, Span};
use vtox_protocol::codec::{BlockError, decode_binary, decode_json, encode_json};
use vtox_protocol::keys::Partition;
use vtox_protocol::{MessageId, Payload, RawEntry, SignalBlock, VehicleId};
use vtox_service_kit::{clock, trace};
use vtox_streams::StreamError;

use crate::api::Api;
use crate::reply::Refusal;

/// Bodies from here on are decoded on a thread of their own, bytes.
const LARGE_BODY: usize = 64 << 10;
/// Longest `Idempotency-Key`, bytes.
const MAX_KEY_BYTES: usize = 255;
/// Longest `location` and longest `metadata`, bytes.
const MAX_LOCATION_BYTES: usize = 512;
const MAX_METADATA_BYTES: usize = 16 << 10;

#[derive(Deserialize)]
pub struct Where {
    location: Option<String>,
}

type Request = (
    State<Arc<Api>>,
    Result<Path<String>, PathRejection>,
    Result<Query<Where>, QueryRejection>,
    HeaderMap,
    Result<Bytes, BytesRejection>,
);

/// `POST /vehicles/{id}/data`.
pub async fn accept(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Where>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    measured((State(api), path, query, headers, body), false).await
}

/// `POST /simulator/vehicles/{id}/data`: the same, and what the simulator counts.
pub async fn accept_simulated(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Where>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    measured((State(api), path, query, headers, body), true).await
}

async fn measured(request: Request, simulated: bool) -> Response {
    let api = request.0.0.clone();
    let began = Instant::now();
    let _in_flight = InFlight::begin(&api.metrics.in_flight);
    api.metrics.received.inc();
    let span = tracing::info_span!("accept");
    if let Some(parent) = traceparent(&request.3) {
        trace::continue_from(&span, &parent);
    }
    let answer = handle(request).instrument(span).await;
    api.metrics.duration.observe(began.elapsed().as_secs_f64());
    match answer {
        Ok(accepted) => {
            api.metrics.succeeded.inc();
            let mut body = json!({
                "status": "success",
                "message": format!("车辆 {} 数据已接收", accepted.vehicle_id),
                "timestamp": clock::timestamp(),
                "message_id": accepted.message_id,
            });
            if simulated && let Value::Object(fields) = &mut body {
                let received = api.metrics.received.get();
                let done = api.metrics.succeeded.get();
                fields.insert("data_points".into(), accepted.data_points.into());
                fields.insert(
                    "processing_stats".into(),
                    json!({"total_received": received, "success_rate": 100.0 * done as f64 / received.max(1) as f64}),
                );
            }
            (StatusCode::OK, Json(body)).into_response()
        }
        Err(refusal) => {
            api.metrics.rejected.with_label_values(&[refusal.reason]).inc();
            refusal.into_response()
        }
    }
}

/// Counts down also when the client goes away and the handler is dropped.
struct InFlight(IntGauge);

impl InFlight {
    fn begin(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

struct Answer {
    vehicle_id: VehicleId,
    message_id: MessageId,
    data_points: usize,
}

async fn handle((State(api), path, query, headers, body): Request) -> Result<Answer, Refusal> {
    if let Some(refusal) = api.admission.borrow().refusal() {
        return Err(refusal);
    }
    let Query(place) =
        query.map_err(|e| Refusal::bad(StatusCode::UNPROCESSABLE_ENTITY, "query", e.body_text()))?;
    let Path(id) = path.map_err(|e| Refusal::bad(StatusCode::BAD_REQUEST, "vehicle_id", e.body_text()))?;
    let vehicle_id = VehicleId::new(&id)
        .map_err(|e| Refusal::bad(StatusCode::BAD_REQUEST, "vehicle_id", e.to_string()))?;
    let body = body.map_err(|e| {
        let limit = api.service.settings.gateway.body_limit_bytes;
        match e.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::bad(
                e.status(),
                "body_limit",
                format!("the body is over {limit} bytes; send shorter blocks, columns or the binary form"),
            ),
            status => Refusal::bad(status, "body", e.body_text()),
        }
    })?;
    let size = body.len() as u64;
    let form = Form::of(&headers)?;
    let seeds_form = api.topology().partition_of(&vehicle_id) == Partition::Bare;
    let decode = move || form.decode(&body, seeds_form, place.location);
    let block = if size as usize >= LARGE_BODY {
        tokio::task::spawn_blocking(decode)
            .await
            .map_err(|e| Refusal::unavailable("decoding", format!("decoding was stopped: {e}")))?
    } else {
        decode()
    }?;

    let (message_id, resent) = identity(&headers, &vehicle_id, &block)?;
    let entry = RawEntry {
        vehicle_id: vehicle_id.clone(),
        message_id: message_id.clone(),
        timestamp: clock::timestamp(),
        payload: block.payload,
        metadata: block.metadata,
        traceparent: trace::traceparent(&Span::current()).or_else(|| traceparent(&headers)),
    };
    let partition = api.topology().partition_of(&vehicle_id);
    let accepted = api.publisher.publish(partition, &entry, resent).await.map_err(|error| match error {
        StreamError::Refused(_) | StreamError::WrongType(_) => {
            Refusal::unavailable("redis", format!("not accepted: {error}"))
        }
        StreamError::Unknown(_) | StreamError::Unexpected(_) => {
            let advice = if resent {
                "send it again under the same Idempotency-Key, or boot_id and sequence: it is accepted once"
            } else {
                "sent again it is another message; with an Idempotency-Key it would be accepted once"
            };
            Refusal::unavailable("unknown", format!("{error}; it may have been accepted: {advice}"))
        }
    })?;
    if accepted.repeated {
        api.metrics.repeated.inc();
    } else {
        api.metrics.accepted.inc();
        api.metrics.bytes.inc_by(size);
    }
    Ok(Answer { vehicle_id, message_id, data_points: block.data_points })
}

/// The form of a body.
#[derive(Clone, Copy)]
enum Form {
    Json,
    MessagePack,
}

/// A body that was read.
struct Decoded {
    payload: Payload,
    metadata: Option<String>,
    data_points: usize,
    sequence: Option<(String, u64)>,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let Some(kind) = headers.get(header::CONTENT_TYPE) else {
            return Ok(Self::Json);
        };
        let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match kind {
            "application/msgpack" | "application/vnd.msgpack" | "application/x-msgpack" => {
                Ok(Self::MessagePack)
            }
            // curl -d says application/x-www-form-urlencoded when it is told nothing.
            "application/json" | "text/json" | "application/x-www-form-urlencoded" | "text/plain" | "" => {
                Ok(Self::Json)
            }
            other => Err(Refusal::bad(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content_type",
                format!("content type {other:?} is not taken; send application/json or application/msgpack"),
            )),
        }
    }

    fn decode(self, body: &[u8], seeds_form: bool, location: Option<String>) -> Result<Decoded, Refusal> {
        match self {
            Self::Json => decode_json_body(body, seeds_form, location),
            Self::MessagePack => {
                let block = decode_binary(body).map_err(|e| refusal_of(&e))?;
                Ok(Decoded {
                    data_points: points_of(&block),
                    // What others read on the bare stream stays in the seeds' form.
                    payload: if seeds_form {
                        Payload::Json(encode_json(&block))
                    } else {
                        Payload::Binary(body.to_vec())
                    },
                    metadata: metadata_with(None, location)?,
                    sequence: None,
                })
            }
        }
    }
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    sensor_data: &'a RawValue,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
    #[serde(default)]
    location: Option<String>,
}

fn decode_json_body(body: &[u8], seeds_form: bool, location: Option<String>) -> Result<Decoded, Refusal> {
    // A list would be read as the fields in order.
    if body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[') {
        let detail = "the body cannot be read: it is a list; send one object {\"sensor_data\": {...}}";
        return Err(Refusal::bad(StatusCode::BAD_REQUEST, "json", detail));
    }
    let body: Body<'_> = serde_json::from_slice(body).map_err(|e| {
        Refusal::bad(
            StatusCode::BAD_REQUEST,
            "json",
            format!("the body cannot be read: {e}; send {{\"sensor_data\": {{\"data\": [...], \"sampling_rate\": Hz}}}}"),
        )
    })?;
    let block = decode_json(body.sensor_data.get().as_bytes()).map_err(|e| refusal_of(&e))?;
    let metadata = body.metadata.map(RawValue::get).filter(|m| *m != "null");
    let sequence = metadata.and_then(sequence_of);
    Ok(Decoded {
        data_points: points_of(&block),
        payload: if seeds_form {
            Payload::Json(body.sensor_data.get().to_owned())
        } else {
            Payload::from_block(&block)
        },
        metadata: metadata_with(metadata, location.or(body.location))?,
        sequence,
    })
}

/// Rows of the block: the length of its longest channel.
fn points_of(block: &SignalBlock) -> usize {
    block.channels.iter().map(|c| c.samples.len()).max().unwrap_or(0)
}

fn refusal_of(error: &BlockError) -> Refusal {
    match error {
        BlockError::Syntax(_) => Refusal::bad(StatusCode::BAD_REQUEST, "sensor_data", error.to_string()),
        BlockError::Content(_) => {
            Refusal::bad(StatusCode::UNPROCESSABLE_ENTITY, "sensor_data", error.to_string())
        }
    }
}

/// `boot_id` and `sequence` in the metadata: a vehicle that counts its messages.
fn sequence_of(metadata: &str) -> Option<(String, u64)> {
    #[derive(Deserialize)]
    struct Sequence {
        boot_id: Option<String>,
        sequence: Option<u64>,
    }
    let Sequence { boot_id, sequence } = serde_json::from_str(metadata).ok()?;
    Some((boot_id?, sequence?))
}

/// The metadata with the location in it.
fn metadata_with(metadata: Option<&str>, location: Option<String>) -> Result<Option<String>, Refusal> {
    let bad = |detail: String| Refusal::bad(StatusCode::UNPROCESSABLE_ENTITY, "metadata", detail);
    if metadata.is_some_and(|m| m.len() > MAX_METADATA_BYTES) {
        return Err(bad(format!("metadata is over {MAX_METADATA_BYTES} bytes")));
    }
    let mut fields: serde_json::Map<String, Value> = match metadata {
        Some(text) => {
            serde_json::from_str(text).map_err(|e| bad(format!("metadata is not an object: {e}")))?
        }
        None => serde_json::Map::new(),
    };
    match location {
        Some(l) if l.len() > MAX_LOCATION_BYTES => {
            return Err(bad(format!("location is over {MAX_LOCATION_BYTES} bytes")));
        }
        Some(location) => drop(fields.insert("location".into(), location.into())),
        None => return Ok(metadata.map(str::to_owned)),
    }
    Ok(Some(Value::Object(fields).to_string()))
}

/// The id of the message, and whether the client may send it again under the same one.
fn identity(headers: &HeaderMap, vehicle: &VehicleId, block: &Decoded) -> Result<(MessageId, bool), Refusal> {
    if let Some(key) = headers.get("idempotency-key") {
        let key =
            key.to_str().ok().filter(|k| !k.is_empty() && k.len() <= MAX_KEY_BYTES).ok_or_else(|| {
                Refusal::bad(
                    StatusCode::BAD_REQUEST,
                    "idempotency_key",
                    format!("Idempotency-Key must be 1 to {MAX_KEY_BYTES} visible ASCII characters"),
                )
            })?;
        return Ok((MessageId::from_client_key(vehicle, key), true));
    }
    if let Some((boot_id, sequence)) = &block.sequence {
        return Ok((MessageId::from_sequence(vehicle, boot_id, *sequence), true));
    }
    Ok((MessageId::mint(clock::epoch_ms()), false))
}

/// The W3C trace context of the request, if it is one.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let shaped = text.len() == 55 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    shaped.then(|| text.to_owned())
}
