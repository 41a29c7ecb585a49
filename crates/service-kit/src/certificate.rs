//! The certificate of HTTPS, taken into use again when its file changes.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

const LOOK: Duration = Duration::from_secs(10);

/// A configuration that follows the files until `soft` is cancelled. A renewed certificate that cannot be used is not.
pub fn watched(
    certificate: &str,
    key: &str,
    soft: CancellationToken,
) -> anyhow::Result<Arc<RwLock<Arc<ServerConfig>>>> {
    // Before they are read: what changes meanwhile is read again.
    let mut seen = modified(certificate, key);
    let config = Arc::new(RwLock::new(Arc::new(read(certificate, key)?)));
    let (shared, certificate, key) = (config.clone(), certificate.to_owned(), key.to_owned());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = soft.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let now = modified(&certificate, &key);
            if now == seen {
                continue;
            }
            match read(&certificate, &key) {
                Ok(renewed) => {
                    *shared.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(renewed);
                    seen = now;
                    tracing::info!(certificate, "the certificate was renewed");
                }
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "the renewed certificate cannot be used");
                }
            }
        }
    });
    Ok(config)
}

/// Reads a certificate chain and its private key.
///
/// # Errors
/// When the files are no certificate and key that belong together.
pub fn read(certificate: &str, key: &str) -> anyhow::Result<ServerConfig> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).with_context(|| {
            format!("gateway.tls_certificate {certificate} must be a PEM file with certificates")
        })?;
    anyhow::ensure!(
        !chain.is_empty(),
        "gateway.tls_certificate {certificate} has no certificate in PEM form"
    );
    let secret = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("gateway.tls_key {key} must be a PEM file with a private key"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .with_context(|| format!("{certificate} and {key} do not belong together"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn modified(certificate: &str, key: &str) -> [Option<SystemTime>; 2] {
    [certificate, key].map(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok())
}
