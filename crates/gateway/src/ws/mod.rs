//! WebSockets: dashboards, which are passed on to a bridge, and data sources, which send signal blocks.

mod close;
mod datasource;
mod frontend;
mod pipeline;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vtox_auth::Principal;
use vtox_service_kit::pool::{Full, Taken};

use crate::api::Api;
use crate::door::places::Places;
use crate::reply::{Code, Refusal};

/// The routes.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(frontend::connect)).routes(routes!(datasource::connect))
}

/// Who takes no frame for this long is let go.
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// What our pings carry; the answers to them are not passed on.
const KEEPALIVE: &[u8] = b"vtox";

/// The request for an upgrade, and a place among the WebSockets of its kind.
fn admit(
    places: &Places,
    principal: &Principal,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<(WebSocketUpgrade, Taken<String>), Refusal> {
    let upgrade = upgrade.map_err(|error| Refusal::new(Code::UpgradeRequired, error.body_text()))?;
    let place = places.take(principal.name_for_share(), 1).map_err(|full| match full {
        Full::All => Refusal::new(
            Code::Overload,
            "gateway.ws_max_connections WebSockets are open already; try again in a moment",
        ),
        Full::Share => Refusal::share("WebSockets"),
    })?;
    Ok((upgrade, place))
}

/// How long the other end may give no sign of life, and how often it is pinged.
fn idle(api: &Api) -> (Duration, Duration) {
    let limit = Duration::from_secs(api.service.settings.gateway.ws_idle_s);
    (limit, limit / 3)
}
