//! Headers of every answer, and which pages of other origins may call.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::cors::CorsLayer;
use vtox_service_kit::config::Gateway;

/// Longest request id that is taken from the caller, bytes.
const MAX_REQUEST_ID: usize = 64;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Id of a request: the caller's, where it is a harmless one, else a new one.
#[derive(Clone)]
pub struct RequestId(pub HeaderValue);

/// Gives each request its id and each answer its security headers (OWASP REST Security Cheat Sheet).
pub async fn add(mut request: Request, next: Next) -> Response {
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
                REQUEST_ID,
            ])
            .expose_headers([REQUEST_ID, header::RETRY_AFTER])
            .max_age(std::time::Duration::from_secs(3_600))
    }))
}
