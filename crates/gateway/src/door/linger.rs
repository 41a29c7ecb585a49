//! A refusal that is written while the client still sends would be lost with the connection: what is left of the body is read
//! and thrown away first, for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use futures::{Stream, StreamExt};

use crate::api::Api;

/// Longest time spent on it.
const LINGER: Duration = Duration::from_secs(2);

/// The data of a body, with whoever reads it first.
#[derive(Clone)]
struct Shared(Arc<Mutex<BodyDataStream>>);

impl Stream for Shared {
    type Item = <BodyDataStream as Stream>::Item;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(context)
    }
}

/// Reads what a refused request still sends, at most as much as a batch may have.
pub async fn over_refusals(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let mut rest = Shared(Arc::new(Mutex::new(body.into_data_stream())));
    let response = next.run(Request::from_parts(head, Body::from_stream(rest.clone()))).await;
    let status = response.status();
    let refused = status.is_client_error() || status.is_server_error();
    if refused && status != StatusCode::REQUEST_TIMEOUT {
        let mut left = api.service.settings.gateway.batch_limit_bytes;
        let drain = async {
            while let Some(Ok(data)) = rest.next().await {
                left = left.saturating_sub(data.len());
                if left == 0 {
                    return;
                }
            }
        };
        drop(tokio::time::timeout(LINGER, drain).await);
    }
    response
}
