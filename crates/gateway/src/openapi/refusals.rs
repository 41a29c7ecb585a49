//! How each operation may be refused: what the door asks of it follows from its structure, what its handler asks is in a table.

use axum::http::Method;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{Ref, RefOr, Response, ResponseBuilder};

use crate::door::access::Access;
use crate::reply::{Code, Detail, Problem, is_seeds_path};

/// Adds the refusals to an operation.
pub fn add(method: &Method, path: &str, operation: &mut Operation, access: Access) {
    let mut codes = at_the_door(method, path, operation, access);
    codes.extend(of_the_handler(method, path));
    if codes.contains(&Code::Redis) {
        codes.push(Code::RedisRefuses);
    }
    let mut statuses: Vec<u16> = codes.iter().map(|code| code.status().as_u16()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let of_status: Vec<Code> = Code::ALL
            .iter()
            .copied()
            .filter(|c| c.status().as_u16() == status && codes.contains(c))
            .collect();
        let refusal = refusal(&of_status, is_seeds_path(path));
        operation.responses.responses.insert(status.to_string(), RefOr::T(refusal));
    }
}

/// What is refused before the handler, or in it for what all handlers read alike.
fn at_the_door(method: &Method, path: &str, operation: &Operation, access: Access) -> Vec<Code> {
    use Code as C;
    let mut codes = vec![C::Internal, C::Starting, C::Overload];
    if *method != Method::GET || path.starts_with("/ws/") {
        codes.push(C::ForeignOrigin);
    }
    if access == Access::Simulator {
        codes.push(C::SimulatorClosed);
    }
    if !access.is_open() {
        codes.extend([C::MissingToken, C::InvalidToken, C::ExpiredToken, C::RevokedToken]);
        codes.extend([C::Forbidden, C::RateLimited]);
    }
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let has =
        |place: ParameterIn| parameters.iter().any(|p| matches!(p, RefOr::T(p) if p.parameter_in == place));
    if has(ParameterIn::Path) {
        codes.push(C::InvalidVehicleId);
    }
    if has(ParameterIn::Query) {
        codes.push(C::InvalidParameter);
    }
    if operation.request_body.is_some() {
        codes.extend([C::InvalidBody, C::BodyTimeout, C::BodyTooLarge, C::UnsupportedEncoding]);
    }
    codes
}

/// What a handler refuses by itself.
fn of_the_handler(method: &Method, path: &str) -> &'static [Code] {
    use Code::*;
    let path = path.strip_prefix("/api/v1/diagnosis-stream").unwrap_or(path);
    match (method.as_str(), path) {
        ("POST", "/auth/token") => &[InvalidJson, WrongCredentials, LoginUnavailable, LoginBusy, RateLimited],

        ("POST", "/vehicles/{vehicle_id}/data" | "/simulator/vehicles/{vehicle_id}/data") => MESSAGE,
        ("POST", "/api/v1/messages") => &[
            InvalidJson,
            InvalidIdempotencyKey,
            TooManyItems,
            UndecodableBlock,
            UnsupportedMediaType,
            Backlog,
            Redis,
        ],
        ("GET", "/ws/datasource") => &[UpgradeRequired],
        ("GET", "/ws/frontend") => &[UpgradeRequired, NoBridge, Redis],

        ("POST", "/api/v1/cluster/tasks") => TASK,
        ("POST", path) if path.starts_with("/diagnosis/") => TASK,
        ("GET", "/api/v1/cluster/strategy") => &[NoCoordinator, NoWorker, WorkerFailed, Deadline],
        ("PUT", "/api/v1/cluster/strategy") => {
            &[InvalidJson, InvalidParameter, NoCoordinator, NoWorker, WorkerFailed, Deadline]
        }

        ("PUT", "/api/v1/vehicles/{vehicle_id}/motor") => &[InvalidMotor, UnknownMotorModel, Redis],
        ("GET" | "DELETE", "/api/v1/vehicles/{vehicle_id}/motor") => &[NotFound, Redis],
        ("PUT", "/api/v1/motors/models/{model}") => &[InvalidMotor, InvalidParameter, Redis],
        ("GET" | "DELETE", "/api/v1/motors/models/{model}") => &[InvalidParameter, NotFound, Redis],
        ("GET", "/api/v1/motors/bearings" | "/fault-types") => &[],

        ("GET", "/api/v1/results") => &[InvalidVehicleId, NotAcceptable, Redis],
        ("POST", "/system/scale") => &[NotSupervised, ClusterStopped, Redis],
        ("POST", "/api/v1/cluster/start") => &[NotSupervised, WrongMode, Redis],
        ("POST", "/api/v1/cluster/stop") => &[NotSupervised, Redis],
        _ => &[Redis],
    }
}

const MESSAGE: &[Code] = &[
    Code::InvalidJson,
    Code::InvalidBlock,
    Code::UndecodableBlock,
    Code::InvalidMetadata,
    Code::InvalidIdempotencyKey,
    Code::IdempotencyKeyReused,
    Code::AnotherSender,
    Code::UnsupportedMediaType,
    Code::RateLimited,
    Code::Backlog,
    Code::Redis,
    Code::OutcomeUnknown,
];

const TASK: &[Code] = &[
    Code::InvalidJson,
    Code::InvalidBlock,
    Code::UndecodableBlock,
    Code::InvalidParameter,
    Code::UnsupportedMediaType,
    Code::NoCoordinator,
    Code::NoWorker,
    Code::WorkerFailed,
    Code::Deadline,
];

/// The answer with one status, for these reasons.
fn refusal(codes: &[Code], seeds: bool) -> Response {
    let (content_type, schema) = if seeds {
        ("application/json", Ref::from_schema_name(Detail::name()))
    } else {
        ("application/problem+json", Ref::from_schema_name(Problem::name()))
    };
    let kinds: Vec<String> = codes.iter().map(|c| format!("`{}`: {}.", c.name(), c.title())).collect();
    let examples = codes.iter().map(|code| {
        (code.name(), RefOr::T(ExampleBuilder::new().value(Some(example(*code, seeds))).build()))
    });
    let content = ContentBuilder::new().schema(Some(schema)).examples_from_iter(examples).build();
    ResponseBuilder::new().description(kinds.join(" ")).content(content_type, content).build()
}

fn example(code: Code, seeds: bool) -> Value {
    let mut body = json!({"detail": code.title(), "code": code.name(), "fix": code.fix()});
    if !seeds && let Some(members) = body.as_object_mut() {
        members.insert("type".to_owned(), format!("/docs/errors#{}", code.name()).into());
        members.insert("title".to_owned(), code.title().into());
        members.insert("status".to_owned(), code.status().as_u16().into());
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{login, openapi, routes};

    #[test]
    fn every_kind_of_refusal_is_in_the_document() {
        let all = routes::described().merge(routes::described_tasks()).merge(login::routes());
        let (_, mut document) = all.split_for_parts();
        openapi::complete(&mut document);
        let text = document.to_json().unwrap();
        // These belong to no operation.
        let none = [Code::MethodNotAllowed];
        for code in Code::ALL.iter().filter(|c| !none.contains(c)) {
            assert!(text.contains(&format!("`{}`", code.name())), "{} is in no operation", code.name());
        }
    }
}
