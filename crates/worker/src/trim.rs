//! Trimming the partitions this worker owns something of: beside their work, not within it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use vtox_protocol::keys::Partition;

use crate::work::Work;

const INTERVAL: Duration = Duration::from_secs(2);

/// Trims until the soft token is cancelled.
pub async fn run(work: Arc<Work>) -> anyhow::Result<()> {
    let soft = work.lifecycle.soft.clone();
    loop {
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let owned: Vec<Partition> = {
            let inboxes = work.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
            inboxes.iter().filter(|(_, inbox)| inbox.is_open()).map(|(partition, _)| *partition).collect()
        };
        let settings = &work.settings;
        let keep_bytes = settings.raw_retention_bytes / work.topology.all().count() as u64;
        let keep_ms = settings.raw_retention_s * 1_000;
        let trims = owned.into_iter().map(|p| work.janitor.trim_partition(p, keep_bytes, keep_ms));
        for error in join_all(trims).await.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "trimming failed");
        }
    }
}
