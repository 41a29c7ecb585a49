//! What goes with a message beside its signals.

use serde_json::{Map, Value};

use crate::reply::{Code, Refusal};

/// Longest `location` and longest `metadata`, bytes.
const MAX_LOCATION_BYTES: usize = 512;
const MAX_METADATA_BYTES: usize = 16 << 10;

/// Metadata that was read.
#[derive(Debug)]
pub struct Metadata {
    /// As it goes into the stream: with the location in it; none: there is neither.
    pub text: Option<String>,
    /// The same by name.
    pub fields: Map<String, Value>,
    /// `boot_id` and `sequence`, from a vehicle that counts its messages.
    pub sequence: Option<(String, u64)>,
}

/// Reads metadata, JSON text, and the location beside it.
pub fn read(metadata: Option<&str>, location: Option<String>) -> Result<Metadata, Refusal> {
    if metadata.is_some_and(|m| m.len() > MAX_METADATA_BYTES) {
        return Err(bad(format!("metadata is over {MAX_METADATA_BYTES} bytes")));
    }
    let mut fields: Map<String, Value> = match metadata {
        Some(text) => {
            serde_json::from_str(text).map_err(|e| bad(format!("metadata is not an object: {e}")))?
        }
        None => Map::new(),
    };
    let sequence = sequence_of(&fields)?;
    let text = match location {
        None => metadata.map(str::to_owned),
        Some(l) if l.len() > MAX_LOCATION_BYTES => {
            return Err(bad(format!("location is over {MAX_LOCATION_BYTES} bytes")));
        }
        Some(location) => {
            fields.insert("location".to_owned(), location.into());
            serde_json::to_string(&fields).ok()
        }
    };
    Ok(Metadata { text, fields, sequence })
}

/// A vehicle that counts its messages relies on them: what cannot be read as its count is refused rather than accepted without
/// protection.
fn sequence_of(fields: &Map<String, Value>) -> Result<Option<(String, u64)>, Refusal> {
    let said = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let boot_id = said("boot_id")
        .map(|v| v.as_str().ok_or_else(|| bad(format!("metadata.boot_id is {v}; send a text"))))
        .transpose()?;
    let sequence = said("sequence")
        .map(|v| {
            let wrong = || bad(format!("metadata.sequence is {v}; send a whole number from 0 to 2^64 - 1"));
            v.as_u64().ok_or_else(wrong)
        })
        .transpose()?;
    Ok(boot_id.map(str::to_owned).zip(sequence))
}

fn bad(detail: String) -> Refusal {
    Refusal::new(Code::InvalidMetadata, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_cannot_be_read_is_refused() {
        let count = |text: &str| read(Some(text), None).map(|m| m.sequence);
        assert_eq!(count(r#"{"boot_id":"b","sequence":7}"#).unwrap(), Some(("b".to_owned(), 7)));
        for neither in [r#"{"boot_id":"b"}"#, r#"{"sequence":7}"#, r#"{"boot_id":null,"sequence":7}"#, "{}"] {
            assert_eq!(count(neither).unwrap(), None, "{neither}");
        }
        for (wrong, name) in [
            (r#"{"boot_id":5,"sequence":7}"#, "boot_id"),
            (r#"{"boot_id":5}"#, "boot_id"),
            (r#"{"boot_id":"b","sequence":"7"}"#, "sequence"),
            (r#"{"boot_id":"b","sequence":-1}"#, "sequence"),
            (r#"{"boot_id":"b","sequence":7.5}"#, "sequence"),
            (r#"{"sequence":18446744073709551616}"#, "sequence"),
        ] {
            let refusal = count(wrong).unwrap_err();
            assert_eq!(refusal.code, Code::InvalidMetadata);
            assert!(refusal.detail.contains(&format!("metadata.{name} is ")), "{}", refusal.detail);
        }
    }

    #[test]
    fn the_location_is_part_of_the_metadata() {
        let with = |metadata, location: &str| read(metadata, Some(location.to_owned())).map(|m| m.text);
        assert_eq!(with(None, "x").unwrap().unwrap(), r#"{"location":"x"}"#);
        assert_eq!(with(Some(r#"{"location":"y"}"#), "x").unwrap().unwrap(), r#"{"location":"x"}"#);
        assert_eq!(read(None, None).unwrap().text, None);
        assert!(with(None, &"x".repeat(MAX_LOCATION_BYTES + 1)).is_err());
        assert!(read(Some("[1]"), None).is_err());
    }
}
