//! The gateway, for commands that go through it as any other client does.

mod advice;
mod trust;

use std::path::PathBuf;
use std::time::Duration;

pub use advice::is_final;
use anyhow::{Context, anyhow};
use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::http::request::Builder;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, http};
use tokio_tungstenite::{WebSocketStream, client_async};
pub use trust::public_cas;
use vtox_auth::Role;
use vtox_service_kit::config::Settings;
use vtox_service_kit::trusting_only;

use crate::http::{Connection, Http};

/// How long an answer to a person may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Which gateway, and what to show it, on a command line.
#[derive(Args)]
pub struct Target {
    /// Where the gateway is: http://HOST:PORT or https://HOST:PORT.
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// PEM file with the CA of the certificate that --gateway shows, or with this where it is self-signed; without it, the
    /// public CAs.
    #[arg(long, env = "VTOX_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// API key or token to show the gateway; production wants one. Better in VTOX_TOKEN than here, where `ps` shows it.
    #[arg(long, env = "VTOX_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
}

/// A gateway, and what to show it.
#[derive(Clone)]
pub struct Gateway {
    url: String,
    authorization: Option<HeaderValue>,
    http: Http,
    /// The least role that may do what is asked of it.
    needs: Role,
}

impl Gateway {
    /// The one of the command line, or that of the settings on this machine. `needs` is the least role that may do what is
    /// to be asked of it.
    pub fn named(target: &Target, settings: &Settings, needs: Role) -> anyhow::Result<Self> {
        let token = target.token.as_deref();
        let Some(url) = &target.gateway else {
            return Self::local(settings, token, needs);
        };
        let tls = target.ca_file.as_deref().map_or_else(public_cas, trust::only_those_in)?;
        Self::new(url, Http::new(tls), token, needs)
    }

    /// That of the settings on this machine.
    pub fn local(settings: &Settings, token: Option<&str>, needs: Role) -> anyhow::Result<Self> {
        let (scheme, tls) = match settings.gateway.tls_certificate.as_str() {
            "" => ("http", public_cas()?),
            certificate => ("https", trusting_only(certificate)?),
        };
        let url = format!("{scheme}://127.0.0.1:{}", settings.gateway.port);
        Self::new(&url, Http::new(tls), token, needs)
    }

    fn new(url: &str, http: Http, token: Option<&str>, needs: Role) -> anyhow::Result<Self> {
        anyhow::ensure!(
            url.starts_with("http://") || url.starts_with("https://"),
            "--gateway {url} must begin with http:// or https://"
        );
        let mut authorization = None;
        if let Some(token) = token.map(str::trim).filter(|token| !token.is_empty()) {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .ok()
                .context("the token in --token or VTOX_TOKEN has characters that no token has")?;
            value.set_sensitive(true);
            authorization = Some(value);
        }
        Ok(Self { url: url.trim_end_matches('/').to_owned(), authorization, http, needs })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where its WebSockets are.
    pub fn websocket_url(&self) -> String {
        // http becomes ws, and https wss.
        self.url.replacen("http", "ws", 1)
    }

    /// A request to `path`.
    pub fn request(&self, method: Method, path: &str) -> Builder {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }

    /// What it answers to a request with this body.
    ///
    /// # Errors
    /// When it does not answer within `limit`.
    pub async fn send(
        &self,
        request: Builder,
        body: Bytes,
        limit: Duration,
    ) -> anyhow::Result<Response<Bytes>> {
        let request = request.body(Full::new(body)).with_context(|| format!("{} is no URL", self.url))?;
        self.http.send(request, limit).await.map_err(|error| advice::advised(&self.url, error))
    }

    /// What it answers to a GET of `path`.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.send(self.request(Method::GET, path), Bytes::new(), LIMIT).await?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), self.refusal(status, answer.body()));
        serde_json::from_slice(answer.body()).with_context(|| format!("{} answers no JSON", self.url))
    }

    /// A WebSocket on `path`.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub async fn websocket(&self, path: &str) -> anyhow::Result<WebSocketStream<Connection>> {
        let advised = |error| advice::advised(&self.url, error);
        let mut request = format!("{}{path}", self.websocket_url()).into_client_request()?;
        if let Some(value) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
        let connection = self.http.connect(&self.url, LIMIT).await.map_err(advised)?;
        match client_async(request, connection).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(answer)) => {
                let (http::response::Parts { status, .. }, body) = answer.into_parts();
                Err(self.refusal(status, &body.unwrap_or_default()))
            }
            Err(error) => Err(advised(error.into())),
        }
    }

    /// What it refused, and how to get what is missing.
    pub fn refusal(&self, status: StatusCode, body: &[u8]) -> anyhow::Error {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let detail = body["detail"].as_str().unwrap_or("no reason given").trim_end_matches('.');
        let said = format!("{} answers {status}: {detail}", self.url);
        if !is_about_credentials(status) {
            return anyhow!(said);
        }
        let needs = self.needs;
        anyhow!(
            "{said}. Give it an API key of role {needs}: export VTOX_TOKEN=$(vtox token issue --role {needs} --expires 12h)"
        )
    }
}

/// Whether another credential is what it takes.
pub fn is_about_credentials(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

#[cfg(test)]
mod tests;
