//! What each user of Redis may not do, tried one by one.

use redis::{Connection, RedisResult, Value};
use vtox_e2e::ONE_AT_A_TIME;
use vtox_protocol::FaultType;
use vtox_protocol::keys::{
    AGGREGATION, AGGREGATOR, ALERTS, ASSESSMENTS, ASSIGNMENTS, DEAD_LETTERS, DRAINING, HEARTBEATS, LEADER,
    MONITOR, Partition, RAW, RESULTS, SERVICES, TERM, TOPOLOGY, VEHICLE_HEALTH, WORKER_LOADS,
};

use super::{On, Users, client, rights, url};

/// What nobody may.
const BY_NOBODY: &[&str] = &[
    "FLUSHALL",
    "FLUSHDB",
    "SWAPDB 0 1",
    "SELECT 1",
    "SHUTDOWN NOSAVE",
    "CONFIG SET appendonly no",
    "CONFIG REWRITE",
    "CONFIG RESETSTAT",
    "ACL SETUSER vtox-worker +@all",
    "ACL LIST",
    "ACL DELUSER vtox-worker",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "MONITOR",
    "REPLICAOF 127.0.0.1 1",
    "FAILOVER",
    "SAVE",
    "BGREWRITEAOF",
    "FUNCTION FLUSH",
    "SCRIPT FLUSH",
    "EVAL return 0",
    "EVAL_RO return 0",
    "KEYS *",
    "SCAN 0",
    "RANDOMKEY",
    "RENAME motor_raw_data x",
    "COPY motor_raw_data x",
    "MIGRATE 127.0.0.1 1 motor_raw_data 0 1",
    "DUMP motor_raw_data",
    "DEL motor_raw_data",
    "UNLINK fault_diagnosis_results",
    "EXPIRE motor_raw_data 1",
    "XGROUP DESTROY motor_raw_data bearing_diagnosis_group",
    "XDEL motor_raw_data 1-1",
    "XDEL fault_diagnosis_results 1-1",
    "XADD fault_diagnosis_results_of_others * a 1",
    "SET vtox:something 1",
    "GET of_others",
    "PSUBSCRIBE *",
    "SUBSCRIBE of_others",
    "PUBLISH of_others x",
    "HSET vtox:coordinator:unknown a 1",
];

/// What a script's author reads.
const REFUSED: &str = "The user executing the script can't";

const AUTH: &str = "vtox:auth:keys";
const SWITCHES: &str = "vtox:switches";
const ROUTING: &str = "vtox:coordinator:routing";
const MOTORS: &str = "vtox:motors";

/// What a user may not, while others may.
fn by_user(user: &str, on: On) -> Vec<String> {
    let (owner, state) =
        (Partition::Bare.ownership(FaultType::Bearing), Partition::Bare.state(FaultType::Bearing));
    let raw = Partition::numbered(3, 1).stream();
    let add_raw = [format!("XADD {RAW} * a 1"), format!("XADD {raw} * a 1")];
    let read_auth = [format!("HGETALL {AUTH}"), format!("HGET {AUTH} a"), "GET vtox:auth:epoch".to_owned()];
    let write_auth =
        [format!("HSET {AUTH} a 1"), format!("HDEL {AUTH} a"), "DEL vtox:auth:revoked".to_owned()];
    let lead = [format!("SET {LEADER} 9:me"), format!("SET {TERM} 9"), format!("HSET {ASSIGNMENTS} w {{}}")];
    let own = [
        format!("HSET {owner} owner me"),
        format!("HSETNX {owner} cursor 0-0"),
        format!("HDEL {owner} owner"),
    ];
    let switch =
        [format!("HSET {SWITCHES} workers 0"), format!("SET {ROUTING} x"), format!("HSET {MOTORS} v {{}}")];
    let aggregate = [
        format!("HSET {VEHICLE_HEALTH} v {{}}"),
        format!("XADD {ASSESSMENTS} * a 1"),
        "XADD vtox:history:v * a 1".to_owned(),
        format!("SET {AGGREGATOR} 1:me"),
        format!("HSET {AGGREGATION} owner me"),
    ];
    let topology = format!("SET {TOPOLOGY} {{}}");
    let result = format!("XADD {RESULTS} * a 1");
    let letter = format!("XADD {DEAD_LETTERS} * a 1");
    let together = [result.clone(), letter.clone()];
    let alert = format!("XADD {ALERTS} * a 1");
    let fold = format!("HSET {state} v x");
    let drain = format!("HSETNX {DRAINING} worker-1 1");
    let load = format!("HSET {WORKER_LOADS} w {{}}");
    let seen = format!("SET {MONITOR} {{}}");
    let register = [format!("HSET {SERVICES} worker:w {{}}"), format!("HSET {HEARTBEATS} w 1")];
    let trim = [format!("XTRIM {RAW} MAXLEN 0"), format!("XTRIM {RESULTS} MAXLEN 0")];
    let all = |groups: &[&[String]], more: &[&String]| -> Vec<String> {
        groups.iter().copied().flatten().chain(more.iter().copied()).cloned().collect()
    };
    match user {
        "vtox-gateway" => all(
            &[&write_auth, &lead, &own, &aggregate, &trim, &switch[1..2]],
            &[&topology, &result, &letter, &alert, &fold, &drain, &load, &seen, &format!("HGETALL {state}")],
        ),
        "vtox-coordinator" => all(
            &[&add_raw, &read_auth, &write_auth, &switch[..1], &switch[2..], &aggregate, &trim],
            &[
                &topology,
                &result,
                &letter,
                &alert,
                &fold,
                &drain,
                &load,
                &seen,
                &format!("XRANGE {RESULTS} - +"),
            ],
        ),
        "vtox-worker" => all(
            &[&add_raw, &read_auth, &write_auth, &lead, &switch, &aggregate, &trim[1..]],
            &[
                &topology,
                &alert,
                &drain,
                &seen,
                &format!("HDEL {ASSIGNMENTS} worker-1"),
                &format!("HGETALL {VEHICLE_HEALTH}"),
                &format!("HGETALL {SERVICES}"),
                &format!("XRANGE {ALERTS} - +"),
            ],
        ),
        "vtox-monitor" => all(
            &[&add_raw, &read_auth, &write_auth, &lead, &own, &switch, &aggregate, &trim],
            &[&topology, &result, &letter, &fold, &drain, &load, &format!("HGETALL {VEHICLE_HEALTH}")],
        ),
        "vtox-bridge" => all(
            &[
                &add_raw,
                &read_auth,
                &write_auth,
                &lead,
                &own,
                &switch,
                &trim[..1],
                // In a Cluster it is the one who brings them together.
                if on == On::Server { &together } else { &[] },
            ],
            &[
                &topology,
                &fold,
                &drain,
                &load,
                &seen,
                &format!("XRANGE {RAW} - +"),
                &format!("HGETALL {WORKER_LOADS}"),
            ],
        ),
        "vtox-cli" => all(
            &[&lead, &switch[1..], &aggregate, &register, &trim],
            &[&result, &letter, &alert, &fold, &load, &seen, &"DEL vtox:auth:keys".to_owned()],
        ),
        other => panic!("{other} is not in this table"),
    }
}

fn connect(user: &str, port: u16) -> Connection {
    client(&url("redis", user, port)).get_connection().unwrap()
}

fn run(connection: &mut Connection, line: &str) -> RedisResult<Value> {
    let mut words = line.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    match line.strip_prefix("EVAL") {
        // A script has spaces of its own.
        Some(_) => command.arg("return 0").arg(0),
        None => command.arg(words.collect::<Vec<_>>()),
    };
    command.query(connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_user_can_do_what_it_need_not() {
    let _one = ONE_AT_A_TIME.lock().await;
    for on in [On::Server, On::Cluster] {
        forbidden(on);
    }
}

fn forbidden(on: On) {
    let redis = Users::of(on);
    let server = redis.start(None, &[]);
    let mut tried = 0;
    for (user, _) in rights(on) {
        let user = user.as_str();
        let mut connection = connect(user, server.port());
        for line in BY_NOBODY.iter().map(|l| (*l).to_owned()).chain(by_user(user, on)) {
            let answer = run(&mut connection, &line);
            let code = answer.as_ref().err().and_then(redis::RedisError::code).map(str::to_owned);
            println!("{user:<17} {line:<62} {}", code.as_deref().unwrap_or("-"));
            assert_eq!(code.as_deref(), Some("NOPERM"), "{user}: {line}: {answer:?}");
            tried += 1;
        }
        // A script may do no more than who runs it.
        for call in
            ["redis.call('FLUSHALL')", "redis.call('DEL', 'motor_raw_data')", "redis.call('KEYS', '*')"]
        {
            let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(call).query(&mut connection).unwrap();
            let answer: RedisResult<Value> = redis::cmd("EVALSHA").arg(sha).arg(0).query(&mut connection);
            let error = answer.unwrap_err().to_string();
            println!(
                "{user:<17} script: {call:<54} {}",
                if error.contains(REFUSED) { "NOPERM" } else { "-" }
            );
            assert!(error.contains(REFUSED), "{user}: {call}: {error}");
            tried += 1;
        }
    }
    println!("{on:?}: {tried} commands, all refused");
    let mut own = server.client().get_connection().unwrap();
    assert_eq!(redis::cmd("DBSIZE").query::<u64>(&mut own).unwrap(), 0, "something was written");
}

#[test]
fn every_line_of_the_acl_file_is_taken_by_redis_and_lets_nobody_in() {
    let server = vtox_test_support::RedisServer::start(&[]);
    let mut own = server.client().get_connection().unwrap();
    for (user, rules) in rights(On::Server).into_iter().chain(rights(On::Cluster)) {
        let user = user.as_str();
        // A selector is one argument.
        let mut rest = rules.as_str();
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg(user);
        while !rest.is_empty() {
            let end = if rest.starts_with('(') {
                rest.find(')').unwrap() + 1
            } else {
                rest.find(' ').unwrap_or(rest.len())
            };
            command.arg(&rest[..end]);
            rest = rest[end..].trim_start();
        }
        command.exec(&mut own).unwrap_or_else(|error| panic!("{user}: {error}"));
        for password in ["", "secret", user] {
            let login: RedisResult<Value> = redis::cmd("AUTH").arg(user).arg(password).query(&mut own);
            assert_eq!(login.unwrap_err().code(), Some("WRONGPASS"), "{user} {password}");
        }
    }
}
