//! What is known of the motors beforehand.

use std::collections::BTreeMap;

use vtox_connection::ConnectionManager;
use vtox_protocol::keys::{MOTOR_MODELS, MOTORS, MOTORS_EPOCH};
use vtox_protocol::{MotorProfile, VehicleId, VehicleMotor};

use crate::Result;
use crate::services::{readable, to_json};

/// The hashes of motors and of their models. Each change moves the epoch in the same step; in a Cluster right after it, and
/// a change that was cut off before is an error, to be made again.
#[derive(Clone)]
pub struct Motors {
    connection: ConnectionManager,
}

impl Motors {
    /// On a connection that does not block.
    pub fn new(connection: ConnectionManager) -> Self {
        Self { connection }
    }

    /// How often something has changed.
    pub async fn epoch(&self) -> Result<u64> {
        let epoch: Option<u64> =
            redis::cmd("GET").arg(MOTORS_EPOCH).query_async(&mut self.connection.clone()).await?;
        Ok(epoch.unwrap_or(0))
    }

    /// Everything: motors by vehicle, defaults by model.
    pub async fn all(&self) -> Result<(BTreeMap<VehicleId, VehicleMotor>, BTreeMap<String, MotorProfile>)> {
        type Hash = BTreeMap<String, String>;
        let (motors, models): (Hash, Hash) = redis::pipe()
            .hgetall(MOTORS)
            .hgetall(MOTOR_MODELS)
            .query_async(&mut self.connection.clone())
            .await?;
        let motors = readable(motors).filter_map(|(id, motor)| Some((VehicleId::new(&id).ok()?, motor)));
        Ok((motors.collect(), readable(models).collect()))
    }

    /// Sets the motor of a vehicle.
    pub async fn set_vehicle(&self, vehicle: &VehicleId, motor: &VehicleMotor) -> Result<()> {
        self.set(MOTORS, vehicle.as_str(), to_json(motor)?).await
    }

    /// Forgets the motor of a vehicle; false when it was not known.
    pub async fn remove_vehicle(&self, vehicle: &VehicleId) -> Result<bool> {
        self.remove(MOTORS, vehicle.as_str()).await
    }

    /// Sets the defaults of a model.
    pub async fn set_model(&self, model: &str, defaults: &MotorProfile) -> Result<()> {
        self.set(MOTOR_MODELS, model, to_json(defaults)?).await
    }

    /// Forgets the defaults of a model; false when there were none.
    pub async fn remove_model(&self, model: &str) -> Result<bool> {
        self.remove(MOTOR_MODELS, model).await
    }

    async fn set(&self, hash: &str, field: &str, json: String) -> Result<()> {
        self.change(redis::Cmd::hset(hash, field, json)).await.map(|_| ())
    }

    async fn remove(&self, hash: &str, field: &str) -> Result<bool> {
        Ok(self.change(redis::Cmd::hdel(hash, field)).await? == 1)
    }

    async fn change(&self, change: redis::Cmd) -> Result<u64> {
        let mut connection = self.connection.clone();
        let epoch = redis::cmd("INCR").arg(MOTORS_EPOCH).to_owned();
        if connection.is_cluster() {
            // In this order: whoever sees the new epoch must find the change.
            let changed = change.query_async(&mut connection).await?;
            let _: u64 = epoch.query_async(&mut connection).await?;
            return Ok(changed);
        }
        let (changed, _): (u64, u64) = redis::pipe()
            .atomic()
            .add_command(change)
            .add_command(epoch)
            .query_async(&mut connection)
            .await?;
        Ok(changed)
    }
}
