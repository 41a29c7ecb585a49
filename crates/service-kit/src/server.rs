//! The HTTP server: bounded connections, a deadline for headers, optional TLS. HTTP/1.1 alone: what is in front of the gateway
//! speaks it, and hyper's detection of HTTP/2 reads a preface without a deadline.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::certificate;
use crate::pool::{Pool, network_of};
use crate::wire::{Meter, Wire};

/// What a listener allows.
#[derive(Debug, Clone)]
pub struct Listening {
    /// Connections at the same time; more are closed at once.
    pub max_connections: usize,
    /// What one address may have of them, 0 to 1.
    pub largest_share: f64,
    /// How long the head of a request, a TLS handshake, and an idle connection may take, and the other end take nothing of an answer.
    pub header_timeout: Duration,
    /// Certificate chain and private key, PEM files; none: plain HTTP.
    pub tls: Option<(String, String)>,
}

/// Longest head of a request, bytes: before it is whole nobody has said who calls.
const MAX_HEAD_BYTES: usize = 32 << 10;

/// After an error of the listener itself, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until `soft` is cancelled and the requests that have begun are answered.
pub async fn serve(
    listener: TcpListener,
    listening: Listening,
    router: Router,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let tls = match &listening.tls {
        Some((certificate, key)) => Some(certificate::watched(certificate, key, soft.clone())?),
        None => None,
    };
    let connections = TaskTracker::new();
    let places = Pool::new(listening.max_connections, listening.largest_share);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(listening.header_timeout).max_buf_size(MAX_HEAD_BYTES);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = soft.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.take(Some(network_of(peer.ip())), 1) else { continue };
        drop(stream.set_nodelay(true));
        let meter = Meter::default();
        let (tls, limit) = (tls.clone(), listening.header_timeout);
        let stream = Wire::new(stream, limit, meter.clone());
        let connection =
            Connection { peer, meter, router: router.clone(), http: http.clone(), soft: soft.clone() };
        connections.spawn(async move {
            let _place = place;
            match tls {
                None => connection.serve(stream).await,
                Some(tls) => match shaken(&tls, stream, limit).await {
                    Ok(stream) => connection.serve(stream).await,
                    Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
                },
            }
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

async fn shaken(
    config: &RwLock<Arc<ServerConfig>>,
    stream: Wire<TcpStream>,
    limit: Duration,
) -> anyhow::Result<tokio_rustls::server::TlsStream<Wire<TcpStream>>> {
    let config = config.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let shaken = tokio::time::timeout(limit, TlsAcceptor::from(config).accept(stream)).await;
    shaken.context("it took too long")?.context("the client does not speak our TLS")
}

struct Connection {
    peer: SocketAddr,
    meter: Meter,
    router: Router,
    http: http1::Builder,
    soft: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (peer, meter) = (self.peer, self.meter);
        let service = self.router.map_request(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(meter.clone());
            request
        });
        let service = TowerToHyperService::new(service);
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service).with_upgrades());
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.soft.cancelled() => {
                // The request that has begun is answered; an idle connection ends.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke off");
        }
    }
}
