//! Saying who fell silent.

use vtox_protocol::{ServiceEventType, ServiceRecord, ServiceStatus, ServiceType};
use vtox_registry::Members;

use super::Control;

impl Control {
    /// Marks services that fell silent, and forgets those that stay so.
    pub(super) async fn announce_health(&mut self, members: &Members) {
        for (id, record) in &members.services {
            let is_dead = self.dead.contains(id);
            if is_dead && self.unhealthy.insert(id.clone()) {
                tracing::warn!(service = id, "no heartbeat for a lease: dead");
                if record.service_type == ServiceType::Worker {
                    self.metrics.deaths.inc();
                }
                let record = ServiceRecord { status: ServiceStatus::Unhealthy, ..record.clone() };
                self.announce(ServiceEventType::ServiceUnhealthy, &record, members).await;
            } else if !is_dead && self.unhealthy.remove(id) {
                tracing::info!(service = id, "heartbeats again");
                self.announce(ServiceEventType::ServiceHealthy, record, members).await;
            }
            if is_dead && members.silence_ms(id).is_some_and(|ms| ms >= self.forget_ms) {
                self.unhealthy.remove(id);
                if let Err(error) = self.registry.deregister(record, members.redis_now_ms).await {
                    tracing::debug!(%error, "a dead service could not be removed");
                }
            }
        }
    }

    async fn announce(&self, kind: ServiceEventType, record: &ServiceRecord, members: &Members) {
        if let Err(error) = self.registry.announce(kind, record, members.redis_now_ms).await {
            tracing::debug!(%error, "a service event could not be written");
        }
    }
}
