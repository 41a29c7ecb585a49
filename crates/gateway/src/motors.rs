//! What is known of the motors beforehand: the profile of a vehicle, and defaults by model for the whole fleet. It travels with
//! each message from its acceptance on, so that a verdict and a replay of it rest on the same profile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vtox_protocol::{BearingGeometry, MotorProfile, VehicleId, VehicleMotor, bearings};
use vtox_registry::Motors;

use crate::api::Api;
use crate::door::body;
use crate::input::{self, VehiclePath};
use crate::reply::{Code, Refusal};
use crate::schema::{Answer, Success};

/// Largest body with a profile, bytes.
const BODY_LIMIT: usize = 16 << 10;
/// Longest name of a model, bytes.
const MAX_MODEL_BYTES: usize = 64;
const INTERVAL: Duration = Duration::from_millis(500);

/// The profiles as of the last look.
pub struct Known {
    store: Motors,
    snapshot: watch::Sender<Arc<Snapshot>>,
}

#[derive(Default)]
struct Snapshot {
    epoch: u64,
    vehicles: BTreeMap<VehicleId, VehicleMotor>,
    models: BTreeMap<String, MotorProfile>,
}

impl Snapshot {
    fn effective(&self, motor: &VehicleMotor) -> MotorProfile {
        let defaults = motor.model.as_ref().and_then(|m| self.models.get(m));
        defaults.map_or_else(|| motor.profile.clone(), |d| motor.profile.or(d))
    }
}

impl Known {
    /// Nothing is known yet.
    pub fn new(store: Motors) -> Self {
        Self { store, snapshot: watch::Sender::default() }
    }

    /// What is known of the motor of a vehicle.
    pub fn profile_of(&self, vehicle: &VehicleId) -> Option<MotorProfile> {
        let snapshot = self.snapshot.borrow().clone();
        Some(snapshot.effective(snapshot.vehicles.get(vehicle)?))
    }

    /// The same as it goes with the messages of the vehicle, JSON.
    pub fn of(&self, vehicle: &VehicleId) -> Option<String> {
        serde_json::to_string(&self.profile_of(vehicle)?).ok()
    }

    /// Reads what has changed.
    async fn refresh(&self) -> Result<(), Refusal> {
        let epoch = self.store.epoch().await?;
        if epoch == self.snapshot.borrow().epoch {
            return Ok(());
        }
        let (vehicles, models) = self.store.all().await?;
        self.snapshot.send_replace(Arc::new(Snapshot { epoch, vehicles, models }));
        Ok(())
    }
}

/// Follows the profiles until the soft token is cancelled.
pub async fn watch(api: Arc<Api>) -> anyhow::Result<()> {
    let soft = api.service.lifecycle.soft.clone();
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            _ = tick.tick() => {}
        }
        if let Err(refusal) = api.motors.refresh().await {
            tracing::debug!(refusal.detail, "motor profiles cannot be read");
        }
    }
}

/// The routes.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(get_motor, put_motor, delete_motor))
        .routes(routes!(list_models))
        .routes(routes!(get_model, put_model, delete_model))
        .routes(routes!(list_bearings))
}

/// The motor of a vehicle.
#[derive(Serialize, ToSchema)]
struct MotorAnswer {
    vehicle_id: VehicleId,
    /// Model whose defaults count where the profile says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// What was said of this vehicle.
    profile: MotorProfile,
    /// Both together: what diagnosis uses.
    effective: MotorProfile,
}

fn answer(snapshot: &Snapshot, vehicle: VehicleId) -> Result<Json<Answer<MotorAnswer>>, Refusal> {
    let motor = snapshot.vehicles.get(&vehicle).ok_or_else(|| {
        Refusal::new(Code::NotFound, format!("vehicle {vehicle} has no motor profile; PUT one"))
    })?;
    Ok(Json(Answer::of(MotorAnswer {
        model: motor.model.clone(),
        profile: motor.profile.clone(),
        effective: snapshot.effective(motor),
        vehicle_id: vehicle,
    })))
}

/// Motor profile of a vehicle
#[utoipa::path(
    get,
    path = "/api/v1/vehicles/{vehicle_id}/motor",
    tag = "Motors",
    params(VehiclePath),
    responses((status = 200, description = "The profile.", body = Answer<MotorAnswer>)),
)]
async fn get_motor(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Answer<MotorAnswer>>, Refusal> {
    let vehicle = input::vehicle(path)?;
    api.motors.refresh().await?;
    let snapshot = api.motors.snapshot.borrow().clone();
    answer(&snapshot, vehicle)
}

/// Set the motor profile of a vehicle
///
/// It counts for messages accepted within a second from then on, in every gateway.
#[utoipa::path(
    put,
    path = "/api/v1/vehicles/{vehicle_id}/motor",
    tag = "Motors",
    params(VehiclePath),
    request_body = VehicleMotor,
    responses((status = 200, description = "The profile now.", body = Answer<MotorAnswer>)),
)]
async fn put_motor(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Answer<MotorAnswer>>, Refusal> {
    let vehicle = input::vehicle(path)?;
    let motor: VehicleMotor = profile_in(&api, request).await?;
    says_something(motor.model.is_some(), &motor.profile)?;
    motor.profile.check().map_err(|e| Refusal::new(Code::InvalidMotor, e))?;
    api.motors.refresh().await?;
    if let Some(model) = &motor.model
        && !api.motors.snapshot.borrow().models.contains_key(model)
    {
        return Err(Refusal::new(
            Code::UnknownMotorModel,
            format!("there are no defaults for model {model:?}"),
        ));
    }
    api.motors.store.set_vehicle(&vehicle, &motor).await?;
    api.motors.refresh().await?;
    let snapshot = api.motors.snapshot.borrow().clone();
    answer(&snapshot, vehicle)
}

/// A word that it was done.
#[derive(Serialize, ToSchema)]
struct Done {
    status: Success,
}

/// Forget the motor profile of a vehicle
#[utoipa::path(
    delete,
    path = "/api/v1/vehicles/{vehicle_id}/motor",
    tag = "Motors",
    params(VehiclePath),
    responses((status = 200, description = "It is gone.", body = Done)),
)]
async fn delete_motor(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Done>, Refusal> {
    let vehicle = input::vehicle(path)?;
    if !api.motors.store.remove_vehicle(&vehicle).await? {
        return Err(Refusal::new(Code::NotFound, format!("vehicle {vehicle} has no motor profile")));
    }
    api.motors.refresh().await?;
    Ok(Json(Done { status: Success::Success }))
}

/// Defaults by motor model
#[utoipa::path(
    get,
    path = "/api/v1/motors/models",
    tag = "Motors",
    responses((status = 200, description = "Model to profile.", body = Answer<BTreeMap<String, MotorProfile>>)),
)]
async fn list_models(
    State(api): State<Arc<Api>>,
) -> Result<Json<Answer<BTreeMap<String, MotorProfile>>>, Refusal> {
    api.motors.refresh().await?;
    Ok(Json(Answer::of(api.motors.snapshot.borrow().models.clone())))
}

fn model_of(path: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    let Path(model) = path.map_err(|e| input::invalid(e.body_text()))?;
    let fits =
        (1..=MAX_MODEL_BYTES).contains(&model.len()) && !model.chars().any(|c| c.is_control() || c == '/');
    fits.then_some(model).ok_or_else(|| {
        input::invalid(format!("a model has 1 to {MAX_MODEL_BYTES} bytes without control characters and /"))
    })
}

/// Defaults of a motor model
#[utoipa::path(
    get,
    path = "/api/v1/motors/models/{model}",
    tag = "Motors",
    params(("model" = String, Path, description = "Name of the model.", max_length = 64, example = "4kW-4p")),
    responses((status = 200, description = "Its defaults.", body = Answer<MotorProfile>)),
)]
async fn get_model(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Answer<MotorProfile>>, Refusal> {
    let model = model_of(path)?;
    api.motors.refresh().await?;
    let profile = api.motors.snapshot.borrow().models.get(&model).cloned();
    let missing = || Refusal::new(Code::NotFound, format!("there are no defaults for model {model:?}"));
    profile.map(|p| Json(Answer::of(p))).ok_or_else(missing)
}

/// Set the defaults of a motor model, for every vehicle that names it
#[utoipa::path(
    put,
    path = "/api/v1/motors/models/{model}",
    tag = "Motors",
    params(("model" = String, Path, description = "Name of the model.", max_length = 64, example = "4kW-4p")),
    request_body = MotorProfile,
    responses((status = 200, description = "Its defaults now.", body = Answer<MotorProfile>)),
)]
async fn put_model(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Answer<MotorProfile>>, Refusal> {
    let model = model_of(path)?;
    let profile: MotorProfile = profile_in(&api, request).await?;
    says_something(false, &profile)?;
    profile.check().map_err(|e| Refusal::new(Code::InvalidMotor, e))?;
    api.motors.store.set_model(&model, &profile).await?;
    api.motors.refresh().await?;
    Ok(Json(Answer::of(profile)))
}

/// Forget the defaults of a motor model
///
/// Vehicles that name it keep what was said of themselves.
#[utoipa::path(
    delete,
    path = "/api/v1/motors/models/{model}",
    tag = "Motors",
    params(("model" = String, Path, description = "Name of the model.", max_length = 64, example = "4kW-4p")),
    responses((status = 200, description = "They are gone.", body = Done)),
)]
async fn delete_model(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Done>, Refusal> {
    let model = model_of(path)?;
    if !api.motors.store.remove_model(&model).await? {
        return Err(Refusal::new(Code::NotFound, format!("there are no defaults for model {model:?}")));
    }
    api.motors.refresh().await?;
    Ok(Json(Done { status: Success::Success }))
}

/// Bearings that can be named by their designation
#[utoipa::path(
    get,
    path = "/api/v1/motors/bearings",
    tag = "Motors",
    responses((status = 200, description = "Designation to geometry.", body = Answer<BTreeMap<String, BearingGeometry>>)),
)]
async fn list_bearings() -> Json<Answer<BTreeMap<String, BearingGeometry>>> {
    Json(Answer::of(bearings::all().collect()))
}

/// What says nothing would forget what is known.
fn says_something(has_model: bool, profile: &MotorProfile) -> Result<(), Refusal> {
    if has_model || *profile != MotorProfile::default() {
        return Ok(());
    }
    Err(Refusal::new(Code::InvalidMotor, "it says nothing of the motor; DELETE forgets what is known of it"))
}

async fn profile_in<T: serde::de::DeserializeOwned>(api: &Api, request: Request) -> Result<T, Refusal> {
    let whole = body::read(api, request, BODY_LIMIT).await?;
    input::check_depth(&whole.bytes)?;
    serde_json::from_slice(&whole.bytes)
        .map_err(|e| Refusal::new(Code::InvalidMotor, format!("the profile cannot be read: {e}")))
}
