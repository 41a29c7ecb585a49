//! Sending one block, again under the same identity until it is known whether it was accepted.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use vtox_protocol::SignalBlock;
use vtox_protocol::codec::{encode_binary, encode_json};

use super::Form;
use crate::gateway::{Gateway, is_about_credentials, is_final};

/// What became of a block.
pub enum Sent {
    /// Accepted under this id; after so many tries.
    Accepted { message_id: String, tries: u32 },
    /// Refused for good.
    Rejected { status: StatusCode, detail: String },
    /// Not known after all tries.
    Unknown,
}

/// Sends blocks to a gateway.
#[derive(Clone)]
pub struct Sender {
    gateway: Gateway,
    form: Form,
}

/// Time one try may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Time after which a block that nobody takes is given up.
const GIVE_UP: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Accepted {
    message_id: String,
}

#[derive(Deserialize, Default)]
struct Refused {
    #[serde(default)]
    detail: String,
}

impl Sender {
    /// To a gateway.
    pub fn new(gateway: Gateway, form: Form) -> Self {
        Self { gateway, form }
    }

    /// Sends one block. `key` makes resends of it one message.
    ///
    /// # Errors
    /// When the gateway wants another credential, or shows a certificate that is not trusted: no further block is taken either.
    pub async fn send(&self, vehicle: &str, key: &str, block: &SignalBlock) -> anyhow::Result<Sent> {
        let path = format!(
            "/api/v1/diagnosis-stream/vehicles/{}/data",
            utf8_percent_encode(vehicle, NON_ALPHANUMERIC)
        );
        let (kind, body) = match self.form {
            Form::Rows => {
                ("application/json", format!("{{\"sensor_data\":{}}}", encode_json(block)).into_bytes())
            }
            Form::Binary => ("application/msgpack", encode_binary(block)),
        };
        // Cheap to clone for every try.
        let body = Bytes::from(body);
        let (began, mut tries) = (Instant::now(), 0);
        loop {
            tries += 1;
            let request = self
                .gateway
                .request(Method::POST, &path)
                .header(CONTENT_TYPE, kind)
                .header("Idempotency-Key", key);
            let wait = match self.gateway.send(request, body.clone(), TIMEOUT).await {
                Ok(answer) if answer.status().is_success() => {
                    // An answer that nobody understands is as good as none: the same key finds the message again.
                    if let Ok(accepted) = serde_json::from_slice::<Accepted>(answer.body()) {
                        return Ok(Sent::Accepted { message_id: accepted.message_id, tries });
                    }
                    None
                }
                Ok(answer) => {
                    let status = answer.status();
                    let wait =
                        answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
                    if is_about_credentials(status) {
                        return Err(self.gateway.refusal(status, answer.body()));
                    }
                    if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
                        let Refused { detail } = serde_json::from_slice(answer.body()).unwrap_or_default();
                        return Ok(Sent::Rejected { status, detail });
                    }
                    wait.map(Duration::from_secs)
                }
                Err(error) if is_final(&error) => return Err(error),
                Err(_) => None,
            };
            if began.elapsed() >= GIVE_UP {
                return Ok(Sent::Unknown);
            }
            tokio::time::sleep(wait.unwrap_or(Duration::from_millis(200)).min(Duration::from_secs(5))).await;
        }
    }
}
