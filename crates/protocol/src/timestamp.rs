//! ISO 8601 time stamps as the seeds' clients write and read them.

use jiff::{Timestamp, tz::Offset};

/// `2026-11-20T08:00:00.123+00:00` for milliseconds since 1970. An offset of digits, not `Z`:
/// older Python clients parse only that.
pub fn iso8601(epoch_ms: u64) -> String {
    let stamp = i64::try_from(epoch_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    match stamp {
        Some(stamp) => stamp.display_with_offset(Offset::UTC).to_string(),
        None => String::from("9999-12-31T23:59:59+00:00"),
    }
}

/// Milliseconds since 1970 of an ISO 8601 time stamp; without an offset it is taken as UTC.
pub fn parse_iso8601(text: &str) -> Option<u64> {
    let stamp = text.parse::<Timestamp>().ok().or_else(|| {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        Offset::UTC.to_timestamp(civil).ok()
    })?;
    u64::try_from(stamp.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_written_with_an_offset_and_read_with_or_without_one() {
        assert_eq!(iso8601(1_763_712_000_123), "2025-11-21T08:00:00.123+00:00");
        assert_eq!(parse_iso8601("2025-11-21T08:00:00.123456"), Some(1_763_712_000_123));
        assert_eq!(parse_iso8601("2025-11-21T16:00:00.123+08:00"), Some(1_763_712_000_123));
        assert_eq!(parse_iso8601("yesterday"), None);
    }
}
