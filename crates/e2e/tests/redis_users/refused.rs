//! A user of Redis that may not do what its service needs: said to the operator, and not to who calls.

use std::time::Duration;

use serde_json::{Value, json};
use vtox_e2e::{Cluster, ONE_AT_A_TIME, eventually};

use super::{Users, url};

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_refuses_is_for_the_operator() {
    let _one = ONE_AT_A_TIME.lock().await;
    let users = Users::new();
    let redis = users.start(None, &[]);
    let own = redis.url();
    let gateway_url = url("redis", "vtox-gateway", redis.port());
    let mut cluster = Cluster::on(redis, own, &[]);
    cluster.urls.insert("vtox-gateway".to_owned(), gateway_url);
    cluster.add("gateway", "vtox-gateway", "VTOX_GATEWAY__PORT", &[]);
    let motor = format!("{}/api/v1/vehicles/V/motor", cluster.gateway());
    let client = reqwest::Client::new();
    let put = async || client.put(&motor).json(&json!({"profile": {"rotor_bars": 28}})).send().await;
    eventually(Duration::from_secs(20), "the gateway", async || put().await.is_ok_and(|a| a.status() == 200))
        .await;

    let _: () = cluster.command(&["ACL", "SETUSER", "vtox-gateway", "clearselectors"]).await;
    let answer = put().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().get("retry-after")), (500, None));
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "redis_refuses");
    assert!(problem["fix"].as_str().unwrap().contains("vtox doctor"), "{problem}");
    for raw in ["NoPerm", "permission", "vtox-gateway", "hset"] {
        assert!(!problem.to_string().contains(raw), "{problem}");
    }
    let log = cluster.service("gateway").log();
    assert!(log.contains("NoPerm") && log.contains("run vtox doctor"), "{log}");
}
