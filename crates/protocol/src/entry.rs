//! Entries of the raw streams: the seeds' form on the bare stream, the binary form on the others.

use std::collections::HashMap;

use crate::codec::{BlockError, decode_binary, decode_json, encode_binary};
use crate::{EntryId, FaultSet, MessageId, MotorProfile, SignalBlock, VehicleId};

/// Value of `data_type` of every raw entry.
pub const DATA_TYPE: &str = "motor_sensor_data";

/// What a producer appends.
#[derive(Debug, Clone)]
pub struct RawEntry {
    /// Whose signals.
    pub vehicle_id: VehicleId,
    /// Identity of the message.
    pub message_id: MessageId,
    /// When it was measured or accepted, ISO 8601.
    pub timestamp: String,
    /// The signals.
    pub payload: Payload,
    /// `metadata` as the producer sent it, JSON text.
    pub metadata: Option<String>,
    /// What is known of the motor beforehand, JSON of a [`MotorProfile`].
    pub motor: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// Signals in one of the two forms of the raw streams.
#[derive(Debug, Clone)]
pub enum Payload {
    /// `sensor_data`, JSON text.
    Json(String),
    /// `block`, the binary form.
    Binary(Vec<u8>),
}

impl Payload {
    /// A block in the binary form.
    pub fn from_block(block: &SignalBlock) -> Self {
        Self::Binary(encode_binary(block))
    }
}

impl RawEntry {
    /// The fields of the stream entry, in order.
    pub fn fields(&self) -> Vec<(&'static str, &[u8])> {
        let mut fields: Vec<(&'static str, &[u8])> = vec![
            ("vehicle_id", self.vehicle_id.as_str().as_bytes()),
            ("timestamp", self.timestamp.as_bytes()),
        ];
        match &self.payload {
            Payload::Json(text) => fields.push(("sensor_data", text.as_bytes())),
            Payload::Binary(bytes) => fields.push(("block", bytes)),
        }
        fields.push(("metadata", self.metadata.as_deref().unwrap_or("{}").as_bytes()));
        fields.push(("data_type", DATA_TYPE.as_bytes()));
        fields.push(("message_id", self.message_id.as_str().as_bytes()));
        if let Some(motor) = &self.motor {
            fields.push(("motor", motor.as_bytes()));
        }
        if let Some(trace) = &self.traceparent {
            fields.push(("traceparent", trace.as_bytes()));
        }
        fields
    }
}

/// A raw entry as a worker reads it.
#[derive(Debug, Clone)]
pub struct Message {
    /// Whose signals.
    pub vehicle_id: VehicleId,
    /// Identity of the message.
    pub message_id: MessageId,
    /// Time stamp of the producer, as it wrote it.
    pub timestamp: String,
    /// The signals, or why a detector can do nothing with them.
    pub block: Result<SignalBlock, String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// An entry that is no message: it is answered with a dead letter.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct Undecodable {
    /// The vehicle, where that much could be read.
    pub vehicle_id: Option<VehicleId>,
    /// What is wrong with the entry.
    pub reason: String,
}

/// Reads a raw entry of either form.
///
/// # Errors
/// [`Undecodable`] when there is no valid `vehicle_id`, or neither `sensor_data` nor `block` can be
/// read. Signals that can be read but not diagnosed are no error: [`Message::block`] says why.
pub fn decode_entry(
    stream: &str,
    id: EntryId,
    fields: &HashMap<String, Vec<u8>>,
) -> Result<Message, Undecodable> {
    let text = |name: &str| text_of(fields, name);
    let vehicle_id = match text("vehicle_id").map(VehicleId::new) {
        Some(Ok(id)) => id,
        Some(Err(e)) => {
            return Err(Undecodable { vehicle_id: None, reason: e.to_string() });
        }
        None => {
            let reason = "field vehicle_id is missing or not UTF-8".to_owned();
            return Err(Undecodable { vehicle_id: None, reason });
        }
    };
    let decoded = match (fields.get("sensor_data"), fields.get("block")) {
        (Some(json), _) => decode_json(json),
        (None, Some(bytes)) => decode_binary(bytes),
        (None, None) => Err(BlockError::Syntax("field sensor_data is missing".to_owned())),
    };
    let block = match decoded {
        Ok(block) => with_motor(block, fields),
        Err(BlockError::Content(reason)) => Err(reason),
        Err(e @ BlockError::Syntax(_)) => {
            return Err(Undecodable { vehicle_id: Some(vehicle_id), reason: e.to_string() });
        }
    };
    Ok(Message {
        vehicle_id,
        message_id: message_id_of(stream, id, fields),
        timestamp: text("timestamp").unwrap_or_default().to_owned(),
        block,
        traceparent: text("traceparent").map(str::to_owned),
    })
}

/// The block, with what the field `motor` says of the motor where the block itself says nothing.
fn with_motor(mut block: SignalBlock, fields: &HashMap<String, Vec<u8>>) -> Result<SignalBlock, String> {
    if let Some(motor) = fields.get("motor") {
        let motor: MotorProfile =
            serde_json::from_slice(motor).map_err(|e| format!("field motor is no motor profile: {e}"))?;
        block.profile = Some(block.profile.unwrap_or_default().or(&motor));
    }
    Ok(block)
}

/// Identity of the message in a raw entry, also of one that cannot be decoded.
pub fn message_id_of(stream: &str, id: EntryId, fields: &HashMap<String, Vec<u8>>) -> MessageId {
    text_of(fields, "message_id")
        .and_then(MessageId::from_wire)
        .unwrap_or_else(|| MessageId::from_entry(stream, id))
}

/// What the copy of a raw entry that is tried again says beside the fields of the original: fields `replay`, `replay_of`
/// and `attempt`. A fault type that is not named reads over the copy without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Fault types that answer it.
    pub faults: FaultSet,
    /// The entry as it was accepted: its place among the messages of the vehicle.
    pub of: EntryId,
    /// Which attempt on the message this is; the first was 1.
    pub attempt: u32,
}

impl Replay {
    /// Reads the fields; none in an entry that is no replay.
    ///
    /// # Errors
    /// Which of the three fields cannot be read.
    pub fn from_fields(fields: &HashMap<String, Vec<u8>>) -> Result<Option<Self>, String> {
        if !fields.contains_key("replay") {
            return Ok(None);
        }
        let text =
            |name: &str| text_of(fields, name).ok_or_else(|| format!("field {name} is missing or not UTF-8"));
        Ok(Some(Self {
            faults: text("replay")?.parse().map_err(|e| format!("field replay: {e}"))?,
            of: text("replay_of")?.parse().map_err(|e| format!("field replay_of: {e}"))?,
            attempt: text("attempt")?.parse().map_err(|e| format!("field attempt: {e}"))?,
        }))
    }
}

fn text_of<'a>(fields: &'a HashMap<String, Vec<u8>>, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(|v| std::str::from_utf8(v).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FaultType;

    fn fields(pairs: &[(&str, &str)]) -> HashMap<String, Vec<u8>> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_replay_is_read_and_a_broken_one_is_refused() {
        assert_eq!(Replay::from_fields(&fields(&[("vehicle_id", "V")])), Ok(None));
        let replay = [("replay", "bearing,insulation"), ("replay_of", "5-1"), ("attempt", "2")];
        let faults = FaultSet::EMPTY.with(FaultType::Bearing).with(FaultType::Insulation);
        let expected = Replay { faults, of: EntryId { ms: 5, seq: 1 }, attempt: 2 };
        assert_eq!(Replay::from_fields(&fields(&replay)), Ok(Some(expected)));
        for (at, name) in ["replay", "replay_of", "attempt"].into_iter().enumerate() {
            let mut broken = replay;
            broken[at].1 = "x";
            let reason = Replay::from_fields(&fields(&broken)).unwrap_err();
            assert!(reason.contains(&format!("field {name}:")), "{reason}");
        }
        assert!(Replay::from_fields(&fields(&replay[..2])).unwrap_err().contains("attempt is missing"));
    }

    #[test]
    fn the_motor_of_an_entry_counts_where_its_block_says_nothing() {
        let block = r#"{"data":[{"Ia":1}],"motor":{"pole_pairs":2}}"#;
        let read = |motor: &str| {
            let entry = fields(&[("vehicle_id", "V"), ("sensor_data", block), ("motor", motor)]);
            decode_entry("s", EntryId::ZERO, &entry).unwrap().block
        };
        let profile = read(r#"{"pole_pairs":4,"rotor_bars":28}"#).unwrap().profile.unwrap();
        assert_eq!((profile.pole_pairs, profile.rotor_bars), (Some(2), Some(28)));
        assert!(read("{}").unwrap().profile.unwrap().rotor_bars.is_none());
        assert!(read("x").unwrap_err().contains("field motor"));
    }

    #[test]
    fn an_entry_without_a_message_id_is_called_by_its_place() {
        let id = EntryId { ms: 5, seq: 1 };
        assert_eq!(message_id_of("motor_raw_data", id, &fields(&[])).as_str(), "motor_raw_data/5-1");
        assert_eq!(message_id_of("s", id, &fields(&[("message_id", "m-1")])).as_str(), "m-1");
    }
}
