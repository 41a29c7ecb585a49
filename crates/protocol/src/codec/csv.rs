//! A table of one measurement: CSV with the column names met in the field.

use super::{BlockError, MAX_COLUMNS, MAX_SAMPLES};
use crate::headers::{Column, columns, time_unit_s};
use crate::{Channel, Quantity, SamplingClock, SignalBlock};

/// Reads a table with the column names met in the field, units in brackets among them; unknown columns are ignored. Columns are
/// separated by comma, semicolon or tab (the last two also with decimal commas), fields may be quoted, a byte-order mark is
/// skipped. `sampling_rate`, Hz, counts before the time column. A slow quantity may have gaps: its mean is then a reading.
///
/// # Errors
/// [`BlockError::Syntax`] for what is no table of numbers, with row (the first after the header being 1) and column;
/// [`BlockError::Content`] for a table without anything to diagnose or beyond [`MAX_SAMPLES`].
pub fn decode_csv(bytes: &[u8], sampling_rate: Option<f64>) -> Result<SignalBlock, BlockError> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let separator = separator(bytes);
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .trim(::csv::Trim::All)
        .delimiter(separator)
        .from_reader(bytes);
    let mut record = ::csv::StringRecord::new();
    if !read_row(&mut reader, &mut record, 0)? {
        return Err(BlockError::content("the table is empty; send a header line and rows"));
    }
    let mut table = Table::of(&record)?;
    while read_row(&mut reader, &mut record, table.rows + 1)? {
        table.add(&record, separator != b',')?;
    }
    table.into_block(sampling_rate)
}

fn read_row(
    reader: &mut ::csv::Reader<&[u8]>,
    record: &mut ::csv::StringRecord,
    row: usize,
) -> Result<bool, BlockError> {
    let place = || if row == 0 { "the header".to_owned() } else { format!("row {row}") };
    reader.read_record(record).map_err(|error| {
        BlockError::Syntax(match error.kind() {
            ::csv::ErrorKind::Utf8 { err, .. } => {
                format!("{}, column {}: not UTF-8; save the table as UTF-8", place(), err.field() + 1)
            }
            ::csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!(
                    "{} has {len} fields, the header has {expected_len}; give every row all columns",
                    place()
                )
            }
            _ => format!("{}: {error}", place()),
        })
    })
}

/// The columns gathered so far.
struct Table {
    time: Option<Times>,
    values: Vec<Values>,
    rows: usize,
}

/// The time column.
struct Times {
    position: usize,
    unit_s: f64,
    /// Empty from the first cell on that is no number.
    time_s: Vec<f64>,
}

/// A column of a known quantity.
struct Values {
    position: usize,
    name: String,
    column: Column,
    samples: Vec<f32>,
    sum: f64,
    present: usize,
}

impl Table {
    fn of(header: &::csv::StringRecord) -> Result<Self, BlockError> {
        if header.len() > MAX_COLUMNS {
            let detail = format!("the table has {} columns; at most {MAX_COLUMNS}", header.len());
            return Err(BlockError::Content(detail));
        }
        let time = header.iter().enumerate().find_map(|(position, name)| {
            Some(Times { position, unit_s: time_unit_s(name)?, time_s: Vec::new() })
        });
        let values: Vec<Values> = columns(header.iter().map(|name| (name, None)))
            .into_iter()
            .zip(header)
            .enumerate()
            .filter(|(position, _)| time.as_ref().is_none_or(|t| t.position != *position))
            .filter_map(|(position, (column, name))| {
                let (column, name) = (column?, name.to_owned());
                Some(Values { position, name, column, samples: Vec::new(), sum: 0.0, present: 0 })
            })
            .collect();
        if values.is_empty() {
            let found: Vec<&str> = header.iter().take(8).collect();
            return Err(BlockError::Content(format!(
                "no column is known; the header has {found:?}, names such as Ia, Ib, Ic, vibration, rpm or temperature are expected"
            )));
        }
        Ok(Self { time, values, rows: 0 })
    }

    fn add(&mut self, record: &::csv::StringRecord, decimal_comma: bool) -> Result<(), BlockError> {
        if (self.rows + 1) * self.values.len() > MAX_SAMPLES {
            return Err(BlockError::too_many_samples());
        }
        if let Some(time) = &mut self.time
            && time.time_s.len() == self.rows
            && let Some(value) = number(record.get(time.position).unwrap_or_default(), decimal_comma)
        {
            time.time_s.push(value * time.unit_s);
        }
        self.rows += 1;
        for values in &mut self.values {
            values.add(record.get(values.position).unwrap_or_default(), self.rows, decimal_comma)?;
        }
        Ok(())
    }

    fn into_block(self, sampling_rate: Option<f64>) -> Result<SignalBlock, BlockError> {
        let rows = self.rows;
        if rows == 0 {
            return Err(BlockError::content("the table has no rows; send at least one"));
        }
        if let Some(rate) = sampling_rate.filter(|rate| !(rate.is_finite() && *rate > 0.0)) {
            return Err(BlockError::Content(format!(
                "sampling_rate is {rate}; a positive number of Hz is expected"
            )));
        }
        let time_s = self.time.map(|t| t.time_s).filter(|t| t.len() == rows);
        let clock = time_s.as_deref().and_then(SamplingClock::of);
        // One row carries no rhythm and needs none.
        let rate_hz =
            sampling_rate.or(clock.map(|c| c.rate_hz)).or((rows == 1).then_some(1.0)).ok_or_else(|| {
                BlockError::content(
                    "the sampling rate is unknown: add a time column in seconds, or give sampling_rate in Hz",
                )
            })?;
        let mut block = SignalBlock {
            start_s: time_s.as_ref().and_then(|t| t.first().copied()),
            clock_jitter: clock.and_then(|c| c.jitter),
            contradicting_rate_hz: clock.and_then(|c| c.contradiction(rate_hz)),
            ..SignalBlock::default()
        };
        for Values { column, samples, sum, present, .. } in self.values {
            let quantity = column.quantity;
            if present == rows {
                block.channels.push(Channel { quantity, rate_hz, samples });
            } else if present > 0 {
                block.readings.insert(quantity, sum / present as f64);
            }
        }
        if block.channels.is_empty() && block.readings.is_empty() {
            return Err(BlockError::content("every known column is empty; fill at least one"));
        }
        Ok(block)
    }
}

impl Values {
    fn add(&mut self, cell: &str, row: usize, decimal_comma: bool) -> Result<(), BlockError> {
        if cell.is_empty() && is_slow(self.column.quantity) {
            self.samples = Vec::new();
            return Ok(());
        }
        let value = number(cell, decimal_comma).map(|v| v * self.column.factor + self.column.offset);
        let Some(value) = value.filter(|v| (*v as f32).is_finite()) else {
            let cell: String = cell.chars().take(32).collect();
            return Err(BlockError::Syntax(format!(
                "row {row}, column {}: {cell:?} is not a number; correct it or drop the row",
                self.name
            )));
        };
        self.sum += value;
        self.present += 1;
        // After a gap only the mean counts.
        if self.present == row {
            self.samples.push(value as f32);
        }
        Ok(())
    }
}

fn number(cell: &str, decimal_comma: bool) -> Option<f64> {
    let parsed = match decimal_comma && cell.contains(',') {
        true => cell.replace(',', ".").parse::<f64>(),
        false => cell.parse(),
    };
    parsed.ok().filter(|v| v.is_finite())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_headers_with_a_byte_order_mark_are_read() {
        let text = "\u{feff}时间,Ia,备注,振动_X\n0.000,1.5,x,0.1\n0.001,2.5,y,0.2\n0.002,3.5,z,0.3\n";
        let block = decode_csv(text.as_bytes(), None).unwrap();
        let current = block.channel(Quantity::CurrentA).unwrap();
        assert_eq!(current.samples, [1.5, 2.5, 3.5]);
        assert!((current.rate_hz - 1000.0).abs() < 1e-6);
        assert_eq!(block.channel(Quantity::VibrationX).unwrap().samples, [0.1, 0.2, 0.3]);
        assert!(block.clock_jitter.unwrap() < 1e-9);
        assert_eq!(block.channels.len(), 2);
        assert_eq!(block.start_s, Some(0.0));
    }

    #[test]
    fn units_separators_quotes_and_gaps_are_understood() {
        let text = "t (ms);i_a [mA];i_b [mA];temperature\n0;1500,5;2;\n1;2500;\"3\";60,5\n";
        let block = decode_csv(text.as_bytes(), None).unwrap();
        assert_eq!(block.channel(Quantity::CurrentA).unwrap().samples, [1.5005, 2.5]);
        assert_eq!(block.channel(Quantity::CurrentB).unwrap().samples, [0.002, 0.003]);
        assert!((block.channels[0].rate_hz - 1000.0).abs() < 1e-6);
        assert_eq!(block.value(Quantity::Temperature), Some(60.5));
        let quoted =
            decode_csv("\"time\",\"a, b\",\"Ia\"\n0,\"x\ny\",1\n1,,2\n".as_bytes(), Some(7.0)).unwrap();
        assert_eq!(quoted.channels[0].samples, [1.0, 2.0]);
        assert_eq!(quoted.contradicting_rate_hz, None, "times may count samples");
        let late = decode_csv("Ia,rpm\n1,1500\n2,\n3,1502\n".as_bytes(), Some(1.0)).unwrap();
        assert_eq!(late.value(Quantity::Speed), Some(1501.0));
        assert!(late.channel(Quantity::Speed).is_none());
    }

    #[test]
    fn the_rate_can_be_given_and_errors_name_the_place() {
        let block = decode_csv(b"Ia\n1\n2\n", Some(8000.0)).unwrap();
        assert_eq!(block.channels[0].rate_hz, 8000.0);
        assert_eq!(decode_csv(b"Ia\n1\n", None).unwrap().channels[0].samples, [1.0]);
        let refusal = |text: &[u8], rate| decode_csv(text, rate).unwrap_err().to_string();
        assert!(refusal(b"Ia\n1\n2\n", None).contains("add a time column"));
        assert!(refusal(b"Ia,Ib\n1,2\n3,x\n", Some(1.0)).contains("row 2, column Ib: \"x\""));
        assert!(refusal(b"Ia,Ib\n1,2\n3\n", Some(1.0)).contains("row 2 has 1 fields, the header has 2"));
        assert!(refusal(b"Ia,Ib\n1,2\n3,\n", Some(1.0)).contains("row 2, column Ib"));
        assert!(refusal(b"Ia,Ib\n1,2\n3,1e300\n", Some(1.0)).contains("row 2, column Ib"));
        assert!(refusal(b"Ia,Ib\n1,2\n3,\xff\n", Some(1.0)).contains("row 2, column 2: not UTF-8"));
        assert!(refusal(b"a,b\n1,2\n", Some(1.0)).contains("no column is known"));
        assert!(refusal("Ia,".repeat(2_000).as_bytes(), None).contains("2001 columns; at most 1024"));
        assert!(refusal(b"Ia\n", Some(1.0)).contains("no rows"));
        assert!(refusal(b"", Some(1.0)).contains("empty"));
        assert!(refusal(b"Ia\n1\n", Some(-1.0)).contains("positive"));
    }

    #[test]
    fn reading_stops_at_the_most_samples() {
        let mut text = b"Ia,Ib,Ic,Ua,Ub,Uc,vibration_x,vibration_y\n".to_vec();
        let rows = MAX_SAMPLES / 8 + 1;
        text.extend(b"1,1,1,1,1,1,1,1\n".repeat(rows));
        // What would come behind is not looked at.
        text.extend(b"broken\n");
        let refusal = decode_csv(&text, Some(8000.0)).unwrap_err().to_string();
        assert!(refusal.contains("more than 4000000 samples"), "{refusal}");
    }
}
