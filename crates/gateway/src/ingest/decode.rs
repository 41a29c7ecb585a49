//! From a body to a signal block.

use axum::http::HeaderMap;
use ring::digest::{Context, Digest, SHA256};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use vtox_protocol::codec::{BlockError, decode_binary, decode_json, encode_binary, encode_json};
use vtox_protocol::{Payload, SignalBlock};

use super::metadata;
use crate::input;
use crate::reply::{Code, Refusal};

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
    /// Digest of signals and metadata, where the message may be sent again. It does not depend on the way the message came: alone,
    /// in a batch or on a WebSocket, in JSON or MessagePack.
    pub content: Option<Digest>,
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

    /// Reads a body; `location` is the one beside it.
    pub fn decode(self, body: &[u8], how: How, location: Option<String>) -> Result<Decoded, Refusal> {
        match self {
            Self::Json => {
                let body: Body<'_> =
                    object(body, "{\"sensor_data\": {\"data\": [...], \"sampling_rate\": Hz}}")?;
                json_message(body.sensor_data, body.metadata, location.or(body.location), how)
            }
            Self::MessagePack => binary_message(body, None, location, how),
        }
    }
}

/// What to make of a message.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// It goes to the bare stream, where the signals stay in the form that others read there.
    pub seeds_form: bool,
    /// The client named it.
    pub keyed: bool,
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
    how: How,
) -> Result<Decoded, Refusal> {
    let block = decode_json(sensor_data.get().as_bytes()).map_err(|e| refusal_of(&e))?;
    let payload = if how.seeds_form {
        Payload::Json(sensor_data.get().to_owned())
    } else {
        Payload::from_block(&block)
    };
    let metadata = metadata.map(RawValue::get).filter(|m| *m != "null");
    message(&block, payload, metadata, location, how)
}

/// A message from a block in the binary form.
pub fn binary_message(
    block: &[u8],
    metadata: Option<&str>,
    location: Option<String>,
    how: How,
) -> Result<Decoded, Refusal> {
    let decoded = decode_binary(block).map_err(|e| refusal_of(&e))?;
    let payload =
        if how.seeds_form { Payload::Json(encode_json(&decoded)) } else { Payload::Binary(block.to_vec()) };
    message(&decoded, payload, metadata, location, how)
}

fn message(
    block: &SignalBlock,
    payload: Payload,
    metadata: Option<&str>,
    location: Option<String>,
    how: How,
) -> Result<Decoded, Refusal> {
    let said = metadata::read(metadata, location)?;
    let content = (how.keyed || said.sequence.is_some()).then(|| content_of(block, &said.fields));
    let data_points = block.channels.iter().map(|c| c.samples.len()).max().unwrap_or(0);
    Ok(Decoded { payload, metadata: said.text, data_points, sequence: said.sequence, content })
}

/// Of the signals as they are understood, in the binary form with sorted channels, and of the metadata with sorted names.
fn content_of(block: &SignalBlock, metadata: &Map<String, Value>) -> Digest {
    let mut metadata = Value::Object(metadata.clone());
    metadata.sort_all_objects();
    let mut sorted = block.clone();
    sorted.channels.sort_by_key(|channel| channel.quantity);
    let signals = encode_binary(&sorted);
    let mut content = Context::new(&SHA256);
    content.update(&(signals.len() as u64).to_be_bytes());
    content.update(&signals);
    content.update(metadata.to_string().as_bytes());
    content.finish()
}

/// What is wrong with a block.
pub fn refusal_of(error: &BlockError) -> Refusal {
    let code = match error {
        BlockError::Syntax(_) => Code::UndecodableBlock,
        BlockError::Content(_) => Code::InvalidBlock,
    };
    Refusal::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(decoded: Result<Decoded, Refusal>) -> Option<Vec<u8>> {
        decoded.unwrap().content.map(|digest| digest.as_ref().to_vec())
    }

    #[test]
    fn the_digest_is_of_the_content_however_it_came() {
        let how = How { seeds_form: false, keyed: true };
        let json = |body: &str| content(Form::Json.decode(body.as_bytes(), how, None));
        let block = r#""sensor_data":{"data":[{"Ia":1.0},{"Ia":2.5}],"sampling_rate":8000}"#;
        let known = json(&format!(r#"{{{block},"metadata":{{"a":1,"b":{{"c":1,"d":2}}}},"location":"x"}}"#));
        let columns = r#""sensor_data":{"columns":{"Ia":[1,2.5]},"sampling_rate":8e3}"#;
        for same in [
            format!(r#" {{ "metadata":{{"b":{{"d":2,"c":1}},"a":1}}, "location":"x", {block} }}"#),
            format!(r#"{{{block},"metadata":{{"a":1,"b":{{"c":1,"d":2}},"location":"x"}}}}"#),
            format!(r#"{{{columns},"metadata":{{"a":1,"b":{{"c":1,"d":2}}}},"location":"x"}}"#),
        ] {
            assert_eq!(json(&same), known, "{same}");
        }
        let decoded = decode_json(br#"{"data":[{"Ia":1.0},{"Ia":2.5}],"sampling_rate":8000}"#).unwrap();
        let packed = encode_binary(&decoded);
        let metadata = r#"{"a":1,"b":{"c":1,"d":2}}"#;
        for seeds_form in [false, true] {
            let how = How { seeds_form, ..how };
            assert_eq!(content(binary_message(&packed, Some(metadata), Some("x".into()), how)), known);
        }
        let two = |names: &str| json(&format!(r#"{{"sensor_data":{{"data":[{names}]}}}}"#));
        assert_eq!(two(r#"{"Ia":1.0,"Ib":2.0}"#), two(r#"{"Ib":2.0,"Ia":1.0}"#));
        assert_ne!(two(r#"{"Ia":1.0,"Ib":2.0}"#), two(r#"{"Ia":2.0,"Ib":1.0}"#));
        for other in [
            format!(r#"{{{block},"metadata":{{"a":2,"b":{{"c":1,"d":2}}}},"location":"x"}}"#),
            format!(r#"{{{block},"metadata":{{"a":1,"b":{{"c":1,"d":2}}}},"location":"y"}}"#),
            format!(
                r#"{{{},"metadata":{{"a":1,"b":{{"c":1,"d":2}}}},"location":"x"}}"#,
                block.replace("2.5", "2.4")
            ),
        ] {
            assert_ne!(json(&other), known, "{other}");
        }
    }

    #[test]
    fn only_what_may_be_sent_again_has_a_digest() {
        let how = How { seeds_form: false, keyed: false };
        let of = |body: &str| content(Form::Json.decode(body.as_bytes(), how, None));
        let plain = r#"{"sensor_data":{"data":[{"Ia":1.0}],"sampling_rate":8000}}"#;
        assert_eq!(of(plain), None);
        assert!(of(&plain.replace("}}", r#"},"metadata":{"boot_id":"b","sequence":1}}"#)).is_some());
    }
}
