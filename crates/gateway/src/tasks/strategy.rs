//! `GET/PUT /api/v1/cluster/strategy`: passed on to a coordinator, which checks and keeps it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::submit::{refusal_of, unreadable};
use crate::api::Api;
use crate::door::body;
use crate::input;
use crate::reply::Refusal;

/// How tasks are routed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StrategyBody {
    /// `smart`, `round_robin`, `weighted_round_robin`, `least_connections`, `peak_ewma` or `consistent_hash`.
    pub strategy: String,
    /// Weights of workers under `weighted_round_robin`, at least 0; a worker that is not named weighs its score (0-1).
    #[serde(default)]
    pub weights: BTreeMap<String, f64>,
    /// Weights of the parts of a worker's score; none: those of the placement.
    #[serde(default)]
    pub score: Option<ScoreBody>,
}

/// Weights of the parts of a worker's score; only their proportions count.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ScoreBody {
    /// Of the response time.
    pub response_time: f64,
    /// Of the success rate.
    pub success_rate: f64,
    /// Of free CPU.
    pub cpu: f64,
    /// Of free memory.
    pub memory: f64,
    /// Of the queue length.
    pub queue: f64,
}

/// Longest setting, bytes.
const MAX_BYTES: usize = 64 << 10;

/// How tasks are routed
#[utoipa::path(
    get,
    path = "/api/v1/cluster/strategy",
    tag = "Tasks",
    responses((status = 200, description = "The strategy in force.", body = StrategyBody)),
)]
pub async fn show(State(api): State<Arc<Api>>) -> Result<Json<StrategyBody>, Refusal> {
    strategy_of(api.coordinators.send(|client, url| client.get(format!("{url}/strategy"))).await?).await
}

/// Change how tasks are routed
///
/// In force everywhere within a second, and after restarts.
#[utoipa::path(
    put,
    path = "/api/v1/cluster/strategy",
    tag = "Tasks",
    request_body = StrategyBody,
    responses((status = 200, description = "The strategy now.", body = StrategyBody)),
)]
pub async fn change(State(api): State<Arc<Api>>, request: Request) -> Result<Json<StrategyBody>, Refusal> {
    let body = body::read(&api, request, MAX_BYTES).await?.bytes;
    input::check_depth(&body)?;
    let sent = api.coordinators.send(|client, url| client.put(format!("{url}/strategy")).body(body.clone()));
    strategy_of(sent.await?).await
}

async fn strategy_of(response: reqwest::Response) -> Result<Json<StrategyBody>, Refusal> {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.map_err(unreadable)?;
    if !status.is_success() {
        return Err(refusal_of(status, &headers, &body));
    }
    serde_json::from_slice(&body).map(Json).map_err(unreadable)
}
