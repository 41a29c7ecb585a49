//! A result as queries show it.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use vtox_protocol::{FaultType, Status, VehicleId};

/// A result of a diagnosis.
#[derive(Debug, Serialize, ToSchema)]
pub struct Record {
    /// Whose motor.
    pub vehicle_id: VehicleId,
    /// Which detector.
    pub fault_type: FaultType,
    /// When it was diagnosed, ISO 8601.
    pub timestamp: String,
    /// Its verdict.
    pub status: Status,
    /// 0 (healthy) to 1 (certain fault).
    pub score: f64,
    /// Severity zone A to D; none without evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Named figures.
    pub features: BTreeMap<String, f64>,
    /// Lines expected and found, and why a verdict is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub evidence: Option<Value>,
    /// Small curves, where the result carries them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub charts: Option<Value>,
    /// Advice to maintenance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer_id: Option<String>,
    /// Time the diagnosis took, s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processing_time: Option<f64>,
    /// The raw entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_message_id: Option<String>,
    /// The message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Detector and version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_version: Option<String>,
    /// Where the vehicle was, as it said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Of a replay: the entry as it was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<String>,
}

impl Record {
    /// Reads a stream entry; none where it is no result. `vehicle` is whose history it is from, where it is from one.
    pub fn of(fields: &HashMap<String, String>, vehicle: Option<&VehicleId>) -> Option<Self> {
        let text = |name: &str| fields.get(name).filter(|t| !t.is_empty()).cloned();
        let number = |name: &str| fields.get(name)?.parse::<f64>().ok().filter(|v| v.is_finite());
        let object = |name: &str| {
            let value: Value = serde_json::from_str(fields.get(name)?).ok()?;
            value.as_object().is_some_and(|o| !o.is_empty()).then_some(value)
        };
        Some(Self {
            vehicle_id: match vehicle {
                Some(vehicle) => vehicle.clone(),
                None => VehicleId::new(fields.get("vehicle_id")?).ok()?,
            },
            fault_type: fields.get("fault_type")?.parse().ok()?,
            timestamp: text("timestamp")?,
            status: Status::from_name(fields.get("status")?)?,
            score: number("score")?,
            severity: text("severity"),
            features: text("features").and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default(),
            evidence: object("evidence"),
            charts: object("charts"),
            advice: text("advice"),
            consumer_id: text("consumer_id"),
            processing_time: number("processing_time"),
            original_message_id: text("original_message_id"),
            message_id: text("message_id"),
            model_version: text("model_version"),
            location: text("location"),
            replay_of: text("replay_of"),
        })
    }
}
