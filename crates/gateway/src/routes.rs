//! All routes of the gateway, what they pass through, and their description.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::api::Api;
use crate::door::places::{self, Places};
use crate::door::{headers, linger, log, origin, session};
use crate::reply::{self, Code, Refusal};
use crate::{cluster, ingest, login, motors, openapi, queries, switches, tasks, ws};

const PREFIX: &str = "/api/v1/diagnosis-stream";

/// Log-ins at the same time: who has not said yet who calls must not keep others out.
const LOGIN_PLACES: usize = 32;

/// What is described, and serves.
pub fn described() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(openapi::head())
        .nest(PREFIX, ingest::seeds_routes().merge(queries::seeds_routes()).merge(switches::seeds_routes()))
        .merge(cluster::routes())
        .merge(ingest::routes())
        .merge(queries::routes())
        .merge(motors::routes())
        .merge(switches::routes())
        .merge(ws::routes())
}

/// Diagnosis on demand: it takes long, and must not keep messages out.
pub fn described_tasks() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .nest(PREFIX, tasks::seeds_routes())
        .merge(tasks::seeds_routes())
        .merge(tasks::routes())
}

/// All routes.
pub fn routes(api: Arc<Api>) -> anyhow::Result<Router> {
    let settings = &api.service.settings.gateway;
    let within = |routes: OpenApiRouter<Arc<Api>>, places: usize| {
        routes
            .layer(middleware::from_fn_with_state(Places::new(places, settings.largest_share), places::hold))
    };
    let all = within(described(), settings.max_in_flight)
        .merge(within(described_tasks(), settings.max_in_flight))
        .merge(within(login::routes(), LOGIN_PLACES));
    let (router, mut document) = all.split_for_parts();
    openapi::complete(&mut document);
    let router = router
        .merge(openapi::routes(&document)?)
        .fallback(|| async {
            Refusal::new(Code::NotFound, "no such path; GET / and /docs list what there is")
        })
        .method_not_allowed_fallback(|| async {
            Refusal::new(Code::MethodNotAllowed, "this path does not take this method")
        })
        .layer(CatchPanicLayer::custom(crashed))
        .layer(middleware::from_fn_with_state(api.clone(), session::check))
        .layer(middleware::from_fn_with_state(api.clone(), origin::check));
    // Answers to preflights come before anybody asks for a token.
    let router = match headers::cors(settings)? {
        Some(cors) => router.layer(cors),
        None => router,
    };
    Ok(router
        .layer(middleware::from_fn(reply::shape))
        .layer(middleware::from_fn_with_state(api.clone(), linger::over_refusals))
        .layer(middleware::from_fn_with_state(api.clone(), log::access))
        .with_state(api))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape CatchPanicLayer wants")]
fn crashed(panic: Box<dyn std::any::Any + Send>) -> Response {
    let why = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    tracing::error!(why, "a handler crashed");
    Refusal::new(Code::Internal, "the request could not be worked on").into_response()
}
