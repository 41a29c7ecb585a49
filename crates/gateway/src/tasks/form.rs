//! The forms of a task: JSON, a file with fields beside it (multipart), CSV, MessagePack.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use vtox_protocol::codec::{decode_binary, decode_csv, decode_json};
use vtox_protocol::task::{DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS, Priority};
use vtox_protocol::{FaultSet, MotorProfile, SignalBlock, VehicleId};

use crate::ingest::refusal_of;
use crate::input;
use crate::reply::{Code, Refusal};

/// What a body in JSON looks like.
const LIKE: &str =
    "{\"sensor_data\": {...}}, and beside it fault_type, vehicle_id, priority, timeout_ms or motor";

/// What is said beside the block: query parameters, fields of a form, or members of the JSON body; the latter two win.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Options {
    /// One fault type, several with commas between, or `all` (the default).
    pub fault_type: Option<String>,
    /// The vehicle.
    pub vehicle_id: Option<String>,
    /// `low`, `normal` (the default), `high` or `critical`.
    pub priority: Option<String>,
    /// Longest time for the answer, ms: 1 to 60000, 10000 by default.
    pub timeout_ms: Option<u64>,
    /// Whether to say why each worker was picked.
    pub explain: Option<bool>,
    /// Sampling rate of a CSV file without a time column, Hz.
    pub sampling_rate: Option<f64>,
    /// What is known of the motor; counts before what the block says.
    #[serde(skip)]
    #[param(ignore)]
    pub motor: Option<MotorProfile>,
}

/// A task that was read.
pub struct Form {
    /// Fault types asked for.
    pub faults: FaultSet,
    /// The vehicle.
    pub vehicle: Option<VehicleId>,
    /// Priority.
    pub priority: Priority,
    /// Longest time, ms.
    pub timeout_ms: u64,
    /// Whether to say why.
    pub explain: bool,
    /// The block.
    pub block: SignalBlock,
}

/// A body in one of the forms.
pub enum Body {
    /// `application/json`.
    Json(Bytes),
    /// A table.
    Csv(Bytes),
    /// `application/msgpack`.
    Binary(Bytes),
}

fn unprocessable(detail: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidParameter, detail)
}

impl Body {
    /// A body in the form that its headers name; what stands in fields beside a file goes into `options`.
    pub async fn of(headers: &HeaderMap, bytes: Bytes, options: &mut Options) -> Result<Self, Refusal> {
        let media = input::media_type(headers)?;
        if media == "multipart/form-data" {
            let mut request = Request::new(bytes.into());
            *request.headers_mut() = headers.clone();
            // It is read already, within a limit of our own.
            DefaultBodyLimit::disable().apply(&mut request);
            return multipart(request, options).await;
        }
        let form = match media.as_str() {
            "" | "application/json" => Self::Json,
            "text/csv" | "application/csv" => Self::Csv,
            "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => Self::Binary,
            other => {
                return Err(Refusal::new(
                    Code::UnsupportedMediaType,
                    format!(
                        "{other} is not taken; send application/json, multipart/form-data with a file, text/csv or application/msgpack"
                    ),
                ));
            }
        };
        Ok(form(bytes))
    }

    /// Decodes and checks everything; takes a while for large bodies.
    pub fn decode(&self, mut options: Options) -> Result<Form, Refusal> {
        let mut block = match self {
            Self::Json(text) => {
                input::check_depth(text)?;
                let body: Task<'_> = serde_json::from_slice(text).map_err(|e| {
                    let code = if e.is_data() { Code::InvalidParameter } else { Code::InvalidJson };
                    Refusal::new(code, format!("the body cannot be read: {e}; send {LIKE}"))
                })?;
                let sensor_data = body.sensor_data;
                body.options(&mut options);
                decode_json(sensor_data.get().as_bytes())
            }
            Self::Csv(table) => decode_csv(table, options.sampling_rate),
            Self::Binary(bytes) => decode_binary(bytes),
        }
        .map_err(|error| refusal_of(&error))?;
        if let Some(motor) = &options.motor {
            block.profile = Some(block.profile.as_ref().map_or_else(|| motor.clone(), |said| motor.or(said)));
        }
        options.into_form(block)
    }
}

impl Options {
    fn into_form(self, block: SignalBlock) -> Result<Form, Refusal> {
        let faults = match self.fault_type.as_deref() {
            None => FaultSet::ALL,
            Some(names) => names.parse::<FaultSet>().map_err(|e| unprocessable(e.to_string()))?,
        };
        if faults.is_empty() {
            return Err(unprocessable("fault_type is empty; name a fault type, or all"));
        }
        let vehicle = self.vehicle_id.as_deref().map(VehicleId::new).transpose();
        let vehicle = vehicle.map_err(|e| unprocessable(format!("vehicle_id: {e}")))?;
        let priority = self.priority.as_deref().map(str::parse::<Priority>).transpose();
        let priority = priority.map_err(unprocessable)?.unwrap_or_default();
        let timeout_ms = self.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
        if !(1..=MAX_TIMEOUT_MS).contains(&timeout_ms) {
            return Err(unprocessable(format!(
                "timeout_ms is {timeout_ms}; 1 to {MAX_TIMEOUT_MS} is expected"
            )));
        }
        Ok(Form { faults, vehicle, priority, timeout_ms, explain: self.explain.unwrap_or(false), block })
    }
}

/// A task.
#[derive(Deserialize, ToSchema)]
pub struct Task<'a> {
    /// The block: rows or columns, as a vehicle sends them.
    #[serde(borrow)]
    #[schema(value_type = Object)]
    sensor_data: &'a RawValue,
    /// One fault type, several with commas between, or `all` (the default).
    fault_type: Option<String>,
    /// The vehicle; its motor profile is used where the block says nothing.
    vehicle_id: Option<String>,
    /// `low`, `normal` (the default), `high` or `critical`.
    priority: Option<String>,
    /// Longest time for the answer, ms: 1 to 60000, 10000 by default.
    timeout_ms: Option<u64>,
    /// Whether to say why each worker was picked.
    explain: Option<bool>,
    /// What is known of the motor; counts before what the block says.
    motor: Option<MotorProfile>,
}

/// A file with a task; the options may stand beside it as fields.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `multipart` reads field by field")]
pub struct TaskFile {
    /// The table, .csv.
    #[schema(value_type = String, format = Binary)]
    file: (),
    /// Sampling rate of a table without a time column, Hz.
    sampling_rate: Option<f64>,
    /// The vehicle.
    vehicle_id: Option<String>,
    /// A motor profile, JSON.
    motor: Option<String>,
}

impl Task<'_> {
    fn options(self, options: &mut Options) {
        options.fault_type = self.fault_type.or(options.fault_type.take());
        options.vehicle_id = self.vehicle_id.or(options.vehicle_id.take());
        options.priority = self.priority.or(options.priority.take());
        options.timeout_ms = self.timeout_ms.or(options.timeout_ms);
        options.explain = self.explain.or(options.explain);
        options.motor = self.motor.or(options.motor.take());
    }
}

async fn multipart(request: Request, options: &mut Options) -> Result<Body, Refusal> {
    let broken = |text: String| Refusal::new(Code::InvalidBody, text);
    let mut form = Multipart::from_request(request, &()).await.map_err(|e| broken(e.body_text()))?;
    let mut file = None;
    while let Some(field) = form.next_field().await.map_err(|e| broken(e.body_text()))? {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" {
            csv_name(field.file_name())?;
            file = Some(field.bytes().await.map_err(|e| broken(e.body_text()))?);
            continue;
        }
        let text = field.text().await.map_err(|e| broken(e.body_text()))?;
        let wrong =
            |error: &dyn std::fmt::Display| unprocessable(format!("{name} is not as expected: {error}"));
        match name.as_str() {
            "fault_type" => options.fault_type = Some(text),
            "vehicle_id" => options.vehicle_id = Some(text),
            "priority" => options.priority = Some(text),
            "timeout_ms" => options.timeout_ms = Some(text.parse().map_err(|e| wrong(&e))?),
            "explain" => options.explain = Some(text.parse().map_err(|e| wrong(&e))?),
            "sampling_rate" => options.sampling_rate = Some(text.parse().map_err(|e| wrong(&e))?),
            "motor" => options.motor = Some(serde_json::from_str(&text).map_err(|e| wrong(&e))?),
            _ => {}
        }
    }
    file.map(Body::Csv).ok_or_else(|| unprocessable("there is no field named file; send the .csv file in it"))
}

fn csv_name(name: Option<&str>) -> Result<(), Refusal> {
    match name {
        Some(name) if !name.to_ascii_lowercase().ends_with(".csv") => {
            Err(Refusal::new(Code::UndecodableBlock, "the file is no .csv; save the table as CSV in UTF-8"))
        }
        _ => Ok(()),
    }
}
