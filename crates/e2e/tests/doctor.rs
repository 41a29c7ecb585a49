//! `vtox doctor` on real servers that are set up well, and wrongly in every way it knows.

use std::process::Command;
use std::time::Duration;

use redis::Client;
use vtox_e2e::{ONE_AT_A_TIME, eventually, program};
use vtox_protocol::keys::{self, Partition};
use vtox_test_support::{RedisCluster, RedisServer, SentinelGroup};

/// What it says, and whether nothing is broken.
fn doctor(url: &str, environment: &[(&str, &str)]) -> (bool, String) {
    let output = Command::new(program("vtox"))
        .args(["doctor", "--redis", url])
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[track_caller]
fn says((ok, output): (bool, String), right: bool, texts: &[&str]) {
    for text in texts {
        assert!(output.contains(text), "{text}: {output}");
    }
    assert!(ok == right, "{output}");
}

fn set(client: &Client, name: &str, value: &str) {
    let mut connection = client.get_connection().unwrap();
    let () = redis::cmd("CONFIG").arg("SET").arg(name).arg(value).query(&mut connection).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_what_durability_promises() {
    let redis = RedisServer::start(&["--appendfsync", "always", "--maxmemory", "1gb"]);
    let (url, client) = (redis.url(), redis.client());
    let always = [("VTOX_REDIS__DURABILITY", "always")];
    let good = [
        "connected to Redis as default, not encrypted",
        "every message is on disk before it is accepted",
        "maxmemory-policy noeviction",
        "372mb are left for messages that wait",
        "no cluster has run on this Redis yet",
    ];
    says(doctor(&url, &always), true, &good);
    for (name, wrong, right, text) in [
        ("appendfsync", "everysec", "always", "fix: CONFIG SET appendfsync always"),
        ("no-appendfsync-on-rewrite", "yes", "no", "fix: CONFIG SET no-appendfsync-on-rewrite no"),
        ("appendonly", "no", "yes", "fix: CONFIG SET appendonly yes"),
        ("maxmemory-policy", "allkeys-lru", "noeviction", "fix: CONFIG SET maxmemory-policy noeviction"),
    ] {
        set(&client, name, wrong);
        says(doctor(&url, &always), false, &[text]);
        set(&client, name, right);
    }
    set(&client, "appendfsync", "everysec");
    says(doctor(&url, &[]), true, &["may lose the last 2 s"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_has_the_memory_for_what_is_kept() {
    let redis = RedisServer::start(&[]);
    let (url, client) = (redis.url(), redis.client());
    let production = [("VTOX_MODE", "production"), ("VTOX_REDIS__DURABILITY", "everysec")];
    says(doctor(&url, &production), true, &["Redis has no maxmemory", "fix: CONFIG SET maxmemory "]);
    set(&client, "maxmemory", "500mb");
    says(doctor(&url, &[]), true, &["nothing is left for messages that wait", "maxmemory to at least 840mb"]);
    set(&client, "maxmemory", "100000gb");
    says(doctor(&url, &[]), true, &["a rewrite of the AOF may find no memory"]);
    set(&client, "maxmemory", "1gb");

    // A fleet of a thousand, with results of about 1 KiB: 200 of each are kept.
    let mut pipe = redis::pipe();
    for vehicle in 0..1_000 {
        pipe.hset(keys::VEHICLE_STATUS, vehicle, "healthy").ignore();
    }
    pipe.xadd(keys::RESULTS, "*", &[("result", "x".repeat(1_018))]).ignore();
    let () = pipe.query(&mut client.get_connection().unwrap()).unwrap();
    says(doctor(&url, &[]), true, &["the history of 1000 vehicles about 196mb", "176mb are left"]);
    says(
        doctor(&url, &[("VTOX_BRIDGE__HISTORY_PER_VEHICLE", "1000")]),
        true,
        &["about 977mb", "nothing is left", "lower worker.raw_retention_bytes"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_follow_and_sentinels_agree() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (primary, mut group) = SentinelGroup::start(2, &["--min-replicas-to-write", "1"]);
    let url = group.url();
    let with = |replicas: &str| {
        doctor(&url, &[("VTOX_REDIS__DURABILITY", "replicated"), ("VTOX_REDIS__REPLICAS", replicas)])
    };
    let named = format!("3 of 3 sentinels name the primary 127.0.0.1:{}", primary.port());
    let good = [
        named.as_str(),
        "a quorum of 2 of 3 sentinels",
        "2 replicas follow",
        "a primary with fewer than 1 replicas takes nothing",
    ];
    says(with("2"), true, &good);
    says(with("1"), false, &["set redis.replicas to 2"]);
    says(with("3"), false, &["2 of 3 replicas follow"]);
    set(&primary.client(), "min-replicas-to-write", "3");
    says(with("2"), false, &["min-replicas-to-write is 3", "CONFIG SET min-replicas-to-write 2"]);
    set(&primary.client(), "min-replicas-to-write", "0");
    says(with("2"), true, &["CONFIG SET min-replicas-to-write 1"]);

    // One sentinel has been told of another primary.
    let other = RedisServer::start(&[]);
    let odd = Client::open(("127.0.0.1", group.sentinel_ports()[2])).unwrap();
    let mut connection = odd.get_connection().unwrap();
    let () = redis::cmd("SENTINEL").arg("REMOVE").arg("main").query(&mut connection).unwrap();
    let mut monitor = redis::cmd("SENTINEL");
    monitor.arg("MONITOR").arg("main").arg("127.0.0.1").arg(other.port()).arg(1);
    let () = monitor.query(&mut connection).unwrap();
    let named = [format!("127.0.0.1:{} (2)", primary.port()), format!("127.0.0.1:{} (1)", other.port())];
    says(with("2"), false, &["the sentinels name different primaries", &named[0], &named[1]]);
    says(with("2"), false, &["the sentinels know no replica to promote", "down-after-milliseconds is 30000"]);

    // Two of three are gone: nobody could agree on a failover.
    group.kill_sentinel(2);
    group.kill_sentinel(1);
    eventually(Duration::from_secs(10), "the third to notice", async || {
        with("2").1.contains("a dead primary would not be replaced: 1 usable Sentinels")
    })
    .await;
    let silent = format!("sentinel 127.0.0.1:{} does not answer", group.sentinel_ports()[1]);
    says(with("2"), false, &[&silent, "start the sentinels that are missing"]);
    group.kill_sentinel(0);
    says(with("2"), false, &["no sentinel answers"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_of_a_cluster() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (_first, mut redis) = RedisCluster::start(3, &[]);
    let url = redis.url();
    let with = |replicas: &str, tags: &str| {
        let environment = [
            ("VTOX_REDIS__URL", url.as_str()),
            ("VTOX_CLUSTER__PARTITIONS", "64"),
            ("VTOX_CLUSTER__SLOT_TAGS", tags),
            ("VTOX_REDIS__DURABILITY", "replicated"),
            ("VTOX_REDIS__REPLICAS", replicas),
        ];
        doctor(&url, &environment)
    };
    let follow: Vec<String> =
        redis.ports()[..3].iter().map(|port| format!("127.0.0.1:{port}: 1 replicas follow")).collect();
    let mut good =
        vec!["3 primaries and 3 replicas, all 16384 slots covered", "slot tags of the partitions by primary"];
    good.extend(follow.iter().map(String::as_str));
    says(with("1", "0"), true, &good);
    says(with("2", "0"), false, &["1 of 2 replicas follow"]);
    // Two tags and the bare stream's on three primaries, until one tag is moved.
    let stream = Partition::numbered(1, 2).stream();
    redis.move_slot(&stream, redis.ports()[0]);
    eventually(Duration::from_secs(10), "all nodes to know", async || {
        with("1", "2").1.contains("it carries no load")
    })
    .await;
    says(with("1", "2"), true, &["it carries no load", "more cluster.slot_tags"]);
    redis.move_slot(&stream, redis.ports()[2]);
    says(doctor(&url, &[]), true, &["set redis.durability to replicated"]);

    redis.nodes.last_mut().unwrap().kill();
    eventually(Duration::from_secs(15), "the others to notice", async || {
        with("1", "0").1.contains("does not answer the others")
    })
    .await;
    says(
        with("1", "0"),
        false,
        &["0 of 1 replicas follow", "has no replica that answers", "--cluster-slave"],
    );

    // The primary that has no replica any more.
    redis.nodes[1].kill();
    let missed = format!("127.0.0.1:{}, which has 5462 slots, does not answer the others", redis.ports()[2]);
    eventually(Duration::from_secs(15), "its slots to be missed", async || {
        with("1", "0").1.contains(&missed)
    })
    .await;
    says(with("1", "0"), false, &["start it or a replica of it"]);
}
