//! Headers of every answer, and which pages of other origins may call.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use tower_http::cors::CorsLayer;
use vtox_service_kit::config::{Gateway, Settings};
use vtox_service_kit::service::Around;

/// Longest request id that is taken from the caller, bytes.
const MAX_REQUEST_ID: usize = 64;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Id of a request: the caller's, where it is a harmless one, else a new one.
#[derive(Clone)]
pub struct RequestId(pub HeaderValue);

/// Puts [`add`] around all routes.
pub fn around(settings: &Settings) -> Around {
    let over_tls = !settings.gateway.tls_certificate.is_empty();
    Box::new(move |router| {
        router.layer(middleware::from_fn(move |request: Request, next: Next| add(over_tls, request, next)))
    })
}

/// Gives each request its id and each answer its security headers (OWASP REST Security Cheat Sheet).
async fn add(over_tls: bool, mut request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(&REQUEST_ID)
        .filter(|v| v.len() <= MAX_REQUEST_ID && v.as_bytes().iter().all(u8::is_ascii_graphic))
        .cloned()
        .unwrap_or_else(new_id);
    request.extensions_mut().insert(RequestId(id.clone()));
    let is_page = request.uri().path().starts_with("/docs");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    if over_tls {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CACHE_CONTROL, "no-store");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(
        header::CONTENT_SECURITY_POLICY,
        if is_page {
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
        } else {
            "default-src 'none'; frame-ancestors 'none'"
        },
    );
    response
}

fn new_id() -> HeaderValue {
    HeaderValue::from_str(&uuid::Uuid::new_v4().simple().to_string()).unwrap_or(HeaderValue::from_static("-"))
}

/// Lets the pages of the configured origins call.
pub fn cors(settings: &Gateway) -> anyhow::Result<Option<CorsLayer>> {
    let mut origins = Vec::new();
    for origin in settings.cors_origins.split(',').map(str::trim).filter(|o| !o.is_empty()) {
        let shaped = origin.starts_with("http://") || origin.starts_with("https://");
        anyhow::ensure!(
            shaped && origin.matches('/').count() == 2,
            "gateway.cors_origins has {origin:?}; an origin is https://HOST or https://HOST:PORT, without a path"
        );
        origins.push(HeaderValue::from_str(origin)?);
    }
    Ok((!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                HeaderName::from_static("idempotency-key"),
                HeaderName::from_static("x-api-key"),
                HeaderName::from_static("x-session-id"),
                HeaderName::from_static("traceparent"),
                REQUEST_ID,
            ])
            .expose_headers([
                REQUEST_ID,
                header::RETRY_AFTER,
                HeaderName::from_static("ratelimit"),
                HeaderName::from_static("ratelimit-policy"),
            ])
            .max_age(std::time::Duration::from_secs(3_600))
    }))
}
