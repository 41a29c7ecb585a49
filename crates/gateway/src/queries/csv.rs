//! Results as a table.

use std::fmt::Write;

use super::record::Record;

/// The first line.
pub const CSV_HEADER: &str = "timestamp,vehicle_id,fault_type,status,score,severity,message_id,original_message_id,\
    consumer_id,processing_time,model_version,location,advice,features\n";

/// Text that a spreadsheet does not take for a formula (OWASP, CSV injection): vehicles name themselves.
fn harmless(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

/// A result as a line (RFC 4180).
pub fn row(record: &Record) -> String {
    let features = serde_json::to_string(&record.features).unwrap_or_default();
    let text = |value: &Option<String>| harmless(value.clone().unwrap_or_default());
    let mut out = String::new();
    for (n, cell) in [
        record.timestamp.clone(),
        harmless(record.vehicle_id.to_string()),
        record.fault_type.to_string(),
        record.status.to_string(),
        record.score.to_string(),
        text(&record.severity),
        text(&record.message_id),
        text(&record.original_message_id),
        text(&record.consumer_id),
        record.processing_time.map(|t| t.to_string()).unwrap_or_default(),
        text(&record.model_version),
        text(&record.location),
        text(&record.advice),
        features,
    ]
    .iter()
    .enumerate()
    {
        let comma = if n == 0 { "" } else { "," };
        let written = if cell.contains([',', '"', '\n', '\r']) {
            write!(out, "{comma}\"{}\"", cell.replace('"', "\"\""))
        } else {
            write!(out, "{comma}{cell}")
        };
        debug_assert!(written.is_ok());
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use vtox_protocol::VehicleId;

    use super::*;

    #[test]
    fn a_row_is_quoted_as_rfc_4180_has_it() {
        let fields = [
            ("fault_type", "bearing"),
            ("timestamp", "2026-01-01T00:00:00Z"),
            ("status", "fault"),
            ("score", "0.9"),
            ("location", "a \"b\", c"),
        ];
        let fields = fields.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let vehicle = VehicleId::new("V1").unwrap();
        let record = Record::of(&fields, Some(&vehicle)).unwrap();
        assert_eq!(row(&record), "2026-01-01T00:00:00Z,V1,bearing,fault,0.9,,,,,,,\"a \"\"b\"\", c\",,{}\n");
        assert_eq!(CSV_HEADER.matches(',').count(), row(&record).matches(',').count() - 1);
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (text, written) in [
            ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-1+1", "'-1+1"),
            ("粤B·1", "粤B·1"),
            ("a=b", "a=b"),
        ] {
            assert_eq!(harmless(text.to_owned()), written);
        }
    }
}
