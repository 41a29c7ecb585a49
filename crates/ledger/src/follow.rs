//! Reading what came back: as it comes, and once more at the end.

use std::time::{Duration, Instant};

use vtox_connection::Endpoint;
use vtox_protocol::keys::{self, Topology};
use vtox_protocol::{EntryId, FaultSet};
use vtox_streams::views::Views;
use vtox_streams::{Janitor, Reader, topology};

use crate::answers::{Answer, Answers, DeadLetter};
use crate::balance::Balance;
use crate::book::Ledger;

/// Time without a new answer after which what is missing counts as lost.
pub const QUIET: Duration = Duration::from_secs(20);
/// A command to Redis that takes longer is an error.
const TIMEOUT: Duration = Duration::from_secs(5);
const BATCH: usize = 1_000;

/// Reads the results and dead letters of a cluster into a ledger.
pub struct Follower {
    ledger: Ledger,
    redis: Endpoint,
    /// Of results and dead letters: under Redis Cluster they are on different nodes.
    readers: [Reader; 2],
    /// Where it began, of results and dead letters.
    start: [EntryId; 2],
    position: [EntryId; 2],
    topology: Topology,
    /// Entries on the raw streams, results and dead letters before it began.
    before: Counts,
}

const STREAMS: [&str; 2] = [keys::RESULTS, keys::DEAD_LETTERS];

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    raw: u64,
    results: u64,
    dead_letters: u64,
}

impl Follower {
    /// From the results that come from now on.
    pub async fn open(redis: Endpoint, ledger: Ledger) -> anyhow::Result<Self> {
        let connection = redis.manager(TIMEOUT);
        let topology = topology::load(&connection)
            .await?
            .ok_or_else(|| anyhow::anyhow!("there is no cluster on this Redis; start one with `vtox up`"))?;
        let now_ms = Janitor::new(connection.clone()).redis_now_ms().await?;
        let mut start = [EntryId { ms: now_ms.saturating_sub(1), seq: 0 }; 2];
        for (position, stream) in start.iter_mut().zip(STREAMS) {
            if let Some(newest) = Views::new(connection.clone()).newest(stream, 0, 1).await?.first() {
                *position = newest.id;
            }
        }
        let readers = [0, 1].map(|_| Reader::new(redis.clone()));
        let mut follower =
            Self { ledger, redis, readers, start, position: start, topology, before: Counts::default() };
        follower.before = follower.counts().await?;
        Ok(follower)
    }

    /// Fault types every message has a result of.
    pub fn enabled(&self) -> FaultSet {
        self.topology.enabled
    }

    /// Reads on for a moment.
    pub async fn step(&mut self) -> anyhow::Result<()> {
        let [results, letters] = &mut self.readers;
        let after = |n: usize| [(STREAMS[n].to_owned(), self.position[n])];
        let (after_results, after_letters) = (after(0), after(1));
        let read = tokio::join!(
            results.read(&after_results, BATCH, Duration::from_millis(200)),
            letters.read(&after_letters, BATCH, Duration::from_millis(1))
        );
        for (stream, read) in [read.0, read.1].into_iter().enumerate() {
            let Ok(read) = read else {
                // Redis is away for a moment; the position is ours.
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            };
            for entry in read.into_iter().flat_map(|(_, entries)| entries) {
                self.position[stream] = entry.id;
                if stream == 0 {
                    Answer::read(&entry).into_iter().for_each(|a| self.ledger.result(a));
                } else {
                    DeadLetter::read(&entry).into_iter().for_each(|l| self.ledger.dead_letter(l));
                }
            }
        }
        Ok(())
    }

    /// Reads on until everything has its answer, or nothing has come for a long time; then reads everything again and draws
    /// the balance.
    pub async fn settle(&mut self) -> anyhow::Result<Balance> {
        self.settle_after(QUIET).await
    }

    /// The same with another time after which nothing more is waited for.
    pub async fn settle_after(&mut self, quiet: Duration) -> anyhow::Result<Balance> {
        let since = Instant::now();
        while self.ledger.waits(self.enabled()) && !self.is_quiet(since, quiet) {
            self.step().await?;
        }
        // What would come twice comes now.
        let until = Instant::now() + Duration::from_millis(500);
        while Instant::now() < until {
            self.step().await?;
        }
        let (answers, vanished) = self.read_again().await?;
        let complaints = self.complaints(&answers).await?;
        let book = self.ledger.book();
        let mut balance = Balance::of(&book, &answers, self.enabled(), Some(&self.topology));
        balance.vanished = vanished;
        balance.counters = complaints;
        Ok(balance)
    }

    fn is_quiet(&self, since: Instant, quiet: Duration) -> bool {
        self.ledger.last_seen().map_or(since, |at| at.max(since)).elapsed() >= quiet
    }

    /// Everything that is there now, and how many results were seen live that are not. What retention took away meanwhile
    /// counts as seen live.
    async fn read_again(&mut self) -> anyhow::Result<(Answers, u64)> {
        let mut entries = [Vec::new(), Vec::new()];
        for (stream, entries) in entries.iter_mut().enumerate() {
            let mut position = self.start[stream];
            loop {
                let page = self.readers[stream].range(STREAMS[stream], position, None, BATCH).await?;
                let Some(last) = page.last() else { break };
                position = last.id;
                entries.extend(page);
            }
        }
        let mut answers = Answers {
            results: entries[0].iter().filter_map(Answer::read).collect(),
            dead_letters: entries[1].iter().filter_map(DeadLetter::read).collect(),
        };
        let book = self.ledger.book();
        let first = answers.results.first().map(|a| a.id);
        let mut kept: Vec<Answer> =
            book.live.results.iter().filter(|a| first.is_none_or(|f| a.id < f)).cloned().collect();
        let there: std::collections::HashSet<EntryId> = answers.results.iter().map(|a| a.id).collect();
        let vanished = book
            .live
            .results
            .iter()
            .filter(|a| first.is_some_and(|f| a.id >= f) && !there.contains(&a.id))
            .count();
        kept.append(&mut answers.results);
        answers.results = kept;
        Ok((answers, vanished as u64))
    }

    async fn counts(&self) -> anyhow::Result<Counts> {
        let connection = self.redis.manager(TIMEOUT);
        let backlog = Janitor::new(connection.clone()).backlog(&self.topology).await?;
        let views = Views::new(connection);
        Ok(Counts {
            raw: backlog.added(),
            results: views.entries_added(keys::RESULTS).await?,
            dead_letters: views.entries_added(keys::DEAD_LETTERS).await?,
        })
    }

    /// Counters of Redis that do not agree with what was read: each raw entry is behind each cursor once, and answered once.
    async fn complaints(&self, answers: &Answers) -> anyhow::Result<Vec<String>> {
        let mut complaints = Vec::new();
        let mut expect = |what: &str, counted: u64, wanted: u64| {
            if counted != wanted {
                complaints.push(format!("{what}: {counted}, not {wanted}"));
            }
        };
        let connection = self.redis.manager(TIMEOUT);
        let backlog = Janitor::new(connection).backlog(&self.topology).await?;
        for partition in &backlog.partitions {
            for (fault, progress) in &partition.by_fault {
                let lane = format!("{fault}/{}", partition.partition);
                expect(&format!("entries read on {lane}"), progress.read, partition.added);
                expect(&format!("lag of {lane}"), progress.lag, 0);
            }
        }
        let now = self.counts().await?;
        let raw = now.raw - self.before.raw.min(now.raw);
        let results = now.results - self.before.results.min(now.results);
        let letters = now.dead_letters - self.before.dead_letters.min(now.dead_letters);
        expect("results appended", results, answers.results.len() as u64);
        expect("dead letters appended", letters, answers.dead_letters.len() as u64);
        expect("answers to raw entries", results + letters, raw * self.enabled().len() as u64);
        Ok(complaints)
    }
}
