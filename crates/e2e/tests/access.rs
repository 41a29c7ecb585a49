//! Every route with every role, for the own and for a foreign vehicle; and tokens that somebody made up.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use reqwest::Method;
use ring::hmac;
use serde_json::Value;
use vtox_e2e::credentials::{keys, text, vtox};
use vtox_e2e::{Cluster, ONE_AT_A_TIME};

/// Who may: nobody without a token (`-`), a vehicle for itself (`o`), a vehicle for another (`f`), viewer (`v`), operator (`p`),
/// admin (`a`). Written down apart from the gateway's own table.
const MATRIX: &str = "
GET    /                                                             - o f v p a
GET    /openapi.json                                                 - o f v p a
GET    /docs/errors                                                  - o f v p a
POST   /auth/token                                                   - o f v p a
POST   /api/v1/diagnosis-stream/vehicles/{vehicle_id}/data             o     p a
POST   /api/v1/diagnosis-stream/simulator/vehicles/{vehicle_id}/data - o f v p a
GET    /api/v1/diagnosis-stream/vehicles/{vehicle_id}/health           o   v p a
GET    /api/v1/diagnosis-stream/vehicles/{vehicle_id}/diagnosis-history o  v p a
GET    /api/v1/diagnosis-stream/alerts/critical                            v p a
GET    /api/v1/diagnosis-stream/system/performance                         v p a
GET    /api/v1/diagnosis-stream/system/status                              v p a
POST   /api/v1/diagnosis-stream/system/scale                                 p a
POST   /api/v1/diagnosis-stream/initialize                                   p a
POST   /api/v1/diagnosis-stream/start                                        p a
POST   /api/v1/diagnosis-stream/system/stop                                  p a
POST   /api/v1/diagnosis-stream/bridge/control                               p a
GET    /api/v1/diagnosis-stream/bridge/status                              v p a
GET    /api/v1/diagnosis-stream/fault-types                                v p a
GET    /api/v1/diagnosis-stream/fleet/overview                             v p a
POST   /api/v1/diagnosis-stream/diagnosis/turn-to-turn                     v p a
POST   /api/v1/diagnosis-stream/diagnosis/insulation                       v p a
POST   /api/v1/diagnosis-stream/diagnosis/bearing                          v p a
POST   /api/v1/diagnosis-stream/diagnosis/eccentricity                     v p a
POST   /api/v1/diagnosis-stream/diagnosis/broken-bar                       v p a
POST   /diagnosis/turn-to-turn                                             v p a
POST   /diagnosis/insulation                                               v p a
POST   /diagnosis/bearing                                                  v p a
POST   /diagnosis/eccentricity                                             v p a
POST   /diagnosis/broken-bar                                               v p a
GET    /api/v1/cluster/status                                              v p a
POST   /api/v1/cluster/start                                                 p a
POST   /api/v1/cluster/stop                                                  p a
POST   /api/v1/cluster/tasks                                               v p a
GET    /api/v1/cluster/strategy                                            v p a
PUT    /api/v1/cluster/strategy                                              p a
POST   /api/v1/messages                                                o f   p a
GET    /api/v1/vehicles                                                    v p a
GET    /api/v1/results                                                     v p a
GET    /api/v1/vehicles/{vehicle_id}/motor                             o   v p a
PUT    /api/v1/vehicles/{vehicle_id}/motor                                   p a
DELETE /api/v1/vehicles/{vehicle_id}/motor                                   p a
GET    /api/v1/motors/models                                               v p a
GET    /api/v1/motors/models/{model}                                       v p a
PUT    /api/v1/motors/models/{model}                                           a
DELETE /api/v1/motors/models/{model}                                           a
GET    /api/v1/motors/bearings                                             v p a
GET    /ws/frontend                                                        v p a
GET    /ws/datasource                                                  o f   p a
";

struct Row {
    method: Method,
    path: String,
    allowed: BTreeSet<char>,
}

fn matrix() -> Vec<Row> {
    MATRIX
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut words = line.split_whitespace();
            let method = words.next().unwrap().parse().unwrap();
            let path = words.next().unwrap().to_owned();
            Row { method, path, allowed: words.map(|w| w.chars().next().unwrap()).collect() }
        })
        .collect()
}

/// A gateway alone that wants to know who calls.
async fn guarded(environment: &[(&str, &str)]) -> (Cluster, tempfile::TempDir) {
    let mut cluster = Cluster::new(&[], &[]);
    let keys = keys(&cluster);
    let own = [("VTOX_AUTH__REQUIRED", "true"), ("VTOX_AUTH__KEYS_DIR", text(keys.path()))];
    let environment: Vec<(&str, &str)> = own.iter().chain(environment).copied().collect();
    cluster.add("gateway", "vtox-gateway", "VTOX_GATEWAY__PORT", &environment);
    let gateway = cluster.gateway();
    vtox_e2e::eventually(Duration::from_secs(20), "the gateway", async || {
        reqwest::get(format!("{gateway}/openapi.json")).await.is_ok_and(|a| a.status() == 200)
    })
    .await;
    (cluster, keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_with_every_role_and_vehicle() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (mut cluster, _keys) = guarded(&[]).await;
    let gateway = cluster.gateway();
    let key = |role: &str| vtox(&cluster, &["token", "issue", "--role", role], &[]);
    let own = vtox(&cluster, &["token", "issue", "--role", "vehicle", "--vehicle", "粤B·1"], &[]);
    let callers = [
        ('-', None, "粤B·1"),
        ('o', Some(own.clone()), "粤B·1"),
        ('f', Some(own), "粤B·2"),
        ('v', Some(key("viewer")), "粤B·1"),
        ('p', Some(key("operator")), "粤B·1"),
        ('a', Some(key("admin")), "粤B·1"),
    ];
    // A change takes effect within a second.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let client = reqwest::Client::new();
    let document: Value =
        client.get(format!("{gateway}/openapi.json")).send().await.unwrap().json().await.unwrap();
    let rows = matrix();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let listed =
                rows.iter().any(|r| r.path == *path && r.method.as_str().eq_ignore_ascii_case(method));
            assert!(listed, "{method} {path} is described, but the matrix does not have it");
        }
    }
    let mut tried = 0;
    for Row { method, path, allowed } in &rows {
        for (caller, token, vehicle) in &callers {
            let url = format!("{gateway}{}", path.replace("{vehicle_id}", vehicle).replace("{model}", "m"));
            let mut request = client.request(method.clone(), url);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let status = request.send().await.unwrap().status().as_u16();
            tried += 1;
            let expected = allowed.contains(caller);
            // What gets through may fail for lack of a body, of a worker, of an upgrade.
            let refused = [401, 403].contains(&status) && !(path == "/auth/token" && *caller != '-');
            match (expected, caller) {
                (true, _) => assert!(!refused, "{method} {path} as {caller}: {status}"),
                (false, '-') => assert_eq!(status, 401, "{method} {path} without a token"),
                (false, _) => assert_eq!(status, 403, "{method} {path} as {caller}"),
            }
            assert_ne!(status, 500, "{method} {path} as {caller}");
        }
    }
    println!("{tried} calls: {} routes, {} callers", rows.len(), callers.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_genuine_is_refused() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (mut cluster, directory) = guarded(&[]).await;
    let gateway = cluster.gateway();
    let client = reqwest::Client::new();
    let url = format!("{gateway}/api/v1/diagnosis-stream/fault-types");
    let code = async |token: &str| -> (u16, String) {
        let answer = client.get(&url).bearer_auth(token).send().await.unwrap();
        let status = answer.status().as_u16();
        let challenge = answer.headers().contains_key("www-authenticate");
        assert_eq!(challenge, status == 401, "{status}");
        let body: Value = answer.json().await.unwrap();
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    let issue = |more: &[&str], keys: &Path, environment: &[(&str, &str)]| {
        let given = ["token", "issue", "--role", "viewer", "--jwt", "--label", "t", "--keys", text(keys)];
        let arguments: Vec<&str> = given.iter().chain(more).copied().collect();
        vtox(&cluster, &arguments, environment)
    };
    let good = issue(&[], directory.path(), &[]);
    assert_eq!(code(&good).await.0, 200);

    let parts: Vec<&str> = good.split('.').collect();
    let header: Value = serde_json::from_slice(&BASE64.decode(parts[0]).unwrap()).unwrap();
    let kid = header["kid"].as_str().unwrap();
    let with_header = |header: &Value| format!("{}.{}", BASE64.encode(header.to_string()), parts[1]);
    let none = with_header(&serde_json::json!({"alg": "none", "typ": "JWT", "kid": kid}));
    // The public key is no secret: as one for HS256 it must be worth nothing.
    let confused = with_header(&serde_json::json!({"alg": "HS256", "typ": "JWT", "kid": kid}));
    let public = std::fs::read(directory.path().join(format!("{kid}.pub.pem"))).unwrap();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public), confused.as_bytes());
    let confused = format!("{confused}.{}", BASE64.encode(tag.as_ref()));
    let other_keys = keys(&cluster);
    let short = issue(&["--expires", "1s"], directory.path(), &[]);
    let cases = [
        ("alg none", format!("{none}."), "invalid_token"),
        ("alg none with a signature", format!("{none}.{}", parts[2]), "invalid_token"),
        ("HS256 with the public key", confused, "invalid_token"),
        ("signed by somebody else", issue(&[], other_keys.path(), &[]), "invalid_token"),
        (
            "for another audience",
            issue(&[], directory.path(), &[("VTOX_AUTH__AUDIENCE", "other")]),
            "invalid_token",
        ),
        ("cut off", good[..good.len() - 3].to_owned(), "invalid_token"),
        ("no token at all", "x".to_owned(), "invalid_token"),
        ("an API key nobody made", format!("vtox_{}_{}", "0".repeat(16), "0".repeat(43)), "invalid_token"),
        ("as long as a head may be", "a".repeat(6_000), "invalid_token"),
    ];
    for (what, token, expected) in &cases {
        assert_eq!(code(token).await, (401, (*expected).to_owned()), "{what}");
    }
    // Leeway for clocks that differ is part of the age.
    vtox_e2e::eventually(Duration::from_secs(90), "a token to expire", async || {
        code(&short).await == (401, "expired_token".to_owned())
    })
    .await;
    let id: Value = serde_json::from_slice(&BASE64.decode(parts[1]).unwrap()).unwrap();
    vtox(&cluster, &["token", "revoke", "--jwt", id["jti"].as_str().unwrap()], &[]);
    vtox_e2e::eventually(Duration::from_secs(2), "the revocation", async || {
        code(&good).await == (401, "revoked_token".to_owned())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_is_closed_and_wants_keys() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::new(&["--appendonly", "yes", "--appendfsync", "always"], &[]);
    let production = ("VTOX_CLUSTER_MODE", "production");
    cluster.add("without", "vtox-gateway", "VTOX_GATEWAY__PORT", &[production]);
    let status = cluster.service("without").ended(Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(64));
    assert!(cluster.service("without").log().contains("vtox token keygen DIR"));
    let keys = keys(&cluster);
    let open = [production, ("VTOX_AUTH__KEYS_DIR", text(keys.path())), ("VTOX_AUTH__REQUIRED", "false")];
    cluster.add("open", "vtox-gateway", "VTOX_GATEWAY__PORT", &open);
    assert_eq!(cluster.service("open").ended(Duration::from_secs(5)).await.code(), Some(64));
    assert!(cluster.service("open").log().contains("auth.required"));
    let anybody = [("VTOX_GATEWAY__CORS_ORIGINS", "*")];
    cluster.add("anybody", "vtox-gateway", "VTOX_GATEWAY__PORT", &anybody);
    assert_eq!(cluster.service("anybody").ended(Duration::from_secs(5)).await.code(), Some(64));
    assert!(cluster.service("anybody").log().contains("gateway.cors_origins"));

    let host = ("VTOX_HOST", "127.0.0.1");
    let closed = [production, host, ("VTOX_AUTH__KEYS_DIR", text(keys.path()))];
    cluster.add("gateway", "vtox-gateway", "VTOX_GATEWAY__PORT", &closed);
    let simulated = cluster.service("gateway").url("/api/v1/diagnosis-stream/simulator/vehicles/V/data");
    let body = "{\"sensor_data\":{\"data\":[{\"Ia\":1}]}}";
    vtox_e2e::eventually(Duration::from_secs(20), "the simulator's path closed", async || {
        let sent = reqwest::Client::new().post(&simulated).body(body).send().await;
        match sent {
            Ok(answer) if answer.status() == 403 => {
                answer.json::<Value>().await.unwrap()["code"] == "simulator_closed"
            }
            _ => false,
        }
    })
    .await;
}
