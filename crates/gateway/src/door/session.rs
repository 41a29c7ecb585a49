//! Who calls, and whether they may: before any handler, and before the body is read.

use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use vtox_auth::{Denied, Principal};
use vtox_service_kit::clock;
use vtox_service_kit::config::Mode;

use super::access::Access;
use super::standing::Standing;
use crate::api::Api;
use crate::input;
use crate::reply::{Code, Refusal};

/// Lets a request through that may pass, with its [`Principal`].
pub async fn check(
    State(api): State<Arc<Api>>,
    path: Option<MatchedPath>,
    parameters: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    // A path that is not there needs no token to say so.
    let Some(path) = path else { return next.run(request).await };
    let access = Access::to(request.method(), path.as_str());
    let passed = parameters
        .map_err(|e| Refusal::new(Code::InvalidVehicleId, e.body_text()))
        .and_then(|parameters| admit(&api, access, &parameters, request.headers(), request.uri()));
    match passed {
        Ok((principal, left)) => {
            if is_socket(request.uri()) {
                let shown = credential(request.headers(), request.uri()).ok().flatten().map(Arc::from);
                let standing = Standing { shown, principal: principal.clone() };
                request.extensions_mut().insert(standing);
            }
            request.extensions_mut().insert(principal.clone());
            let mut response = next.run(request).await;
            response.extensions_mut().insert(principal);
            if let Some(left) = left {
                left.add_to(&mut response);
            }
            response
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// The vehicle that a path names.
pub fn named_vehicle(parameters: &RawPathParams) -> Option<&str> {
    parameters.iter().find(|(name, _)| *name == "vehicle_id").map(|(_, id)| id)
}

type Passed = (Principal, Option<super::limits::Left>);

fn admit(
    api: &Api,
    access: Access,
    parameters: &RawPathParams,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Passed, Refusal> {
    if access == Access::Simulator && api.service.settings.mode == Mode::Production {
        return Err(Refusal::new(Code::SimulatorClosed, "the simulator's path is closed in production"));
    }
    if access.is_open() {
        return Ok((Principal::anonymous(), None));
    }
    let principal = match credential(headers, uri)? {
        Some(text) => {
            api.auth.authenticate(text, clock::epoch_ms() / 1_000).map_err(|denied| refusal_of(&denied))?
        }
        None if api.service.settings.auth.required => {
            return Err(Refusal::new(Code::MissingToken, "this path needs a token"));
        }
        None => Principal::anonymous(),
    };
    let vehicle = named_vehicle(parameters).map(input::vehicle_id).transpose()?;
    if !access.allows(&principal, vehicle.as_ref()) {
        return Err(Refusal::new(Code::Forbidden, access.describe()));
    }
    let left = api.key_buckets.take(&principal.credential)?;
    Ok((principal, left))
}

/// Whether a path is that of a WebSocket.
fn is_socket(uri: &Uri) -> bool {
    uri.path().starts_with("/ws/")
}

/// The credential of a request: a bearer token (RFC 6750), an API key, or, for browsers, which cannot set headers on a
/// WebSocket, the query parameter of RFC 6750 section 2.3 on `/ws/*` alone.
fn credential<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Result<Option<&'a str>, Refusal> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().ok().and_then(|t| {
            let (scheme, token) = t.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        return match text {
            Some(token) => Ok(Some(token)),
            None => Err(Refusal::new(Code::InvalidToken, "Authorization must be: Bearer TOKEN")),
        };
    }
    if let Some(value) = headers.get("x-api-key") {
        return match value.to_str() {
            Ok(key) => Ok(Some(key.trim())),
            Err(_) => Err(Refusal::new(Code::InvalidToken, "X-API-Key is not text")),
        };
    }
    if is_socket(uri) {
        let pairs = uri.query().unwrap_or_default().split('&');
        return Ok(pairs.filter_map(|p| p.strip_prefix("access_token=")).next());
    }
    Ok(None)
}

/// A refusal that tells a forger no more than that it did not work.
pub fn refusal_of(denied: &Denied) -> Refusal {
    let code = match denied {
        Denied::MissingToken => Code::MissingToken,
        Denied::ExpiredToken => Code::ExpiredToken,
        Denied::RevokedToken => Code::RevokedToken,
        Denied::WrongPassword => Code::WrongCredentials,
        Denied::Busy => Code::LoginBusy,
        Denied::NoSigningKey => Code::LoginUnavailable,
        Denied::InvalidToken | Denied::EarlyToken | Denied::WrongAudience | Denied::WrongIssuer => {
            Code::InvalidToken
        }
    };
    Refusal::new(code, denied.to_string())
}
