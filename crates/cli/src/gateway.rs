//! The gateway, for commands that go through it as any other client does.

use anyhow::{Context, anyhow};
use clap::Args;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, http};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use vtox_auth::Role;
use vtox_service_kit::config::Settings;

/// Which gateway, and what to show it, on a command line.
#[derive(Args)]
pub struct Target {
    /// Where the gateway is.
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// API key or token to show the gateway; production wants one. Better in VTOX_TOKEN than here, where `ps` shows it.
    #[arg(long, env = "VTOX_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
}

/// A gateway, and what to show it.
#[derive(Clone)]
pub struct Gateway {
    url: String,
    headers: HeaderMap,
    client: Client,
    /// The least role that may do what is asked of it.
    needs: Role,
}

impl Gateway {
    /// The one of the command line, or that of the settings on this machine. `needs` is the least role that may do what is
    /// to be asked of it.
    pub fn named(target: &Target, settings: &Settings, needs: Role) -> anyhow::Result<Self> {
        match &target.gateway {
            Some(url) => Self::new(url, target.token.as_deref(), needs),
            None => Self::local(settings, target.token.as_deref(), needs),
        }
    }

    /// That of the settings on this machine.
    pub fn local(settings: &Settings, token: Option<&str>, needs: Role) -> anyhow::Result<Self> {
        Self::new(&format!("http://127.0.0.1:{}", settings.gateway.port), token, needs)
    }

    fn new(url: &str, token: Option<&str>, needs: Role) -> anyhow::Result<Self> {
        anyhow::ensure!(
            !url.starts_with("https:"),
            "vtox speaks plain HTTP to a gateway, not HTTPS; for {url} use curl, or put what ends TLS before a gateway without it"
        );
        let mut headers = HeaderMap::new();
        if let Some(token) = token.map(str::trim).filter(|token| !token.is_empty()) {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .ok()
                .context("the token in --token or VTOX_TOKEN has characters that no token has")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = Client::builder().default_headers(headers.clone()).build()?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), headers, client, needs })
    }

    /// A request to `path`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// What it answers to a GET of `path`.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.request(Method::GET, path).send().await.with_context(|| self.absent())?;
        let status = answer.status();
        let body = answer.bytes().await.unwrap_or_default();
        anyhow::ensure!(status.is_success(), self.refusal(status, &body));
        serde_json::from_slice(&body).with_context(|| format!("{} answers no JSON", self.url))
    }

    /// A WebSocket on `path`.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub async fn websocket(&self, path: &str) -> anyhow::Result<WebSocketStream<MaybeTlsStream<TcpStream>>> {
        // http becomes ws, and https wss.
        let url = self.url.strip_prefix("http").map_or_else(|| self.url.clone(), |rest| format!("ws{rest}"));
        let mut request = format!("{url}{path}").into_client_request().with_context(|| self.absent())?;
        request.headers_mut().extend(self.headers.clone());
        match connect_async(request).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(answer)) => {
                let (http::response::Parts { status, .. }, body) = answer.into_parts();
                Err(self.refusal(status, &body.unwrap_or_default()))
            }
            Err(error) => Err(error).with_context(|| self.absent()),
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

    fn absent(&self) -> String {
        format!("no gateway answers at {}; start a cluster with `vtox up` or give --gateway URL", self.url)
    }
}

/// Whether another credential is what it takes.
pub fn is_about_credentials(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(token: Option<&str>) -> anyhow::Result<Gateway> {
        Gateway::new("http://gateway:8000/", token, Role::Operator)
    }

    #[test]
    fn a_token_is_a_bearer_token_and_does_not_show() {
        let request = gateway(Some(" abc\n")).unwrap();
        assert_eq!(request.headers[AUTHORIZATION], "Bearer abc");
        assert!(!format!("{:?}", request.headers).contains("abc"));
        assert!(gateway(Some("")).unwrap().headers.is_empty());
        assert!(Gateway::new("https://gateway", None, Role::Viewer).is_err());
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
}
