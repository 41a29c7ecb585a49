//! Parameters of requests: one way to read and to describe them.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, header};
use utoipa::IntoParams;
use vtox_protocol::{FaultType, VehicleId};

use crate::reply::{Code, Refusal};

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes a parameter that `vehicle` reads")]
pub struct VehiclePath {
    /// Id of the vehicle, percent-encoded: 1 to 128 bytes of UTF-8 without control characters, `/` and `\`.
    #[param(example = "粤B·SEAL·202412345", max_length = 128, min_length = 1)]
    vehicle_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header that ingest reads")]
pub struct IdempotencyKey {
    /// The client's name for this message: sent again under it, the message is accepted once and answered as before.
    #[param(rename = "Idempotency-Key", max_length = 255, required = false)]
    idempotency_key: Option<String>,
}

/// The vehicle of a path.
pub fn vehicle(path: Result<Path<String>, PathRejection>) -> Result<VehicleId, Refusal> {
    let Path(id) = path.map_err(|e| Refusal::new(Code::InvalidVehicleId, e.body_text()))?;
    vehicle_id(&id)
}

/// A vehicle that is named.
pub fn vehicle_id(text: &str) -> Result<VehicleId, Refusal> {
    VehicleId::new(text).map_err(|e| Refusal::new(Code::InvalidVehicleId, e.to_string()))
}

/// The query of a request.
pub fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Refusal> {
    query.map(|Query(q)| q).map_err(|e| Refusal::new(Code::InvalidParameter, e.body_text()))
}

/// The media type of a body, in small letters; empty where none is named.
pub fn media_type(headers: &HeaderMap) -> Result<String, Refusal> {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(kind) = kinds.next() else { return Ok(String::new()) };
    let text = kind.to_str().ok().filter(|_| kinds.next().is_none()).ok_or_else(|| {
        Refusal::new(Code::UnsupportedMediaType, "there is more than one Content-Type, or it is not ASCII")
    })?;
    Ok(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// A parameter that cannot be taken.
pub fn invalid(detail: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidParameter, detail)
}

/// A fault type; empty means none is named.
pub fn fault_type(text: Option<&str>) -> Result<Option<FaultType>, Refusal> {
    text.filter(|f| !f.is_empty()).map(|f| f.parse().map_err(|e| invalid(format!("{e}")))).transpose()
}

/// Deepest nesting of JSON; a block needs 5.
const MAX_DEPTH: usize = 32;

/// Refuses JSON that is nested too deep, before anything is made of it.
pub fn check_depth(json: &[u8]) -> Result<(), Refusal> {
    if nested_beyond(json, MAX_DEPTH) {
        let detail = format!("the body cannot be read: it is nested deeper than {MAX_DEPTH}");
        return Err(Refusal::new(Code::InvalidJson, detail));
    }
    Ok(())
}

/// Whether lists and objects are nested deeper than `most`, also below keys that nobody here reads: others may read them on the
/// bare stream. Of text that is no JSON it says nothing.
fn nested_beyond(text: &[u8], most: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    text.iter().any(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > most
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_counts_outside_of_strings_alone() {
        let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        for (text, beyond) in [
            (deep(3), false),
            (deep(4), true),
            (format!("[{},{}]", deep(2), deep(2)), false),
            (r#"{"a":"[[[[{{{{","b":[1]}"#.to_owned(), false),
            (r#"{"a":"\"[[[[","b":[1]}"#.to_owned(), false),
            (r#"{"a":"\\","b":[[[1]]]}"#.to_owned(), true),
        ] {
            assert_eq!(nested_beyond(text.as_bytes(), 3), beyond, "{text}");
        }
    }
}
