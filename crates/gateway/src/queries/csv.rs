//! A result as a row of a table (RFC 4180).

use std::fmt::Write;

use super::record::Record;

/// The first line.
pub const HEAD: &str = "timestamp,vehicle_id,fault_type,status,score,severity,message_id,original_message_id,\
    consumer_id,processing_time,model_version,location,advice,features\n";

/// The line of a result.
pub fn row(record: &Record) -> String {
    let text = |value: &Option<String>| harmless(value.clone().unwrap_or_default());
    let features = serde_json::to_string(&record.features).unwrap_or_default();
    let mut out = String::new();
    for (n, cell) in [
        harmless(record.timestamp.clone()),
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
        // Some spreadsheets divide cells by semicolons or tabs.
        let written = if cell.contains([',', ';', '\t', '"', '\'', '\n', '\r']) {
            write!(out, "{comma}\"{}\"", cell.replace('"', "\"\""))
        } else {
            write!(out, "{comma}{cell}")
        };
        debug_assert!(written.is_ok());
    }
    out.push('\n');
    out
}

/// A text that no spreadsheet takes for a formula, as OWASP has it under CSV Injection.
fn harmless(text: String) -> String {
    const BEGINNINGS: [char; 11] =
        ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    if text.starts_with(BEGINNINGS) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use vtox_protocol::VehicleId;

    use super::*;

    fn row_of(vehicle: &str, location: &str) -> String {
        let fields = [
            ("fault_type", "bearing"),
            ("timestamp", "2026-01-01T00:00:00Z"),
            ("status", "fault"),
            ("score", "0.9"),
            ("location", location),
        ];
        let fields = fields.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        row(&Record::of(&fields, Some(&VehicleId::new(vehicle).unwrap())).unwrap())
    }

    #[test]
    fn a_row_is_quoted_as_rfc_4180_has_it() {
        let row = row_of("V1", "a \"b\", c");
        assert_eq!(row, "2026-01-01T00:00:00Z,V1,bearing,fault,0.9,,,,,,,\"a \"\"b\"\", c\",,{}\n");
        assert_eq!(HEAD.matches(',').count(), row.matches(',').count() - 1);
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (text, cell) in [
            ("=HYPERLINK(1)", "\"'=HYPERLINK(1)\""),
            ("+1", "\"'+1\""),
            ("-1+cmd|' /C calc'!A0", "\"'-1+cmd|' /C calc'!A0\""),
            ("@SUM(1)", "\"'@SUM(1)\""),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            ("a;=1", "\"a;=1\""),
            ("a=1", "a=1"),
        ] {
            assert_eq!(
                row_of("V1", text),
                format!("2026-01-01T00:00:00Z,V1,bearing,fault,0.9,,,,,,,{cell},,{{}}\n")
            );
        }
        assert!(row_of("=HYPERLINK(1)", "").starts_with("2026-01-01T00:00:00Z,\"'=HYPERLINK(1)\",bearing,"));
    }
}
