//! Whether what a caller showed still holds, for what outlives its request: a WebSocket.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use vtox_auth::{Denied, Principal};
use vtox_service_kit::clock;

use crate::api::Api;

/// Time between two looks. A revocation reaches this process within a second.
const INTERVAL: Duration = Duration::from_secs(2);

/// What a caller showed, and who it was by that.
#[derive(Clone)]
pub struct Standing {
    /// None: anybody may come in.
    pub shown: Option<Arc<str>>,
    /// Who it was.
    pub principal: Principal,
}

impl Standing {
    /// Returns why when it holds no longer: it expired, was revoked, or is worth something else now.
    pub async fn lost(&self, api: &Api) -> Denied {
        let Some(shown) = &self.shown else { return std::future::pending().await };
        loop {
            sleep(INTERVAL).await;
            match api.auth.authenticate(shown, clock::epoch_ms() / 1_000) {
                Ok(principal) if principal == self.principal => {}
                Ok(_) => return Denied::RevokedToken,
                Err(denied) => return denied,
            }
        }
    }
}
