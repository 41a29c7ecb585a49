//! Alerts.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vtox_protocol::{FaultType, keys};

use super::MAX_RECORDS;
use crate::api::Api;
use crate::input;
use crate::reply::Refusal;
use crate::schema::Answer;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Limit {
    /// Most alerts; 50 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// An alert.
#[derive(Serialize, ToSchema)]
pub struct Alert {
    /// Kind, such as `critical_fault`.
    alert_type: String,
    /// Whose motor; none where it is about the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    vehicle_id: Option<String>,
    severity: String,
    /// 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    health_score: Option<f64>,
    critical_faults: Vec<FaultType>,
    /// ISO 8601.
    alert_timestamp: String,
    requires_immediate_action: bool,
    /// What is wrong with the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Alert {
    fn of(fields: &HashMap<String, String>) -> Option<Self> {
        let text = |name: &str| fields.get(name).filter(|t| !t.is_empty()).cloned();
        Some(Self {
            alert_type: text("alert_type")?,
            vehicle_id: text("vehicle_id"),
            severity: text("severity")?,
            health_score: text("health_score").and_then(|t| t.parse().ok()),
            critical_faults: text("critical_faults")
                .and_then(|t| serde_json::from_str(&t).ok())
                .unwrap_or_default(),
            alert_timestamp: text("alert_timestamp")?,
            requires_immediate_action: text("requires_immediate_action").is_some_and(|t| t == "true"),
            message: text("message"),
        })
    }
}

/// Alerts of the highest severity.
#[derive(Serialize, ToSchema)]
pub struct Alerts {
    total_alerts: usize,
    /// Newest first.
    alerts: Vec<Alert>,
}

/// Critical alerts, newest first
#[utoipa::path(
    get,
    path = "/alerts/critical",
    tag = "Vehicles",
    params(Limit),
    responses((status = 200, description = "The newest.", body = Answer<Alerts>)),
)]
pub async fn critical(
    State(api): State<Arc<Api>>,
    query: Result<Query<Limit>, QueryRejection>,
) -> Result<Json<Answer<Alerts>>, Refusal> {
    let limit = input::query(query)?.limit.unwrap_or(50).clamp(1, MAX_RECORDS);
    let entries = api.views.newest(keys::ALERTS, 0, MAX_RECORDS).await?;
    let alerts: Vec<Alert> = entries
        .into_iter()
        .filter_map(|entry| Alert::of(&entry.text_fields()))
        .filter(|alert| alert.severity == "critical")
        .take(limit)
        .collect();
    Ok(Json(Answer::of(Alerts { total_alerts: alerts.len(), alerts })))
}
