//! The description of the API, made from the handlers: OpenAPI 3.1 and a page for people that needs nothing from elsewhere.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::http::{Method, header};
use axum::response::Html;
use axum::routing::get;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContactBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};
use vtox_service_kit::VERSION;

use crate::api::Api;
use crate::door::access::Access;
use crate::reply::{Code, Detail, Problem, is_seeds_path};

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
    OpenApiBuilder::new().info(info).build()
}

/// Adds what follows from the structure of each operation: who may call it, and how it is refused.
pub fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    components.schemas.insert(Detail::name().into_owned(), Detail::schema());
    components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            let access = Access::to(&method, path);
            let description = operation.description.take().unwrap_or_default();
            operation.description = Some(format!("{description}\n\n{}", access.describe()).trim().to_owned());
            operation.security =
                (!access.is_open()).then(|| vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
            add_refusals(path, operation, access);
        }
    }
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

/// Every way in which an operation may be refused, by what it takes.
fn add_refusals(path: &str, operation: &mut Operation, access: Access) {
    let mut statuses = vec![500, 503];
    if !access.is_open() {
        statuses.extend([401, 403, 429]);
    }
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let has =
        |place: ParameterIn| parameters.iter().any(|p| matches!(p, RefOr::T(p) if p.parameter_in == place));
    if has(ParameterIn::Path) {
        statuses.extend([400, 404, 422]);
    }
    if has(ParameterIn::Query) {
        statuses.extend([400, 406, 422]);
    }
    if operation.request_body.is_some() {
        statuses.extend([400, 403, 404, 408, 409, 413, 415, 422, 429]);
    }
    if path == "/auth/token" {
        statuses.push(401);
    }
    if path.starts_with("/api/v1/cluster/") || path.contains("/diagnosis/") {
        statuses.extend([409, 502, 504]);
    }
    for status in statuses {
        let response = || RefOr::T(refusal(status, is_seeds_path(path)));
        operation.responses.responses.entry(status.to_string()).or_insert_with(response);
    }
}

fn refusal(status: u16, seeds: bool) -> Response {
    let (content_type, schema) = if seeds {
        ("application/json", Ref::from_schema_name(Detail::name()))
    } else {
        ("application/problem+json", Ref::from_schema_name(Problem::name()))
    };
    let kinds: Vec<String> = Code::ALL
        .iter()
        .filter(|c| c.status().as_u16() == status)
        .map(|c| format!("`{}`: {}.", c.name(), c.title()))
        .collect();
    ResponseBuilder::new()
        .description(kinds.join(" "))
        .content(content_type, ContentBuilder::new().schema(Some(schema)).build())
        .build()
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
