//! The headers of answers.

use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Header, HeaderBuilder, RefOr};

use crate::door::access::Access;

/// Adds the headers to the answers of an operation.
pub fn add(path: &str, operation: &mut Operation, access: Access) {
    let sends = path.ends_with("/data") || path == "/api/v1/messages";
    let has_bucket = !access.is_open() || sends;
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let mut set = |name: &str, header: Header| {
            response.headers.insert(name.to_owned(), RefOr::T(header));
        };
        set(
            "X-Request-Id",
            text("Id of the request: the caller's X-Request-Id, or a new one. The log has it."),
        );
        match status.as_str() {
            "401" => set("WWW-Authenticate", text("`Bearer realm=\"vtox\"` (RFC 6750).")),
            "429" | "503" => set("Retry-After", number("When to try again, s.")),
            _ => {}
        }
        if has_bucket && (status.starts_with('2') || status == "429") {
            let policy = "`\"vehicle\";q=200;w=4`: so many at once, and as many in a time (s) in the long run; \
                one per limit that is set (gateway.rate_per_vehicle, gateway.rate_per_key).";
            set("RateLimit-Policy", text(policy));
            set("RateLimit", text("`\"vehicle\";r=199`: what is left now."));
        }
    }
}

fn text(description: &str) -> Header {
    header(Type::String, description)
}

fn number(description: &str) -> Header {
    header(Type::Integer, description)
}

fn header(kind: Type, description: &str) -> Header {
    let schema = ObjectBuilder::new().schema_type(kind).build();
    HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build()
}
