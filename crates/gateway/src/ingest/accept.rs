//! The one way into the streams: identity, motor, partition, append. Done means: it is in its stream, as durable as
//! configured, and will be diagnosed once.

use axum::http::HeaderMap;
use ring::digest::{Digest, SHA256, digest};
use tracing::Span;
use vtox_auth::Principal;
use vtox_protocol::{MessageId, RawEntry, VehicleId, timestamp};
use vtox_service_kit::{clock, trace};
use vtox_streams::{Claim, Published, StreamError};

use super::decode::Decoded;
use crate::api::Api;
use crate::door::access::Access;
use crate::reply::{Code, Refusal};

/// Longest `Idempotency-Key`, bytes.
const MAX_KEY_BYTES: usize = 255;

/// A message at the door.
pub struct Incoming<'a> {
    /// Who sends it.
    pub sender: &'a Principal,
    /// Whose motor.
    pub vehicle: VehicleId,
    /// The client's name for it, where it gave one.
    pub key: Option<String>,
    /// What the client sent, bytes.
    pub size: usize,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// A message that was accepted, now or before.
pub struct Accepted {
    /// Its id.
    pub message_id: MessageId,
    /// When, ISO 8601 on Redis' clock: the same however often it is sent.
    pub timestamp: String,
    /// It had been accepted before.
    pub repeated: bool,
}

/// The client's name for a message, from its `Idempotency-Key`.
pub fn key_of(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        return Err(Refusal::new(Code::InvalidIdempotencyKey, "there is more than one Idempotency-Key"));
    }
    check_key(key.to_str().unwrap_or_default()).map(Some)
}

/// A key that can be one.
pub fn check_key(key: &str) -> Result<String, Refusal> {
    let fits =
        (1..=MAX_KEY_BYTES).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    fits.then(|| key.to_owned()).ok_or_else(|| {
        let detail = format!("an Idempotency-Key must be 1 to {MAX_KEY_BYTES} visible ASCII characters");
        Refusal::new(Code::InvalidIdempotencyKey, detail)
    })
}

/// The W3C trace context of a request, if it is one.
pub fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let shaped = text.len() == 55 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    shaped.then(|| text.to_owned())
}

/// Whether messages are accepted at all now.
pub fn open(api: &Api) -> Result<(), Refusal> {
    api.admission.borrow().refusal().map_or(Ok(()), Err)
}

/// Whether a principal may send for a vehicle that a body names.
pub fn may_send(sender: &Principal, vehicle: &VehicleId) -> Result<(), Refusal> {
    if Access::Sender.allows(sender, Some(vehicle)) {
        return Ok(());
    }
    Err(Refusal::new(Code::Forbidden, format!("this key may not send for vehicle {vehicle}")))
}

/// Accepts a message.
pub async fn accept(api: &Api, incoming: Incoming<'_>, decoded: Decoded) -> Result<Accepted, Refusal> {
    let Incoming { sender, vehicle, key, size, traceparent } = incoming;
    let message_id = match (&key, &decoded.sequence) {
        (Some(key), _) => MessageId::from_client_key(&vehicle, key),
        (None, Some((boot_id, sequence))) => MessageId::from_sequence(&vehicle, boot_id, *sequence),
        (None, None) => MessageId::mint(clock::epoch_ms()),
    };
    let claim = decoded.content.map(|content| Claim {
        sender: hex(&digest(&SHA256, sender.identity().as_bytes())),
        content: hex(&content),
    });
    let partition = api.topology().partition_of(&vehicle);
    let entry = RawEntry {
        motor: api.motors.of(&vehicle),
        vehicle_id: vehicle,
        message_id: message_id.clone(),
        timestamp: clock::timestamp(),
        payload: decoded.payload,
        metadata: decoded.metadata,
        traceparent: trace::traceparent(&Span::current()).or(traceparent),
    };
    let published = api.publisher.publish(partition, &entry, claim.as_ref()).await;
    let (entry, repeated) = match published.map_err(|error| unpublished(&error, claim.is_some()))? {
        Published::Appended(entry) => (entry, false),
        Published::Repeated(entry) => (entry, true),
        Published::Claimed(earlier) => {
            let code = if claim.is_some_and(|c| c.sender == earlier.sender) {
                Code::IdempotencyKeyReused
            } else {
                Code::AnotherSender
            };
            return Err(Refusal::new(code, code.title()));
        }
    };
    if repeated {
        api.metrics.repeated.inc();
    } else {
        api.metrics.accepted.inc();
        api.metrics.bytes.inc_by(size as u64);
    }
    Ok(Accepted { message_id, timestamp: timestamp::iso8601(entry.ms), repeated })
}

fn unpublished(error: &StreamError, resent: bool) -> Refusal {
    match error {
        StreamError::Refused(_) | StreamError::WrongType(_) => Refusal::of_redis(error),
        StreamError::Unknown(_) | StreamError::Unexpected(_) => {
            let advice = if resent {
                "send it again under the same Idempotency-Key, or boot_id and sequence: it is accepted once"
            } else {
                "sent again it is another message; with an Idempotency-Key it would be accepted once"
            };
            tracing::warn!(%error, "it is not known whether a message was accepted");
            Refusal::new(Code::OutcomeUnknown, format!("it may have been accepted: {advice}"))
        }
    }
}

/// 128 bits are enough to tell by; nothing is kept secret by it.
fn hex(digest: &Digest) -> String {
    digest.as_ref().iter().take(16).map(|b| format!("{b:02x}")).collect()
}
