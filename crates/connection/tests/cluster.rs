//! Against a real Redis Cluster.

use std::time::Duration;

use redis::aio::ConnectionLike;
use vtox_connection::Endpoint;
use vtox_test_support::RedisCluster;

async fn query<T: redis::FromRedisValue>(connection: &mut impl ConnectionLike, line: &[&str]) -> T {
    let mut command = redis::cmd(line[0]);
    command.arg(&line[1..]).query_async(connection).await.unwrap_or_else(|e| panic!("{line:?}: {e}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_find_their_node_wherever_it_is() {
    let (_first, mut cluster) = RedisCluster::start(3, &[]);
    let redis = Endpoint::open(&cluster.url()).unwrap();
    let mut shared = redis.manager(Duration::from_secs(2));
    assert!(shared.is_cluster());
    assert_eq!(shared.primaries().await.unwrap().len(), 3);
    let (nodes, uncovered) = redis.nodes().await.unwrap().unwrap();
    assert_eq!((nodes.len(), uncovered), (6, 0));

    // A pipeline over several nodes answers in its order; a script is loaded wherever it runs.
    let keys: Vec<String> = (0..50).map(|n| format!("key-{n}")).collect();
    let mut pipeline = redis::pipe();
    for (n, key) in keys.iter().enumerate() {
        pipeline.set(key, n).ignore().get(key);
    }
    let values: Vec<usize> = pipeline.query_async(&mut shared).await.unwrap();
    assert_eq!(values, (0..50).collect::<Vec<_>>());
    let script = redis::Script::new("return redis.call('INCR', KEYS[1])");
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(script.key(key).invoke_async::<usize>(&mut shared).await.unwrap(), n + 1);
    }

    // A slot moves: who blocks on a connection of its own learns that it leads elsewhere, who shares one notices nothing.
    let from = cluster.owner_of("key-7").unwrap();
    let to = cluster.nodes[..2].iter().position(|node| node.port() != from).unwrap();
    let mut own = redis.connect("key-7", None).await.unwrap();
    assert!(own.leads_to("key-7"));
    assert_eq!(cluster.move_slot("key-7", cluster.nodes[to].port()), 1);
    assert_eq!(query::<usize>(&mut shared, &["GET", "key-7"]).await, 8);
    let moved: redis::RedisResult<usize> = redis::cmd("GET").arg("key-7").query_async(&mut own).await;
    assert_eq!(moved.unwrap_err().code(), Some("MOVED"));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!own.leads_to("key-7"));
    let mut own = redis.connect("key-7", None).await.unwrap();
    assert_eq!(query::<usize>(&mut own, &["GET", "key-7"]).await, 8);

    // Its node dies: after the failover the same connection works again.
    assert_eq!(query::<u8>(&mut own, &["WAIT", "1", "2000"]).await, 1);
    cluster.nodes[to].kill();
    let died = std::time::Instant::now();
    loop {
        let answer: redis::RedisResult<usize> =
            redis::cmd("INCR").arg("key-7").query_async(&mut shared).await;
        if let Ok(value) = answer {
            assert_eq!(value, 9);
            break;
        }
        assert!(died.elapsed() < Duration::from_secs(20), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (nodes, uncovered) = redis.nodes().await.unwrap().unwrap();
    assert_eq!((nodes.iter().filter(|n| n.failed).count(), uncovered), (1, 0));
    assert!(!own.is_current());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_heard_on_every_node() {
    use futures::StreamExt;
    let (_first, cluster) = RedisCluster::start(3, &[]);
    let redis = Endpoint::open(&cluster.url()).unwrap();
    let (mut pubsub, _moved) = redis.pubsub("channel").await.unwrap();
    pubsub.subscribe("channel").await.unwrap();
    let mut shared = redis.manager(Duration::from_secs(2));
    let mut messages = pubsub.on_message();
    let _: i64 = query(&mut shared, &["PUBLISH", "channel", "news"]).await;
    let heard = tokio::time::timeout(Duration::from_secs(5), messages.next()).await.unwrap().unwrap();
    assert_eq!(heard.get_payload::<String>().unwrap(), "news");
}
