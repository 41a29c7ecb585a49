//! Reading a CSV table of one measurement into a signal block.

use std::io::Read;

use vtox_protocol::{Channel, Quantity, SignalBlock, is_time_alias};

/// Why a CSV file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
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

/// Reads a table with the column names met in the field; unknown columns are ignored. The sampling rate, Hz, is taken from
/// `rate_hz`, else from the time column (s). Byte-order marks are skipped.
pub fn read_csv(reader: impl Read, rate_hz: Option<f64>) -> Result<SignalBlock, CsvError> {
    let mut table = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(reader);
    let header = table.headers()?.clone();
    let time_column = header.iter().position(is_time_alias);
    let mut columns: Vec<(usize, Quantity, Vec<f32>)> = Vec::new();
    for (i, name) in header.iter().enumerate() {
        if let Some(quantity) = Quantity::from_alias(name)
            && columns.iter().all(|(_, q, _)| *q != quantity)
        {
            columns.push((i, quantity, Vec::new()));
        }
    }
    if columns.is_empty() {
        return Err(CsvError::NoColumn { found: header.iter().map(str::to_owned).collect() });
    }

    let mut times: Vec<Option<f64>> = Vec::new();
    for (row, record) in table.records().enumerate() {
        let record = record?;
        times.push(time_column.and_then(|i| record.get(i)).and_then(|cell| cell.parse().ok()));
        for (i, _, samples) in &mut columns {
            let cell = record.get(*i).unwrap_or_default();
            let value = cell.parse::<f32>().ok().filter(|v| v.is_finite()).ok_or_else(|| {
                CsvError::Number { row: row + 1, column: header[*i].to_owned(), cell: cell.to_owned() }
            })?;
            samples.push(value);
        }
    }
    if times.is_empty() {
        return Err(CsvError::Empty);
    }
    let times: Option<Vec<f64>> = times.into_iter().collect();
    let period_s = times.as_deref().and_then(period_s);
    let rate_hz = rate_hz
        .or(period_s.map(|p| 1.0 / p))
        .filter(|r| r.is_finite() && *r > 0.0)
        .ok_or(CsvError::NoRate)?;
    Ok(SignalBlock {
        start_s: times.as_ref().map(|t| t[0]),
        clock_jitter: times.as_deref().zip(period_s).map(|(t, period)| jitter(t, period)),
        channels: columns
            .into_iter()
            .map(|(_, quantity, samples)| Channel { quantity, rate_hz, samples })
            .collect(),
        ..SignalBlock::default()
    })
}

/// Mean sampling period.
fn period_s(times: &[f64]) -> Option<f64> {
    let (first, last) = (times.first()?, times.last()?);
    let period = (last - first) / (times.len() - 1) as f64;
    (period.is_finite() && period > 0.0).then_some(period)
}

/// Largest deviation from the even grid, in periods.
fn jitter(times: &[f64], period_s: f64) -> f64 {
    let grid = |i: usize| times[0] + i as f64 * period_s;
    times.iter().enumerate().map(|(i, t)| (t - grid(i)).abs() / period_s).fold(0.0, f64::max)
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
