//! `vtox up --mode production`: one command, and Redis lets in only users with a password.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use vtox_e2e::{ONE_AT_A_TIME, program};
use vtox_test_support::{free_port, free_ports};

use super::client;

fn up(data: &std::path::Path) -> Command {
    let mut command = Command::new(program("vtox"));
    for name in ["GATEWAY", "COORDINATOR", "MONITOR", "BRIDGE"] {
        command.env(format!("VTOX_{name}__PORT"), free_port().to_string());
    }
    command.env("WORKER_PORT", free_ports(6).to_string()).env_remove("REDIS_URL");
    command.env("VTOX_CLUSTER__PARTITIONS", "4").env("VTOX_HOST", "127.0.0.1");
    command.args(["up", "--mode", "production", "--workers", "2", "--for", "4", "--data"]).arg(data);
    command
}

/// What an operator sees while it runs.
struct Seen {
    doctor: String,
    url: String,
    kept: Vec<u64>,
}

fn run_and_look(data: &std::path::Path) -> Seen {
    let mut child = up(data).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let file = lines
        .by_ref()
        .inspect(|line| println!("{line}"))
        .find_map(|line| Some(line.split_once("REDIS_URL=$(cat ")?.1.trim_end_matches(')').to_owned()))
        .expect("a file with the URL");
    let url = std::fs::read_to_string(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let doctor = Command::new(program("vtox")).arg("doctor").env("REDIS_URL", &url).output().unwrap();

    // Nothing secret is on a command line.
    let password = url.split([':', '@']).nth(2).unwrap();
    let processes = Command::new("ps").args(["-A", "-ww", "-o", "args="]).output().unwrap();
    assert!(!String::from_utf8_lossy(&processes.stdout).contains(password));

    let (_, host) = url.rsplit_once('@').unwrap();
    let stranger = client(&format!("redis://{host}")).get_connection();
    let refused = stranger.and_then(|mut own| redis::cmd("PING").query::<String>(&mut own));
    assert_eq!(refused.unwrap_err().code(), Some("NOAUTH"));
    let mut operator = client(&url).get_connection().unwrap();
    let refusals: Vec<redis::Value> = redis::cmd("ACL").arg("LOG").query(&mut operator).unwrap();
    assert!(refusals.is_empty(), "{refusals:#?}");
    let kept = keep(&mut operator);
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
    Seen { doctor: String::from_utf8(doctor.stdout).unwrap(), url, kept }
}

/// Counts under two keys by a script, as services write. Redis replays that at its next start as a transaction of the default
/// user, and what that one may not is lost.
fn keep(operator: &mut redis::Connection) -> Vec<u64> {
    let count = "return { redis.call('INCR', KEYS[1]), redis.call('INCR', KEYS[2]) }";
    redis::Script::new(count).key("vtox:auth:a").key("vtox:auth:b").invoke(operator).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn vtox_up_in_production_mode_makes_its_secrets_and_needs_nothing_else() {
    let _one = ONE_AT_A_TIME.lock().await;
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_owned();
    let [first, second] =
        tokio::task::spawn_blocking(move || [run_and_look(&path), run_and_look(&path)]).await.unwrap();
    assert!(first.doctor.contains("connected to Redis as vtox-cli, not encrypted"), "{}", first.doctor);
    assert!(first.doctor.contains("every message is on disk before it is accepted"), "{}", first.doctor);
    assert!(first.doctor.contains("ok       4 partitions"), "{}", first.doctor);
    assert_ne!(first.url, second.url, "the password of the first run");
    assert_eq!((first.kept, second.kept), (vec![1, 1], vec![2, 2]), "what was written before is there after");
    let secrets = data.path().join("secrets");
    assert_eq!(std::fs::metadata(&secrets).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(secrets.join("token-keys/first.key.pem").is_file());
}
