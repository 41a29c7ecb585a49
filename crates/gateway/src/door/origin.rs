//! Which pages may change something or open a WebSocket. A browser sends both for any page without asking first (a WebSocket, a
//! form, a `text/plain` body), with what the gateway is open to from there; but it says whose page it is.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::Api;
use crate::reply::{Code, Refusal};

/// Refuses pages of foreign origins. Who sends no `Origin` is no page.
pub async fn check(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let concerned = match *request.method() {
        Method::GET | Method::HEAD => request.uri().path().starts_with("/ws/"),
        ref method => *method != Method::OPTIONS,
    };
    if let Some(origin) = request.headers().get(header::ORIGIN)
        && concerned
    {
        let origin = origin.to_str().unwrap_or_default();
        let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok());
        let host = host
            .or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str))
            .unwrap_or_default();
        if !is_own(origin, host) && !is_listed(origin, &api.service.settings.gateway.cors_origins) {
            let detail =
                "this page is not of an origin in gateway.cors_origins, nor of the gateway's own host";
            return Refusal::new(Code::ForeignOrigin, detail).into_response();
        }
    }
    next.run(request).await
}

/// Whether a page is of the host that the request names. The scheme may differ: TLS may end before the gateway.
fn is_own(origin: &str, host: &str) -> bool {
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    let default = match origin.scheme_str() {
        Some("http") => ":80",
        Some("https") => ":443",
        _ => return false,
    };
    let bare = |host: &str| host.strip_suffix(default).unwrap_or(host).to_ascii_lowercase();
    origin.authority().is_some_and(|authority| bare(authority.as_str()) == bare(host))
}

fn is_listed(origin: &str, listed: &str) -> bool {
    listed.split(',').any(|listed| listed.trim() == origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_our_own_by_host_and_port() {
        for (origin, host, own) in [
            ("http://localhost:8000", "localhost:8000", true),
            ("https://Fleet.example.com", "fleet.example.com", true),
            ("https://fleet.example.com", "fleet.example.com:443", true),
            ("https://fleet.example.com", "fleet.example.com:80", false),
            ("http://localhost:3000", "localhost:8000", false),
            ("https://fleet.example.com.evil.example", "fleet.example.com", false),
            ("null", "null", false),
            ("", "", false),
            ("file://", "", false),
            ("chrome-extension://localhost:8000", "localhost:8000", false),
        ] {
            assert_eq!(is_own(origin, host), own, "{origin} at {host}");
        }
    }

    #[test]
    fn the_list_has_whole_origins() {
        let list = "https://a.example, https://b.example:8443";
        assert!(is_listed("https://a.example", list) && is_listed("https://b.example:8443", list));
        for foreign in ["https://b.example", "http://a.example", "https://a.example, https://b.example:8443"]
        {
            assert!(!is_listed(foreign, list), "{foreign}");
        }
        assert!(!is_listed("https://a.example", ""));
    }
}
