//! Accepting signal blocks.

mod accept;
mod batch;
mod decode;
mod metadata;

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use prometheus::IntGauge;
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vtox_auth::Principal;
use vtox_protocol::keys::Partition;
use vtox_service_kit::trace;

pub use accept::{Incoming, accept, check_key, key_of, may_send, open, traceparent};
pub use batch::{Ready, read_line, read_packed};
pub use decode::{Decoded, Form, How, binary_message, json_message, object, refusal_of};

use crate::api::Api;
use crate::door::body;
use crate::door::limits::Left;
use crate::input;
use crate::reply::{Code, Refusal};
use crate::schema::{MessagePack, Success};

/// Bodies from here on are decoded on a thread of their own, bytes.
const LARGE_BODY: usize = 64 << 10;

/// The routes of existing clients.
pub fn seeds_routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(send)).routes(routes!(send_simulated))
}

/// The routes beside them.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(batch::send_batch))
}

/// What a vehicle sends.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what decode.rs reads piece by piece")]
struct Message {
    /// Rows `{"data": [{"时间": s, "Ia": A, ...}, ...], "sampling_rate": Hz}` or columns `{"columns": {"Ia": [A, ...],
    /// "vibration": {"sampling_rate": Hz, "values": [g, ...]}}, "sampling_rate": Hz, "start": s}`; readings such as
    /// `insulation_resistance` (megohm), `temperature` (degC) and `motor` (a motor profile) beside them.
    #[schema(value_type = Object)]
    sensor_data: (),
    /// Anything, up to 16 KiB. `boot_id` (text) and `sequence` (whole number) together name the message: it is accepted once
    /// however often it is sent.
    #[schema(value_type = Option<Object>)]
    metadata: (),
    /// Where the vehicle is, up to 512 bytes.
    location: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Where {
    /// Where the vehicle is, up to 512 bytes.
    location: Option<String>,
}

/// A message that was accepted.
#[derive(Serialize, ToSchema)]
struct Sent {
    status: Success,
    /// For people.
    #[schema(example = "车辆 粤B·SEAL·202412345 数据已接收")]
    message: String,
    /// When it was accepted, ISO 8601: the same however often it is sent.
    timestamp: String,
    /// Its id; results carry it.
    message_id: String,
    /// Samples of the longest channel; on the simulator's path.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_points: Option<usize>,
    /// What this gateway has taken so far; on the simulator's path.
    #[serde(skip_serializing_if = "Option::is_none")]
    processing_stats: Option<ProcessingStats>,
}

#[derive(Serialize, ToSchema)]
struct ProcessingStats {
    /// Messages received.
    total_received: u64,
    /// How many of them succeeded, %.
    success_rate: f64,
}

type PathOf = Result<Path<String>, PathRejection>;
type QueryOf = Result<Query<Where>, QueryRejection>;

/// Send a signal block
///
/// 200 means: the block is kept, as durable as `redis.durability` says, and will be diagnosed once. Give it an
/// `Idempotency-Key`, or `boot_id` and `sequence` in its metadata, to send it again safely after a 503 or a time-out.
#[utoipa::path(
    post,
    path = "/vehicles/{vehicle_id}/data",
    tag = "Signals",
    params(input::VehiclePath, input::IdempotencyKey, Where),
    request_body(content((Message = "application/json"), (MessagePack = "application/msgpack"))),
    responses((status = 200, description = "Accepted, now or before.", body = Sent)),
)]
async fn send(
    State(api): State<Arc<Api>>,
    Extension(sender): Extension<Principal>,
    path: PathOf,
    query: QueryOf,
    request: Request,
) -> Response {
    measured(&api, &sender, path, query, request, false).await
}

/// Send a signal block of a simulator
///
/// The same without a token; closed in production.
#[utoipa::path(
    post,
    path = "/simulator/vehicles/{vehicle_id}/data",
    tag = "Signals",
    params(input::VehiclePath, input::IdempotencyKey, Where),
    request_body(content((Message = "application/json"), (MessagePack = "application/msgpack"))),
    responses((status = 200, description = "Accepted, now or before.", body = Sent)),
)]
async fn send_simulated(
    State(api): State<Arc<Api>>,
    Extension(sender): Extension<Principal>,
    path: PathOf,
    query: QueryOf,
    request: Request,
) -> Response {
    measured(&api, &sender, path, query, request, true).await
}

async fn measured(
    api: &Arc<Api>,
    sender: &Principal,
    path: PathOf,
    query: QueryOf,
    request: Request,
    simulated: bool,
) -> Response {
    let began = Instant::now();
    let _in_flight = InFlight::begin(&api.metrics.in_flight);
    api.metrics.received.inc();
    let span = tracing::info_span!("accept");
    if let Some(parent) = traceparent(request.headers()) {
        trace::continue_from(&span, &parent);
    }
    let answer = handle(api, sender, path, query, request, simulated).instrument(span).await;
    api.metrics.duration.observe(began.elapsed().as_secs_f64());
    match answer {
        Ok((sent, left)) => {
            let mut response = Json(sent).into_response();
            if let Some(left) = left {
                left.add_to(&mut response);
            }
            response
        }
        Err(refusal) => {
            api.metrics.rejected.with_label_values(&[refusal.code.name()]).inc();
            refusal.into_response()
        }
    }
}

/// Counts down also when the client goes away and the handler is dropped.
struct InFlight(IntGauge);

impl InFlight {
    fn begin(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn handle(
    api: &Arc<Api>,
    sender: &Principal,
    path: PathOf,
    query: QueryOf,
    request: Request,
    simulated: bool,
) -> Result<(Sent, Option<Left>), Refusal> {
    // What can be refused without the body is.
    open(api)?;
    let place = input::query(query)?;
    let vehicle = input::vehicle(path)?;
    let headers = request.headers().clone();
    let form = Form::of(&headers)?;
    let key = key_of(&headers)?;
    let left = api.vehicle_buckets.take(vehicle.as_str())?;
    let whole = body::read(api, request, api.service.settings.gateway.body_limit_bytes).await?;
    let seeds_form = api.topology().partition_of(&vehicle) == Partition::Bare;
    let how = How { seeds_form, keyed: key.is_some() };
    let bytes = whole.bytes.clone();
    let decode = move || form.decode(&bytes, how, place.location);
    let decoded = off_thread(api, whole.bytes.len(), decode).await?;
    let data_points = decoded.data_points;
    let incoming = Incoming {
        sender,
        vehicle: vehicle.clone(),
        key,
        size: whole.bytes.len(),
        traceparent: traceparent(&headers),
    };
    let accepted = accept(api, incoming, decoded).await?;
    api.metrics.succeeded.inc();
    let received = api.metrics.received.get();
    let success_rate = 100.0 * api.metrics.succeeded.get() as f64 / received.max(1) as f64;
    let sent = Sent {
        status: Success::Success,
        message: format!("车辆 {vehicle} 数据已接收"),
        timestamp: accepted.timestamp,
        message_id: accepted.message_id.to_string(),
        data_points: simulated.then_some(data_points),
        processing_stats: simulated.then_some(ProcessingStats { total_received: received, success_rate }),
    };
    Ok((sent, left))
}

/// Works on a body of `size` bytes: off the async threads when it is large, as many at a time as there are cores.
pub async fn off_thread<T: Send + 'static>(
    api: &Api,
    size: usize,
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    if size < LARGE_BODY {
        return work();
    }
    let stopped = || Refusal::new(Code::Internal, "decoding was stopped");
    let place = api.decoders.clone().acquire_owned().await.map_err(|_| stopped())?;
    let work = move || {
        let _place = place;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| stopped())?
}
