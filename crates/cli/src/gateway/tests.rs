use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};
use vtox_service_kit::config;

use super::*;

fn gateway(token: Option<&str>) -> anyhow::Result<Gateway> {
    Gateway::new("http://gateway:8000/", Http::new(public_cas()?), token, Role::Operator)
}

#[test]
fn a_token_is_a_bearer_token_and_does_not_show() {
    let headers = |token| gateway(token).unwrap().request(Method::GET, "/").headers_ref().unwrap().clone();
    let request = headers(Some(" abc\n"));
    assert_eq!(request[AUTHORIZATION], "Bearer abc");
    assert!(!format!("{request:?}").contains("abc"));
    assert!(headers(Some("")).is_empty());
    let error = gateway(Some("a\nsecret")).err().unwrap().to_string();
    assert!(error.contains("VTOX_TOKEN") && !error.contains("secret"), "{error}");
}

#[test]
fn a_refusal_says_what_to_do_where_a_credential_is_missing() {
    let gateway = gateway(None).unwrap();
    let body = br#"{"detail":"this path needs a token"}"#;
    assert_eq!(
        gateway.refusal(StatusCode::UNAUTHORIZED, body).to_string(),
        "http://gateway:8000 answers 401 Unauthorized: this path needs a token. Give it an API key of role operator: \
         export VTOX_TOKEN=$(vtox token issue --role operator --expires 12h)"
    );
    assert_eq!(
        gateway.refusal(StatusCode::BAD_GATEWAY, b"<html>").to_string(),
        "http://gateway:8000 answers 502 Bad Gateway: no reason given"
    );
}

/// A certificate chain and its key, in PEM form.
struct Identity {
    certificate: String,
    key: String,
}

impl Identity {
    /// One that signed itself.
    fn self_signed(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    fn server_config(&self) -> Arc<ServerConfig> {
        let chain =
            CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Arc::new(config.with_single_cert(chain, key).unwrap())
    }
}

fn for_localhost() -> CertificateParams {
    CertificateParams::new(["localhost".to_owned()]).unwrap()
}

fn exchange(stream: &mut (impl Read + Write)) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 16])?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
}

/// Answers `{}` to everyone; over TLS, unless it has no identity, which may change.
struct Server {
    port: u16,
    identity: Arc<Mutex<Option<Identity>>>,
}

impl Server {
    fn start(identity: Option<Identity>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let identity = Arc::new(Mutex::new(identity));
        let shown = identity.clone();
        std::thread::spawn(move || {
            for mut socket in listener.incoming().map_while(Result::ok) {
                let tls = shown.lock().unwrap().as_ref().map(Identity::server_config);
                // Clients that trust it not hang up.
                drop(match tls {
                    None => exchange(&mut socket),
                    Some(config) => {
                        let mut session = ServerConnection::new(config).unwrap();
                        exchange(&mut Stream::new(&mut session, &mut socket))
                    }
                });
            }
        });
        Self { port, identity }
    }

    fn gateway(&self, url: &str, tls: rustls::ClientConfig) -> anyhow::Result<Gateway> {
        Gateway::new(&format!("{url}:{}", self.port), Http::new(tls), None, Role::Viewer)
    }

    /// What a command gets that trusts these.
    async fn ask(&self, url: &str, tls: rustls::ClientConfig) -> anyhow::Result<Value> {
        self.gateway(url, tls)?.get("/").await
    }

    /// Why it gets nothing, which a WebSocket says as well.
    async fn refusal(&self, url: &str, tls: rustls::ClientConfig) -> anyhow::Error {
        let gateway = self.gateway(url, tls).unwrap();
        let error = gateway.get("/").await.unwrap_err();
        let of_websocket = gateway.websocket("/").await.unwrap_err();
        assert_eq!(
            (of_websocket.to_string(), is_final(&of_websocket)),
            (error.to_string(), is_final(&error))
        );
        error
    }
}

fn trusted(certificate: &str) -> rustls::ClientConfig {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate).unwrap();
    trust::only_those_in(file.path()).unwrap()
}

#[tokio::test]
async fn a_private_ca_is_trusted_when_it_is_named() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap().pem();
    let other = Identity::self_signed(&params).certificate;
    let (issuer, key) = (Issuer::new(params, ca_key), KeyPair::generate().unwrap());
    let certificate = for_localhost().signed_by(&key, &issuer).unwrap().pem();
    let server = Server::start(Some(Identity { certificate, key: key.serialize_pem() }));
    assert_eq!(server.ask("https://localhost", trusted(&ca)).await.unwrap(), serde_json::json!({}));
    for refused in [trusted(&other), public_cas().unwrap()] {
        let error = server.refusal("https://localhost", refused).await;
        assert!(is_final(&error) && error.to_string().contains("give --ca-file FILE"), "{error:#}");
    }
    let error = server.refusal("https://127.0.0.1", trusted(&ca)).await;
    assert!(is_final(&error) && error.to_string().contains("name it in --gateway"), "{error:#}");
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_for_its_name_and_time() {
    // What `openssl req -x509` makes is also a CA.
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut params = for_localhost();
        params.is_ca = is_ca;
        let identity = Identity::self_signed(&params);
        let (own, another) = (identity.certificate.clone(), Identity::self_signed(&params).certificate);
        let server = Server::start(Some(identity));
        server.ask("https://localhost", trusted(&own)).await.unwrap();
        let error = server.refusal("https://localhost", trusted(&another)).await;
        assert!(is_final(&error) && error.to_string().contains("give --ca-file FILE"), "{error:#}");
        let error = server.refusal("https://127.0.0.1", trusted(&own)).await;
        assert!(is_final(&error) && error.to_string().contains("name it in --gateway"), "{error:#}");

        params.not_after = date_time_ymd(2020, 1, 1);
        let expired = Identity::self_signed(&params);
        let own = expired.certificate.clone();
        let error = Server::start(Some(expired)).refusal("https://localhost", trusted(&own)).await;
        assert!(is_final(&error) && error.to_string().contains("renew its certificate"), "{error:#}");
    }
}

#[tokio::test]
async fn on_this_machine_the_certificate_of_the_settings_is_trusted_for_any_name_also_when_renewed() {
    let identity =
        || Identity::self_signed(&CertificateParams::new(["fleet.example.com".to_owned()]).unwrap());
    let first = identity();
    let file = tempfile::NamedTempFile::new().unwrap();
    let install = |identity: &Identity| std::fs::write(file.path(), &identity.certificate).unwrap();
    install(&first);
    let server = Server::start(Some(first));
    let settings = settings(file.path(), server.port);
    let gateway = Gateway::local(&settings, None, Role::Viewer).unwrap();
    assert_eq!(gateway.websocket_url(), format!("wss://127.0.0.1:{}", server.port));
    gateway.get("/").await.unwrap();
    let renewed = identity();
    install(&renewed);
    gateway.get("/").await.expect("the gateway shows the first one for a while");
    *server.identity.lock().unwrap() = Some(renewed);
    gateway.get("/").await.unwrap();
    *server.identity.lock().unwrap() = Some(identity());
    let error = gateway.get("/").await.unwrap_err();
    assert!(!is_final(&error) && error.to_string().contains("gateway.tls_certificate"), "{error:#}");
}

fn settings(certificate: &Path, port: u16) -> Settings {
    let certificate = certificate.to_str().unwrap().to_owned();
    let environment = [
        ("VTOX_GATEWAY__PORT", port.to_string()),
        ("VTOX_GATEWAY__TLS_KEY", certificate.clone()),
        ("VTOX_GATEWAY__TLS_CERTIFICATE", certificate),
    ];
    config::load(None, environment.map(|(name, value)| (name.to_owned(), value))).unwrap()
}

#[tokio::test]
async fn a_wrong_scheme_is_named() {
    let identity = Identity::self_signed(&for_localhost());
    let server = Server::start(Some(identity));
    let error = server.refusal("http://localhost", public_cas().unwrap()).await;
    assert!(error.to_string().contains("where it speaks HTTPS"), "{error:#}");
    let error = Server::start(None).refusal("https://localhost", public_cas().unwrap()).await;
    assert!(error.to_string().contains("begin --gateway with http://"), "{error:#}");
    let error = server.gateway("localhost", public_cas().unwrap()).err().unwrap();
    assert!(error.to_string().contains("must begin with http:// or https://"), "{error:#}");
}
