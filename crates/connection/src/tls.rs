//! Redis behind TLS: `rediss://`.

use std::path::{Path, PathBuf};

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError,
    RedisResult, TlsCertificates,
};

/// Files in PEM form for connections to Redis over TLS.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// Certificate of the CA that signed Redis' own; none: the public CAs.
    pub ca: Option<PathBuf>,
    /// Our certificate, with those between it and its CA, where Redis wants one; `client_key` goes with it.
    pub client_cert: Option<PathBuf>,
    /// Key of `client_cert`.
    pub client_key: Option<PathBuf>,
}

/// The content of the files.
#[derive(Clone)]
pub(crate) struct Tls(TlsCertificates);

impl Tls {
    pub(crate) fn read(files: &TlsFiles) -> RedisResult<Self> {
        let root_cert = files.ca.as_deref().map(|path| read_pem(path, "CERTIFICATE")).transpose()?;
        let client_tls = match (&files.client_cert, &files.client_key) {
            (Some(cert), Some(key)) => Some(ClientTlsConfig {
                client_cert: read_pem(cert, "CERTIFICATE")?,
                client_key: read_pem(key, "PRIVATE KEY")?,
            }),
            (None, None) => None,
            _ => return Err(unusable("redis.client_cert and redis.client_key go together; set both", "")),
        };
        Ok(Self(TlsCertificates { client_tls, root_cert }))
    }

    fn is_empty(&self) -> bool {
        self.0.client_tls.is_none() && self.0.root_cert.is_none()
    }

    /// What a URL of one server says, with the certificates where it is one of TLS.
    pub(crate) fn connection_info(&self, url: &str) -> RedisResult<ConnectionInfo> {
        let info = url.into_connection_info()?;
        // The library would name itself to Redis with a command that users of ours may not run.
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        let info = info.set_redis_settings(settings);
        if !is_tls(&info) {
            return if self.is_empty() {
                Ok(info)
            } else {
                Err(unusable("certificates are set, but redis.url does not begin with rediss://", ""))
            };
        }
        // Only the first call of a process has an effect; any other provider that is there serves as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        Ok(Client::build_with_tls(info, self.0.clone())?.get_connection_info().clone())
    }
}

pub(crate) fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

/// The same connection to another address.
pub(crate) fn moved_to(info: ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let address = match info.addr().clone() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure, tls_params }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.set_addr(address)
}

fn read_pem(path: &Path, kind: &str) -> RedisResult<Vec<u8>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        unusable("a file for TLS cannot be read", &format!("{}: {error}", path.display()))
    })?;
    // Also "BEGIN EC PRIVATE KEY" and the like.
    if text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(kind)) {
        return Ok(text.into_bytes());
    }
    Err(unusable(
        "a file for TLS is not what it should be",
        &format!("no {kind} in PEM form in {}", path.display()),
    ))
}

fn unusable(what: &'static str, detail: &str) -> RedisError {
    (ErrorKind::InvalidClientConfig, what, detail.to_owned()).into()
}

/// What to do about an error of connecting, or of the first command; none where the error says it.
pub(crate) fn advice(error: &RedisError, encrypted: bool) -> Option<&'static str> {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return Some("correct user and password in redis.url, or add the user to Redis' ACL file");
    }
    match error.code() {
        Some("NOAUTH") => {
            return Some("put user and password into redis.url: redis://USER:PASSWORD@HOST:PORT");
        }
        Some("NOPERM") => return Some("give this user what deploy/redis/users.acl gives it"),
        _ => {}
    }
    let text = error.to_string();
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if has(&["UnknownIssuer", "BadSignature"]) {
        Some("set redis.ca_file to the certificate of the CA that signed Redis' own")
    } else if has(&["not valid for name", "NotValidForName"]) {
        Some("name Redis in redis.url as its certificate does, or give it one with this name")
    } else if has(&["certificate expired", "Expired", "not valid yet", "NotValidYet"]) {
        Some("renew the certificate of Redis, or set this machine's clock")
    } else if has(&["CertificateRequired", "certificate required", "HandshakeFailure"]) {
        Some("set redis.client_cert and redis.client_key: Redis wants a certificate of its clients")
    } else if has(&["UnknownCA", "unknown ca", "BadCertificate", "DecryptError"]) {
        Some("Redis does not know the CA of redis.client_cert; add it to Redis' tls-ca-cert-file")
    } else if encrypted && has(&["timed out", "InvalidContentType", "corrupt message"]) {
        Some("if this port does not speak TLS, begin redis.url with redis://, or name the TLS port")
    } else if !encrypted && has(&["reset by peer", "broken pipe", "Broken pipe", "end of file"]) {
        Some("if this port expects TLS, begin redis.url with rediss://")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let missing = TlsFiles { ca: Some("/no/such/ca.pem".into()), ..TlsFiles::default() };
        let error = Tls::read(&missing).err().unwrap().to_string();
        assert!(error.contains("/no/such/ca.pem"), "{error}");
        // Tests run in the folder of their package.
        let source = Some("src/tls.rs".into());
        let no_pem = TlsFiles { ca: source.clone(), ..TlsFiles::default() };
        assert!(Tls::read(&no_pem).err().unwrap().to_string().contains("no CERTIFICATE"));
        let alone = TlsFiles { client_cert: source, ..TlsFiles::default() };
        assert!(Tls::read(&alone).err().unwrap().to_string().contains("go together"));
    }

    #[test]
    fn a_url_of_tls_keeps_its_certificates_when_the_primary_moves() {
        let tls = Tls::read(&TlsFiles::default()).unwrap();
        let info = tls.connection_info("rediss://user:secret@a:1/2").unwrap();
        let moved = moved_to(info, "b".to_owned(), 7);
        assert!(matches!(
            moved.addr(),
            ConnectionAddr::TcpTls { host, port: 7, insecure: false, tls_params: Some(_) } if host == "b"
        ));
        assert_eq!((moved.redis_settings().username(), moved.redis_settings().db()), (Some("user"), 2));
        let plain = moved_to(tls.connection_info("redis://a").unwrap(), "b".to_owned(), 7);
        assert_eq!(plain.addr(), &ConnectionAddr::Tcp("b".to_owned(), 7));
    }
}
