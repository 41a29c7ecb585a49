//! A fleet that loads a cluster: each vehicle sends its blocks one after the other, each until it is accepted, and
//! everything that was accepted is in the ledger.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use vtox_ledger::{Balance, Follower, Ledger};
use vtox_protocol::codec::encode_binary;
use vtox_service_kit::clock;
use vtox_simulation::{Sampling, fleet, vehicle_id};

/// What is to be sent.
#[derive(Clone, Copy)]
pub struct Load {
    /// Vehicles.
    pub vehicles: u64,
    /// Time between two blocks of a vehicle.
    pub interval: Duration,
}

/// A fleet that sends, and the reader of its results.
pub struct Fleet {
    /// What was accepted, and what came of it.
    pub ledger: Ledger,
    stop: watch::Sender<bool>,
    senders: JoinSet<()>,
    follower: tokio::task::JoinHandle<Follower>,
}

/// Blocks each vehicle sends in turn: small ones, since here the way counts, not the verdict.
const BLOCKS: usize = 4;

/// Ids of the first vehicles of the simulated fleet.
pub fn ids(count: u64) -> Vec<String> {
    (0..count).map(vehicle_id).collect()
}

impl Fleet {
    /// Starts sending to `gateway` and reading the results from `redis`.
    pub async fn start(gateway: &str, redis: &str, load: Load) -> Self {
        Self::start_with(gateway, redis, load, &Sampling::new(4_000.0, 256)).await
    }

    /// The same with blocks of another size.
    pub async fn start_with(gateway: &str, redis: &str, load: Load, sampling: &Sampling) -> Self {
        let ledger = Ledger::default();
        let mut follower = Follower::open(redis, ledger.clone()).await.expect("a cluster");
        let stop = watch::Sender::new(false);
        let mut senders = JoinSet::new();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().expect("a client");
        for (n, mut vehicle) in fleet(load.vehicles, 0, 1).into_iter().enumerate() {
            let blocks: Vec<Vec<u8>> =
                vehicle.pool(sampling, 0.0, BLOCKS).iter().map(encode_binary).collect();
            let sender = Vehicle {
                client: client.clone(),
                url: format!("{gateway}/api/v1/diagnosis-stream/vehicles/{}/data", vehicle.id()),
                ledger: ledger.clone(),
                interval: load.interval,
                start: load.interval.mul_f64(n as f64 / load.vehicles as f64),
            };
            senders.spawn(sender.drive(blocks, stop.subscribe()));
        }
        let mut stopped = stop.subscribe();
        let follower = tokio::spawn(async move {
            while !*stopped.borrow_and_update() {
                follower.step().await.expect("results");
            }
            follower
        });
        Self { ledger, stop, senders, follower }
    }

    /// Stops sending and waits for the results of what was accepted.
    pub async fn settle(mut self) -> Balance {
        self.stop.send_replace(true);
        while let Some(ended) = self.senders.join_next().await {
            ended.expect("a sender that did not crash");
        }
        let mut follower = self.follower.await.expect("a follower that did not crash");
        follower.settle().await.expect("results")
    }
}

struct Vehicle {
    client: reqwest::Client,
    url: String,
    ledger: Ledger,
    interval: Duration,
    start: Duration,
}

impl Vehicle {
    async fn drive(self, blocks: Vec<Vec<u8>>, mut stop: watch::Receiver<bool>) {
        let mut wait = self.start;
        for (n, block) in blocks.iter().cycle().enumerate() {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(wait) => {}
            }
            self.send(&n.to_string(), block).await;
            wait = self.interval;
        }
    }

    /// Sends until it is accepted: under one key, so that a resend after an unknown outcome is the same message.
    async fn send(&self, key: &str, block: &[u8]) {
        let sent_ms = clock::epoch_ms();
        loop {
            let answer = self
                .client
                .post(&self.url)
                .header(CONTENT_TYPE, "application/msgpack")
                .header("Idempotency-Key", key)
                .body(block.to_vec())
                .send()
                .await;
            if let Ok(answer) = answer {
                let status = answer.status();
                if status.is_success() {
                    if let Ok(body) = answer.json::<Value>().await {
                        let id = body["message_id"].as_str().expect("a message id");
                        return self.ledger.accepted(id.to_owned(), sent_ms);
                    }
                } else {
                    assert!(matches!(status.as_u16(), 429 | 503), "refused with {status}");
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
