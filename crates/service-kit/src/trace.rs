//! The W3C trace context of a message, from the vehicle through the stream to the worker.

use std::collections::HashMap;

use axum::http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Header and field that carries it.
pub const TRACEPARENT: &str = "traceparent";

/// Makes `span` a child of the span that `traceparent` names.
pub fn continue_from(span: &Span, traceparent: &str) {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    if let Err(error) = span.set_parent(TraceContextPropagator::new().extract(&carrier)) {
        tracing::debug!(%error, "a trace cannot be continued");
    }
}

/// The W3C trace context in the headers of a request, if it is one.
pub fn of_headers(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let shaped = text.len() == 55 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    shaped.then(|| text.to_owned())
}

/// The trace context of a span; none while no traces are exported.
pub fn traceparent(span: &Span) -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    carrier.remove(TRACEPARENT)
}
