//! Frames for dashboards: one JSON object per text frame, never a bare NaN.

use std::collections::HashMap;

use serde_json::{Value, json};
use vtox_protocol::{DiagnosisResult, OverallHealth, result_health_score};

/// A frame with what subscriptions look at.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The JSON text.
    pub text: axum::extract::ws::Utf8Bytes,
    /// Whose.
    pub vehicle_id: String,
    /// Fault type of a result; none for an assessment.
    pub fault_type: Option<String>,
}

/// The frame of a result.
pub fn of_result(result: &DiagnosisResult) -> Frame {
    let verdict = &result.verdict;
    let mut frame = json!({
        "fault_type": result.fault_type,
        "vehicle_id": result.vehicle_id,
        "timestamp": result.timestamp,
        "status": verdict.status,
        "score": verdict.score,
        "features": verdict.features,
        "health_score": verdict.status.is_evidence().then(|| result_health_score(verdict.score)),
        "message_id": result.message_id,
        "severity": verdict.severity,
        "evidence": verdict.evidence,
        "reason": verdict.reason,
        "advice": verdict.advice,
        "model_version": verdict.model_version,
    });
    if let Value::Object(fields) = &mut frame {
        if let Some(charts) = &verdict.charts {
            fields.insert("time_series".into(), json!(charts.time_series));
            fields.insert("spectrum".into(), json!(charts.frequency_spectrum));
            fields.insert("charts".into(), json!(charts));
        }
        if let Some(location) = &result.location {
            fields.insert("location".into(), json!(location));
        }
    }
    Frame {
        text: frame.to_string().into(),
        vehicle_id: result.vehicle_id.to_string(),
        fault_type: Some(result.fault_type.to_string()),
    }
}

/// The frame of a health assessment; none when the entry is none.
pub fn of_assessment(fields: &HashMap<String, String>) -> Option<Frame> {
    let vehicle_id = fields.get("vehicle_id")?.clone();
    let health: OverallHealth = serde_json::from_str(fields.get("overall_health")?).ok()?;
    let states: Value = serde_json::from_str(fields.get("fault_states")?).ok()?;
    let active: Vec<_> =
        health.fault_summary.critical_faults.iter().chain(&health.fault_summary.warnings).copied().collect();
    let frame = json!({
        "message_type": "health_assessment",
        "vehicle_id": vehicle_id,
        "timestamp": fields.get("timestamp"),
        "health_score": health.health_score,
        "overall_status": health.overall_status,
        "active_faults": active,
        "fault_details": states,
        "location": fields.get("location").filter(|l| !l.is_empty()),
        "data_source": "vehicle_health_assessments",
        "message_id": fields.get("message_id"),
    });
    Some(Frame { text: frame.to_string().into(), vehicle_id, fault_type: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assessment_has_the_contracts_names() {
        let overall = r#"{"overall_status":"unknown","health_score":null,"total_score":0.0,"fault_summary":{"critical_faults":[],"warnings":[],"normal":[]},"last_updated":""}"#;
        let fields: HashMap<String, String> =
            [("vehicle_id", "V"), ("overall_health", overall), ("fault_states", "{}"), ("timestamp", "t")]
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect();
        let frame: Value = serde_json::from_str(&of_assessment(&fields).unwrap().text).unwrap();
        assert_eq!(frame["message_type"], "health_assessment");
        assert_eq!(frame["overall_status"], "unknown");
        assert!(of_assessment(&HashMap::new()).is_none());
    }
}
