//! A fleet that loads a cluster: each vehicle sends its blocks one after the other, and what became of each is in the
//! ledger.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use vtox_connection::Endpoint;
use vtox_ledger::{Balance, Follower, Ledger, Outcome, QUIET, Sent};
use vtox_protocol::codec::{decode_binary, encode_binary};
use vtox_protocol::{MessageId, SignalBlock, VehicleId};
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
    /// What was sent, and what came of it.
    pub ledger: Ledger,
    stop: watch::Sender<bool>,
    senders: JoinSet<()>,
    follower: tokio::task::JoinHandle<Follower>,
}

/// Blocks each vehicle sends in turn: small ones, since here the way counts, not the verdict.
const BLOCKS: usize = 5;
/// A vehicle waits this long for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// One vehicle in so many does not send again what it does not know of.
const FORGETFUL: usize = 4;

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
        let redis = Endpoint::open(redis).expect("a URL");
        let mut follower = Follower::open(redis, ledger.clone()).await.expect("a cluster");
        let stop = watch::Sender::new(false);
        let mut senders = JoinSet::new();
        let client = reqwest::Client::builder().timeout(TIMEOUT).build().expect("a client");
        for (n, mut vehicle) in fleet(load.vehicles, 0, 1).into_iter().enumerate() {
            let pool = vehicle.pool(sampling, 0.0, BLOCKS);
            let sender = Vehicle {
                client: client.clone(),
                url: format!("{gateway}/api/v1/diagnosis-stream/vehicles/{}/data", vehicle.id()),
                id: VehicleId::new(vehicle.id()).expect("a valid id"),
                ledger: ledger.clone(),
                forgetful: n % FORGETFUL == FORGETFUL - 1,
                interval: load.interval,
                start: load.interval.mul_f64(n as f64 / load.vehicles as f64),
            };
            senders.spawn(sender.drive(pool.iter().map(Block::new).collect(), stop.subscribe()));
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

    /// Stops sending, waits for the results of what was accepted and draws the balance.
    pub async fn settle(self) -> Balance {
        self.settle_after(QUIET).await
    }

    /// The same; what has not come when nothing came for `quiet` counts as lost.
    pub async fn settle_after(mut self, quiet: Duration) -> Balance {
        self.stop.send_replace(true);
        while let Some(ended) = self.senders.join_next().await {
            ended.expect("a sender that did not crash");
        }
        let mut follower = self.follower.await.expect("a follower that did not crash");
        follower.settle_after(quiet).await.expect("results")
    }
}

struct Block {
    body: Vec<u8>,
    block: Arc<SignalBlock>,
}

impl Block {
    fn new(block: &SignalBlock) -> Self {
        let body = encode_binary(block);
        // As a worker will see it.
        let block = Arc::new(decode_binary(&body).expect("what was just encoded"));
        Self { body, block }
    }
}

struct Vehicle {
    client: reqwest::Client,
    url: String,
    id: VehicleId,
    ledger: Ledger,
    /// It does not send again what it does not know of.
    forgetful: bool,
    interval: Duration,
    start: Duration,
}

impl Vehicle {
    async fn drive(self, blocks: Vec<Block>, mut stop: watch::Receiver<bool>) {
        let mut wait = self.start;
        for (n, block) in blocks.iter().cycle().enumerate() {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(wait) => {}
            }
            let key = n.to_string();
            let at_ms = clock::epoch_ms();
            let outcome = self.send(&key, &block.body, &stop).await;
            if let Some(outcome) = outcome {
                let id = MessageId::from_client_key(&self.id, &key);
                let sent = Sent { at_ms, outcome, block: Some(block.block.clone()) };
                self.ledger.sent(id.to_string(), sent);
            }
            wait = self.interval;
        }
    }

    /// Sends until it is accepted: under one key, so that a resend after an unknown outcome is the same message. None when
    /// it is certainly not there.
    async fn send(&self, key: &str, body: &[u8], stop: &watch::Receiver<bool>) -> Option<Outcome> {
        let mut outcome = None;
        loop {
            match self.try_once(key, body).await {
                Some(200) => return Some(Outcome::Accepted),
                Some(429) => {}
                Some(503) | None => outcome = Some(Outcome::Unknown),
                Some(status) => panic!("refused with {status}"),
            }
            if (self.forgetful && outcome.is_some()) || *stop.borrow() {
                return outcome;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Status of the answer; none without a whole answer.
    async fn try_once(&self, key: &str, body: &[u8]) -> Option<u16> {
        let request = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, "application/msgpack")
            .header("Idempotency-Key", key)
            .body(body.to_vec());
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.ok()?;
        if status == 200 {
            let expected = MessageId::from_client_key(&self.id, key);
            assert_eq!(body["message_id"].as_str(), Some(expected.as_str()));
        }
        Some(status)
    }
}
