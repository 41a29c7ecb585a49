//! Why a WebSocket ends, as its close code says it (RFC 6455 section 7.4).

use axum::extract::ws::{CloseFrame, close_code};
use tokio_tungstenite::tungstenite;
use vtox_auth::Denied;

/// A close frame.
pub fn frame(code: u16, reason: &'static str) -> CloseFrame {
    CloseFrame { code, reason: reason.into() }
}

/// The other end should connect again.
pub fn again(reason: &'static str) -> CloseFrame {
    frame(close_code::RESTART, reason)
}

/// What the caller showed holds no longer.
pub fn denied(denied: &Denied) -> CloseFrame {
    CloseFrame { code: close_code::POLICY, reason: denied.to_string().into() }
}

/// What a read that failed is answered with; none when there is nobody to answer.
pub fn of_error(error: axum::Error) -> Option<CloseFrame> {
    match error.into_inner().downcast_ref::<tungstenite::Error>()? {
        tungstenite::Error::Capacity(_) => {
            Some(frame(close_code::SIZE, "the message is larger than is taken"))
        }
        tungstenite::Error::Utf8(_) => Some(frame(close_code::INVALID, "text frames must be UTF-8")),
        tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => None,
        tungstenite::Error::Protocol(_) => Some(frame(close_code::PROTOCOL, "this is not RFC 6455")),
        // The meter of the connection.
        tungstenite::Error::Io(error) if error.kind() == std::io::ErrorKind::OutOfMemory => {
            Some(frame(close_code::AGAIN, "there is no memory for this message now; try again later"))
        }
        _ => None,
    }
}
