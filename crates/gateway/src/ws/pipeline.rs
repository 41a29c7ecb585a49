//! From the frames of one data source to their outcomes, in their order. Frames are read side by side; those of a vehicle are
//! appended one after the other, and after one that may be sent again the others under way are refused as well, so that
//! the vehicle's order holds.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use tokio::sync::oneshot;
use vtox_auth::Principal;
use vtox_protocol::{MessageId, VehicleId};
use vtox_service_kit::pool::Taken;

use crate::api::Api;
use crate::door::body;
use crate::ingest::{Incoming, Ready, accept, may_send, off_thread, open, read_line, read_packed};
use crate::reply::{Code, Refusal};

/// A frame as it came.
pub enum Frame {
    /// JSON.
    Text(Bytes),
    /// MessagePack.
    Binary(Bytes),
}

/// What became of a frame.
pub type Outcome = Result<MessageId, Refusal>;

/// A frame that was read, and the memory it takes.
type Read = Result<(Ready, Taken<String>), Refusal>;

/// Frames under way.
pub struct Pipeline {
    api: Arc<Api>,
    sender: Arc<Principal>,
    reading: FuturesOrdered<BoxFuture<'static, Read>>,
    accepting: FuturesOrdered<BoxFuture<'static, Outcome>>,
    /// Says of the last frame of each vehicle under way whether it must be sent again.
    last: HashMap<VehicleId, oneshot::Receiver<Option<Code>>>,
}

impl Pipeline {
    /// Nothing is under way.
    pub fn new(api: Arc<Api>, sender: Principal) -> Self {
        Self {
            api,
            sender: Arc::new(sender),
            reading: FuturesOrdered::new(),
            accepting: FuturesOrdered::new(),
            last: HashMap::new(),
        }
    }

    /// Frames under way.
    pub fn len(&self) -> usize {
        self.reading.len() + self.accepting.len()
    }

    /// Begins with a frame.
    pub fn push(&mut self, frame: Frame) {
        self.api.metrics.received.inc();
        let (api, sender) = (self.api.clone(), self.sender.clone());
        self.reading.push_back(Box::pin(async move { read(&api, &sender, frame).await }));
    }

    /// The outcome of the next frame; never, when nothing is under way.
    pub async fn next(&mut self) -> Outcome {
        loop {
            tokio::select! {
                Some(outcome) = self.accepting.next() => {
                    if self.len() == 0 {
                        self.last.clear();
                    }
                    match &outcome {
                        Ok(_) => self.api.metrics.succeeded.inc(),
                        Err(refusal) => {
                            self.api.metrics.rejected.with_label_values(&[refusal.code.name()]).inc();
                        }
                    }
                    return outcome;
                }
                Some(read) = self.reading.next() => self.append(read),
                else => std::future::pending().await,
            }
        }
    }

    fn append(&mut self, read: Read) {
        let (ready, taken) = match read {
            Ok(read) => read,
            Err(refusal) => return self.accepting.push_back(Box::pin(std::future::ready(Err(refusal)))),
        };
        let (done, earlier) = oneshot::channel();
        let earlier = self.last.insert(ready.vehicle.clone(), earlier);
        let (api, sender) = (self.api.clone(), self.sender.clone());
        self.accepting.push_back(Box::pin(async move {
            let held_up = match earlier {
                Some(earlier) => earlier.await.ok().flatten(),
                None => None,
            };
            let outcome = match held_up {
                Some(code) => Err(Refusal::new(
                    code,
                    "an earlier message of this vehicle was not accepted; send both again",
                )),
                None => append(&api, &sender, ready).await,
            };
            let again = outcome.as_ref().err().filter(|r| r.retry_after_s.is_some()).map(|r| r.code);
            // The last of a vehicle has nobody behind it.
            let _ = done.send(again);
            drop(taken);
            outcome
        }));
    }
}

/// Reads a frame and asks whether it may be sent.
async fn read(api: &Arc<Api>, sender: &Principal, frame: Frame) -> Read {
    open(api)?;
    let (Frame::Text(bytes) | Frame::Binary(bytes)) = &frame;
    let size = bytes.len();
    let taken = body::take(&api.bodies, sender, size)?;
    let topology = api.topology();
    let work = move || match frame {
        Frame::Text(text) => read_line(&text, &topology),
        Frame::Binary(bytes) => read_packed(&bytes, &topology),
    };
    let ready = off_thread(api, size, work).await?;
    may_send(sender, &ready.vehicle)?;
    api.vehicle_buckets.take(ready.vehicle.as_str())?;
    Ok((ready, taken))
}

async fn append(api: &Api, sender: &Principal, ready: Ready) -> Outcome {
    let Ready { vehicle, decoded, key, size } = ready;
    let incoming = Incoming { sender, vehicle, key, size, traceparent: None };
    Ok(accept(api, incoming, decoded).await?.message_id)
}
