//! Trimming what this worker owns something of: beside the work, not within it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use vtox_protocol::keys::Partition;
use vtox_streams::DeadLetters;

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
        if owned.contains(&Partition::Bare) {
            trim_dead_letters(&work).await;
        }
        let settings = &work.settings;
        let keep_bytes = settings.raw_retention_bytes / work.topology.all().count() as u64;
        let keep_ms = settings.raw_retention_s * 1_000;
        let trims = owned.into_iter().map(|p| work.janitor.trim_partition(p, keep_bytes, keep_ms));
        for error in join_all(trims).await.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "trimming failed");
        }
    }
}

async fn trim_dead_letters(work: &Work) {
    let (keep_bytes, keep_ms) =
        (work.settings.dead_letter_retention_bytes, work.settings.dead_letter_retention_s * 1_000);
    let trimmed = async {
        let keep_from_ms = work.janitor.redis_now_ms().await?.saturating_sub(keep_ms);
        DeadLetters::new(work.redis.control.clone()).trim(keep_bytes, keep_from_ms).await
    };
    match trimmed.await {
        Ok(0) => {}
        Ok(count) => tracing::warn!(
            count,
            "dead letters were dropped: they exceeded dead_letter_retention_s or dead_letter_retention_bytes"
        ),
        Err(error) => tracing::debug!(%error, "dead letters could not be trimmed"),
    }
}
