//! HTTP/1.1, over TLS where the URL begins with `https://`.

use std::io;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower::ServiceExt;

/// How long a connection may take until it is there, without TLS.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A connection, with TLS or without.
pub type Connection = TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>;

/// Sends requests, over connections that it keeps for the next ones.
#[derive(Clone)]
pub struct Http {
    connector: HttpsConnector<HttpConnector>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Http {
    /// Trusts servers as `tls` says.
    pub fn new(tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_LIMIT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client =
            Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector.clone());
        Self { connector, client }
    }

    /// The whole answer to a request.
    ///
    /// # Errors
    /// When there is none within `limit`.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> anyhow::Result<Response<Bytes>> {
        let exchange = async {
            let (head, body) = self.client.request(request).await?.into_parts();
            Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
        };
        let answer = tokio::time::timeout(limit, exchange).await;
        answer.with_context(|| format!("no answer within {limit:?}"))?
    }

    /// The whole answer to a GET.
    ///
    /// # Errors
    /// When there is none within `limit`.
    pub async fn get(&self, url: &str, limit: Duration) -> anyhow::Result<Response<Bytes>> {
        self.send(Request::get(url).body(Full::default())?, limit).await
    }

    /// A connection of its own to the host of a URL.
    ///
    /// # Errors
    /// When there is none within `limit`.
    pub async fn connect(&self, url: &str, limit: Duration) -> anyhow::Result<Connection> {
        let uri: Uri = url.parse()?;
        let connected = tokio::time::timeout(limit, self.connector.clone().oneshot(uri)).await;
        let connection = connected.with_context(|| format!("no connection within {limit:?}"))?;
        // Boxed as it is, nobody would see what caused it.
        Ok(TokioIo::new(connection.map_err(io::Error::other)?))
    }
}
