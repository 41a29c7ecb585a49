//! The one place that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 on this machine's clock.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn epoch_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Now, as clients read it.
pub fn timestamp() -> String {
    vtox_protocol::timestamp::iso8601(epoch_ms())
}
