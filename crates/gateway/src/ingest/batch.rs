//! Many messages in one request, each with an answer of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use vtox_auth::Principal;
use vtox_protocol::VehicleId;
use vtox_protocol::keys::{Partition, Topology};

use super::{
    Decoded, How, Incoming, accept, binary_message, check_key, json_message, key_of, may_send, object,
    off_thread,
};
use super::{open, traceparent};
use crate::api::Api;
use crate::door::body;
use crate::door::limits::Left;
use crate::input;
use crate::reply::{Code, Refusal};
use crate::schema::MessagePack;

/// Vehicles whose messages are appended at the same time.
const VEHICLES_AT_ONCE: usize = 16;

/// A line of a batch.
#[derive(Deserialize, ToSchema)]
#[schema(as = BatchLine)]
struct Line<'a> {
    /// Id of the vehicle.
    vehicle_id: String,
    /// As in a single message. Without it the line itself is taken as such: its fields beside `vehicle_id`.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Object>)]
    sensor_data: Option<&'a RawValue>,
    /// As in a single message.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Object>)]
    metadata: Option<&'a RawValue>,
    /// As in a single message.
    #[serde(default)]
    location: Option<String>,
    /// As `Idempotency-Key` of a single message.
    #[serde(default, alias = "idempotency_key")]
    key: Option<String>,
}

/// An item of a binary batch.
#[derive(Deserialize)]
struct Item {
    vehicle_id: String,
    #[serde(with = "serde_bytes")]
    block: Vec<u8>,
    /// JSON text.
    #[serde(default)]
    metadata: Option<String>,
    #[serde(default)]
    location: Option<String>,
    #[serde(default, alias = "idempotency_key")]
    key: Option<String>,
}

/// What became of each message of a batch.
#[derive(Serialize, ToSchema)]
pub struct BatchAnswer {
    /// `success` when every message was accepted, `partial` when some were, `rejected` when none was.
    status: Outcome,
    /// Messages accepted now.
    accepted: usize,
    /// Messages that had been accepted before.
    repeated: usize,
    /// Messages not accepted.
    rejected: usize,
    /// One per message, in their order.
    items: Vec<ItemAnswer>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Success,
    Partial,
    Rejected,
}

/// What became of one message.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ItemAnswer {
    /// Its place in the batch, from 0.
    index: usize,
    status: ItemStatus,
    /// Id of the message that was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    /// When it was accepted, ISO 8601.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    /// Why it was not accepted: stable name.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// Why it was not accepted, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// When to send it again, s.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ItemStatus {
    Accepted,
    Repeated,
    Rejected,
}

/// Send many messages
///
/// One JSON object per line (`application/x-ndjson`), or the same fields as MessagePack maps one after the other with the binary
/// form in `block` (`application/msgpack`). Each message has an answer of its own. The messages of a vehicle are appended in
/// their order: after one that may be sent again, the rest of that vehicle are not accepted either. `RateLimit` says what is left
/// to the vehicle that has least. With an `Idempotency-Key` the same batch may be sent again: message n that has no `key` of its own
/// has that one with `#n`.
#[utoipa::path(
    post,
    path = "/api/v1/messages",
    tag = "Signals",
    params(input::IdempotencyKey),
    request_body(content((Line = "application/x-ndjson"), (MessagePack = "application/msgpack"))),
    responses((status = 200, description = "What became of each.", body = BatchAnswer)),
)]
pub async fn send_batch(
    State(api): State<Arc<Api>>,
    Extension(sender): Extension<Principal>,
    request: Request,
) -> Result<Response, Refusal> {
    open(&api)?;
    let binary = is_binary(request.headers())?;
    let trace = traceparent(request.headers());
    let names = Names(key_of(request.headers())?);
    let settings = &api.service.settings.gateway;
    let (limit, most) = (settings.batch_limit_bytes, settings.batch_items);
    let whole = body::read(&api, request, limit).await?;
    let (bytes, topology) = (whole.bytes.clone(), api.topology());
    let read = move || {
        if binary { packed(&bytes, most, &topology, &names) } else { lines(&bytes, most, &topology, &names) }
    };
    let read = off_thread(&api, whole.bytes.len(), read).await?;

    let mut items: Vec<Option<ItemAnswer>> = vec![None; read.len()];
    let mut by_vehicle: BTreeMap<VehicleId, Vec<(usize, Ready)>> = BTreeMap::new();
    let mut least: Option<Left> = None;
    for (index, ready) in read.into_iter().enumerate() {
        let checked = ready.and_then(|ready| {
            may_send(&sender, &ready.vehicle)?;
            let left = api.vehicle_buckets.take(ready.vehicle.as_str());
            let bucket = left.as_ref().map_or_else(|refusal| refusal.left.clone(), Clone::clone);
            least = [least.take(), bucket].into_iter().flatten().min_by_key(|left| left.remaining);
            left.map(|_| ready)
        });
        match checked {
            Ok(ready) => by_vehicle.entry(ready.vehicle.clone()).or_default().push((index, ready)),
            Err(refusal) => items[index] = Some(rejected(index, &refusal)),
        }
    }
    api.metrics.received.inc_by(items.len() as u64);
    let answers: Vec<Vec<ItemAnswer>> = futures::stream::iter(by_vehicle.into_values())
        .map(|messages| accept_in_order(&api, &sender, messages, trace.as_ref()))
        .buffer_unordered(VEHICLES_AT_ONCE)
        .collect()
        .await;
    for answer in answers.into_iter().flatten() {
        let index = answer.index;
        items[index] = Some(answer);
    }
    let mut response = Json(summed(&api, items.into_iter().flatten().collect())).into_response();
    if let Some(least) = least {
        least.add_to(&mut response);
    }
    Ok(response)
}

/// A message that can be appended.
pub struct Ready {
    /// Whose motor.
    pub vehicle: VehicleId,
    /// What was measured.
    pub decoded: Decoded,
    /// The client's name for it, where it gave one.
    pub key: Option<String>,
    /// What was sent, bytes.
    pub size: usize,
}

fn is_binary(headers: &HeaderMap) -> Result<bool, Refusal> {
    match input::media_type(headers)?.as_str() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/json" => Ok(false),
        "application/msgpack" | "application/vnd.msgpack" | "application/x-msgpack" => Ok(true),
        other => {
            let detail = format!(
                "content type {other:?} is not taken; send application/x-ndjson or application/msgpack"
            );
            Err(Refusal::new(Code::UnsupportedMediaType, detail))
        }
    }
}

type Read = Vec<Result<Ready, Refusal>>;

/// Names the messages of a batch after that of the batch, where it has one.
struct Names(Option<String>);

impl Names {
    fn of(&self, index: usize, own: Option<&str>) -> Result<Option<String>, Refusal> {
        let name = own.map(str::to_owned).or_else(|| Some(format!("{}#{index}", self.0.as_ref()?)));
        name.as_deref().map(check_key).transpose()
    }
}

fn lines(bytes: &[u8], most: usize, topology: &Topology, names: &Names) -> Result<Read, Refusal> {
    let lines: Vec<&[u8]> =
        bytes.split(|b| *b == b'\n').filter(|l| !l.trim_ascii().is_empty()).take(most + 1).collect();
    bounded(lines.len(), most)?;
    Ok(lines.into_iter().enumerate().map(|(n, line)| line_of(line, topology, n, names)).collect())
}

/// Reads a message with its vehicle in JSON.
pub fn read_line(text: &[u8], topology: &Topology) -> Result<Ready, Refusal> {
    line_of(text, topology, 0, &Names(None))
}

fn line_of(text: &[u8], topology: &Topology, index: usize, names: &Names) -> Result<Ready, Refusal> {
    let like = "{\"vehicle_id\": ..., \"sensor_data\": {...}} per line";
    let line: Line<'_> = object(text, like)?;
    let sensor_data = match line.sensor_data {
        Some(sensor_data) => sensor_data,
        None => object(text, like)?,
    };
    let vehicle = input::vehicle_id(&line.vehicle_id)?;
    let key = names.of(index, line.key.as_deref())?;
    let seeds_form = topology.partition_of(&vehicle) == Partition::Bare;
    let how = How { seeds_form, keyed: key.is_some() };
    let decoded = json_message(sensor_data, line.metadata, line.location, how)?;
    Ok(Ready { vehicle, decoded, key, size: text.len() })
}

fn packed(mut bytes: &[u8], most: usize, topology: &Topology, names: &Names) -> Result<Read, Refusal> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        bounded(items.len() + 1, most)?;
        // Without the end of an item there is no next one to begin.
        let item: Item = rmp_serde::from_read(&mut bytes).map_err(|e| {
            let detail =
                format!("item {} cannot be read: {e}; send maps of vehicle_id and block", items.len());
            Refusal::new(Code::UndecodableBlock, detail)
        })?;
        items.push(item_of(item, topology, items.len(), names));
    }
    bounded(items.len(), most)?;
    Ok(items)
}

/// Reads a message with its vehicle in MessagePack.
pub fn read_packed(bytes: &[u8], topology: &Topology) -> Result<Ready, Refusal> {
    let item = rmp_serde::from_slice(bytes).map_err(|e| {
        let detail = format!("the message cannot be read: {e}; send a map of vehicle_id and block");
        Refusal::new(Code::UndecodableBlock, detail)
    })?;
    item_of(item, topology, 0, &Names(None))
}

fn item_of(item: Item, topology: &Topology, index: usize, names: &Names) -> Result<Ready, Refusal> {
    let vehicle = input::vehicle_id(&item.vehicle_id)?;
    let key = names.of(index, item.key.as_deref())?;
    let seeds_form = topology.partition_of(&vehicle) == Partition::Bare;
    let how = How { seeds_form, keyed: key.is_some() };
    let decoded = binary_message(&item.block, item.metadata.as_deref(), item.location, how)?;
    Ok(Ready { vehicle, decoded, key, size: item.block.len() })
}

fn bounded(items: usize, most: usize) -> Result<(), Refusal> {
    match items {
        0 => Err(Refusal::new(Code::InvalidJson, "the batch is empty; send at least one message")),
        n if n > most => {
            Err(Refusal::new(Code::TooManyItems, format!("the batch has more than {most} messages")))
        }
        _ => Ok(()),
    }
}

async fn accept_in_order(
    api: &Api,
    sender: &Principal,
    messages: Vec<(usize, Ready)>,
    trace: Option<&String>,
) -> Vec<ItemAnswer> {
    let mut answers = Vec::with_capacity(messages.len());
    let mut held_up: Option<Refusal> = None;
    for (index, Ready { vehicle, decoded, key, size }) in messages {
        if let Some(earlier) = &held_up {
            answers.push(rejected(index, earlier));
            continue;
        }
        let incoming = Incoming { sender, vehicle, key, size, traceparent: trace.cloned() };
        match accept(api, incoming, decoded).await {
            Ok(accepted) => answers.push(ItemAnswer {
                index,
                status: if accepted.repeated { ItemStatus::Repeated } else { ItemStatus::Accepted },
                message_id: Some(accepted.message_id.to_string()),
                timestamp: Some(accepted.timestamp),
                code: None,
                detail: None,
                retry_after_s: None,
            }),
            Err(refusal) => {
                answers.push(rejected(index, &refusal));
                if refusal.retry_after_s.is_some() {
                    let detail = "an earlier message of this vehicle was not accepted; send both again";
                    held_up = Some(Refusal::new(refusal.code, detail));
                }
            }
        }
    }
    answers
}

fn rejected(index: usize, refusal: &Refusal) -> ItemAnswer {
    ItemAnswer {
        index,
        status: ItemStatus::Rejected,
        message_id: None,
        timestamp: None,
        code: Some(refusal.code.name()),
        detail: Some(refusal.detail.clone()),
        retry_after_s: refusal.retry_after_s,
    }
}

fn summed(api: &Api, items: Vec<ItemAnswer>) -> BatchAnswer {
    let count = |status| items.iter().filter(|i| i.status == status).count();
    let (accepted, repeated, rejected) =
        (count(ItemStatus::Accepted), count(ItemStatus::Repeated), count(ItemStatus::Rejected));
    api.metrics.succeeded.inc_by((accepted + repeated) as u64);
    for code in items.iter().filter_map(|i| i.code) {
        api.metrics.rejected.with_label_values(&[code]).inc();
    }
    let status = match (accepted + repeated, rejected) {
        (_, 0) => Outcome::Success,
        (0, _) => Outcome::Rejected,
        _ => Outcome::Partial,
    };
    BatchAnswer { status, accepted, repeated, rejected, items }
}
