//! `POST /diagnosis/{turn-to-turn|insulation|bearing|eccentricity|broken-bar}`: a file, one fault type, the seeds' answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::StatusCode;
use serde::Serialize;
use vtox_protocol::{FaultType, Status};

use super::conclusion::{conclusion, suggestions};
use super::form::{Body, Options};
use super::submit::{decoded, send};
use crate::api::Api;
use crate::reply::Refusal;

/// The seeds' answer to a file.
#[derive(Debug, Serialize)]
pub struct FileAnswer {
    /// The verdict.
    pub status: Status,
    /// 0 (healthy) to 1 (certain fault).
    pub score: f64,
    /// Named figures.
    pub features: BTreeMap<String, f64>,
    /// Curves over time, s.
    pub time_series: BTreeMap<String, Vec<f32>>,
    /// Curves over frequency, Hz.
    pub frequency_spectrum: BTreeMap<String, Vec<f32>>,
    /// The verdict in a sentence.
    pub diagnosis_conclusion: String,
    /// What to do.
    pub suggestions: Vec<String>,
}

/// The fault type of a path.
fn fault_of(name: &str) -> Option<FaultType> {
    Some(match name {
        "turn-to-turn" => FaultType::TurnFault,
        "insulation" => FaultType::Insulation,
        "bearing" => FaultType::Bearing,
        "eccentricity" => FaultType::Eccentricity,
        "broken-bar" => FaultType::BrokenBar,
        _ => return None,
    })
}

/// Diagnoses the file in field `file`; the fields of a task may stand beside it.
pub async fn diagnose(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    peer: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    query: Result<Query<Options>, QueryRejection>,
    request: Request,
) -> Result<Json<FileAnswer>, Refusal> {
    let Path(name) = path.map_err(|e| Refusal::bad(StatusCode::BAD_REQUEST, "path", e.body_text()))?;
    let fault = fault_of(&name).ok_or_else(|| {
        let detail =
            "no such diagnosis; turn-to-turn, insulation, bearing, eccentricity and broken-bar are there";
        Refusal::bad(StatusCode::NOT_FOUND, "diagnosis", detail)
    })?;
    let Query(mut options) =
        query.map_err(|e| Refusal::bad(StatusCode::UNPROCESSABLE_ENTITY, "query", e.body_text()))?;
    let headers = request.headers().clone();
    let body = Body::read(request, &mut options, api.service.settings.gateway.body_limit_bytes).await?;
    let form = decoded(body, Options { fault_type: Some(fault.name().to_owned()), ..options }).await?;
    let peer = peer.map(|axum::Extension(ConnectInfo(address))| address);
    let mut answer = send(&api, &headers, peer, form).await?;
    let verdict = answer
        .verdicts
        .remove(&fault)
        .ok_or_else(|| Refusal::unavailable("coordinator", "the answer lacks the verdict; try again"))?;
    let (diagnosis_conclusion, suggestions) = (conclusion(fault, &verdict), suggestions(fault, &verdict));
    let charts = verdict.charts.unwrap_or_default();
    Ok(Json(FileAnswer {
        status: verdict.status,
        score: verdict.score,
        features: verdict.features,
        time_series: charts.time_series,
        frequency_spectrum: charts.frequency_spectrum,
        diagnosis_conclusion,
        suggestions,
    }))
}
