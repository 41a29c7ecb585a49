//! WebSockets: dashboards, which are passed on to a bridge, and data sources, which send signal blocks.

mod close;
mod datasource;
mod frontend;
mod pipeline;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use tokio::sync::OwnedSemaphorePermit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Api;
use crate::reply::{Code, Refusal};

/// The routes.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(frontend::connect)).routes(routes!(datasource::connect))
}

/// Who takes no frame for this long is let go.
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// What our pings carry; the answers to them are not passed on.
const KEEPALIVE: &[u8] = b"vtox";

/// The request for an upgrade, and a place among the WebSockets.
fn admit(
    api: &Api,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<(WebSocketUpgrade, OwnedSemaphorePermit), Refusal> {
    let upgrade = upgrade.map_err(|error| Refusal::new(Code::UpgradeRequired, error.body_text()))?;
    let place = api.sockets.clone().try_acquire_owned().map_err(|_| {
        let limit = api.service.settings.gateway.ws_max_connections;
        let detail = format!("{limit} WebSockets are open already; the limit is gateway.ws_max_connections");
        Refusal::new(Code::Overload, detail)
    })?;
    Ok((upgrade, place))
}

/// How long the other end may give no sign of life, and how often it is pinged.
fn idle(api: &Api) -> (Duration, Duration) {
    let limit = Duration::from_secs(api.service.settings.gateway.ws_idle_s);
    (limit, limit / 3)
}
