//! `vtox dlq` and `vtox replay` as an operator runs them, on a cluster of real processes.

use std::collections::HashMap;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vtox_e2e::{Cluster, Fleet, Load, ONE_AT_A_TIME, assert_exact, eventually, ids, program};
use vtox_protocol::keys::{DEAD_LETTERS, RAW, RESULTS, VEHICLE_HEALTH};
use vtox_protocol::{FaultSet, FaultType};

type Fields = HashMap<String, String>;

fn vtox(cluster: &Cluster, arguments: &[&str]) -> Output {
    let (command, rest) = arguments.split_first().unwrap();
    Command::new(program("vtox"))
        .args([command, "--redis", &cluster.redis.url()])
        .args(rest)
        .output()
        .unwrap()
}

fn text(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = vtox(cluster, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = vtox(cluster, arguments);
    assert!(!output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

async fn entries(cluster: &Cluster, stream: &str) -> Vec<Fields> {
    let entries: Vec<(String, Fields)> = cluster.command(&["XRANGE", stream, "-", "+"]).await;
    entries.into_iter().map(|(_, fields)| fields).collect()
}

/// Waits until as many entries are there, and a little longer for what would come too many.
async fn settled(cluster: &Cluster, stream: &str, count: usize) {
    eventually(Duration::from_secs(10), &format!("{count} entries in {stream}"), async || {
        cluster.command::<usize>(&["XLEN", stream]).await >= count
    })
    .await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(cluster.command::<usize>(&["XLEN", stream]).await, count, "{stream}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_shown_replayed_and_dropped() {
    let _one = ONE_AT_A_TIME.lock().await;
    let cluster = Cluster::start(&[], &[], &["all"]).await;
    assert!(text(&cluster, &["dlq", "list"]).contains("0 dead letters"));
    let poison: String =
        cluster.command(&["XADD", RAW, "*", "vehicle_id", "HAND-1", "sensor_data", "not json"]).await;
    settled(&cluster, DEAD_LETTERS, 5).await;

    let listed: Value = serde_json::from_str(&text(&cluster, &["dlq", "list", "--json"])).unwrap();
    let letters = listed.as_array().unwrap();
    let faults: FaultSet =
        letters.iter().map(|l| l["fault_type"].as_str().unwrap().parse::<FaultType>().unwrap()).collect();
    assert_eq!((letters.len(), faults), (5, FaultSet::ALL));
    let one = letters.iter().find(|l| l["fault_type"] == "bearing").unwrap();
    assert_eq!(one["message_id"], format!("{RAW}/{poison}"));
    let id = one["id"].as_str().unwrap();
    let shown = text(&cluster, &["dlq", "show", id]);
    for part in ["HAND-1", "sensor_data cannot be read", "in the raw stream", "not json", &poison] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(text(&cluster, &["dlq", "list", "--vehicle", "HAND-2"]).contains("0 dead letters"));

    // It fails again: a new dead letter of the second attempt, from the bearing worker alone.
    let replayed = text(&cluster, &["dlq", "replay", id]);
    assert!(replayed.contains("attempt 2") && replayed.contains("replayed 1 dead letter"), "{replayed}");
    eventually(Duration::from_secs(10), "the second attempt to fail", async || {
        entries(&cluster, DEAD_LETTERS).await.len() == 5
    })
    .await;
    settled(&cluster, DEAD_LETTERS, 5).await;
    assert!(refused(&cluster, &["dlq", "replay", id]).contains("replayed or dropped"));
    let second = entries(&cluster, DEAD_LETTERS).await.pop().unwrap();
    assert_eq!((second["fault_type"].as_str(), second["attempt"].as_str()), ("bearing", "2"));
    assert_eq!((&second["replay_of"], &second["message_id"]), (&poison, &format!("{RAW}/{poison}")));

    // The raw stream is trimmed: the copy in the letter is what remains.
    let _: u64 = cluster.command(&["XTRIM", RAW, "MAXLEN", "0"]).await;
    let letters = text(&cluster, &["dlq", "list", "--fault", "insulation"]);
    let id = letters.split_whitespace().next().unwrap();
    assert!(text(&cluster, &["dlq", "show", id]).contains("as a copy in the dead letter"));
    assert!(text(&cluster, &["dlq", "replay", "--all", "--fault", "insulation"]).contains("replayed 1 "));
    settled(&cluster, DEAD_LETTERS, 5).await;

    let dropped = text(&cluster, &["dlq", "drop", "--all", "--fault", "bearing"]);
    assert!(dropped.contains("no bearing result of") && dropped.contains("dropped 1 "), "{dropped}");
    assert!(text(&cluster, &["dlq", "drop", "--all"]).contains("dropped 4 dead letters"));
    settled(&cluster, DEAD_LETTERS, 0).await;
    settled(&cluster, RESULTS, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_brings_exactly_the_results_that_are_missing() {
    const MESSAGES: usize = 4;
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[("VTOX_CLUSTER__PARTITIONS", "4")], &["all", "all"]).await;
    let url = format!("{}/api/v1/diagnosis-stream/vehicles/V/data", cluster.gateway());
    let client = reqwest::Client::new();
    let block = json!({"sensor_data": {"data": [{"Ia": 1}], "sampling_rate": 8000}});
    let send = async |count: usize| {
        for _ in 0..count {
            assert_eq!(client.post(&url).json(&block).send().await.unwrap().status(), 200);
        }
    };
    send(1).await;
    settled(&cluster, RESULTS, 5).await;
    text(&cluster, &["faults", "disable", "bearing"]);
    // The workers look once a second.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    send(MESSAGES).await;
    let so_far = 5 + 4 * MESSAGES;
    settled(&cluster, RESULTS, so_far).await;
    let replay = ["replay", "--vehicle", "V", "--from", "-5m"];
    let bearing = [&replay[..], &["--fault", "bearing"]].concat();
    assert!(refused(&cluster, &bearing).contains("vtox faults enable bearing"));
    text(&cluster, &["faults", "enable", "bearing"]);
    tokio::time::sleep(Duration::from_millis(2_500)).await;

    // Two operators at the same time, and one later.
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| text(&cluster, &replay));
        (text(&cluster, &replay), other.join().unwrap())
    });
    let later = text(&cluster, &replay);
    let replayed = |text: &str| -> usize {
        let line = text.lines().find(|l| l.starts_with("replayed")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert_eq!(replayed(&first) + replayed(&second), MESSAGES, "{first}{second}");
    assert_eq!(replayed(&later), 0, "{later}");
    settled(&cluster, RESULTS, so_far + MESSAGES).await;
    let results = entries(&cluster, RESULTS).await;
    let mut of: HashMap<(&str, &str), usize> = HashMap::new();
    for result in &results {
        *of.entry((&result["message_id"], &result["fault_type"])).or_default() += 1;
    }
    assert_eq!(of.len(), 5 * (MESSAGES + 1));
    assert!(of.values().all(|count| *count == 1), "{of:?}");
    assert!(results[so_far..].iter().all(|r| r["fault_type"] == "bearing" && r.contains_key("replay_of")));
    settled(&cluster, DEAD_LETTERS, 0).await;

    // In the vehicle's health they count as of when the messages were accepted.
    let newest = &results[so_far - 1]["original_message_id"];
    eventually(Duration::from_secs(5), "the health of the vehicle", async || {
        let health: String = cluster.command(&["HGET", VEHICLE_HEALTH, "V"]).await;
        let health: Value = serde_json::from_str(&health).unwrap();
        health["fault_states"]["bearing"]["original_message_id"] == newest.as_str()
    })
    .await;

    let again = text(&cluster, &[&bearing[..], &["--again"]].concat());
    assert!(
        again.contains(&format!("{} results that are committed will be repeated", MESSAGES + 1)),
        "{again}"
    );
    settled(&cluster, RESULTS, so_far + MESSAGES + MESSAGES + 1).await;
    assert!(refused(&cluster, &["replay", "--vehicle", "V", "--from", "soon"]).contains("ISO 8601"));
}

#[tokio::test(flavor = "multi_thread")]
async fn replaying_while_vehicles_send_and_a_worker_dies_repeats_nothing() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(&[], &[("VTOX_CLUSTER__PARTITIONS", "4")], &["all", "all"]).await;
    let load = Load { vehicles: 12, interval: Duration::from_millis(150) };
    let fleet = Fleet::start(&cluster.gateway(), &cluster.redis.url(), load).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut had_results, began) = (0, Instant::now());
    for (n, vehicle) in ids(load.vehicles).iter().cycle().enumerate() {
        if began.elapsed() > Duration::from_secs(5) {
            break;
        }
        if n == 12 {
            cluster.service("worker-2").kill();
        }
        let replayed = text(&cluster, &["replay", "--vehicle", vehicle, "--from", "-1m"]);
        assert!(replayed.contains("replayed 0 results"), "{replayed}");
        let left_out = replayed.lines().last().unwrap();
        had_results += left_out.split_whitespace().nth(2).unwrap().parse::<u64>().unwrap();
    }
    assert!(had_results > 100, "{had_results}");
    let balance = fleet.settle().await;
    assert!(balance.expected > 1_000, "{}", balance.expected);
    assert_exact("replayed under load", &balance);
}
