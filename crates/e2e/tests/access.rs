//! Every route with every role, for the own and for a foreign vehicle; and tokens that somebody made up.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use reqwest::{Client, Method};
use ring::hmac;
use serde_json::Value;
use vtox_e2e::credentials::{keys, text, vtox};
use vtox_e2e::routes::{self, Route};
use vtox_e2e::{Cluster, ONE_AT_A_TIME};

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

/// Who calls: under which letters the matrix has them (all of which must be there), what they show, and for which vehicle.
struct Caller {
    what: &'static str,
    letters: &'static str,
    credential: Option<(&'static str, String)>,
    vehicle: &'static str,
}

const OWN: &str = "粤B·1";
const FOREIGN: &str = "粤B·2";

fn callers(cluster: &Cluster, keys: &Path) -> Vec<Caller> {
    let issue = |more: &[&str]| vtox(cluster, &[&["token", "issue", "--role"], more].concat(), &[]);
    let key = |more: &[&str]| Some(("authorization", format!("Bearer {}", issue(more))));
    let signed = |more: &[&str]| key(&[more, &["--jwt", "--label", "t", "--keys", text(keys)]].concat());
    let vehicle = ["vehicle", "--vehicle", OWN];
    let caller = |what, letters, credential, vehicle| Caller { what, letters, credential, vehicle };
    let bound_viewer = key(&["viewer", "--vehicle", OWN]);
    let bound_operator = key(&["operator", "--vehicle", OWN]);
    let token = signed(&vehicle);
    vec![
        caller("nobody", "-", None, OWN),
        caller("a vehicle", "o", key(&vehicle), OWN),
        caller("a vehicle for another", "f", key(&vehicle), FOREIGN),
        caller("a vehicle by X-API-Key", "o", Some(("x-api-key", issue(&vehicle))), OWN),
        caller("a vehicle by token", "o", token.clone(), OWN),
        caller("a vehicle by token for another", "f", token, FOREIGN),
        // Bound to a vehicle: what both its role and the vehicle itself may.
        caller("a bound viewer", "vo", bound_viewer.clone(), OWN),
        caller("a bound viewer for another", "vf", bound_viewer, FOREIGN),
        caller("a bound operator", "po", bound_operator.clone(), OWN),
        caller("a bound operator for another", "pf", bound_operator, FOREIGN),
        caller("a bound admin by token", "ao", signed(&["admin", "--vehicle", OWN]), OWN),
        caller("a viewer", "v", key(&["viewer"]), OWN),
        caller("an operator", "p", key(&["operator"]), OWN),
        caller("an operator by token", "p", signed(&["operator"]), OWN),
        caller("an admin", "a", key(&["admin"]), OWN),
    ]
}

async fn described_is_listed(client: &Client, gateway: &str, rows: &[Route]) {
    let document = client.get(format!("{gateway}/openapi.json")).send().await.unwrap();
    let document: Value = document.json().await.unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let listed =
                rows.iter().any(|r| r.path == *path && r.method.as_str().eq_ignore_ascii_case(method));
            assert!(listed, "{method} {path} is described, but the matrix does not have it");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_with_every_role_and_vehicle() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::new(&[], &[]);
    let keys = keys(&cluster);
    let guard = [
        ("VTOX_AUTH__REQUIRED", "true"),
        ("VTOX_AUTH__KEYS_DIR", text(keys.path())),
        // All callers log in as one user.
        ("VTOX_GATEWAY__LOGINS_PER_USER_PER_MIN", "0"),
    ];
    cluster.environment.extend(guard.map(|(k, v)| (k.to_owned(), v.to_owned())));
    routes::add_user(&cluster);
    let callers = callers(&cluster, keys.path());
    cluster.add_all(&["all"]).await;
    routes::supervise(&cluster).await;
    let gateway = cluster.gateway();
    let client = Client::new();
    let rows = routes::all();
    described_is_listed(&client, &gateway, &rows).await;
    let admin = callers.last().and_then(|c| c.credential.clone()).unwrap();
    let (mut tried, mut wrong) = (0, Vec::new());
    for route in &rows {
        for Caller { what, letters, credential, vehicle } in &callers {
            if route.method == Method::DELETE {
                // Something to delete, whoever was here before.
                let put = rows.iter().find(|r| r.method == Method::PUT && r.path == route.path).unwrap();
                let put = put.call(&client, &gateway, vehicle).header(admin.0, &admin.1);
                assert_eq!(put.send().await.unwrap().status(), 200);
            }
            let mut request = route.call(&client, &gateway, vehicle);
            if let Some((name, value)) = credential {
                request = request.header(*name, value);
            }
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            tried += 1;
            let fits = if route.allowed.contains(&'-') || letters.chars().all(|l| route.allowed.contains(&l))
            {
                matches!(status, 101 | 200..=299)
            } else {
                status == if credential.is_some() { 403 } else { 401 }
            };
            // A batch names its vehicles in the body, and answers for each message.
            let batch = fits && status == 200 && route.path == "/api/v1/messages";
            let text = if status == 101 { String::new() } else { answer.text().await.unwrap() };
            let kept = !batch || text.contains(r#""status":"accepted""#) == (*vehicle == OWN);
            if !fits || !kept {
                wrong.push(format!("{} {} by {what}: {status} {text}", route.method, route.path));
            }
        }
    }
    println!("{tried} calls: {} routes, {} callers", rows.len(), callers.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_genuine_is_refused() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (mut cluster, directory) = guarded(&[]).await;
    let gateway = cluster.gateway();
    let client = Client::new();
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
    for (service, port) in [("vtox-gateway", "VTOX_GATEWAY__PORT"), ("vtox-worker", "WORKER_PORT")] {
        cluster.add(service, service, port, &[production]);
        assert_eq!(cluster.service(service).ended(Duration::from_secs(5)).await.code(), Some(64));
        assert!(cluster.service(service).log().contains("redis.url has no password"));
    }
    cluster.environment.push(("VTOX_REDIS__ALLOW_NO_PASSWORD".to_owned(), "true".to_owned()));
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
        let sent = Client::new().post(&simulated).body(body).send().await;
        match sent {
            Ok(answer) if answer.status() == 403 => {
                answer.json::<Value>().await.unwrap()["code"] == "simulator_closed"
            }
            _ => false,
        }
    })
    .await;
}
