//! Certificates of a test's own.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use vtox_e2e::credentials::text;

/// A CA, and what it signed: for Redis and for its clients. All in PEM form.
pub struct Certificates {
    pub ca: PathBuf,
    pub server_cert: PathBuf,
    pub server_key: PathBuf,
    pub client_cert: PathBuf,
    pub client_key: PathBuf,
    _directory: tempfile::TempDir,
}

impl Certificates {
    pub fn new() -> Self {
        Self::of("127.0.0.1")
    }

    /// Settings of a service that shows its certificate.
    pub fn of_clients(&self) -> [(&str, &str); 3] {
        [
            ("VTOX_REDIS__CA_FILE", text(&self.ca)),
            ("VTOX_REDIS__CLIENT_CERT", text(&self.client_cert)),
            ("VTOX_REDIS__CLIENT_KEY", text(&self.client_key)),
        ]
    }

    /// The servers' certificate names this host alone.
    pub fn of(host: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str, pem: &str| write(directory.path(), name, pem);
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.distinguished_name.push(DnType::CommonName, "test CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca_file = at("ca.pem", &ca.self_signed(&ca_key).unwrap().pem());
        let issuer = Issuer::new(ca, ca_key);
        let sign = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new([name.to_owned()]).unwrap();
            (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
        };
        let (server_cert, server_key) = sign(host);
        let (client_cert, client_key) = sign("vtox");
        Self {
            ca: ca_file,
            server_cert: at("server.pem", &server_cert),
            server_key: at("server.key", &server_key),
            client_cert: at("client.pem", &client_cert),
            client_key: at("client.key", &client_key),
            _directory: directory,
        }
    }
}

fn write(directory: &Path, name: &str, pem: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, pem).unwrap();
    path
}
