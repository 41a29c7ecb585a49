//! The operators' switches: they set what is wanted in Redis, and the coordinators, bridges and `vtox up` follow.

mod bridge;
mod consumption;
mod workers;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vtox_protocol::{FaultSet, FaultType, Position, ServiceType, Set};
use vtox_registry::Switchboard;
use vtox_service_kit::clock;

use crate::api::Api;
use crate::cluster::lives;
use crate::input::invalid;
use crate::reply::Refusal;
use crate::schema::Success;

/// Switches under the prefix of existing clients.
pub fn seeds_routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(consumption::initialize))
        .routes(routes!(consumption::start))
        .routes(routes!(consumption::stop))
        .routes(routes!(workers::scale))
        .routes(routes!(bridge::control_bridge))
        .routes(routes!(bridge::bridge_status))
}

/// Switches of the cluster.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(workers::start_cluster)).routes(routes!(workers::stop_cluster))
}

/// Answer of a switch.
#[derive(Serialize, ToSchema)]
pub struct Switched {
    status: Success,
    /// For people.
    message: String,
    /// When, ISO 8601.
    timestamp: String,
    /// What is in force now.
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<InForce>,
    /// Whether a monitor watches the cluster, or for the bridge whether it shows results.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_monitoring: Option<bool>,
    /// Fault type that was scaled.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault_type: Option<FaultType>,
    /// Workers it is to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_count: Option<u16>,
    /// What was asked for and is not so, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// What is in force after a switch, as far as it has to do with it.
#[derive(Default, Serialize, ToSchema)]
pub struct InForce {
    /// Partitions of the raw stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    partitions: Option<u16>,
    /// Fault types that are diagnosed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<FaultType>>)]
    fault_types: Option<FaultSet>,
    /// Workers each fault type is to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    consumers_per_fault: Option<u16>,
    /// Whether results are folded into the health of vehicles.
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_aggregation: Option<bool>,
    /// Whether a monitor runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_monitoring: Option<bool>,
    /// Whether dashboards get results, and who said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    bridge: Option<Set<Position>>,
    /// Whether results are folded into the health of vehicles, and who said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregation: Option<Set<Position>>,
    /// Bridges that live.
    #[serde(skip_serializing_if = "Option::is_none")]
    bridges: Option<usize>,
    /// Workers that are to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    workers: Option<u16>,
    /// Mode of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
}

impl Switched {
    fn new(message: impl Into<String>) -> Self {
        Self {
            status: Success::Success,
            message: message.into(),
            timestamp: clock::timestamp(),
            config: None,
            is_monitoring: None,
            fault_type: None,
            new_count: None,
            notes: Vec::new(),
        }
    }
}

type Answer = Result<Json<Switched>, Refusal>;
type Parameters<T> = Result<Query<T>, QueryRejection>;

impl Api {
    /// The operators' switches.
    pub fn switchboard(&self) -> Switchboard {
        Switchboard::new(self.service.redis.control.clone())
    }

    async fn has(&self, kind: ServiceType) -> Result<usize, Refusal> {
        let members = self.registry.members().await?;
        Ok(members.services.values().filter(|r| r.service_type == kind && lives(self, &members, r)).count())
    }
}

fn within<T: PartialOrd + Display>(name: &str, value: T, range: &RangeInclusive<T>) -> Result<T, Refusal> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(invalid(format!("{name} is {value}; between {} and {} is expected", range.start(), range.end())))
}
