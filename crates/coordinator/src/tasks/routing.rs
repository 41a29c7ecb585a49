//! Strategy and weights: kept in Redis, followed by every coordinator.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use vtox_balancing::routing::Routing;

use super::Tasks;
use super::answer::Failed;

/// `GET /strategy`.
pub async fn show(State(tasks): State<Arc<Tasks>>) -> Json<Routing> {
    Json(tasks.routing())
}

/// `PUT /strategy`.
pub async fn change(State(tasks): State<Arc<Tasks>>, body: Bytes) -> Response {
    match set(&tasks, &body).await {
        Ok(routing) => Json(routing).into_response(),
        Err(failed) => failed.into_response(),
    }
}

async fn set(tasks: &Tasks, body: &[u8]) -> Result<Routing, Failed> {
    let invalid = |detail| Failed::here(StatusCode::UNPROCESSABLE_ENTITY, "invalid_strategy", detail);
    let routing: Routing = serde_json::from_slice(body).map_err(|error| {
        let detail = format!(
            "{error}; send {{\"strategy\": NAME, \"weights\": {{WORKER: NUMBER}}, \"score\": {{...}}}}, the last two if wanted"
        );
        if error.is_data() { invalid(detail) } else { Failed::here(StatusCode::BAD_REQUEST, "bad_request", detail) }
    })?;
    routing.validate().map_err(invalid)?;
    // Kept first: what is in force here and nowhere else would be gone with the next look.
    tasks.store.write(&routing).await.map_err(|error| {
        Failed::unavailable("redis", 1, format!("the strategy stays as it was: {error}; try again"))
    })?;
    tasks.take_over(routing.clone());
    Ok(routing)
}
