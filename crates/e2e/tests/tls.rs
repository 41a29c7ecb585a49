//! The gateway over HTTPS: only over it, never with less than TLS 1.2, with a certificate that is renewed while it runs.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use vtox_e2e::credentials::text;
use vtox_e2e::{Cluster, ONE_AT_A_TIME, eventually};

/// A renewed certificate is looked for every 10 s.
const RENEWAL: Duration = Duration::from_secs(15);
/// How long a handshake may take here, s.
const HANDSHAKE_S: u64 = 2;

/// A CA, and the files of a gateway.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    roots: RootCertStore,
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.distinguished_name.push(DnType::CommonName, "test CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(ca.self_signed(&key).unwrap().der().clone()).unwrap();
        Self { issuer: Issuer::new(ca, key), roots, directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Signs a certificate for 127.0.0.1 with a key of its own: both in PEM form.
    fn sign(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Puts them where a gateway looks; the certificate as a client sees it.
    fn install(&self, (certificate, key): &(String, String)) -> CertificateDer<'static> {
        std::fs::write(self.path("key.pem"), key).unwrap();
        std::fs::write(self.path("chain.pem"), certificate).unwrap();
        CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()
    }

    fn connector(&self) -> TlsConnector {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }
}

/// A gateway with these files.
fn gateway(certificate: &Path, key: &Path) -> Cluster {
    let mut cluster = Cluster::new(&[], &[]);
    let environment = [
        ("VTOX_GATEWAY__TLS_CERTIFICATE", text(certificate)),
        ("VTOX_GATEWAY__TLS_KEY", text(key)),
        ("VTOX_GATEWAY__HEADER_TIMEOUT_S", &HANDSHAKE_S.to_string()),
    ];
    cluster.add("gateway", "vtox-gateway", "VTOX_GATEWAY__PORT", &environment);
    cluster
}

async fn connect(authority: &Authority, address: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    authority.connector().connect("127.0.0.1".try_into().unwrap(), stream).await
}

/// The certificate that a connection was opened with.
fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// The head of the answer to a request on an open connection.
async fn get(stream: &mut TlsStream<TcpStream>, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while !answer.windows(4).any(|w| w == b"\r\n\r\n") {
        let count = stream.read(&mut piece).await.unwrap();
        assert!(count > 0, "closed within {answer:?}");
        answer.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Everything that comes back for these bytes until the other end closes, and after how long it did.
fn answer_to(address: &str, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let began = Instant::now();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
    (answer, began.elapsed())
}

/// A ClientHello of at most this version (3, minor): one suite (ECDHE with ECDSA, AES-128 and SHA-256), one group (P-256), one
/// signature (ECDSA of P-256 with SHA-256).
fn client_hello(minor: u8) -> Vec<u8> {
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    body.extend([0, 16, 0, 10, 0, 4, 0, 2, 0, 0x17, 0, 13, 0, 4, 0, 2, 4, 3]);
    let handshake = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[0x16, 3, 1, 0, handshake.len() as u8][..], &handshake].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_tls_of_today_is_spoken_and_nobody_is_waited_for() {
    let _one = ONE_AT_A_TIME.lock().await;
    let authority = Authority::new();
    let certificate = authority.install(&authority.sign());
    let mut cluster = gateway(&authority.path("chain.pem"), &authority.path("key.pem"));
    let address = format!("127.0.0.1:{}", cluster.service("gateway").port);
    eventually(Duration::from_secs(20), "HTTPS", async || match connect(&authority, &address).await {
        Ok(mut stream) => get(&mut stream, "/ready").await.starts_with("HTTP/1.1 200"),
        Err(_) => false,
    })
    .await;
    let mut stream = connect(&authority, &address).await.unwrap();
    assert_eq!(shown(&stream), certificate);
    let answer = get(&mut stream, "/api/v1/diagnosis-stream/fault-types").await;
    assert!(answer.starts_with("HTTP/1.1 200"));
    assert!(answer.contains("strict-transport-security: max-age=31536000"), "{answer}");

    let (plain, _) = answer_to(&address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(!plain.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&plain));
    assert!(plain.len() <= 7, "more than an alert: {plain:?}");
    let (hello, _) = answer_to(&address, &client_hello(3));
    assert_eq!((hello[0], hello[5]), (0x16, 2), "a ServerHello for TLS 1.2: {hello:?}");
    // SSL 3.0, TLS 1.0 and TLS 1.1: the fatal alert protocol_version (70), RFC 8446 section 6.2.
    for minor in 0..=2 {
        let (alert, _) = answer_to(&address, &client_hello(minor));
        assert_eq!((alert[0], &alert[5..]), (0x15, &[2, 70][..]), "3.{minor}: {alert:?}");
    }
    // Who says nothing, half a record, or nothing after the handshake.
    let limit = Duration::from_secs(HANDSHAKE_S);
    for opening in [&b""[..], &client_hello(3)[..20], b"\x16\x03\x01\x40\x00"] {
        let (answer, took) = answer_to(&address, opening);
        assert!(took >= limit.mul_f64(0.9) && took < 2 * limit, "{opening:?}: {took:?}, {answer:?}");
    }
    let mut silent = connect(&authority, &address).await.unwrap();
    let began = Instant::now();
    drop(tokio::time::timeout(4 * limit, silent.read_to_end(&mut Vec::new())).await.expect("an end"));
    assert!(began.elapsed() < 3 * limit, "{:?}", began.elapsed());
    assert!(
        get(&mut connect(&authority, &address).await.unwrap(), "/health").await.starts_with("HTTP/1.1 200")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_taken_into_use_and_a_broken_one_is_not() {
    let _one = ONE_AT_A_TIME.lock().await;
    let authority = Authority::new();
    let first = authority.install(&authority.sign());
    let mut cluster = gateway(&authority.path("chain.pem"), &authority.path("key.pem"));
    let address = format!("127.0.0.1:{}", cluster.service("gateway").port);
    let serves = async |expected: &CertificateDer<'static>| {
        connect(&authority, &address).await.is_ok_and(|stream| shown(&stream) == *expected)
    };
    eventually(Duration::from_secs(20), "HTTPS", async || serves(&first).await).await;

    let renewed = authority.sign();
    let second = authority.install(&renewed);
    eventually(RENEWAL, "the renewed certificate", async || serves(&second).await).await;

    // A certificate that is cut off, then one whose key is another's.
    for (chain, key, why) in [
        (
            renewed.0[..renewed.0.len() / 2].to_owned(),
            renewed.1.clone(),
            "must be a PEM file with certificates",
        ),
        (renewed.0.clone(), authority.sign().1, "do not belong together"),
    ] {
        std::fs::write(authority.path("key.pem"), key).unwrap();
        std::fs::write(authority.path("chain.pem"), chain).unwrap();
        eventually(RENEWAL, why, async || {
            let log = cluster.service("gateway").log();
            log.lines().any(|l| l.contains("WARN") && l.contains("cannot be used") && l.contains(why))
        })
        .await;
        assert!(serves(&second).await, "the certificate before is kept");
    }
    // The key alone is put right.
    std::fs::write(authority.path("key.pem"), &renewed.1).unwrap();
    let third = authority.install(&authority.sign());
    eventually(RENEWAL, "the next certificate", async || serves(&third).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_used_is_said_at_the_start() {
    let _one = ONE_AT_A_TIME.lock().await;
    let authority = Authority::new();
    let good = authority.sign();
    authority.install(&good);
    let (chain, key) = (authority.path("chain.pem"), authority.path("key.pem"));
    let (empty, other, absent) =
        (authority.path("empty"), authority.path("other.pem"), authority.path("absent"));
    std::fs::write(&empty, "").unwrap();
    std::fs::write(&other, authority.sign().1).unwrap();
    for (chain, key, why) in [
        (&absent, &key, "gateway.tls_certificate"),
        (&empty, &key, "gateway.tls_certificate"),
        (&key, &chain, "gateway.tls_certificate"),
        (&chain, &absent, "gateway.tls_key"),
        (&chain, &empty, "gateway.tls_key"),
        (&chain, &other, "do not belong together"),
        (&chain, &PathBuf::new(), "set both, or neither"),
    ] {
        let mut cluster = gateway(chain, key);
        let status = cluster.service("gateway").ended(Duration::from_secs(5)).await;
        let log = cluster.service("gateway").log();
        assert_eq!(status.code(), Some(64), "{chain:?} {key:?}: {log}");
        assert!(log.contains(why), "{chain:?} {key:?}: {log}");
    }
}
