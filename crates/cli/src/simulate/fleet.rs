//! A fleet: vehicles that start in stages and send at jittered intervals, and what became of their messages.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::task::{JoinError, JoinSet};
use vtox_connection::Endpoint;
use vtox_ledger::{Balance, Follower, Ledger, Outcome};
use vtox_protocol::{FaultType, MessageId, Status, VehicleId};
use vtox_service_kit::clock;
use vtox_simulation::{FleetOptions, Vehicle};

use super::sender::{Sender, Sent};
use super::{BlockKind, Form};
use crate::gateway::Gateway;

/// What is to be simulated.
pub struct Plan {
    /// Where to.
    pub gateway: Gateway,
    /// How many vehicles.
    pub vehicles: u64,
    /// The first of them.
    pub offset: u64,
    /// Of everything random.
    pub seed: u64,
    /// Share with a fault.
    pub faulty_share: f64,
    /// Mean time between two blocks of a vehicle.
    pub interval: Duration,
    /// Length and rate.
    pub block: BlockKind,
    /// Form.
    pub form: Form,
    /// Redis to read the results from.
    pub redis: Option<Endpoint>,
}

/// The vehicles start within this time, so that they do not all send at once.
const STAGE: Duration = Duration::from_secs(3);
/// How long a block may still be on its way after the end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two lines of the live summary.
const SUMMARY: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Counters {
    sent: AtomicU64,
    accepted: AtomicU64,
    rejected: AtomicU64,
    unknown: AtomicU64,
    retries: AtomicU64,
}

/// What happened.
pub struct Report {
    counters: Arc<Counters>,
    balance: Option<Balance>,
    truth: BTreeMap<&'static str, u64>,
    rejections: BTreeMap<String, u64>,
}

/// Simulates until `stop` is ready, then waits for the results of what was accepted.
pub async fn run(plan: Plan, stop: impl Future<Output = ()>, live: bool) -> anyhow::Result<Report> {
    let ledger = Ledger::default();
    let mut follower = match plan.redis {
        Some(redis) => Some(Follower::open(redis, ledger.clone()).await.context("opening the results")?),
        None => None,
    };
    let sender = Sender::new(plan.gateway, plan.form);
    let counters = Arc::new(Counters::default());
    let options = FleetOptions {
        faulty_share: plan.faulty_share,
        ..FleetOptions::new(plan.vehicles, plan.offset, plan.seed)
    };
    let mut truth: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let over = tokio::sync::watch::Sender::new(false);
    for (n, vehicle) in options.vehicles().enumerate() {
        *truth.entry(vehicle.condition().fault.map_or("healthy", FaultType::name)).or_default() += 1;
        let driver = Driver {
            sender: sender.clone(),
            counters: counters.clone(),
            ledger: ledger.clone(),
            interval: plan.interval,
            block: plan.block,
            start: STAGE.mul_f64(n as f64 / plan.vehicles.max(1) as f64),
            random: StdRng::seed_from_u64(plan.seed ^ (plan.offset + n as u64)),
        };
        tasks.spawn(driver.drive(vehicle, over.subscribe()));
    }
    let mut rejections = BTreeMap::new();
    tokio::pin!(stop);
    let mut summary = tokio::time::interval(SUMMARY);
    summary.reset();
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(ended) = tasks.join_next() => count(ended, &mut rejections)?,
            _ = summary.tick(), if live => print_summary(&counters, &ledger),
            done = step(&mut follower) => done?,
        }
    }
    over.send_replace(true);
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                None => break,
                Some(ended) => count(ended, &mut rejections)?,
            },
            done = step(&mut follower) => done?,
        }
    }
    let balance = match &mut follower {
        Some(follower) => Some(follower.settle().await?),
        None => None,
    };
    Ok(Report { counters, balance, truth, rejections })
}

/// Counts why a vehicle was last refused; an error when no vehicle can go on.
fn count(
    ended: Result<anyhow::Result<Option<String>>, JoinError>,
    rejections: &mut BTreeMap<String, u64>,
) -> anyhow::Result<()> {
    if let Some(rejection) = ended.context("a simulated vehicle crashed")?? {
        *rejections.entry(rejection).or_default() += 1;
    }
    Ok(())
}

/// Follows the results; without a Redis, only time passes.
async fn step(follower: &mut Option<Follower>) -> anyhow::Result<()> {
    match follower {
        Some(follower) => follower.step().await,
        None => {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(())
        }
    }
}

fn print_summary(counters: &Counters, ledger: &Ledger) {
    let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
    let verdicts: Vec<String> = ledger.verdicts().iter().map(|(s, n)| format!("{s} {n}")).collect();
    eprintln!(
        "sent {}  accepted {}  rejected {}  retries {}  | {}",
        get(&counters.sent),
        get(&counters.accepted),
        get(&counters.rejected),
        get(&counters.retries),
        verdicts.join("  ")
    );
}

/// One vehicle.
struct Driver {
    sender: Sender,
    counters: Arc<Counters>,
    ledger: Ledger,
    interval: Duration,
    block: BlockKind,
    start: Duration,
    random: StdRng,
}

impl Driver {
    /// Drives until it is over; answers the last rejection, if there was one, and an error when the credential will not do.
    async fn drive(
        mut self,
        mut vehicle: Vehicle,
        mut over: tokio::sync::watch::Receiver<bool>,
    ) -> anyhow::Result<Option<String>> {
        let run_id = uuid::Uuid::new_v4().simple().to_string();
        let mut rejection = None;
        let mut wait = self.start;
        for sequence in 0_u64.. {
            tokio::select! {
                _ = over.wait_for(|over| *over) => break,
                () = tokio::time::sleep(wait) => {}
            }
            let began_ms = clock::epoch_ms();
            let sampling = self.block.sampling();
            let start_s = began_ms as f64 / 1_000.0;
            let generated = tokio::task::spawn_blocking(move || {
                let block = vehicle.next_block(&sampling, start_s);
                (vehicle, block)
            });
            let (returned, block) = generated.await.context("generating the signals of a vehicle crashed")?;
            vehicle = returned;
            self.counters.sent.fetch_add(1, Ordering::Relaxed);
            let sent_ms = clock::epoch_ms();
            let key = format!("{run_id}-{sequence}");
            let sent = tokio::select! {
                sent = self.sender.send(vehicle.id(), &key, &block) => sent,
                () = patience(over.clone()) => Ok(Sent::Unknown),
            };
            match sent? {
                Sent::Accepted { message_id, tries } => {
                    self.counters.accepted.fetch_add(1, Ordering::Relaxed);
                    self.counters.retries.fetch_add(u64::from(tries - 1), Ordering::Relaxed);
                    self.ledger.accepted(message_id, sent_ms);
                }
                Sent::Rejected { status, detail } => {
                    self.counters.rejected.fetch_add(1, Ordering::Relaxed);
                    rejection = Some(format!("{status}: {detail}"));
                }
                Sent::Unknown => {
                    self.counters.unknown.fetch_add(1, Ordering::Relaxed);
                    if let Ok(vehicle) = VehicleId::new(vehicle.id()) {
                        let message_id = MessageId::from_client_key(&vehicle, &key).to_string();
                        let sent =
                            vtox_ledger::Sent { at_ms: sent_ms, outcome: Outcome::Unknown, block: None };
                        self.ledger.sent(message_id, sent);
                    }
                }
            }
            let jittered = self.interval.mul_f64(self.random.random_range(2.0 / 3.0..4.0 / 3.0));
            wait = jittered.saturating_sub(Duration::from_millis(clock::epoch_ms().saturating_sub(began_ms)));
        }
        Ok(rejection)
    }
}

/// Ready a while after it is over: what nobody takes then is not waited for.
async fn patience(mut over: tokio::sync::watch::Receiver<bool>) {
    if over.wait_for(|over| *over).await.is_ok() {
        tokio::time::sleep(PATIENCE).await;
    }
}

impl Report {
    /// Whether everything accepted has exactly one result per enabled fault type.
    pub fn complete(&self) -> bool {
        self.balance.as_ref().is_none_or(|b| b.lost == 0 && b.duplicates == 0 && b.out_of_order == 0)
    }

    /// One JSON object.
    pub fn to_json(&self) -> Value {
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        let mut report = json!({
            "sent": get(&self.counters.sent),
            "accepted": get(&self.counters.accepted),
            "rejected": get(&self.counters.rejected),
            "unknown": get(&self.counters.unknown),
            "retries": get(&self.counters.retries),
            "vehicles": self.truth,
        });
        let Value::Object(fields) = &mut report else {
            return report;
        };
        if !self.rejections.is_empty() {
            fields.insert("rejections".into(), json!(self.rejections));
        }
        if let Some(balance) = &self.balance {
            let mut sums: BTreeMap<Status, u64> = Status::ALL.map(|s| (s, 0)).into();
            for by_status in balance.verdicts.values() {
                for (status, count) in by_status {
                    *sums.entry(*status).or_default() += count;
                }
            }
            fields.insert("results".into(), balance.results.into());
            fields.insert("expected_results".into(), balance.expected.into());
            fields.insert("lost".into(), balance.lost.into());
            fields.insert("duplicates".into(), balance.duplicates.into());
            fields.insert("out_of_order".into(), balance.out_of_order.into());
            fields.insert("latency_ms".into(), balance.latency());
            fields.insert("by_fault".into(), json!(balance.verdicts));
            fields.insert("verdicts".into(), json!(sums));
            fields.insert("without_verdict".into(), json!(balance.reasons));
        }
        report
    }
}
