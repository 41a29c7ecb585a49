//! Reading bodies: whole, within a size and a time, and within what all bodies together may take of memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header;
use futures::FutureExt;
use http_body_util::BodyExt;
use tokio::time::Instant;
use vtox_auth::Principal;
use vtox_service_kit::pool::{Full, Pool, Taken};

use super::places::Place;
use crate::api::Api;
use crate::reply::{Code, Refusal};

/// Memory that bodies may take, bytes.
pub type Memory = Pool<String>;

fn no_memory(full: Full) -> Refusal {
    match full {
        Full::All => {
            Refusal::new(Code::Overload, "the bodies of other requests take all the memory there is for them")
        }
        Full::Share => Refusal::share("memory for bodies"),
    }
}

/// Takes the memory of a body of so many bytes.
pub fn take(memory: &Memory, sender: &Principal, bytes: usize) -> Result<Taken<String>, Refusal> {
    memory.take(sender.name_for_share(), bytes).map_err(no_memory)
}

/// Taken for a body at once, bytes, where it promises so many.
const FIRST: usize = 64 << 10;

/// A whole body. What it takes of the budget is given back when it is dropped.
pub struct Whole {
    /// The bytes.
    pub bytes: Bytes,
    _taken: Taken<String>,
}

/// Reads a body of at most `limit` bytes.
pub async fn read(api: &Api, request: Request, limit: usize) -> Result<Whole, Refusal> {
    // Never unpacked: a few bytes could be any number of them.
    let encodings = request.headers().get_all(header::CONTENT_ENCODING);
    if let Some(packed) = encodings.iter().find(|e| !e.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let detail = format!("Content-Encoding {packed:?} is not taken; send the body as it is");
        return Err(Refusal::new(Code::UnsupportedEncoding, detail));
    }
    let settings = &api.service.settings.gateway;
    let too_large = || Refusal::new(Code::BodyTooLarge, format!("the body is over {limit} bytes"));
    let declared =
        request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|n| n > limit) {
        return Err(too_large());
    }
    let deadline = Duration::from_secs(settings.body_timeout_s);
    let place = request.extensions().get::<Place>().cloned();
    let pace = Pace::new(settings.body_least_bytes_per_s);
    let sender = request.extensions().get::<Principal>().and_then(Principal::name_for_share);
    let memory = api.bodies.take(sender, 0).map_err(no_memory)?;
    let collect = collect(memory, request.into_body(), declared.unwrap_or(0), limit, pace);
    match tokio::time::timeout(deadline, collect).await {
        Ok(Ok(Some(whole))) => {
            if let Some(place) = place {
                place.take()?;
            }
            Ok(whole)
        }
        Ok(Ok(None)) => Err(too_large()),
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => {
            let detail = format!("the body did not arrive within {} s", settings.body_timeout_s);
            Err(Refusal::new(Code::BodyTimeout, detail))
        }
    }
}

/// Whether a body goes on arriving: what has arrived of it takes memory that others wait for.
struct Pace {
    least_per_s: usize,
    until: Instant,
    arrived: usize,
}

/// How long a body may pause, and over which its rate is taken.
const PAUSE: Duration = Duration::from_secs(5);

impl Pace {
    fn new(least_per_s: usize) -> Self {
        Self { least_per_s, until: Instant::now() + PAUSE, arrived: 0 }
    }

    /// The next data, unless too little has arrived for a while; none at the end.
    async fn next(&mut self, body: &mut Body) -> Result<Option<Bytes>, Refusal> {
        loop {
            // What is there already needs no clock: a body may come in very small pieces.
            let (frame, waited) = match body.frame().now_or_never() {
                Some(frame) => (Ok(frame), false),
                None => (tokio::time::timeout_at(self.until, body.frame()).await, true),
            };
            let data = match frame {
                Ok(Some(Err(e))) => {
                    return Err(Refusal::new(Code::InvalidBody, format!("the body broke off: {e}")));
                }
                Ok(Some(Ok(frame))) => frame.into_data().ok(),
                Ok(None) => return Ok(None),
                Err(_) => None,
            };
            self.arrived += data.as_ref().map_or(0, Bytes::len);
            if waited && Instant::now() >= self.until {
                if self.arrived < self.least_per_s.saturating_mul(PAUSE.as_secs() as usize) {
                    let detail = format!("less than {} bytes/s of the body arrive", self.least_per_s);
                    return Err(Refusal::new(Code::BodyTimeout, detail));
                }
                (self.until, self.arrived) = (Instant::now() + PAUSE, 0);
            }
            if data.is_some() {
                return Ok(data);
            }
        }
    }
}

/// None: the body is over the limit.
async fn collect(
    mut memory: Taken<String>,
    mut body: Body,
    expected: usize,
    limit: usize,
    mut pace: Pace,
) -> Result<Option<Whole>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(data) = pace.next(&mut body).await? {
        if bytes.len() + data.len() > limit {
            return Ok(None);
        }
        // Grown in steps by what has arrived, so that a promise of bytes takes no memory.
        let wanted = bytes.len() + data.len();
        if wanted > bytes.capacity() {
            let capacity = if bytes.is_empty() { expected.min(FIRST) } else { 2 * bytes.capacity() };
            let capacity = capacity.clamp(wanted, limit.max(wanted));
            memory.more(capacity - bytes.capacity()).map_err(no_memory)?;
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Some(Whole { bytes: bytes.into(), _taken: memory }))
}

impl FromRequest<Arc<Api>> for Whole {
    type Rejection = Refusal;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Refusal> {
        read(api, request, api.service.settings.gateway.body_limit_bytes).await
    }
}
