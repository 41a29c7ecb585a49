//! Fan-out: every bridge reads what is new and hands it to its dashboards. A dashboard that is too slow loses its oldest
//! frames; it holds up nobody else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};
use vtox_protocol::{DiagnosisResult, EntryId, Switches, keys};
use vtox_service_kit::Service;
use vtox_streams::{Janitor, Reader};

use crate::frames::{self, Frame};
use crate::metrics::Metrics;

const BLOCK: Duration = Duration::from_millis(200);
const BATCH: usize = 500;
const RETRY: Duration = Duration::from_millis(200);

/// Where frames come from and clients come to.
pub struct Hub {
    /// The service.
    pub service: Arc<Service>,
    /// Metrics.
    pub metrics: Metrics,
    /// Frames; each receiver has a bounded view of them.
    pub frames: broadcast::Sender<Arc<Frame>>,
    /// What operators switched.
    pub switches: watch::Receiver<Switches>,
    /// When the bridge started.
    pub started: Instant,
}

impl Hub {
    /// A hub without clients.
    pub fn new(service: Arc<Service>, metrics: Metrics, switches: watch::Receiver<Switches>) -> Self {
        let frames = broadcast::Sender::new(service.settings.bridge.client_queue_frames);
        Self { service, metrics, frames, switches, started: Instant::now() }
    }
}

/// Reads results and assessments from now on until the soft token is cancelled. Each has a reader of its own: under
/// Redis Cluster they are on different nodes.
pub async fn run(hub: Arc<Hub>) -> anyhow::Result<()> {
    let now_ms = Janitor::new(hub.service.redis.control.clone()).redis_now_ms().await?;
    tokio::join!(
        follow(&hub, keys::RESULTS, now_ms, |fields| {
            DiagnosisResult::from_fields(fields).ok().map(|r| frames::of_result(&r))
        }),
        follow(&hub, keys::ASSESSMENTS, now_ms, frames::of_assessment),
    );
    Ok(())
}

async fn follow(
    hub: &Hub,
    stream: &str,
    from_ms: u64,
    frame_of: impl Fn(&HashMap<String, String>) -> Option<Frame>,
) {
    let mut reader = Reader::new(hub.service.redis.client.clone());
    let mut position = [(stream.to_owned(), EntryId { ms: from_ms, seq: 0 })];
    while !hub.service.lifecycle.soft.is_cancelled() {
        let read = match reader.read(&position, BATCH, BLOCK).await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(%error, stream, "a stream cannot be read; trying again");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        for entry in read.into_iter().flat_map(|(_, entries)| entries) {
            position[0].1 = entry.id;
            // What comes while the bridge is stopped is passed over: started again, it shows what is new then.
            if hub.frames.receiver_count() == 0 || !hub.switches.borrow().bridge.value.is_running() {
                continue;
            }
            if let Some(frame) = frame_of(&entry.text_fields()) {
                // Without clients there is nobody to tell.
                drop(hub.frames.send(Arc::new(frame)));
            }
        }
    }
}
