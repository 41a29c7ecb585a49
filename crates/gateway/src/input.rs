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
