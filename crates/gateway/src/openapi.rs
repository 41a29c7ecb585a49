//! The description of the API, made from the handlers: OpenAPI 3.1 and a page for people that needs nothing from elsewhere.

mod examples;
mod headers;
mod probes;
mod refusals;

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::http::{Method, header};
use axum::response::Html;
use axum::routing::get;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContactBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa::{OpenApi as _, PartialSchema, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};
use vtox_service_kit::VERSION;

use crate::api::Api;
use crate::door::access::Access;
use crate::reply::{Code, Detail, Problem};

/// What the document says of the whole.
pub fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("VTOX")
        .version(VERSION)
        .description(Some(
            "Watches the electric motors of vehicle fleets. Vehicles send signal blocks; five kinds of motor fault are diagnosed. \
             Paths under /api/v1/diagnosis-stream answer refusals as {\"detail\": ...}, the others as problem details (RFC 9457).",
        ))
        .contact(Some(ContactBuilder::new().name(Some("VTOX")).build()))
        .build();
    let mut document = OpenApiBuilder::new().info(info).build();
    document.merge(probes::Probes::openapi());
    document
}

/// Adds what follows from the structure of each operation: who may call it, and how it is refused.
pub fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    components.schemas.insert(Detail::name().into_owned(), Detail::schema());
    for (name, scheme) in schemes() {
        components.add_security_scheme(name, scheme);
    }
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            let access = Access::to(&method, path);
            let description = operation.description.take().unwrap_or_default();
            operation.description = Some(format!("{description}\n\n{}", access.describe()).trim().to_owned());
            operation.security = (!access.is_open()).then(|| credentials(path));
            examples::add(method.as_str(), path, operation);
            if !is_probe(path) {
                refusals::add(&method, path, operation, access);
            }
            headers::add(path, operation, access);
        }
    }
}

/// The ways to show who calls.
fn schemes() -> [(&'static str, SecurityScheme); 3] {
    let described = |name, description| ApiKeyValue::with_description(name, description);
    let key = described("X-API-Key", "A key of `vtox token issue`.");
    let query = described(
        "access_token",
        "For browsers, which set no headers on a WebSocket (RFC 6750 section 2.3).",
    );
    [
        ("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer))),
        ("api_key", SecurityScheme::ApiKey(ApiKey::Header(key))),
        ("access_token", SecurityScheme::ApiKey(ApiKey::Query(query))),
    ]
}

/// Those that a path takes; one of them is enough.
fn credentials(path: &str) -> Vec<SecurityRequirement> {
    let names: &[&str] = if path.starts_with("/ws/") {
        &["bearer", "api_key", "access_token"]
    } else {
        &["bearer", "api_key"]
    };
    names.iter().map(|name| SecurityRequirement::new(*name, Vec::<String>::new())).collect()
}

/// Whether the service kit answers: it refuses nothing.
fn is_probe(path: &str) -> bool {
    ["/health", "/ready", "/metrics"].contains(&path)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The document and the pages.
pub fn routes(document: &OpenApi) -> anyhow::Result<Router<Arc<Api>>> {
    let json = document.to_pretty_json()?;
    let pages = SwaggerUi::new("/docs").config(Config::new(["/openapi.json"]).validator_url("none"));
    let errors = page_of_errors();
    Ok(Router::new()
        .merge(pages)
        .route(
            "/openapi.json",
            get(move || async move { ([(header::CONTENT_TYPE, "application/json")], json.clone()) }),
        )
        .route("/docs/errors", get(move || async move { Html(errors.clone()) })))
}

/// Each kind of refusal, under the anchor that its `type` names.
fn page_of_errors() -> String {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>VTOX: errors</title><h1>Errors</h1><dl>",
    );
    for code in Code::ALL {
        let (name, status) = (code.name(), code.status().as_u16());
        let (title, fix) = (escaped(code.title()), escaped(code.fix()));
        let written = write!(page, "<dt id=\"{name}\"><b>{name}</b> ({status})</dt><dd>{title}. {fix}</dd>");
        debug_assert!(written.is_ok());
    }
    page.push_str("</dl></html>");
    page
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
