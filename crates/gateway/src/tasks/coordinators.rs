//! Finding a coordinator: the leader first, another one when a connection is refused.

use std::time::Duration;

use tokio::sync::watch;
use vtox_protocol::{ServiceStatus, ServiceType};
use vtox_registry::{Members, Registry, watch_members};

use crate::reply::{Code, Refusal};

/// Time between two looks at the registry.
const LOOK: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The coordinators that live, and a client for them.
pub struct Coordinators {
    members: watch::Receiver<Members>,
    client: reqwest::Client,
    lease_ms: u64,
}

impl Coordinators {
    /// Follows the registry. Coordinators are silent for at most `lease_ms`.
    pub fn open(registry: Registry, lease_ms: u64) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT).build()?;
        Ok(Self { members: watch_members(registry, LOOK), client, lease_ms })
    }

    /// Addresses, the leader's first.
    fn urls(&self) -> Vec<String> {
        let members = self.members.borrow();
        let mut alive: Vec<_> = members
            .services
            .values()
            .filter(|record| {
                record.service_type == ServiceType::Coordinator
                    && record.status == ServiceStatus::Healthy
                    && members.silence_ms(&record.service_id).is_some_and(|ms| ms < self.lease_ms)
            })
            .collect();
        alive.sort_by_key(|record| record.metadata.get("role").is_none_or(|role| role != "leader"));
        alive.iter().map(|record| format!("http://{}:{}", record.host, record.port)).collect()
    }

    /// Sends a request to the first coordinator that takes the connection.
    pub async fn send(
        &self,
        build: impl Fn(&reqwest::Client, &str) -> reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, Refusal> {
        for url in self.urls() {
            match build(&self.client, &url).send().await {
                Ok(response) => return Ok(response),
                // Nothing was sent; another one may take it.
                Err(error) if error.is_connect() => tracing::debug!(%error, "a coordinator is not reached"),
                Err(error) if error.is_timeout() => {
                    return Err(Refusal::new(
                        Code::Deadline,
                        "the coordinator did not answer in time; give the task more time or try again",
                    ));
                }
                Err(error) => {
                    tracing::debug!(%error, "a coordinator broke off");
                    return Err(Refusal::new(
                        Code::NoCoordinator,
                        "the coordinator broke off; send it again: a diagnosis on demand changes nothing",
                    ));
                }
            }
        }
        Err(Refusal::new(
            Code::NoCoordinator,
            "no coordinator is reached, so tasks cannot be routed; start vtox-coordinator and try again",
        ))
    }
}
