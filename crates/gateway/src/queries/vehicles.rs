//! Health and history of vehicles, one by one and many at once.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vtox_protocol::{FaultState, FaultType, OverallHealth, OverallStatus, VehicleHealth, VehicleId};
use vtox_service_kit::clock;

use super::MAX_RECORDS;
use super::record::Record;
use crate::api::Api;
use crate::input::{self, VehiclePath};
use crate::reply::Refusal;
use crate::schema::{Answer, Success};

const HOUR_MS: u64 = 3_600_000;
/// Most hours a history may go back.
const MAX_HOURS: f64 = 24.0 * 366.0;
/// Vehicles of a page, and most of them.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

/// Vehicle id to overall status.
type Statuses = Arc<BTreeMap<String, String>>;

/// Which vehicles there are with which overall status; read at most once a second however many ask.
#[derive(Default)]
pub struct Index(Mutex<Option<(Instant, Statuses)>>);

const INDEX_AGE: Duration = Duration::from_secs(1);

impl Index {
    async fn get(&self, api: &Api) -> Result<Statuses, Refusal> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, index)) = known
            && at.elapsed() < INDEX_AGE
        {
            return Ok(index);
        }
        let index = Arc::new(api.views.statuses().await?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), index.clone()));
        Ok(index)
    }
}

/// Health of a vehicle, or that nothing is known of it.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum HealthAnswer {
    /// It is known.
    Known {
        /// `success`.
        status: Success,
        /// Its health.
        data: Box<Health>,
    },
    /// Nothing was diagnosed yet.
    Unknown {
        /// `not_found`.
        status: NotFound,
        /// For people.
        message: String,
        /// Which vehicle.
        vehicle_id: VehicleId,
    },
}

/// The word `not_found`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotFound {
    /// It is not there.
    NotFound,
}

/// Health of a vehicle.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// Which vehicle.
    vehicle_id: VehicleId,
    #[serde(flatten)]
    overall: OverallHealth,
    /// The same together.
    overall_health: OverallHealth,
    /// Latest result of each fault type.
    fault_states: BTreeMap<FaultType, FaultState>,
}

impl From<VehicleHealth> for Health {
    fn from(health: VehicleHealth) -> Self {
        Self {
            vehicle_id: health.vehicle_id,
            overall: health.overall_health.clone(),
            overall_health: health.overall_health,
            fault_states: health.fault_states,
        }
    }
}

/// Health of a vehicle
#[utoipa::path(
    get,
    path = "/vehicles/{vehicle_id}/health",
    tag = "Vehicles",
    params(VehiclePath),
    responses((status = 200, description = "Its health, or that nothing is known.", body = HealthAnswer)),
)]
pub async fn health(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<HealthAnswer>, Refusal> {
    let vehicle_id = input::vehicle(path)?;
    let text = api.views.health(&vehicle_id).await?;
    let known = text.and_then(|t| serde_json::from_str::<VehicleHealth>(&t).ok());
    Ok(Json(match known {
        Some(health) => HealthAnswer::Known { status: Success::Success, data: Box::new(health.into()) },
        None => HealthAnswer::Unknown {
            status: NotFound::NotFound,
            message: format!("未找到车辆 {vehicle_id} 的健康状态"),
            vehicle_id,
        },
    }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// This fault type alone.
    #[param(inline, value_type = Option<FaultType>)]
    fault_type: Option<String>,
    /// How far back, hours; 24 when it is left out.
    #[param(minimum = 0, maximum = 8784)]
    hours: Option<f64>,
}

/// Results of a vehicle.
#[derive(Serialize, ToSchema)]
pub struct History {
    vehicle_id: VehicleId,
    fault_type_filter: Option<FaultType>,
    time_range_hours: f64,
    total_records: usize,
    /// Newest first.
    diagnosis_history: Vec<Record>,
}

/// Results of a vehicle, newest first
#[utoipa::path(
    get,
    path = "/vehicles/{vehicle_id}/diagnosis-history",
    tag = "Vehicles",
    params(VehiclePath, HistoryQuery),
    responses((status = 200, description = "Its results; as many as bridge.history_per_vehicle keeps.", body = Answer<History>)),
)]
pub async fn history(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Result<Json<Answer<History>>, Refusal> {
    let vehicle_id = input::vehicle(path)?;
    let HistoryQuery { fault_type, hours } = input::query(query)?;
    let fault = input::fault_type(fault_type.as_deref())?;
    let hours = hours.unwrap_or(24.0);
    if !(hours > 0.0 && hours <= MAX_HOURS) {
        return Err(input::invalid(format!("hours is {hours}; between 0 and {MAX_HOURS} is expected")));
    }
    let since_ms = api.clock.now_ms().saturating_sub((hours * HOUR_MS as f64) as u64);
    let records: Vec<Record> = api
        .views
        .history(&vehicle_id, since_ms, MAX_RECORDS)
        .await?
        .into_iter()
        .filter_map(|entry| Record::of(&entry.text_fields(), Some(&vehicle_id)))
        .filter(|record| fault.is_none_or(|f| record.fault_type == f))
        .collect();
    Ok(Json(Answer::of(History {
        vehicle_id,
        fault_type_filter: fault,
        time_range_hours: hours,
        total_records: records.len(),
        diagnosis_history: records,
    })))
}

/// How many vehicles are in which state.
#[derive(Serialize, ToSchema)]
pub struct Fleet {
    total_vehicles: usize,
    healthy_vehicles: usize,
    /// With one warning or more.
    warning_vehicles: usize,
    critical_vehicles: usize,
    /// Without any verdict that rests on evidence.
    unknown_vehicles: usize,
    last_updated: String,
}

/// How the fleet is
#[utoipa::path(
    get,
    path = "/fleet/overview",
    tag = "Vehicles",
    responses((status = 200, description = "Vehicles by overall status.", body = Answer<Fleet>)),
)]
pub async fn fleet(State(api): State<Arc<Api>>) -> Result<Json<Answer<Fleet>>, Refusal> {
    let index = api.index.get(&api).await?;
    let of = |status: OverallStatus| index.values().filter(|s| *s == status.name()).count();
    Ok(Json(Answer::of(Fleet {
        total_vehicles: index.len(),
        healthy_vehicles: of(OverallStatus::Healthy),
        warning_vehicles: of(OverallStatus::Warning) + of(OverallStatus::Caution),
        critical_vehicles: of(OverallStatus::Critical),
        unknown_vehicles: of(OverallStatus::Unknown),
        last_updated: clock::timestamp(),
    })))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// With this overall status alone.
    #[param(inline)]
    status: Option<OverallStatus>,
    /// Vehicles behind this id: `next` of the page before.
    after: Option<String>,
    /// Vehicles of a page; 100 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A page of vehicles in the order of their ids.
#[derive(Serialize, ToSchema)]
pub struct Page {
    vehicles: Vec<Health>,
    /// Give it as `after` for the next page; none: this is the last.
    next: Option<String>,
    /// Vehicles with this status in all.
    total: usize,
}

/// Health of many vehicles
#[utoipa::path(
    get,
    path = "/api/v1/vehicles",
    tag = "Vehicles",
    params(PageQuery),
    responses((status = 200, description = "A page.", body = Answer<Page>)),
)]
pub async fn list(
    State(api): State<Arc<Api>>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<Answer<Page>>, Refusal> {
    let PageQuery { status, after, limit } = input::query(query)?;
    let limit = limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(input::invalid(format!("limit is {limit}; 1 to {MAX_PAGE} is expected")));
    }
    let index = api.index.get(&api).await?;
    let wanted = |of: &str| status.is_none_or(|s| s.name() == of);
    let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut ids = index
        .range::<String, _>((behind, Bound::Unbounded))
        .filter(|(_, status)| wanted(status))
        .filter_map(|(id, _)| VehicleId::new(id).ok());
    let page: Vec<VehicleId> = ids.by_ref().take(limit).collect();
    let next = ids.next().and(page.last()).map(ToString::to_string);
    let healths = api.views.healths(&page).await?;
    let vehicles = healths
        .into_iter()
        .flatten()
        .filter_map(|text| serde_json::from_str::<VehicleHealth>(&text).ok())
        .map(Health::from)
        .collect();
    let total = index.values().filter(|status| wanted(status)).count();
    Ok(Json(Answer::of(Page { vehicles, next, total })))
}
