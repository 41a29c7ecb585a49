//! Diagnosis on demand: blocks in any form are read here, and go in binary form to a coordinator, which routes them.

mod affinity;
mod conclusion;
mod coordinators;
mod form;
mod strategy;
mod submit;
mod upload;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
pub use coordinators::Coordinators;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Api;

/// The routes of existing clients.
pub fn seeds_routes() -> OpenApiRouter<Arc<Api>> {
    let routes = OpenApiRouter::new()
        .routes(routes!(upload::turn_to_turn))
        .routes(routes!(upload::insulation))
        .routes(routes!(upload::bearing))
        .routes(routes!(upload::eccentricity))
        .routes(routes!(upload::broken_bar));
    bounded_by_us(routes)
}

/// The routes beside them.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    bounded_by_us(OpenApiRouter::new().routes(routes!(submit::submit)))
        .routes(routes!(strategy::show, strategy::change))
}

/// Forms of several parts are read from a body that has been read whole, within our own limit.
fn bounded_by_us(routes: OpenApiRouter<Arc<Api>>) -> OpenApiRouter<Arc<Api>> {
    routes.layer(DefaultBodyLimit::disable())
}
