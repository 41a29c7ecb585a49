//! Folded state of vehicles, written in commits and read when a lane is taken over.

use vtox_connection::ConnectionManager;
use vtox_protocol::VehicleId;

use crate::{Lane, Result};

/// The stored states of some vehicles of a lane, in their order.
pub async fn load_states(
    connection: &ConnectionManager,
    lane: Lane,
    vehicles: &[VehicleId],
) -> Result<Vec<Option<Vec<u8>>>> {
    if vehicles.is_empty() {
        return Ok(Vec::new());
    }
    let mut command = redis::cmd("HMGET");
    command.arg(lane.partition.state(lane.fault));
    for vehicle in vehicles {
        command.arg(vehicle.as_str());
    }
    Ok(command.query_async(&mut connection.clone()).await?)
}
