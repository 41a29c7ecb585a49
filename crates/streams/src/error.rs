//! Errors of the streams.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What can go wrong with Redis, as far as a caller acts on it.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// Redis said no before anything was written; the same call may work later.
    #[error("Redis refuses: {0}")]
    Refused(String),
    /// The answer was lost: it may or may not have been done.
    #[error("the answer of Redis was lost: {0}")]
    Unknown(String),
    /// A key holds another kind of value than VTOX keeps there.
    #[error("{0}; move that key away, VTOX does not overwrite it")]
    WrongType(String),
    /// Redis answered something that cannot be.
    #[error("unexpected answer of Redis: {0}")]
    Unexpected(String),
}

/// Result of the streams.
pub type Result<T, E = StreamError> = std::result::Result<T, E>;

impl From<RedisError> for StreamError {
    fn from(error: RedisError) -> Self {
        let text = error.to_string();
        if text.contains("WRONGTYPE") {
            return Self::WrongType(text);
        }
        match error.kind() {
            // The connection was never there, so nothing was sent.
            ErrorKind::Io if error.is_connection_refusal() => Self::Refused(text),
            ErrorKind::Io => Self::Unknown(text),
            ErrorKind::Server(ServerErrorKind::ResponseError)
                if !(text.contains("OOM") || text.contains("MISCONF") || text.contains("NOREPLICAS")) =>
            {
                Self::Unexpected(text)
            }
            ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::AuthenticationFailed => {
                Self::Refused(text)
            }
            _ => Self::Unexpected(text),
        }
    }
}
