//! A client of diagnosis on demand.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use vtox_protocol::SignalBlock;
use vtox_protocol::codec::encode_binary;
use vtox_simulation::{Sampling, fleet};

use crate::{Cluster, eventually};

/// All strategies.
pub const STRATEGIES: [&str; 6] =
    ["smart", "round_robin", "weighted_round_robin", "least_connections", "peak_ewma", "consistent_hash"];

/// A block of the simulated fleet.
pub fn block(sampling: &Sampling) -> SignalBlock {
    fleet(1, 0, 1).remove(0).next_block(sampling, 0.0)
}

/// Small blocks: here the way counts.
pub fn small() -> Sampling {
    Sampling::new(4_000.0, 256)
}

/// A gateway, a coordinator and three workers that serve everything, and a client for them.
pub async fn three_workers(environment: &[(&str, &str)]) -> (Cluster, Tasks) {
    let mut cluster = Cluster::start(&[], environment, &["all", "all", "all"]).await;
    let tasks = Tasks::new(cluster.gateway(), &block(&small()));
    let sent = tasks.clone();
    eventually(Duration::from_secs(10), "tasks to be served", async || sent.send(&[]).await.status == 200)
        .await;
    (cluster, tasks)
}

/// The answer to a task.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Body.
    pub body: Value,
    /// Whether it says when to try again.
    pub retry_after: bool,
    /// When it came.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
}

impl Answer {
    /// Id of the worker that diagnosed.
    pub fn worker(&self) -> String {
        self.body["worker_id"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends a block in binary form to a gateway.
#[derive(Clone)]
pub struct Tasks {
    client: reqwest::Client,
    gateway: String,
    body: Vec<u8>,
}

impl Tasks {
    /// A client that sends this block.
    pub fn new(gateway: String, block: &SignalBlock) -> Self {
        Self { client: reqwest::Client::new(), gateway, body: encode_binary(block) }
    }

    /// Sends the block with these query parameters.
    ///
    /// # Panics
    /// When the gateway does not answer.
    pub async fn send(&self, query: &[(&str, &str)]) -> Answer {
        let request = self.client.post(format!("{}/api/v1/cluster/tasks", self.gateway)).query(query);
        self.answer(request.header(CONTENT_TYPE, "application/msgpack").body(self.body.clone())).await
    }

    /// Sends a body of another form to a path.
    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.client.post(format!("{}{path}", self.gateway));
        self.answer(request.header(CONTENT_TYPE, content_type).body(body)).await
    }

    /// Changes the strategy.
    pub async fn strategy(&self, body: &Value) -> Answer {
        let request = self.client.put(format!("{}/api/v1/cluster/strategy", self.gateway));
        self.answer(request.body(body.to_string())).await
    }

    /// Changes the strategy to one without weights.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn use_strategy(&self, name: &str) {
        let answer = self.strategy(&json!({"strategy": name})).await;
        assert_eq!((answer.status, &answer.body["strategy"]), (200, &json!(name)), "{answer:?}");
    }

    /// Sends the block `count` times, `clients` at once, and counts the tasks per worker; every one must succeed.
    ///
    /// # Panics
    /// When one does not.
    pub async fn distribution(&self, count: usize, clients: usize) -> BTreeMap<String, usize> {
        let sent = (0..count).map(|_| self.send(&[("fault_type", "turn_fault")]));
        let answers: Vec<Answer> = futures::stream::iter(sent).buffer_unordered(clients).collect().await;
        let mut workers = BTreeMap::new();
        for answer in answers {
            assert_eq!(answer.status, 200, "{answer:?}");
            *workers.entry(answer.worker()).or_default() += 1;
        }
        workers
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Answer {
        let began = Instant::now();
        let response = request.send().await.expect("an answer of the gateway");
        let (status, retry_after) =
            (response.status().as_u16(), response.headers().contains_key("retry-after"));
        let text = response.text().await.expect("a whole answer");
        let body = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{status}: {e}: {text}"));
        Answer { status, body, retry_after, at: Instant::now(), took: began.elapsed() }
    }
}
