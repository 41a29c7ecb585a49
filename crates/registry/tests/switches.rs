//! The switches on a real Redis.

use std::time::Duration;

use vtox_protocol::keys::SWITCHES;
use vtox_protocol::{Change, FaultType, Position, Supervisor, Switches};
use vtox_registry::{Registry, Switchboard, watch_switches};
use vtox_test_support::RedisServer;

#[tokio::test]
async fn a_switch_stays_as_it_was_set_with_who_and_when() {
    let redis = RedisServer::start(&[]);
    let connection = redis.connection().await;
    let board = Switchboard::new(connection.clone());
    assert_eq!(board.read().await.unwrap(), Switches::default());
    let mut seen = watch_switches(board.clone(), Duration::from_millis(20));
    let changes = [Change::Consumption(Position::Stopped), Change::WorkersOf(FaultType::Bearing, 3)];
    board.change("op \"x\"", &changes).await.unwrap();
    let switches = seen.wait_for(|s| !s.consumption.value.is_running()).await.unwrap().clone();
    assert_eq!((switches.consumption.by.as_str(), switches.bridge.value), ("op \"x\"", Position::Running));
    assert_eq!(switches.workers_of[&FaultType::Bearing].value, 3);
    let members = Registry::new(connection.clone()).members().await.unwrap();
    assert_eq!(members.switches, switches);
    assert!(members.redis_now_ms - switches.consumption.at_ms < 5_000);
    // A new number for all forgets the one for a fault type.
    board.change("op", &[Change::Workers(6), Change::Consumption(Position::Running)]).await.unwrap();
    let switches = board.read().await.unwrap();
    assert!(switches.workers_of.is_empty() && switches.consumption.value.is_running());
    assert_eq!(switches.workers.unwrap().value, 6);
}

#[tokio::test]
async fn the_form_in_redis_is_as_documented_and_what_is_broken_counts_as_never_set() {
    let redis = RedisServer::start(&[]);
    let mut connection = redis.connection().await;
    let board = Switchboard::new(connection.clone());
    board.change("a", &[Change::Bridge(Position::Stopped)]).await.unwrap();
    let text: String =
        redis::cmd("HGET").arg(SWITCHES).arg("bridge").query_async(&mut connection).await.unwrap();
    assert!(text.starts_with(r#"{"value":"stopped","by":"a","at_ms":1"#), "{text}");
    let _: u8 =
        redis::cmd("HSET").arg(SWITCHES).arg("bridge").arg("off").query_async(&mut connection).await.unwrap();
    assert!(board.read().await.unwrap().bridge.value.is_running());
}

#[tokio::test]
async fn one_supervisor_at_a_time_also_on_a_full_redis() {
    let redis = RedisServer::start(&[]);
    let mut connection = redis.connection().await;
    let board = Switchboard::new(connection.clone());
    let of = |id: &str| Supervisor { id: id.to_owned(), mode: "development".to_owned() };
    let limit = async |bytes: u64| {
        let mut set = redis::cmd("CONFIG");
        let () =
            set.arg("SET").arg("maxmemory").arg(bytes).query_async(&mut connection.clone()).await.unwrap();
    };
    limit(1).await;
    assert!(board.supervise(&of("a")).await.unwrap());
    assert!(!board.supervise(&of("b")).await.unwrap());
    assert!(board.supervise(&of("a")).await.unwrap());
    assert_eq!(board.read().await.unwrap().supervisor, Some(of("a")));
    board.resign_supervision().await.unwrap();
    assert_eq!(board.read().await.unwrap().supervisor, None);
    assert!(board.supervise(&of("b")).await.unwrap());
    limit(0).await;
    // Silent for longer than its lease.
    let _: u8 = redis::cmd("HSET")
        .arg(SWITCHES)
        .arg("supervisor_seen_ms")
        .arg(1)
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(board.read().await.unwrap().supervisor, None);
    assert!(board.supervise(&of("a")).await.unwrap());
}
