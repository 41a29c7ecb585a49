//! From a body to a signal block.

use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use vtox_protocol::codec::{BlockError, decode_binary, decode_json, encode_json};
use vtox_protocol::{Payload, SignalBlock};

use crate::input;
use crate::reply::{Code, Refusal};

/// Longest `location` and longest `metadata`, bytes.
const MAX_LOCATION_BYTES: usize = 512;
const MAX_METADATA_BYTES: usize = 16 << 10;

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `{"sensor_data": {...}}`
    Json,
    /// A block in the binary form.
    MessagePack,
}

/// A message that was read.
#[derive(Debug)]
pub struct Decoded {
    /// The signals, as they go into the stream.
    pub payload: Payload,
    /// `metadata` with the location in it.
    pub metadata: Option<String>,
    /// Samples of the longest channel.
    pub data_points: usize,
    /// Boot id and number, from a vehicle that counts its messages.
    pub sequence: Option<(String, u64)>,
}

impl Form {
    /// The form that a Content-Type names.
    pub fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        match input::media_type(headers)?.as_str() {
            "application/msgpack" | "application/vnd.msgpack" | "application/x-msgpack" => {
                Ok(Self::MessagePack)
            }
            // curl -d says application/x-www-form-urlencoded when it is told nothing.
            "application/json" | "text/json" | "application/x-www-form-urlencoded" | "text/plain" | "" => {
                Ok(Self::Json)
            }
            other => Err(Refusal::new(
                Code::UnsupportedMediaType,
                format!("content type {other:?} is not taken; send application/json or application/msgpack"),
            )),
        }
    }

    /// Reads a body. On the bare stream (`seeds_form`) the signals stay in the form that others read there.
    pub fn decode(self, body: &[u8], seeds_form: bool, location: Option<String>) -> Result<Decoded, Refusal> {
        match self {
            Self::Json => {
                let body: Body<'_> =
                    object(body, "{\"sensor_data\": {\"data\": [...], \"sampling_rate\": Hz}}")?;
                json_message(body.sensor_data, body.metadata, location.or(body.location), seeds_form)
            }
            Self::MessagePack => binary_message(body, None, location, seeds_form),
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

/// Reads a JSON object; `like` shows what is expected.
pub fn object<'a, T: Deserialize<'a>>(body: &'a [u8], like: &str) -> Result<T, Refusal> {
    // A list would be read as the fields in order.
    if body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[') {
        let detail = format!("the body cannot be read: it is a list; send one object {like}");
        return Err(Refusal::new(Code::InvalidJson, detail));
    }
    input::check_depth(body)?;
    serde_json::from_slice(body)
        .map_err(|e| Refusal::new(Code::InvalidJson, format!("the body cannot be read: {e}; send {like}")))
}

/// A message from its parts in JSON.
pub fn json_message(
    sensor_data: &RawValue,
    metadata: Option<&RawValue>,
    location: Option<String>,
    seeds_form: bool,
) -> Result<Decoded, Refusal> {
    let block = decode_json(sensor_data.get().as_bytes()).map_err(|e| refusal_of(&e))?;
    let metadata = metadata.map(RawValue::get).filter(|m| *m != "null");
    Ok(Decoded {
        data_points: points_of(&block),
        payload: if seeds_form {
            Payload::Json(sensor_data.get().to_owned())
        } else {
            Payload::from_block(&block)
        },
        sequence: metadata.and_then(sequence_of),
        metadata: metadata_with(metadata, location)?,
    })
}

/// A message from a block in the binary form.
pub fn binary_message(
    block: &[u8],
    metadata: Option<&str>,
    location: Option<String>,
    seeds_form: bool,
) -> Result<Decoded, Refusal> {
    let decoded = decode_binary(block).map_err(|e| refusal_of(&e))?;
    Ok(Decoded {
        data_points: points_of(&decoded),
        payload: if seeds_form {
            Payload::Json(encode_json(&decoded))
        } else {
            Payload::Binary(block.to_vec())
        },
        sequence: metadata.and_then(sequence_of),
        metadata: metadata_with(metadata, location)?,
    })
}

/// Samples of the longest channel.
fn points_of(block: &SignalBlock) -> usize {
    block.channels.iter().map(|c| c.samples.len()).max().unwrap_or(0)
}

/// What is wrong with a block.
pub fn refusal_of(error: &BlockError) -> Refusal {
    let code = match error {
        BlockError::Syntax(_) => Code::UndecodableBlock,
        BlockError::Content(_) => Code::InvalidBlock,
    };
    Refusal::new(code, error.to_string())
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
    let bad = |detail: String| Refusal::new(Code::InvalidMetadata, detail);
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
