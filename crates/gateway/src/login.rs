//! Logging in.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vtox_service_kit::clock;
use vtox_service_kit::pool::network_of;

use crate::api::Api;
use crate::door::body;
use crate::door::session::refusal_of;
use crate::ingest::object;
use crate::reply::Refusal;

/// Largest body, bytes.
const BODY_LIMIT: usize = 4 << 10;

/// What is told apart of a user name, bytes.
const MAX_NAME_BYTES: usize = 128;

/// The routes.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(token))
}

/// User name and password.
#[derive(Deserialize, ToSchema)]
struct Credentials {
    username: String,
    #[schema(format = Password)]
    password: String,
}

/// A token.
#[derive(Serialize, ToSchema)]
struct TokenAnswer {
    /// Send it as `Authorization: Bearer ...`.
    access_token: String,
    token_type: TokenType,
    /// How long it is good for, s.
    expires_in: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum TokenType {
    Bearer,
}

/// Log in
///
/// Users are made with `vtox user add`. A user name and an address may try a few times a minute; more is answered 429.
#[utoipa::path(
    post,
    path = "/auth/token",
    tag = "Access",
    request_body = Credentials,
    responses((status = 200, description = "A token.", body = TokenAnswer)),
)]
async fn token(State(api): State<Arc<Api>>, request: Request) -> Result<Json<TokenAnswer>, Refusal> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let whole = body::read(&api, request, BODY_LIMIT).await?;
    let Credentials { username, password } = object(&whole.bytes, "{\"username\": ..., \"password\": ...}")?;
    if let Some(peer) = peer {
        api.address_buckets.take(&network_of(peer).to_string())?;
    }
    // No name is longer; what is tried must not take memory.
    api.user_buckets.take(&username[..username.floor_char_boundary(MAX_NAME_BYTES)])?;
    let now_s = clock::epoch_ms() / 1_000;
    let issued = api.auth.log_in(&username, &password, now_s).await.map_err(|d| refusal_of(&d))?;
    Ok(Json(TokenAnswer {
        expires_in: issued.lifetime_s,
        access_token: issued.token,
        token_type: TokenType::Bearer,
    }))
}
