//! `vtox token` and `vtox user` as their users run them.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use serde_json::Value;
use vtox_auth::{Authenticator, Denied, Expected, Options, Role};
use vtox_protocol::VehicleId;
use vtox_service_kit::clock;
use vtox_test_support::RedisServer;

struct Shell {
    redis: RedisServer,
    directory: tempfile::TempDir,
}

impl Shell {
    fn open() -> Self {
        Self { redis: RedisServer::start(&[]), directory: tempfile::tempdir().unwrap() }
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut process = Command::new(env!("CARGO_BIN_EXE_vtox"))
            .args(arguments)
            .current_dir(self.directory.path())
            .env("REDIS_URL", self.redis.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Closed at the end of the statement; who refuses before reading is no failure of the test.
        drop(process.stdin.take().unwrap().write_all(input.as_bytes()));
        process.wait_with_output().unwrap()
    }

    /// Standard output of what must work.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, "");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Standard error of what must not.
    fn refuses(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    /// What a gateway knows now.
    async fn gateway(&self) -> Arc<Authenticator> {
        let keys = self.directory.path().join("keys");
        let options = Options {
            keys_dir: keys.is_dir().then_some(keys),
            signing_kid: None,
            expected: Expected { audience: "vtox".to_owned(), issuer: None },
            token_lifetime_s: 3_600,
        };
        Authenticator::open(options, self.redis.connection().await).await.unwrap()
    }
}

fn now_s() -> u64 {
    clock::epoch_ms() / 1_000
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_from_its_making_to_its_end() {
    let shell = Shell::open();
    let issue =
        ["token", "issue", "--role", "vehicle", "--vehicle", "粤B·1", "--label", "gate", "--expires", "90d"];
    let key = shell.says(&issue);
    let principal = shell.gateway().await.authenticate(&key, now_s()).unwrap();
    assert_eq!((principal.role, principal.vehicle), (Role::Vehicle, VehicleId::new("粤B·1").ok()));
    let later = shell.gateway().await.authenticate(&key, now_s() + 90 * 86_400 + 1);
    assert_eq!(later, Err(Denied::ExpiredToken));

    let (id, secret) = key.strip_prefix("vtox_").unwrap().split_once('_').unwrap();
    let listed = shell.says(&["token", "list"]);
    assert!(listed.contains(id) && listed.contains("good") && listed.contains("gate"), "{listed}");
    let json = shell.says(&["token", "list", "--json"]);
    let parsed: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&parsed["keys"][0]["id"], &parsed["keys"][0]["vehicle_id"]), (&id.into(), &"粤B·1".into()));
    assert!(
        !listed.contains(secret) && !json.contains(secret) && !json.contains("sha256"),
        "a secret is shown"
    );
    let mut redis = shell.redis.connection().await;
    let kept: String =
        redis::cmd("HGET").arg("vtox:auth:keys").arg(id).query_async(&mut redis).await.unwrap();
    assert!(!kept.contains(secret), "{kept}");

    shell.says(&["token", "revoke", id]);
    assert_eq!(shell.gateway().await.authenticate(&key, now_s()), Err(Denied::RevokedToken));
    assert!(shell.says(&["token", "list"]).contains("revoked"));
}

#[test]
fn what_cannot_be_issued_says_why() {
    let shell = Shell::open();
    for (arguments, part) in [
        (&["token", "issue", "--role", "vehicle"][..], "--vehicle"),
        (&["token", "issue", "--role", "vehicle", "--vehicle", "a/b"], "'/'"),
        (&["token", "issue", "--role", "root"], "use vehicle, viewer, operator or admin"),
        (&["token", "issue", "--role", "viewer", "--expires", "soon"], "write it as 90d"),
        (&["token", "issue", "--role", "viewer", "--jwt", "--label", "x"], "vtox token keygen DIR"),
        (
            &["token", "issue", "--role", "viewer", "--jwt", "--keys", "nowhere", "--label", "x"],
            "vtox token keygen nowhere",
        ),
        (&["token", "revoke", "0123456789abcdef"], "vtox token list"),
        (&["token", "revoke", "--jwt", "xyz"], "is no id of a token that vtox makes"),
        (&["token", "revoke", "--other-issuer", "xyz"], "--jwt"),
        (&["user", "remove", "bob"], "vtox user list"),
        (&["user", "add", "bob", "--role", "vehicle"], "vtox token issue"),
        (&["user", "add", "b b", "--role", "viewer"], "letters, digits"),
    ] {
        let refusal = shell.refuses(arguments, "");
        assert!(refusal.contains(part), "{arguments:?}: {refusal}");
    }
    assert!(shell.refuses(&["user", "add", "bob", "--role", "viewer"], "short\n").contains("at least 10"));
    assert_eq!(shell.says(&["token", "list", "--json"]), r#"{"keys":[],"revoked_tokens":[]}"#);
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_token_from_its_key_to_its_end() {
    let shell = Shell::open();
    let keys = shell.directory.path().join("keys");
    let files = shell.says(&["token", "keygen", "keys", "--kid", "k1"]);
    assert_eq!(files, "keys/k1.key.pem\nkeys/k1.pub.pem");
    assert_eq!((mode(&keys), mode(&keys.join("k1.key.pem"))), (0o700, 0o600));
    assert!(shell.refuses(&["token", "keygen", "keys", "--kid", "k1"], "").contains("cannot be written"));
    assert!(shell.refuses(&["token", "keygen", "keys", "--alg", "rs256"], "").contains("openssl genpkey"));

    let issue = ["token", "issue", "--jwt", "--keys", "keys", "--role", "viewer", "--label", "grafana"];
    let output = shell.run(&issue, "");
    assert!(output.status.success(), "{output:?}");
    let (token, notes) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let principal = shell.gateway().await.authenticate(token.trim_end(), now_s()).unwrap();
    assert_eq!((principal.credential.as_str(), principal.role), ("jwt:k1:grafana", Role::Viewer));
    let id = notes.strip_prefix("Token ").and_then(|rest| rest.split(' ').next()).unwrap();
    let revoked = shell.says(&["token", "revoke", "--jwt", id]);
    assert!(revoked.contains("whether there is one is not known"), "{revoked}");
    shell.says(&["token", "revoke", "--jwt", "--other-issuer", "xyz"]);
    let gateway = shell.gateway().await;
    assert_eq!(gateway.authenticate(token.trim_end(), now_s()), Err(Denied::RevokedToken));
    assert!(shell.says(&["token", "list"]).contains(id));

    std::fs::set_permissions(keys.join("k1.key.pem"), PermissionsExt::from_mode(0o644)).unwrap();
    assert!(shell.refuses(&issue, "").contains("chmod 600 keys/k1.key.pem"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_from_being_added_to_being_removed() {
    let shell = Shell::open();
    shell.says(&["token", "keygen", "keys", "--alg", "hs256"]);
    let add = ["user", "add", "alice", "--role", "operator"];
    assert!(shell.run(&add, "correct horse\n").status.success());
    assert!(shell.refuses(&add, "battery staple\n").contains("--replace"));
    let gateway = shell.gateway().await;
    let issued = gateway.log_in("alice", "correct horse", now_s()).await.unwrap();
    assert_eq!(gateway.authenticate(&issued.token, now_s()).unwrap().role, Role::Operator);

    let replace = ["user", "add", "alice", "--role", "viewer", "--replace"];
    assert!(shell.run(&replace, "battery staple\n").status.success());
    assert_eq!(shell.says(&["user", "list"]), format!("{:<24} viewer", "alice"));
    let gateway = shell.gateway().await;
    assert_eq!(gateway.authenticate(&issued.token, now_s()), Err(Denied::RevokedToken));
    let old = gateway.log_in("alice", "correct horse", now_s()).await;
    assert_eq!(old.unwrap_err(), Denied::WrongPassword);
    assert!(gateway.log_in("alice", "battery staple", now_s()).await.is_ok());

    shell.says(&["user", "remove", "alice"]);
    assert_eq!(shell.says(&["user", "list", "--json"]), "[]");
}

#[test]
fn production_wants_a_password_of_a_redis_of_ones_own() {
    let shell = Shell::open();
    let url = shell.redis.url();
    let output = shell.run(&["up", "--mode", "production", "--redis", &url, "--for", "1", "--data", "d"], "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(64) && said.contains("redis.allow_no_password"), "{said}");
}
