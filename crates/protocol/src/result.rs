//! Results on their way to `fault_diagnosis_results` and back.

use std::collections::{BTreeMap, HashMap};

use crate::{Charts, EntryId, Evidence, FaultType, MessageId, Severity, Status, VehicleId, Verdict};

/// One result: exactly one per accepted message and enabled fault type.
#[derive(Debug, Clone, PartialEq)]
pub struct DiagnosisResult {
    /// Whose motor.
    pub vehicle_id: VehicleId,
    /// Which detector.
    pub fault_type: FaultType,
    /// When it was diagnosed, ISO 8601.
    pub timestamp: String,
    /// What the detector says.
    pub verdict: Verdict,
    /// The worker.
    pub consumer_id: String,
    /// Time the diagnosis took, s.
    pub processing_time_s: f64,
    /// The raw entry.
    pub original_message_id: EntryId,
    /// The message.
    pub message_id: MessageId,
    /// `location` from the sender's metadata, where it gave one.
    pub location: Option<String>,
    /// Of a replay: the entry as it was accepted.
    pub replay_of: Option<EntryId>,
}

/// An entry of the results stream that is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {0} of a result is missing or malformed")]
pub struct MalformedResult(pub &'static str);

impl DiagnosisResult {
    /// The fields of the stream entry, in order.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let verdict = &self.verdict;
        let mut fields = vec![
            ("vehicle_id", self.vehicle_id.to_string()),
            ("fault_type", self.fault_type.to_string()),
            ("timestamp", self.timestamp.clone()),
            ("status", verdict.status.to_string()),
            ("score", format!("{:.4}", verdict.score)),
            ("features", json(&verdict.features)),
            ("charts", verdict.charts.as_ref().map_or_else(|| "{}".to_owned(), json)),
            ("consumer_id", self.consumer_id.clone()),
            ("processing_time", format!("{:.6}", self.processing_time_s)),
            ("original_message_id", self.original_message_id.to_string()),
            ("message_id", self.message_id.to_string()),
            ("severity", verdict.severity.map_or("", Severity::name).to_owned()),
            ("evidence", evidence_json(&verdict.evidence, verdict.reason.as_deref())),
            ("advice", verdict.advice.clone().unwrap_or_default()),
            ("model_version", verdict.model_version.clone()),
        ];
        if let Some(location) = &self.location {
            fields.push(("location", location.clone()));
        }
        if let Some(original) = self.replay_of {
            fields.push(("replay_of", original.to_string()));
        }
        fields
    }

    /// Reads the fields of a stream entry.
    pub fn from_fields(fields: &HashMap<String, String>) -> Result<Self, MalformedResult> {
        let get = |name: &'static str| fields.get(name).map(String::as_str).ok_or(MalformedResult(name));
        let text = |name: &str| fields.get(name).filter(|t| !t.is_empty()).cloned();
        let number = |name: &'static str| {
            get(name)?.parse::<f64>().ok().filter(|v| v.is_finite()).ok_or(MalformedResult(name))
        };
        let evidence: EvidenceJson =
            text("evidence").and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default();
        let charts: Charts = text("charts").and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default();
        Ok(Self {
            vehicle_id: VehicleId::new(get("vehicle_id")?).map_err(|_| MalformedResult("vehicle_id"))?,
            fault_type: get("fault_type")?.parse().map_err(|_| MalformedResult("fault_type"))?,
            timestamp: get("timestamp")?.to_owned(),
            verdict: Verdict {
                status: Status::from_name(get("status")?).ok_or(MalformedResult("status"))?,
                score: number("score")?,
                severity: match text("severity").as_deref() {
                    Some("A") => Some(Severity::A),
                    Some("B") => Some(Severity::B),
                    Some("C") => Some(Severity::C),
                    Some("D") => Some(Severity::D),
                    _ => None,
                },
                features: serde_json::from_str(get("features")?).map_err(|_| MalformedResult("features"))?,
                evidence: evidence.lines,
                reason: evidence.reason,
                advice: text("advice"),
                model_version: text("model_version").unwrap_or_default(),
                charts: (charts != Charts::default()).then_some(charts),
            },
            consumer_id: text("consumer_id").unwrap_or_default(),
            processing_time_s: number("processing_time")?,
            original_message_id: get("original_message_id")?
                .parse()
                .map_err(|_| MalformedResult("original_message_id"))?,
            message_id: MessageId::from_wire(get("message_id")?).ok_or(MalformedResult("message_id"))?,
            location: text("location"),
            replay_of: text("replay_of").and_then(|t| t.parse().ok()),
        })
    }

    /// The entry that says where the signals belong among those of the vehicle: what is newer here is newer.
    pub fn accepted_as(&self) -> EntryId {
        self.replay_of.unwrap_or(self.original_message_id)
    }
}

/// The field `evidence`: the lines, and why a verdict is limited or missing.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct EvidenceJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default)]
    lines: Vec<Evidence>,
}

fn evidence_json(lines: &[Evidence], reason: Option<&str>) -> String {
    json(&EvidenceJson { reason: reason.map(str::to_owned), lines: lines.to_vec() })
}

/// JSON of plain maps and numbers, which cannot fail.
fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "{}".to_owned())
}

/// `health_score` of a single result, 0 to 100, from its score (the piecewise rule of existing clients).
pub fn result_health_score(score: f64) -> f64 {
    let health = if score <= 0.2 {
        95.0 - 25.0 * score
    } else if score <= 0.5 {
        90.0 - 100.0 * (score - 0.2)
    } else {
        60.0 - 120.0 * (score - 0.5)
    };
    health.clamp(0.0, 100.0)
}

/// Features with names in order, for tests and callers that build verdicts.
pub fn features<const N: usize>(pairs: [(&str, f64); N]) -> BTreeMap<String, f64> {
    pairs.into_iter().filter(|(_, v)| v.is_finite()).map(|(k, v)| (k.to_owned(), v)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> DiagnosisResult {
        DiagnosisResult {
            vehicle_id: VehicleId::new("粤B·SEAL·1").unwrap(),
            fault_type: FaultType::Bearing,
            timestamp: "2026-11-20T08:00:00.000+00:00".into(),
            verdict: Verdict {
                status: Status::Warning,
                score: 0.4375,
                severity: Some(Severity::B),
                features: features([("kurtosis", 4.5)]),
                evidence: vec![Evidence {
                    line: "BPFO x1".into(),
                    expected: Some(107.5),
                    found: Some(107.25),
                    unit: "Hz".into(),
                    above_floor_db: Some(14.0),
                }],
                reason: Some("one axis only".into()),
                advice: Some("Plan an inspection.".into()),
                model_version: "bearing-1".into(),
                charts: None,
            },
            consumer_id: "worker-1".into(),
            processing_time_s: 0.000_25,
            original_message_id: "5-1".parse().unwrap(),
            message_id: MessageId::from_wire("m-1").unwrap(),
            location: None,
            replay_of: None,
        }
    }

    #[test]
    fn fields_are_those_of_the_contract() {
        let fields = result().fields();
        let of = |name: &str| fields.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
        assert_eq!(of("score"), Some("0.4375"));
        assert_eq!(of("features"), Some(r#"{"kurtosis":4.5}"#));
        assert_eq!(of("charts"), Some("{}"));
        assert_eq!(of("original_message_id"), Some("5-1"));
        assert_eq!(of("processing_time"), Some("0.000250"));
    }

    #[test]
    fn fields_read_back() {
        let map: HashMap<String, String> =
            result().fields().into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        assert_eq!(DiagnosisResult::from_fields(&map), Ok(result()));
        assert_eq!(result().accepted_as(), result().original_message_id);
        let replayed = DiagnosisResult { replay_of: "3-0".parse().ok(), ..result() };
        let map_of_replay = replayed.fields().into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        assert_eq!(DiagnosisResult::from_fields(&map_of_replay).map(|r| r.accepted_as().ms), Ok(3));
        let mut broken = map;
        broken.insert("score".into(), "NaN".into());
        assert_eq!(DiagnosisResult::from_fields(&broken), Err(MalformedResult("score")));
    }

    #[test]
    fn health_score_follows_the_three_pieces() {
        assert_eq!(result_health_score(0.0), 95.0);
        assert_eq!(result_health_score(0.2), 90.0);
        assert_eq!(result_health_score(0.5), 60.0);
        assert_eq!(result_health_score(1.0), 0.0);
    }
}
