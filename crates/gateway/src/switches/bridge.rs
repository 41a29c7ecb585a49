//! Whether dashboards get results.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use vtox_auth::Principal;
use vtox_protocol::{Change, Position, ServiceType};

use super::{Answer, InForce, Parameters, Switched};
use crate::api::Api;
use crate::input::query;
use crate::reply::Refusal;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Control {
    /// `start` or `stop`.
    #[param(inline)]
    action: Action,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Start,
    Stop,
}

/// Start or stop the bridge
///
/// While it is stopped dashboards stay connected and get no results.
#[utoipa::path(
    post,
    path = "/bridge/control",
    tag = "Operators",
    params(Control),
    responses((status = 200, description = "It is so from now on.", body = Switched)),
)]
pub async fn control_bridge(
    State(api): State<Arc<Api>>,
    Extension(who): Extension<Principal>,
    parameters: Parameters<Control>,
) -> Answer {
    let (position, message) = match query(parameters)?.action {
        Action::Start => (Position::Running, "WebSocket 桥接器已启动"),
        Action::Stop => (Position::Stopped, "WebSocket 桥接器已停止"),
    };
    api.switchboard().change(&who.subject, &[Change::Bridge(position)]).await?;
    Ok(Json(bridge(&api, message).await?))
}

/// Whether dashboards get results
#[utoipa::path(
    get,
    path = "/bridge/status",
    tag = "Operators",
    responses((status = 200, description = "Its state.", body = Switched)),
)]
pub async fn bridge_status(State(api): State<Arc<Api>>) -> Answer {
    Ok(Json(bridge(&api, "WebSocket 桥接器状态").await?))
}

async fn bridge(api: &Api, message: &str) -> Result<Switched, Refusal> {
    let switches = api.switchboard().read().await?;
    let bridges = api.has(ServiceType::Bridge).await?;
    let mut answer = Switched::new(message);
    answer.is_monitoring = Some(bridges > 0 && switches.bridge.value.is_running());
    answer.config = Some(InForce {
        bridge: Some(switches.bridge),
        aggregation: Some(switches.aggregation),
        bridges: Some(bridges),
        ..InForce::default()
    });
    if bridges == 0 {
        answer.notes.push("no bridge runs; start vtox-websocket-bridge".to_owned());
    }
    Ok(answer)
}
