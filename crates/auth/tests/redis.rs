//! Credentials in a real Redis, and keys in a real directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use vtox_auth::{
    Algorithm, ApiKey, ApiKeyRecord, Authenticator, Denied, Expected, Issue, Issued, Keyring, Options,
    Principal, Role, Store, TAKES_EFFECT, User, UserName, generate, hash_password,
};
use vtox_protocol::VehicleId;
use vtox_test_support::RedisServer;

const NOW_S: u64 = 1_800_000_000;

fn options(keys: Option<PathBuf>) -> Options {
    let expected = Expected { audience: "vtox".to_owned(), issuer: None };
    Options { keys_dir: keys, signing_kid: None, expected, token_lifetime_s: 3_600 }
}

async fn watched(server: &RedisServer, keys: Option<PathBuf>) -> (Arc<Authenticator>, CancellationToken) {
    let auth = Authenticator::open(options(keys), server.connection().await).await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(auth.clone().watch(stop.clone()));
    (auth, stop)
}

/// How long it takes until the answer is this.
async fn until(
    auth: &Authenticator,
    credential: &str,
    limit: Duration,
    wanted: impl Fn(&Result<Principal, Denied>) -> bool,
) -> Duration {
    let began = Instant::now();
    loop {
        let answer = auth.authenticate(credential, NOW_S);
        if wanted(&answer) {
            return began.elapsed();
        }
        assert!(began.elapsed() < limit, "still {answer:?} after {limit:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn add_key(store: &Store, id: &str) -> String {
    let key = ApiKey::generate().unwrap();
    let vehicle = Some(VehicleId::new(id).unwrap());
    let record = ApiKeyRecord::of(&key, Role::Vehicle, vehicle, "", NOW_S, None).unwrap();
    store.add_key(key.id(), &record).await.unwrap();
    key.reveal()
}

fn id_of(key: &str) -> &str {
    key.split('_').nth(1).unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn changes_take_effect_within_a_second_and_survive_redis() {
    let mut server = RedisServer::start(&[]);
    let store = Store::new(server.connection().await);
    let first = add_key(&store, "first").await;
    let (auth, stop) = watched(&server, None).await;
    assert_eq!(auth.authenticate(&first, NOW_S).unwrap().vehicle, Some(VehicleId::new("first").unwrap()));

    let mut slowest = Duration::ZERO;
    for n in 0..5 {
        let key = add_key(&store, &format!("v{n}")).await;
        slowest = slowest.max(until(&auth, &key, SECOND, Result::is_ok).await);
        store.revoke(id_of(&key), None).await.unwrap();
        let revoked = |answer: &Result<_, _>| *answer == Err(Denied::RevokedToken);
        slowest = slowest.max(until(&auth, &key, SECOND, revoked).await);
    }
    println!("slowest of 10 changes: {slowest:?}");

    let second = add_key(&store, "second").await;
    until(&auth, &second, SECOND, Result::is_ok).await;
    server.kill();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(auth.authenticate(&first, NOW_S).is_ok(), "what was known stays known without Redis");
    server.restart();
    let store = Store::new(server.connection().await);
    store.revoke(id_of(&first), None).await.unwrap();
    until(&auth, &first, 5 * SECOND, |answer| *answer == Err(Denied::RevokedToken)).await;

    // A Redis that lost everything knows nobody any more.
    let mut connection = server.connection().await;
    let _: () = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();
    until(&auth, &second, 5 * SECOND, |answer| *answer == Err(Denied::InvalidToken)).await;
    let third = add_key(&store, "third").await;
    until(&auth, &third, SECOND, Result::is_ok).await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_are_all_seen_and_few_are_kept() {
    let server = RedisServer::start(&[]);
    let store = Store::new(server.connection().await);
    let first = add_key(&store, "first").await;
    let (auth, stop) = watched(&server, None).await;
    let mut last = String::new();
    for n in 0..2_500 {
        last = add_key(&store, &format!("v{n}")).await;
    }
    until(&auth, &last, SECOND, Result::is_ok).await;
    assert!(auth.authenticate(&first, NOW_S).is_ok());
    let snapshot = store.load().await.unwrap();
    assert_eq!(snapshot.keys.len(), 2_501);
    for (id, record) in snapshot.keys.iter().take(3) {
        assert!(id.len() == 16 && record.role == Role::Vehicle);
    }
    let mut connection = server.connection().await;
    let kept: u64 = redis::cmd("ZCARD").arg("vtox:auth:changes").query_async(&mut connection).await.unwrap();
    assert_eq!(kept, 2_000);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expired_is_forgotten_and_what_did_not_is_not() {
    let server = RedisServer::start(&[]);
    let store = Store::new(server.connection().await);
    for (id, until) in [("old", Some(NOW_S - 1_000)), ("young", Some(NOW_S + 1_000)), ("for-ever", None)] {
        store.revoke(id, until).await.unwrap();
    }
    store.forget_expired(NOW_S).await.unwrap();
    let mut left: Vec<String> = store.load().await.unwrap().revoked.into_keys().collect();
    left.sort();
    assert_eq!(left, ["for-ever", "young"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_prolonged_and_forgotten_while_gateways_run() {
    let server = RedisServer::start(&[]);
    let store = Store::new(server.connection().await);
    let key = ApiKey::generate().unwrap();
    let until_s = |at| ApiKeyRecord::of(&key, Role::Operator, None, "", NOW_S, Some(at)).unwrap();
    store.add_key(key.id(), &until_s(NOW_S)).await.unwrap();
    let (auth, stop) = watched(&server, None).await;
    assert_eq!(auth.authenticate(&key.reveal(), NOW_S), Err(Denied::ExpiredToken));
    store.change_key(key.id(), &until_s(NOW_S + 1)).await.unwrap();
    until(&auth, &key.reveal(), TAKES_EFFECT, Result::is_ok).await;
    store.forget_key(key.id()).await.unwrap();
    until(&auth, &key.reveal(), TAKES_EFFECT, |answer| *answer == Err(Denied::InvalidToken)).await;
    assert!(store.load().await.unwrap().keys.is_empty());
    stop.cancel();
}

async fn log_in(auth: &Authenticator, password: &str, now_s: u64) -> Result<Issued, Denied> {
    auth.log_in("alice", password, now_s).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_logged_in_is_worth_what_they_are_now() {
    let server = RedisServer::start(&[]);
    let store = Store::new(server.connection().await);
    let directory = tempfile::tempdir().unwrap();
    generate(directory.path(), "one", Algorithm::Ed25519).unwrap();
    let alice: UserName = "alice".parse().unwrap();
    let user =
        User { password: hash_password("correct horse").unwrap(), role: Role::Operator, changed: NOW_S };
    assert!(store.add_user(&alice, &user, false).await.unwrap());
    assert!(!store.add_user(&alice, &user, false).await.unwrap(), "she is there already");
    let (auth, stop) = watched(&server, Some(directory.path().to_owned())).await;

    assert_eq!(log_in(&auth, "wrong horse", NOW_S).await.unwrap_err(), Denied::WrongPassword);
    assert_eq!(auth.log_in("bob", "correct horse", NOW_S).await.unwrap_err(), Denied::WrongPassword);
    let issued = log_in(&auth, "correct horse", NOW_S).await.unwrap();
    assert_eq!(issued.lifetime_s, 3_600);
    let principal = auth.authenticate(&issued.token, NOW_S + 3_599).unwrap();
    assert_eq!((principal.credential.as_str(), principal.role), ("user:alice", Role::Operator));
    assert_eq!(auth.authenticate(&issued.token, NOW_S + 3_605), Err(Denied::ExpiredToken));

    store.revoke(&issued.id, Some(NOW_S + 3_600)).await.unwrap();
    let revoked = |answer: &Result<_, _>| *answer == Err(Denied::RevokedToken);
    until(&auth, &issued.token, SECOND, revoked).await;

    let before = log_in(&auth, "correct horse", NOW_S).await.unwrap();
    let viewer = User { role: Role::Viewer, ..user.clone() };
    assert!(store.add_user(&alice, &viewer, true).await.unwrap());
    until(&auth, &before.token, SECOND, revoked).await;

    let changed = User { password: hash_password("battery staple").unwrap(), changed: NOW_S + 10, ..viewer };
    let before = log_in(&auth, "correct horse", NOW_S).await.unwrap();
    assert!(store.add_user(&alice, &changed, true).await.unwrap());
    until(&auth, &before.token, SECOND, revoked).await;
    let after = log_in(&auth, "battery staple", NOW_S + 10).await.unwrap();
    assert_eq!(auth.authenticate(&after.token, NOW_S + 10).unwrap().role, Role::Viewer);

    assert!(store.remove_user(&alice).await.unwrap());
    until(&auth, &after.token, SECOND, revoked).await;
    assert_eq!(log_in(&auth, "battery staple", NOW_S).await.unwrap_err(), Denied::WrongPassword);
    stop.cancel();
}

fn token_of(keys: &Path, kid: &str) -> String {
    let issue = Issue {
        subject: "grafana".to_owned(),
        role: Role::Viewer,
        vehicle: None,
        lifetime_s: 600,
        local_user: false,
    };
    let ring = Keyring::read(keys, None).unwrap();
    ring.sign(Some(kid), &options(None).expected, &issue, NOW_S).unwrap().token
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_while_it_runs() {
    let server = RedisServer::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path();
    generate(keys, "old", Algorithm::Ed25519).unwrap();
    let (auth, stop) = watched(&server, Some(keys.to_owned())).await;
    let old = token_of(keys, "old");
    assert_eq!(auth.authenticate(&old, NOW_S).unwrap().credential, "jwt:old:grafana");

    generate(keys, "new", Algorithm::Hs256).unwrap();
    let new = token_of(keys, "new");
    until(&auth, &new, 5 * SECOND, Result::is_ok).await;
    assert!(auth.authenticate(&old, NOW_S).is_ok(), "both are valid");

    // A file that is no key leaves the others as they were.
    std::fs::write(keys.join("broken.pub.pem"), "").unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(auth.authenticate(&old, NOW_S).is_ok() && auth.authenticate(&new, NOW_S).is_ok());

    for file in ["broken.pub.pem", "old.key.pem", "old.pub.pem"] {
        std::fs::remove_file(keys.join(file)).unwrap();
    }
    until(&auth, &old, 5 * SECOND, |answer| *answer == Err(Denied::InvalidToken)).await;
    assert!(auth.authenticate(&new, NOW_S).is_ok());
    stop.cancel();
}

#[tokio::test]
async fn without_redis_nobody_is_let_in() {
    let mut server = RedisServer::start(&[]);
    let connection = server.connection().await;
    server.kill();
    let error = Authenticator::open(options(None), connection).await.unwrap_err();
    assert!(error.to_string().starts_with("Redis: "), "{error}");
}
