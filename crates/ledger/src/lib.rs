//! What was accepted, held against the results that appeared: lost, twice, out of order, or without a send.
//!
//! The sender writes down every message that was accepted; [`Follower`] reads the results; [`Balance`] is what is left
//! to explain.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use vtox_connection::Endpoint;
use vtox_protocol::keys::{self, Topology};
use vtox_protocol::{EntryId, FaultSet, FaultType, Status};
use vtox_streams::views::Views;
use vtox_streams::{Janitor, Reader, topology};

/// Time without a new result after which what is missing counts as lost.
const QUIET: Duration = Duration::from_secs(20);
const BATCH: usize = 1_000;

/// The ledger of one run.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    /// When each accepted message was first sent, epoch ms.
    accepted: HashMap<String, u64>,
    /// Results seen, by message and fault type.
    results: HashMap<String, Seen>,
    /// Last entry answered, by vehicle and fault type.
    last_entry: HashMap<(String, FaultType), EntryId>,
    out_of_order: u64,
    last_result: Option<Instant>,
}

#[derive(Default, Clone)]
struct Seen {
    counts: [u8; FaultType::ALL.len()],
    /// When the last of them was committed, epoch ms on Redis' clock.
    last_ms: u64,
    verdicts: Vec<(FaultType, Status)>,
    /// Why there was no verdict.
    reasons: Vec<String>,
}

/// What the ledger says at the end.
#[derive(Debug, Default)]
pub struct Balance {
    /// Results expected: accepted messages times enabled fault types.
    pub expected: u64,
    /// Results of accepted messages.
    pub results: u64,
    /// Expected results that did not appear.
    pub lost: u64,
    /// Results that appeared more than once, counted without the first.
    pub duplicates: u64,
    /// Results of a vehicle and fault type that came after one of a later entry.
    pub out_of_order: u64,
    /// Messages with results that were never accepted.
    pub without_send: u64,
    /// From sending to the last result of a message, ms.
    pub latency_ms: Option<Histogram<u64>>,
    /// Results by fault type and verdict.
    pub verdicts: BTreeMap<FaultType, BTreeMap<Status, u64>>,
    /// Why there was no verdict, and how often.
    pub reasons: BTreeMap<String, u64>,
}

impl Ledger {
    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down that a message was accepted.
    pub fn accepted(&self, message_id: String, sent_ms: u64) {
        self.entries().accepted.insert(message_id, sent_ms);
    }

    fn result(&self, fields: &HashMap<String, String>, at: EntryId) {
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        let (Ok(fault), Some(status)) =
            (field("fault_type").parse::<FaultType>(), Status::from_name(field("status")))
        else {
            return;
        };
        let mut entries = self.entries();
        if let Ok(entry) = field("original_message_id").parse::<EntryId>() {
            let last = entries.last_entry.entry((field("vehicle_id").to_owned(), fault)).or_default();
            let late = entry < *last;
            *last = entry.max(*last);
            entries.out_of_order += u64::from(late);
        }
        let seen = entries.results.entry(field("message_id").to_owned()).or_default();
        let count = &mut seen.counts[fault as usize];
        *count = count.saturating_add(1);
        seen.last_ms = seen.last_ms.max(at.ms);
        seen.verdicts.push((fault, status));
        if !status.is_evidence() {
            let evidence: Value = serde_json::from_str(field("evidence")).unwrap_or_default();
            let reason = evidence["reason"].as_str().unwrap_or("no reason given");
            // Figures differ from block to block; the kind of reason does not.
            let kind: String = reason.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
            seen.reasons.push(format!("{fault} {status}: {kind}"));
        }
        entries.last_result = Some(Instant::now());
    }

    /// Results of accepted messages so far by verdict, for a live summary.
    pub fn verdicts(&self) -> BTreeMap<Status, u64> {
        let entries = self.entries();
        let mut sums = BTreeMap::new();
        for (_, status) in
            entries.accepted.keys().filter_map(|id| entries.results.get(id)).flat_map(|s| &s.verdicts)
        {
            *sums.entry(*status).or_default() += 1;
        }
        sums
    }

    /// The balance as of now.
    pub fn balance(&self, enabled: FaultSet) -> Balance {
        let entries = self.entries();
        let mut balance = Balance {
            latency_ms: Histogram::new(3).ok(),
            out_of_order: entries.out_of_order,
            without_send: entries.results.keys().filter(|id| !entries.accepted.contains_key(*id)).count()
                as u64,
            ..Balance::default()
        };
        for (message_id, sent_ms) in &entries.accepted {
            let seen = entries.results.get(message_id).cloned().unwrap_or_default();
            for (fault, status) in &seen.verdicts {
                *balance.verdicts.entry(*fault).or_default().entry(*status).or_default() += 1;
            }
            for reason in seen.reasons {
                *balance.reasons.entry(reason).or_default() += 1;
            }
            let mut complete = true;
            for fault in enabled.iter() {
                balance.expected += 1;
                match u64::from(seen.counts[fault as usize]) {
                    0 => {
                        balance.lost += 1;
                        complete = false;
                    }
                    count => {
                        balance.results += 1;
                        balance.duplicates += count - 1;
                    }
                }
            }
            if complete && let Some(latency) = &mut balance.latency_ms {
                latency.saturating_record(seen.last_ms.saturating_sub(*sent_ms));
            }
        }
        balance
    }

    /// Whether each of the vehicles has a result of `fault` for an entry that was appended after `since_ms`.
    pub fn answered_since(&self, since_ms: u64, fault: FaultType, vehicles: &[String]) -> bool {
        let entries = self.entries();
        vehicles.iter().all(|v| entries.last_entry.get(&(v.clone(), fault)).is_some_and(|e| e.ms > since_ms))
    }

    fn quiet(&self, since: Instant) -> bool {
        let last = self.entries().last_result.map_or(since, |at| at.max(since));
        last.elapsed() >= QUIET
    }
}

/// Reads the results of a cluster into a ledger.
pub struct Follower {
    ledger: Ledger,
    reader: Reader,
    position: EntryId,
    topology: Topology,
}

impl Follower {
    /// From the results that come from now on.
    pub async fn open(url: &str, ledger: Ledger) -> anyhow::Result<Self> {
        let redis = Endpoint::open(url)?;
        let connection = redis.manager(Duration::from_secs(5));
        let topology = topology::load(&connection)
            .await?
            .ok_or_else(|| anyhow::anyhow!("there is no cluster on this Redis; start one with `vtox up`"))?;
        let newest = Views::new(connection.clone()).newest(keys::RESULTS, 0, 1).await?;
        let now_ms = Janitor::new(connection).redis_now_ms().await?;
        let position = newest.first().map_or(EntryId { ms: now_ms.saturating_sub(1), seq: 0 }, |e| e.id);
        Ok(Self { ledger, reader: Reader::new(redis), position, topology })
    }

    /// Fault types every message has a result of.
    pub fn enabled(&self) -> FaultSet {
        self.topology.enabled
    }

    /// Reads on for a moment.
    pub async fn step(&mut self) -> anyhow::Result<()> {
        let after = [(keys::RESULTS.to_owned(), self.position)];
        match self.reader.read(&after, BATCH, Duration::from_millis(200)).await {
            Ok(read) => {
                for entry in read.into_iter().flat_map(|(_, entries)| entries) {
                    self.position = entry.id;
                    self.ledger.result(&entry.text_fields(), entry.id);
                }
            }
            // Redis is away for a moment; the position is ours.
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
        Ok(())
    }

    /// Reads on until every accepted message has its results, or nothing has come for a long time.
    pub async fn settle(&mut self) -> anyhow::Result<Balance> {
        let since = Instant::now();
        loop {
            let balance = self.ledger.balance(self.enabled());
            if balance.lost == 0 || self.ledger.quiet(since) {
                // What would come twice comes now.
                let until = Instant::now() + Duration::from_millis(500);
                while Instant::now() < until {
                    self.step().await?;
                }
                return Ok(self.ledger.balance(self.enabled()));
            }
            self.step().await?;
        }
    }
}

impl Balance {
    /// Percentiles of the latency.
    pub fn latency(&self) -> Value {
        let of = |q| self.latency_ms.as_ref().filter(|h| !h.is_empty()).map(|h| h.value_at_quantile(q));
        json!({"p50": of(0.5), "p95": of(0.95), "p99": of(0.99)})
    }
}
