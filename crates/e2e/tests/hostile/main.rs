//! What nobody in good faith would send, over real sockets to a real gateway: each is answered as documented, nothing of it
//! reaches the streams that should not, and the next good message is accepted at once.

mod batches;
mod case;
mod exchange;
mod messages;
mod names;
mod sources;
mod tables;
mod wire;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use case::{Case, Expected};
use exchange::{Answer, exchange};
use redis::streams::StreamRangeReply;
use serde_json::Value;
use vtox_e2e::{Cluster, ONE_AT_A_TIME, eventually};
use vtox_protocol::keys::RAW;

/// What the gateway may have in memory at any time, MiB: bodies are at most 32 MiB, and one is worked on at a time.
const PEAK_MIB: u64 = 220;
/// In which the next good message must be accepted.
const NEXT: Duration = Duration::from_secs(1);

/// A gateway, and what its stream must hold.
pub struct Door {
    cluster: Cluster,
    /// Where it listens.
    pub address: String,
    pid: u32,
    /// Ids of messages it has accepted.
    accepted: BTreeSet<String>,
}

impl Door {
    async fn open() -> Self {
        let mut cluster = Cluster::new(&[], &[]);
        let environment = [
            ("VTOX_GATEWAY__RATE_PER_VEHICLE", "0"),
            ("VTOX_GATEWAY__BACKLOG_AGE_S", "100000"),
            ("VTOX_GATEWAY__BODY_TIMEOUT_S", "5"),
            ("VTOX_GATEWAY__HEADER_TIMEOUT_S", "2"),
        ];
        cluster.add("gateway", "vtox-gateway", "VTOX_GATEWAY__PORT", &environment);
        let ready = cluster.service("gateway").url("/ready");
        eventually(Duration::from_secs(20), "the gateway", async || {
            reqwest::get(&ready).await.is_ok_and(|a| a.status() == 200)
        })
        .await;
        let (port, pid) = (cluster.service("gateway").port, cluster.service("gateway").pid());
        Self { cluster, address: format!("127.0.0.1:{port}"), pid, accepted: BTreeSet::new() }
    }

    /// Takes an answer's message ids as accepted; how many they are.
    fn note(&mut self, answer: &Value) -> usize {
        let items = answer["items"].as_array().map_or(std::slice::from_ref(answer), Vec::as_slice);
        let ids: Vec<String> =
            items.iter().filter_map(|i| i["message_id"].as_str().map(str::to_owned)).collect();
        self.accepted.extend(ids.iter().cloned());
        ids.len()
    }

    /// A good message is accepted at once, and the stream holds what was accepted, no more.
    async fn still_works(&mut self, after: &str) {
        let began = Instant::now();
        let answer = exchange(&self.address, &Case::message("good", case::GOOD, Expected::Accepted).bytes());
        assert!(began.elapsed() < NEXT, "after {after}: a good message took {:?}", began.elapsed());
        assert_eq!(answer.status, 200, "after {after}: {answer:?}");
        assert_eq!(self.note(&answer.json()), 1, "after {after}");
        let length: usize = self.cluster.command(&["XLEN", RAW]).await;
        assert_eq!(length, self.accepted.len(), "after {after}");
    }

    /// Most memory it has had since the last call, MiB.
    pub fn peak_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("a process");
        let line = status.lines().find(|l| l.starts_with("VmHWM:")).expect("a peak");
        // 5: the peak is counted anew.
        std::fs::write(format!("/proc/{}/clear_refs", self.pid), "5").expect("a process of our own");
        line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("kB") / 1024
    }

    async fn ends_well(mut self) {
        let held: StreamRangeReply = self.cluster.command(&["XRANGE", RAW, "-", "+"]).await;
        let held: BTreeSet<String> =
            held.ids.iter().map(|entry| entry.get("message_id").expect("a message id")).collect();
        assert!(held == self.accepted, "{} in the stream, {} accepted", held.len(), self.accepted.len());
        let gateway = self.cluster.service("gateway");
        for word in ["panicked", "crashed", "ERROR"] {
            assert!(!gateway.log().contains(word), "{word} in the log:\n{}", gateway.log());
        }
    }
}

/// What is wrong with an answer.
fn judged(case: &Case, answer: &Answer) -> Result<(), String> {
    let said = || format!("{}: {answer:?}", case.what);
    let status = |expected: u16| if answer.status == expected { Ok(()) } else { Err(said()) };
    match &case.expected {
        Expected::Refused(expected, code) => {
            status(*expected)?;
            well_refused(&case.target, answer, code).ok_or_else(said)
        }
        Expected::Accepted => status(200),
        Expected::Items(expected) => {
            status(200)?;
            let body = answer.json();
            let items = body["items"].as_array().map_or(&[][..], Vec::as_slice);
            let got: Vec<_> =
                items.iter().filter_map(|i| i["code"].as_str().or(i["status"].as_str())).collect();
            if got == *expected { Ok(()) } else { Err(said()) }
        }
        Expected::Unparsed(expected) if expected.contains(&answer.status) && answer.closed => Ok(()),
        Expected::Unparsed(_) => Err(format!("closed: {}; {}", answer.closed, said())),
    }
}

/// Whether a refusal is as its path's clients read it: a code, what was wrong, and what to do, in few words.
fn well_refused(target: &str, answer: &Answer, code: &str) -> Option<()> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    let text = |name: &str| body[name].as_str().filter(|text| !text.is_empty());
    let seeds = ["/api/v1/diagnosis-stream/", "/diagnosis/", "/auth/"].iter().any(|p| target.starts_with(p));
    let kind = if seeds { "application/json" } else { "application/problem+json" };
    let shaped = seeds || (body["status"] == answer.status && text("type").zip(text("title")).is_some());
    let right = text("code")? == code && shaped && answer.header("content-type")? == kind;
    (right && text("detail").zip(text("fix")).is_some() && answer.body.len() < 2_000).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_request_is_answered_and_the_next_good_one_accepted() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut door = Door::open().await;
    door.still_works("the start").await;
    let corpus = [messages::cases(), batches::cases(), tables::cases(), names::cases(), wire::cases()];
    let corpus: Vec<Case> = corpus.into_iter().flatten().collect();
    let (count, mut wrong, mut peak, mut slowest) = (corpus.len(), Vec::new(), (0, ""), (Duration::ZERO, ""));
    for case in corpus {
        let (bytes, began) = (case.bytes(), Instant::now());
        let answer = exchange(&door.address, &bytes);
        slowest = slowest.max((began.elapsed(), case.what));
        wrong.extend(judged(&case, &answer).err());
        if answer.status == 200 {
            door.note(&answer.json());
        }
        let peak_mib = door.peak_mib();
        peak = peak.max((peak_mib, case.what));
        if peak_mib > PEAK_MIB {
            wrong.push(format!("{}: {peak_mib} MiB", case.what));
        }
        door.still_works(case.what).await;
    }
    println!(
        "{count} requests; most memory {} MiB for {}; slowest {:?} for {}",
        peak.0, peak.1, slowest.0, slowest.1
    );
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    door.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_frame_of_a_data_source_is_answered() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut door = Door::open().await;
    let count = sources::run(&mut door).await;
    println!("{count} frames");
    door.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_a_client_makes_up_are_no_series_of_metrics() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut door = Door::open().await;
    let series = async |door: &mut Door| -> usize {
        let url = door.cluster.service("gateway").url("/metrics");
        reqwest::get(url).await.unwrap().text().await.unwrap().lines().count()
    };
    exchange(&door.address, b"MADEUP /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let before = series(&mut door).await;
    for n in 0..300 {
        let request = format!("METHOD{n} /nowhere/{n} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert_eq!(exchange(&door.address, request.as_bytes()).status, 404);
    }
    assert_eq!(series(&mut door).await, before);
}
