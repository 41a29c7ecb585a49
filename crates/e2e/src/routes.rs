//! Every route of the gateway: who may call it, and a call that succeeds.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use reqwest::{Client, Method, RequestBuilder, header};

use crate::cluster::{Cluster, program};

/// Who may: nobody without a token (`-`), a vehicle for itself (`o`), a vehicle for another (`f`), viewer (`v`), operator (`p`),
/// admin (`a`); then the body of a call that succeeds. Written down apart from the gateway's own table. In this order the calls
/// succeed one after the other: what is read was written, and what was stopped is started.
const MATRIX: &str = r#"
GET    /                                                                  | - o f v p a |
GET    /health                                                            | - o f v p a |
GET    /ready                                                             | - o f v p a |
GET    /metrics                                                           | - o f v p a |
GET    /openapi.json                                                      | - o f v p a |
GET    /docs/errors                                                       | - o f v p a |
POST   /auth/token                                                        | - o f v p a | {"username":"alice","password":"correct horse battery staple"}
POST   /api/v1/diagnosis-stream/vehicles/{vehicle_id}/data                |   o     p a | {"sensor_data":SENSOR_DATA}
POST   /api/v1/diagnosis-stream/simulator/vehicles/{vehicle_id}/data      | - o f v p a | {"sensor_data":SENSOR_DATA}
GET    /api/v1/diagnosis-stream/vehicles/{vehicle_id}/health              |   o   v p a |
GET    /api/v1/diagnosis-stream/vehicles/{vehicle_id}/diagnosis-history   |   o   v p a |
GET    /api/v1/diagnosis-stream/alerts/critical                           |       v p a |
GET    /api/v1/diagnosis-stream/system/performance                        |       v p a |
GET    /api/v1/diagnosis-stream/system/status                             |       v p a |
POST   /api/v1/diagnosis-stream/initialize                                |         p a |
POST   /api/v1/diagnosis-stream/system/stop                               |         p a |
POST   /api/v1/diagnosis-stream/start                                     |         p a |
POST   /api/v1/diagnosis-stream/bridge/control?action=start               |         p a |
GET    /api/v1/diagnosis-stream/bridge/status                             |       v p a |
GET    /api/v1/diagnosis-stream/fault-types                               |       v p a |
GET    /api/v1/diagnosis-stream/fleet/overview                            |       v p a |
POST   /api/v1/diagnosis-stream/diagnosis/turn-to-turn                    |       v p a | FILE
POST   /api/v1/diagnosis-stream/diagnosis/insulation                      |       v p a | FILE
POST   /api/v1/diagnosis-stream/diagnosis/bearing                         |       v p a | FILE
POST   /api/v1/diagnosis-stream/diagnosis/eccentricity                    |       v p a | FILE
POST   /api/v1/diagnosis-stream/diagnosis/broken-bar                      |       v p a | FILE
POST   /diagnosis/turn-to-turn                                            |       v p a | FILE
POST   /diagnosis/insulation                                              |       v p a | FILE
POST   /diagnosis/bearing                                                 |       v p a | FILE
POST   /diagnosis/eccentricity                                            |       v p a | FILE
POST   /diagnosis/broken-bar                                              |       v p a | FILE
GET    /api/v1/cluster/status                                             |       v p a |
POST   /api/v1/cluster/stop                                               |         p a |
POST   /api/v1/cluster/start                                              |         p a |
POST   /api/v1/diagnosis-stream/system/scale?fault_type=bearing&new_count=1 |       p a |
POST   /api/v1/cluster/tasks                                              |       v p a | {"sensor_data":SENSOR_DATA}
GET    /api/v1/cluster/strategy                                           |       v p a |
PUT    /api/v1/cluster/strategy                                           |         p a | {"strategy":"smart"}
POST   /api/v1/messages                                                   |   o f   p a | {"vehicle_id":"{vehicle_id}","sensor_data":SENSOR_DATA}
GET    /api/v1/vehicles                                                   |       v p a |
GET    /api/v1/results                                                    |       v p a |
PUT    /api/v1/vehicles/{vehicle_id}/motor                                |         p a | {"profile":{"rotor_bars":28}}
GET    /api/v1/vehicles/{vehicle_id}/motor                                |   o   v p a |
DELETE /api/v1/vehicles/{vehicle_id}/motor                                |         p a |
GET    /api/v1/motors/models                                              |       v p a |
PUT    /api/v1/motors/models/{model}                                      |           a | {"rotor_bars":28}
GET    /api/v1/motors/models/{model}                                      |       v p a |
DELETE /api/v1/motors/models/{model}                                      |           a |
GET    /api/v1/motors/bearings                                            |       v p a |
GET    /ws/frontend                                                       |       v p a | UPGRADE
GET    /ws/datasource                                                     |   o f   p a | UPGRADE
"#;

const SENSOR_DATA: &str = r#"{"data":[{"Ia":1.0},{"Ia":1.1}],"sampling_rate":8000}"#;
const FILE: &str = "--x\r\ncontent-disposition: form-data; name=\"sampling_rate\"\r\n\r\n8000\r\n\
    --x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\ncontent-type: text/csv\r\n\r\nIa\r\n1\r\n2\r\n\
    --x--\r\n";
const PASSWORD: &str = "correct horse battery staple";

/// A route and a call of it.
pub struct Route {
    /// How it is called.
    pub method: Method,
    /// As the gateway's document has it.
    pub path: &'static str,
    /// Who may.
    pub allowed: BTreeSet<char>,
    query: &'static str,
    body: &'static str,
}

/// All of them.
///
/// # Panics
/// When the table is not one.
pub fn all() -> Vec<Route> {
    let read = |line: &'static str| {
        let mut columns = line.splitn(3, '|').map(str::trim);
        let (call, allowed, body) = (columns.next()?, columns.next()?, columns.next()?);
        let (method, url) = call.split_once(' ')?;
        let (path, query) = url.trim().split_once('?').unwrap_or((url.trim(), ""));
        let allowed = allowed.split_whitespace().filter_map(|name| name.chars().next()).collect();
        Some(Route { method: method.parse().ok()?, path, allowed, query, body })
    };
    MATRIX.trim().lines().map(|line| read(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

impl Route {
    /// The call for a vehicle, without a credential.
    pub fn call(&self, client: &Client, gateway: &str, vehicle: &str) -> RequestBuilder {
        let path = self.path.replace("{vehicle_id}", vehicle).replace("{model}", "m");
        let request = client.request(self.method.clone(), format!("{gateway}{path}?{}", self.query));
        match self.body {
            "" => request,
            "FILE" => request.header(header::CONTENT_TYPE, "multipart/form-data; boundary=x").body(FILE),
            "UPGRADE" => request
                .header(header::CONNECTION, "upgrade")
                .header(header::UPGRADE, "websocket")
                .header(header::SEC_WEBSOCKET_VERSION, "13")
                .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
            body => {
                let body = body.replace("SENSOR_DATA", SENSOR_DATA).replace("{vehicle_id}", vehicle);
                request.header(header::CONTENT_TYPE, "application/json").body(body)
            }
        }
    }
}

/// Adds the person who logs in.
///
/// # Panics
/// When they cannot be added.
pub fn add_user(cluster: &Cluster) {
    let url = cluster.urls.get("vtox").unwrap_or(&cluster.url);
    let mut child = Command::new(program("vtox"))
        .args(["user", "add", "alice", "--role", "viewer"])
        .env("REDIS_URL", url)
        .envs(cluster.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .spawn()
        .expect("vtox");
    child.stdin.take().expect("a pipe").write_all(PASSWORD.as_bytes()).expect("a pipe");
    assert!(child.wait().expect("vtox").success());
}

/// Holds the lease of a supervisor, as `vtox up` does: without one the workers cannot be started and stopped. Starts and stops
/// nothing. Ends with the runtime.
///
/// # Panics
/// When Redis does not answer, or somebody else holds it.
pub async fn supervise(cluster: &Cluster) {
    let switchboard = vtox_registry::Switchboard::new(cluster.connection().await);
    let supervisor = vtox_protocol::Supervisor { id: "test".to_owned(), mode: "development".to_owned() };
    assert!(switchboard.supervise(&supervisor).await.expect("Redis"), "somebody else supervises");
    tokio::spawn(async move {
        while switchboard.supervise(&supervisor).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    });
}
