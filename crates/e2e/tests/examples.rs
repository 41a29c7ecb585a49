//! Every example of the document, sent as the document says: what people copy from /docs works.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde_json::{Map, Value};
use vtox_e2e::credentials::{keys, text};
use vtox_e2e::{Cluster, ONE_AT_A_TIME, eventually, program};

const BINARY: &str = "application/msgpack";

/// An operation of the document.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    said: &'a Value,
}

impl<'a> Operation<'a> {
    /// Those that are no WebSockets, in an order in which what one asks for another has made.
    fn all(document: &'a Value) -> Vec<Self> {
        let paths = document["paths"].as_object().unwrap();
        let of = |wanted: &'static str| {
            paths
                .iter()
                .filter(|(path, _)| !path.starts_with("/ws/"))
                .filter_map(move |(path, item)| Some(Self { method: wanted, path, said: item.get(wanted)? }))
        };
        ["put", "post", "get", "delete"].into_iter().flat_map(of).collect()
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The path with the examples of its parameters.
    fn url(&self, gateway: &str) -> String {
        let mut path = self.path.to_owned();
        for parameter in
            self.said["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "path")
        {
            let name = parameter["name"].as_str().unwrap();
            let example = parameter["example"].as_str();
            let example = example.unwrap_or_else(|| panic!("{}: {name} has no example", self.name()));
            path = path.replace(&format!("{{{name}}}"), example);
        }
        format!("{gateway}{path}")
    }

    /// Media types with the names and values of their examples.
    fn bodies(&self) -> Vec<(&'a str, &'a Map<String, Value>)> {
        let content = self.said["requestBody"]["content"].as_object();
        let textual = content.into_iter().flatten().filter(|(media, _)| *media != BINARY);
        let examples = textual.map(|(media, content)| {
            let examples = content["examples"].as_object().filter(|e| !e.is_empty());
            (media.as_str(), examples.unwrap_or_else(|| panic!("{}: no example in {media}", self.name())))
        });
        examples.collect()
    }

    /// Sends it; the answer must be a documented success.
    async fn send(&self, gateway: &str, media: Option<&str>, example: &Value) -> Value {
        let request =
            reqwest::Client::new().request(self.method.to_uppercase().parse().unwrap(), self.url(gateway));
        let request = match media {
            None => request,
            Some(media @ "multipart/form-data") => {
                request.header(CONTENT_TYPE, format!("{media}; boundary=x")).body(form(example))
            }
            Some(media) => {
                let body = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
                request.header(CONTENT_TYPE, media).body(body)
            }
        };
        let answer = request.send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        let documented = &self.said["responses"][status.as_str()];
        assert!(
            status.is_success() && documented.is_object(),
            "{} as {media:?}: {status} {body}",
            self.name()
        );
        let said: Value = serde_json::from_str(&body).unwrap_or_default();
        self.compare(documented, &said);
        said
    }

    /// The example of the answer has the names that the answer has.
    fn compare(&self, documented: &Value, said: &Value) {
        let Some(content) = documented["content"].get("application/json") else { return };
        let example = content.get("example").unwrap_or_else(|| panic!("{}: no example", self.name()));
        for at in ["", "/data"] {
            let names = |value: &Value| -> Vec<String> {
                value
                    .pointer(at)
                    .and_then(Value::as_object)
                    .map(|o| o.keys().cloned().collect())
                    .unwrap_or_default()
            };
            let actual = names(said);
            // Sets by name: which names they have is data.
            if at == "/data" && self.path.starts_with("/api/v1/motors/") {
                continue;
            }
            for name in names(example) {
                assert!(actual.contains(&name), "{}: {name:?} is in the example, not in {said}", self.name());
            }
        }
    }
}

/// The members of an object as the fields of a form.
fn form(example: &Value) -> String {
    let mut text = String::new();
    for (name, value) in example.as_object().unwrap() {
        let file = if name == "file" { "; filename=\"table.csv\"" } else { "" };
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        write!(text, "--x\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n")
            .unwrap();
    }
    text + "--x--\r\n"
}

/// The verdicts that are more than "there is too little to say".
fn judged<'a>(verdicts: impl Iterator<Item = &'a Value>) -> usize {
    verdicts.filter(|v| v["status"] == "normal").count()
}

/// A cluster that knows the user of the example, and its keys for tokens.
async fn cluster() -> (Cluster, tempfile::TempDir) {
    let mut cluster = Cluster::new(&[], &[]);
    let keys = keys(&cluster);
    cluster.environment.push(("VTOX_AUTH__KEYS_DIR".to_owned(), text(keys.path()).to_owned()));
    cluster.add_all(&["all"]).await;
    (cluster, keys)
}

fn add_user(cluster: &Cluster, login: &Value) {
    let mut child = Command::new(program("vtox"))
        .args(["user", "add", login["username"].as_str().unwrap(), "--role", "operator"])
        .env("REDIS_URL", &cluster.url)
        .stdin(Stdio::piped())
        .spawn()
        .expect("vtox");
    let password = login["password"].as_str().unwrap();
    child.stdin.take().expect("a pipe").write_all(password.as_bytes()).expect("a pipe");
    assert!(child.wait().expect("vtox").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_answered_as_documented() {
    let _one = ONE_AT_A_TIME.lock().await;
    let (mut cluster, _keys) = cluster().await;
    let gateway = cluster.gateway();
    let document: Value =
        reqwest::get(format!("{gateway}/openapi.json")).await.unwrap().json().await.unwrap();
    for path in ["/health", "/ready", "/metrics"] {
        assert!(document["paths"][path]["get"].is_object(), "{path} is not in the document");
    }
    let login = "/paths/~1auth~1token/post/requestBody/content/application~1json/examples";
    let login = document.pointer(login).and_then(Value::as_object).expect("examples of a login");
    add_user(&cluster, &login.values().next().unwrap()["value"]);
    tokio::time::sleep(Duration::from_secs(2)).await;

    let operations = Operation::all(&document);
    let tasks = operations.iter().find(|o| o.path == "/api/v1/cluster/tasks").expect("tasks");
    let (_, task) = tasks.bodies().into_iter().find(|(media, _)| *media == "application/json").expect("JSON");
    let task = &task.values().next().expect("an example")["value"];
    eventually(Duration::from_secs(10), "tasks to be served", async || {
        reqwest::Client::new().post(tasks.url(&gateway)).json(task).send().await.unwrap().status() == 200
    })
    .await;
    let mut sent = 0;
    for operation in &operations {
        for (media, examples) in operation.bodies() {
            for example in examples.values() {
                let answer = operation.send(&gateway, Some(media), &example["value"]).await;
                sent += 1;
                let name = operation.name();
                // A detector can use what is shown, and a batch is taken whole.
                if let Some(verdicts) = answer["verdicts"].as_object() {
                    assert!(judged(verdicts.values()) > 0, "{name} as {media}: {answer}");
                }
                assert!(answer["rejected"].is_null() || answer["rejected"] == 0, "{name}: {answer}");
            }
        }
    }
    assert!(sent > 15, "{sent} examples");

    let vehicle = operations.iter().find(|o| o.path.ends_with("/diagnosis-history")).expect("a history");
    eventually(Duration::from_secs(10), "a verdict on the vehicle of the examples", async || {
        let answer: Value = reqwest::get(vehicle.url(&gateway)).await.unwrap().json().await.unwrap();
        answer["data"]["diagnosis_history"].as_array().is_some_and(|records| judged(records.iter()) > 1)
    })
    .await;
    for operation in operations.iter().filter(|o| ["get", "delete"].contains(&o.method)) {
        operation.send(&gateway, None, &Value::Null).await;
    }
}
