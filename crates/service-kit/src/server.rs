//! The HTTP server: bounded connections, a deadline for headers, optional TLS.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum_server::Handle;
use axum_server::accept::{Accept, NoDelayAcceptor};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower_http::add_extension::AddExtension;

/// What a listener allows.
#[derive(Debug, Clone)]
pub struct Listening {
    /// Connections at the same time; more are closed at once.
    pub max_connections: usize,
    /// How long the head of a request may take, and how long a connection may be idle.
    pub header_timeout: Duration,
    /// Certificate chain and private key, PEM files; none: plain HTTP.
    pub tls: Option<(String, String)>,
}

/// Serves until `soft` is cancelled and the requests that have begun are answered.
pub async fn serve(
    listener: TcpListener,
    listening: Listening,
    router: Router,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let handle = Handle::<SocketAddr>::new();
    let stop = handle.clone();
    tokio::spawn(async move {
        soft.cancelled().await;
        stop.graceful_shutdown(None);
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let limited = Limited(Arc::new(Semaphore::new(listening.max_connections)));
    // HTTP/1.1 alone: detecting HTTP/2 reads a preface without a deadline. `acceptor` must come later: it allows upgrades again.
    let mut server = axum_server::Server::from_listener(listener).http1_only().handle(handle);
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(listening.header_timeout);
    let ended = match listening.tls {
        None => server.acceptor(limited).serve(service).await,
        Some((certificate, key)) => {
            let config = tls_config(&certificate, &key).await?;
            server.acceptor(RustlsAcceptor::new(config).acceptor(limited)).serve(service).await
        }
    };
    ended.context("the HTTP server ended")
}

async fn tls_config(certificate: &str, key: &str) -> anyhow::Result<RustlsConfig> {
    // The first caller installs it for the process.
    drop(rustls::crypto::ring::default_provider().install_default());
    let config = RustlsConfig::from_pem_file(certificate, key).await.with_context(|| {
        format!("gateway.tls_certificate {certificate} and gateway.tls_key {key} must be PEM files that belong together")
    })?;
    let mut plain = (*config.get_inner()).clone();
    plain.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.reload_from_config(Arc::new(plain));
    watch_certificate(config.clone(), certificate.to_owned(), key.to_owned());
    Ok(config)
}

const CERTIFICATE_LOOK: Duration = Duration::from_secs(30);

/// Takes a renewed certificate into use without a restart.
fn watch_certificate(config: RustlsConfig, certificate: String, key: String) {
    tokio::spawn(async move {
        let mut seen = modified(&certificate);
        loop {
            tokio::time::sleep(CERTIFICATE_LOOK).await;
            let now = modified(&certificate);
            if now == seen {
                continue;
            }
            match RustlsConfig::from_pem_file(&certificate, &key).await {
                Ok(renewed) => {
                    let mut inner = (*renewed.get_inner()).clone();
                    inner.alpn_protocols = vec![b"http/1.1".to_vec()];
                    config.reload_from_config(Arc::new(inner));
                    seen = now;
                    tracing::info!(certificate, "the certificate was renewed");
                }
                Err(error) => tracing::warn!(certificate, %error, "the renewed certificate cannot be used"),
            }
        }
    });
}

fn modified(path: impl AsRef<Path>) -> Option<std::time::SystemTime> {
    std::fs::metadata(path).and_then(|m| m.modified()).ok()
}

/// Closes connections over a bound.
#[derive(Clone)]
struct Limited(Arc<Semaphore>);

/// Holds the place of a connection as long as its service lives.
type Place = Arc<OwnedSemaphorePermit>;

impl<S: Send + 'static> Accept<TcpStream, S> for Limited {
    type Stream = TcpStream;
    type Service = AddExtension<S, Place>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(TcpStream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let place = self.0.clone().try_acquire_owned();
        Box::pin(async move {
            let place = place.map_err(|_| io::Error::other("too many connections"))?;
            let (stream, service) = NoDelayAcceptor::new().accept(stream, service).await?;
            Ok((stream, AddExtension::new(service, Arc::new(place))))
        })
    }
}
