//! How many requests are worked on at the same time; one more is refused instead of queueing.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use vtox_auth::Principal;
use vtox_service_kit::pool::{Full, Pool, Taken};

use crate::reply::{Code, Refusal};

/// How long who is refused waits for it. Told at once it would come again at once, and refusals would cost what is missing.
const PAUSE: Duration = Duration::from_millis(500);

/// Places for requests of one kind.
pub type Places = Pool<String>;

/// The place of one request; it has it from the first [`Place::take`] until the answer begins.
#[derive(Clone)]
pub struct Place {
    places: Places,
    who: Option<String>,
    taken: Arc<OnceLock<Taken<String>>>,
}

impl Place {
    /// Takes it, unless it is taken already.
    pub fn take(&self) -> Result<(), Refusal> {
        if self.taken.get().is_some() {
            return Ok(());
        }
        let taken = self.places.take(self.who.clone(), 1).map_err(|full| match full {
            Full::All => overload(),
            Full::Share => Refusal::share("requests at the same time"),
        })?;
        drop(self.taken.set(taken));
        Ok(())
    }
}

fn overload() -> Refusal {
    Refusal::new(Code::Overload, "too many requests at once; try again in a moment")
}

/// Gives a request its place: at once, or where there is a body to read first, once that is whole. Who sends slowly takes memory
/// and a connection, but no place. While there is none to be had no body is read either.
pub async fn hold(State(places): State<Places>, mut request: Request, next: Next) -> Response {
    let who = request.extensions().get::<Principal>().and_then(Principal::name_for_share);
    let place = Place { places, who, taken: Arc::default() };
    let reads = matches!(*request.method(), Method::POST | Method::PUT);
    let at_once = if !reads || axum::body::HttpBody::is_end_stream(request.body()) {
        place.take()
    } else if place.places.is_empty() {
        Err(overload())
    } else {
        Ok(())
    };
    let response = match at_once {
        Ok(()) => {
            request.extensions_mut().insert(place.clone());
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    };
    drop(place);
    if response.extensions().get::<Refusal>().is_some_and(|r| r.code == Code::Overload || r.share) {
        tokio::time::sleep(PAUSE).await;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_once_and_given_back() {
        let places = Places::new(1, 1.0);
        let place = || Place { places: places.clone(), who: None, taken: Arc::default() };
        let (first, second) = (place(), place());
        first.take().unwrap();
        first.clone().take().unwrap();
        assert_eq!(second.take().unwrap_err().code, Code::Overload);
        drop(first);
        second.take().unwrap();
    }

    #[test]
    fn a_key_has_no_more_than_its_share() {
        let places = Places::new(4, 0.5);
        let place = |who: Option<&str>| {
            let place = Place { places: places.clone(), who: who.map(str::to_owned), taken: Arc::default() };
            place.take().map(|()| place)
        };
        let _mine = [place(Some("a")).unwrap(), place(Some("a")).unwrap()];
        assert_eq!(place(Some("a")).err().unwrap().code, Code::RateLimited);
        let _others = [place(Some("b")).unwrap(), place(None).unwrap()];
        assert_eq!(place(Some("b")).err().unwrap().code, Code::Overload);
    }
}
