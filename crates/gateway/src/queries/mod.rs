//! What is asked of vehicles and of the system: read from what the other services left in Redis.

mod alerts;
mod csv;
mod record;
mod results;
mod system;
mod vehicles;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use system::snapshot;
pub use vehicles::Index;

use crate::api::Api;

/// The routes of existing clients.
pub fn seeds_routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(vehicles::health))
        .routes(routes!(vehicles::history))
        .routes(routes!(alerts::critical))
        .routes(routes!(system::performance))
        .routes(routes!(system::system_status))
        .routes(routes!(system::fault_types))
        .routes(routes!(vehicles::fleet))
}

/// The routes beside them.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(vehicles::list)).routes(routes!(results::results))
}

/// Most records of one answer.
const MAX_RECORDS: usize = 1_000;
