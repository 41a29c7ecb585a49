//! Diagnosis on demand: blocks in any form are read here, and go in binary form to a coordinator, which routes them.

mod affinity;
mod conclusion;
mod coordinators;
mod form;
mod strategy;
mod submit;
mod upload;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
pub use coordinators::Coordinators;

use crate::api::{Api, PREFIX};

/// The routes, with their full paths.
pub fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/api/v1/cluster/tasks", post(submit::submit))
        .route("/api/v1/cluster/strategy", get(strategy::show).put(strategy::change))
        .nest(PREFIX, Router::new().route("/diagnosis/{fault}", post(upload::diagnose)))
}
