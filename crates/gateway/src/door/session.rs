//! Who calls, and whether they may: before any handler, and before the body is read.

use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use vtox_auth::{ApiKey, Denied, Principal};
use vtox_service_kit::clock;
use vtox_service_kit::config::Mode;

use super::access::{Access, methods};
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
    // Nor does a method that is not there.
    let methods = methods(path.as_str());
    if !methods.is_empty() && !methods.contains(request.method()) {
        let mut response =
            Refusal::new(Code::MethodNotAllowed, "this path does not take this method").into_response();
        let names: Vec<&str> = methods.iter().map(axum::http::Method::as_str).collect();
        if let Ok(names) = HeaderValue::from_str(&names.join(", ")) {
            response.headers_mut().insert(header::ALLOW, names);
        }
        return response;
    }
    let access = Access::to(request.method(), path.as_str());
    let passed = parameters
        .map_err(|e| Refusal::new(Code::InvalidVehicleId, e.body_text()).into())
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
            response.extensions_mut().insert(Caller(principal.credential));
            if let Some(left) = left {
                left.add_to(&mut response);
            }
            response
        }
        Err(Refused { refusal, caller }) => {
            let mut response = refusal.into_response();
            if let Some(caller) = caller {
                response.extensions_mut().insert(caller);
            }
            response
        }
    }
}

/// Who called, for the access log: the id of a credential, never the credential.
#[derive(Clone)]
pub struct Caller(pub String);

/// A refusal, and whose request it was where that is known.
struct Refused {
    refusal: Refusal,
    caller: Option<Caller>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, caller: None }
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
) -> Result<Passed, Refused> {
    if access == Access::Simulator && api.service.settings.mode == Mode::Production {
        return Err(
            Refusal::new(Code::SimulatorClosed, "the simulator's path is closed in production").into()
        );
    }
    if access.is_open() {
        return Ok((Principal::anonymous(), None));
    }
    let principal = match credential(headers, uri)? {
        Some(text) => api.auth.authenticate(text, clock::epoch_ms() / 1_000).map_err(|denied| {
            // Whose it was is known only of a key that was once good.
            let known = matches!(denied, Denied::ExpiredToken | Denied::RevokedToken);
            let key = known.then(|| ApiKey::parse(text)).flatten();
            let caller = key.map(|key| Caller(format!("key:{}", key.id())));
            Refused { refusal: refusal_of(&denied), caller }
        })?,
        None if api.service.settings.auth.required => {
            return Err(Refusal::new(Code::MissingToken, "this path needs a token").into());
        }
        None => Principal::anonymous(),
    };
    let refused = |refusal| Refused { refusal, caller: Some(Caller(principal.credential.clone())) };
    let vehicle = named_vehicle(parameters).map(input::vehicle_id).transpose().map_err(refused)?;
    if !access.allows(&principal, vehicle.as_ref()) {
        return Err(refused(Refusal::new(Code::Forbidden, access.describe())));
    }
    let left = api.key_buckets.take(&principal.credential).map_err(refused)?;
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
