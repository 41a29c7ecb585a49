//! Reading a CSV table of one measurement into a signal block.

use std::io::Read;

use vtox_protocol::{Channel, Quantity, SamplingClock, SignalBlock, is_time_alias};

use crate::columns::{Column, columns};

/// Why a CSV file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// Not readable.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// Not CSV.
    #[error("not a CSV table: {0}; a header line and rows of equal length are expected")]
    Csv(#[from] csv::Error),
    /// No known column.
    #[error(
        "no column is known; the header has {found:?}, names such as Ia, Ib, Ic, vibration, rpm or temperature are expected"
    )]
    NoColumn {
        /// The header.
        found: Vec<String>,
    },
    /// A cell that is no number.
    #[error("row {row}, column {column}: {cell:?} is not a number; correct it or drop the row")]
    Number {
        /// Row, the first after the header being 1.
        row: usize,
        /// Name of the column.
        column: String,
        /// What stands there.
        cell: String,
    },
    /// Only a header.
    #[error("the table has no rows")]
    Empty,
    /// No sampling rate.
    #[error("the sampling rate is unknown: add a time column in seconds, or give the rate in Hz")]
    NoRate,
}

/// Reads a table with the column names met in the field, units in brackets among them; unknown columns are ignored. Columns are
/// separated by comma, semicolon (then with decimal commas) or tab. The sampling rate, Hz, is taken from `rate_hz`, else from
/// the time column. A slow quantity may have gaps. Byte-order marks are skipped.
pub fn read_csv(mut reader: impl Read, rate_hz: Option<f64>) -> Result<SignalBlock, CsvError> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let separator = separator(bytes);
    let decimal_comma = separator != b',';
    let mut table = csv::ReaderBuilder::new().trim(csv::Trim::All).delimiter(separator).from_reader(bytes);
    let header = table.headers()?.clone();
    let time_column = header.iter().enumerate().find_map(|(i, name)| Some((i, time_unit_s(name)?)));
    let mut known: Vec<(usize, Column, Vec<Option<f64>>)> = columns(header.iter().map(|name| (name, None)))
        .into_iter()
        .enumerate()
        .filter(|(i, _)| time_column.is_none_or(|(time, _)| time != *i))
        .filter_map(|(i, column)| Some((i, column?, Vec::new())))
        .collect();
    if known.is_empty() {
        return Err(CsvError::NoColumn { found: header.iter().map(str::to_owned).collect() });
    }

    let number = |cell: &str| {
        let parsed = if decimal_comma { cell.replace(',', ".").parse::<f64>() } else { cell.parse() };
        parsed.ok().filter(|v| v.is_finite())
    };
    let mut times: Vec<Option<f64>> = Vec::new();
    for (row, record) in table.records().enumerate() {
        let record = record?;
        times.push(time_column.and_then(|(i, unit_s)| Some(number(record.get(i)?)? * unit_s)));
        for (i, column, samples) in &mut known {
            let cell = record.get(*i).unwrap_or_default();
            let value = number(cell).map(|v| v * column.factor + column.offset);
            if value.is_none() && !(cell.is_empty() && is_slow(column.quantity)) {
                let column = header[*i].to_owned();
                return Err(CsvError::Number { row: row + 1, column, cell: cell.to_owned() });
            }
            samples.push(value);
        }
    }
    if times.is_empty() {
        return Err(CsvError::Empty);
    }
    let times: Option<Vec<f64>> = times.into_iter().collect();
    let clock = times.as_deref().and_then(SamplingClock::of);
    let rate_hz =
        rate_hz.or(clock.map(|c| c.rate_hz)).filter(|r| r.is_finite() && *r > 0.0).ok_or(CsvError::NoRate)?;
    let mut block = SignalBlock {
        start_s: times.as_ref().map(|t| t[0]),
        clock_jitter: clock.and_then(|c| c.jitter),
        contradicting_rate_hz: clock.and_then(|c| c.contradiction(rate_hz)),
        ..SignalBlock::default()
    };
    for (_, Column { quantity, .. }, samples) in known {
        let there: Vec<f64> = samples.iter().flatten().copied().collect();
        if there.len() == samples.len() {
            let samples = there.into_iter().map(|v| v as f32).collect();
            block.channels.push(Channel { quantity, rate_hz, samples });
        } else if !there.is_empty() {
            block.readings.insert(quantity, there.iter().sum::<f64>() / there.len() as f64);
        }
    }
    Ok(block)
}

/// The most frequent of the usual separators in the header.
fn separator(bytes: &[u8]) -> u8 {
    let header = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let count = |separator: u8| header.iter().filter(|b| **b == separator).count();
    [b'\t', b';', b','].into_iter().max_by_key(|s| count(*s)).unwrap_or(b',')
}

/// Whether a few values of a quantity are as good as many.
fn is_slow(quantity: Quantity) -> bool {
    ![&Quantity::CURRENTS, &Quantity::VOLTAGES, &Quantity::VIBRATIONS].iter().any(|q| q.contains(&quantity))
}

/// Unit of a time column, s; None for other columns.
fn time_unit_s(name: &str) -> Option<f64> {
    let name = name.trim_start_matches('\u{feff}').trim();
    let lower = name.to_lowercase();
    match lower.replace([' ', '(', '[', ')', ']', '_'], "").as_str() {
        "t" | "ts" | "time" | "times" | "timesec" | "seconds" => Some(1.0),
        "timems" | "tms" => Some(1e-3),
        "timeus" | "tus" => Some(1e-6),
        _ => is_time_alias(name).then_some(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_headers_with_a_byte_order_mark_are_read() {
        let text = "\u{feff}时间,Ia,备注,振动_X\n0.000,1.5,x,0.1\n0.001,2.5,y,0.2\n0.002,3.5,z,0.3\n";
        let block = read_csv(text.as_bytes(), None).unwrap();
        let current = block.channel(Quantity::CurrentA).unwrap();
        assert_eq!(current.samples, [1.5, 2.5, 3.5]);
        assert!((current.rate_hz - 1000.0).abs() < 1e-6);
        assert_eq!(block.channel(Quantity::VibrationX).unwrap().samples, [0.1, 0.2, 0.3]);
        assert!(block.clock_jitter.unwrap() < 1e-9);
        assert_eq!(block.channels.len(), 2);
    }

    #[test]
    fn units_separators_and_gaps_are_understood() {
        let text = "t (ms);i_a [mA];i_b [mA];temperature\n0;1500,5;2;\n1;2500;3;60,5\n";
        let block = read_csv(text.as_bytes(), None).unwrap();
        assert_eq!(block.channel(Quantity::CurrentA).unwrap().samples, [1.5005, 2.5]);
        assert!((block.channels[0].rate_hz - 1000.0).abs() < 1e-6);
        assert_eq!(block.value(Quantity::Temperature), Some(60.5));
        let contradiction = read_csv("time,Ia\n0,1\n1,2\n2,3\n".as_bytes(), Some(7.0)).unwrap();
        assert_eq!(contradiction.contradicting_rate_hz, None, "times may count samples");
    }

    #[test]
    fn the_rate_can_be_given_and_errors_name_the_place() {
        let block = read_csv("Ia\n1\n2\n".as_bytes(), Some(8000.0)).unwrap();
        assert_eq!(block.channels[0].rate_hz, 8000.0);
        assert!(matches!(read_csv("Ia\n1\n2\n".as_bytes(), None), Err(CsvError::NoRate)));
        assert!(matches!(
            read_csv("Ia,Ib\n1,2\n3,x\n".as_bytes(), Some(1.0)),
            Err(CsvError::Number { row: 2, .. })
        ));
        assert!(matches!(read_csv("a,b\n1,2\n".as_bytes(), Some(1.0)), Err(CsvError::NoColumn { .. })));
        assert!(matches!(read_csv("Ia\n".as_bytes(), Some(1.0)), Err(CsvError::Empty)));
    }
}
