//! Fan-out: every bridge reads what is new and hands it to its dashboards. A dashboard that is too slow loses its oldest
//! frames; it holds up nobody else.

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

/// Reads results and assessments from now on until the soft token is cancelled.
pub async fn run(hub: Arc<Hub>) -> anyhow::Result<()> {
    let mut reader = Reader::new(hub.service.redis.client.clone());
    let now_ms = Janitor::new(hub.service.redis.control.clone()).redis_now_ms().await?;
    let begin = EntryId { ms: now_ms, seq: 0 };
    let mut positions = [(keys::RESULTS.to_owned(), begin), (keys::ASSESSMENTS.to_owned(), begin)];
    while !hub.service.lifecycle.soft.is_cancelled() {
        let read = match reader.read(&positions, BATCH, BLOCK).await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(%error, "results cannot be read; trying again");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        for (index, entries) in read {
            if let Some(last) = entries.last() {
                positions[index].1 = last.id;
            }
            // What comes while the bridge is stopped is passed over: started again, it shows what is new then.
            if hub.frames.receiver_count() == 0 || !hub.switches.borrow().bridge.value.is_running() {
                continue;
            }
            for entry in entries {
                let fields = entry.text_fields();
                let frame = match index {
                    0 => DiagnosisResult::from_fields(&fields).ok().map(|r| frames::of_result(&r)),
                    _ => frames::of_assessment(&fields),
                };
                if let Some(frame) = frame {
                    // Without clients there is nobody to tell.
                    drop(hub.frames.send(Arc::new(frame)));
                }
            }
        }
    }
    Ok(())
}
