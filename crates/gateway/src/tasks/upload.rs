//! `POST /diagnosis/{turn-to-turn|insulation|bearing|eccentricity|broken-bar}`: a file, one fault type, the seeds' answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Extension, Query, Request, State};
use serde::Serialize;
use utoipa::ToSchema;
use vtox_protocol::{FaultType, Status};

use super::conclusion::{conclusion, suggestions};
use super::form::{Options, TaskFile};
use super::submit::{read, send};
use crate::api::Api;
use crate::input;
use crate::reply::{Code, Refusal};

/// The seeds' answer to a file.
#[derive(Debug, Serialize, ToSchema)]
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

type PeerOf = Option<Extension<ConnectInfo<SocketAddr>>>;
type QueryOf = Result<Query<Options>, QueryRejection>;

macro_rules! uploads {
    ($($handler:ident $path:literal $fault:ident $title:literal)+) => {
        $(
            #[doc = $title]
            ///
            /// A table with a column per channel, and a time column or the sampling rate beside it.
            #[utoipa::path(
                post,
                path = $path,
                tag = "Tasks",
                params(Options),
                request_body(content((TaskFile = "multipart/form-data"))),
                responses((status = 200, description = "The verdict.", body = FileAnswer)),
            )]
            pub async fn $handler(
                State(api): State<Arc<Api>>,
                peer: PeerOf,
                query: QueryOf,
                request: Request,
            ) -> Result<Json<FileAnswer>, Refusal> {
                diagnose(&api, FaultType::$fault, peer, query, request).await
            }
        )+
    };
}

uploads! {
    turn_to_turn "/diagnosis/turn-to-turn" TurnFault "Diagnose a file for an inter-turn short circuit"
    insulation "/diagnosis/insulation" Insulation "Diagnose a file for its insulation"
    bearing "/diagnosis/bearing" Bearing "Diagnose a file for a bearing fault"
    eccentricity "/diagnosis/eccentricity" Eccentricity "Diagnose a file for eccentricity"
    broken_bar "/diagnosis/broken-bar" BrokenBar "Diagnose a file for broken rotor bars"
}

async fn diagnose(
    api: &Api,
    fault: FaultType,
    peer: PeerOf,
    query: QueryOf,
    request: Request,
) -> Result<Json<FileAnswer>, Refusal> {
    let options = input::query(query)?;
    let headers = request.headers().clone();
    let form = read(api, request, options, Some(fault)).await?;
    let peer = peer.map(|Extension(ConnectInfo(address))| address);
    let mut answer = send(api, &headers, peer, form).await?;
    let verdict = answer
        .verdicts
        .remove(&fault)
        .ok_or_else(|| Refusal::new(Code::WorkerFailed, "the answer lacks the verdict; try again"))?;
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
