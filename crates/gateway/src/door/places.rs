//! How many requests are worked on at the same time; one more is refused at once instead of queueing.

use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::reply::{Code, Refusal};

/// Places for requests of one kind.
#[derive(Clone)]
pub struct Places(Arc<Semaphore>);

impl Places {
    /// So many.
    pub fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }
}

/// The place of one request; it has it from the first [`Place::take`] until the answer begins.
#[derive(Clone)]
pub struct Place {
    places: Places,
    taken: Arc<OnceLock<OwnedSemaphorePermit>>,
}

impl Place {
    /// Takes it, unless it is taken already.
    pub fn take(&self) -> Result<(), Refusal> {
        if self.taken.get().is_some() {
            return Ok(());
        }
        let permit =
            self.places.0.clone().try_acquire_owned().map_err(|_| {
                Refusal::new(Code::Overload, "too many requests at once; try again in a moment")
            })?;
        drop(self.taken.set(permit));
        Ok(())
    }
}

/// Gives a request its place: at once, or where there is a body to read first, once that is whole. Who sends slowly takes memory
/// and a connection, but no place.
pub async fn hold(State(places): State<Places>, mut request: Request, next: Next) -> Response {
    let place = Place { places, taken: Arc::default() };
    let reads = matches!(*request.method(), Method::POST | Method::PUT);
    if (!reads || axum::body::HttpBody::is_end_stream(request.body()))
        && let Err(refusal) = place.take()
    {
        return refusal.into_response();
    }
    request.extensions_mut().insert(place.clone());
    let response = next.run(request).await;
    drop(place);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_once_and_given_back() {
        let places = Places::new(1);
        let place = || Place { places: places.clone(), taken: Arc::default() };
        let (first, second) = (place(), place());
        first.take().unwrap();
        first.clone().take().unwrap();
        assert_eq!(second.take().unwrap_err().code, Code::Overload);
        drop(first);
        second.take().unwrap();
    }
}
