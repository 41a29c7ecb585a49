//! Row-oriented JSON, read straight into columns.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{BlockError, MAX_COLUMNS, MAX_SAMPLES};
use crate::{Channel, Quantity, SamplingClock, SignalBlock, is_time_alias};

/// What a column of a row is.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Time,
    Value(Quantity),
    Ignored,
}

/// The columns gathered from rows.
#[derive(Default)]
pub(super) struct Rows {
    /// Names in the order of the first row: later rows mostly repeat it, so that a name is found
    /// by one comparison.
    layout: Vec<(String, Role)>,
    /// The same by name, for rows in another order.
    roles: HashMap<String, Role>,
    time_s: Vec<f64>,
    values: Vec<(Quantity, Vec<f32>)>,
    rows: usize,
    /// Why this is no block, from the row on that shows it; what follows is not kept.
    wrong: Option<BlockError>,
}

impl Rows {
    pub(super) fn into_block(self, rate_hz: Option<f64>) -> Result<SignalBlock, BlockError> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        if self.rows == 0 {
            return Err(BlockError::content("data has no rows; send at least one"));
        }
        if self.values.is_empty() {
            let seen: Vec<&str> = self.layout.iter().map(|(name, _)| name.as_str()).take(8).collect();
            return Err(BlockError::Content(format!(
                "no known column among {seen:?}; known are {}",
                Quantity::all_names().collect::<Vec<_>>().join(", ")
            )));
        }
        let clock = SamplingClock::of(&self.time_s);
        let rate_hz = match rate_hz.or(clock.map(|c| c.rate_hz)) {
            Some(rate) => rate,
            // One row carries no rhythm and needs none.
            None if self.rows == 1 => 1.0,
            None => {
                return Err(BlockError::content(
                    "sampling_rate is missing and there is no rising time column; send \"sampling_rate\" in Hz",
                ));
            }
        };
        let channels = self
            .values
            .into_iter()
            .map(|(quantity, samples)| Channel { quantity, rate_hz, samples })
            .collect();
        Ok(SignalBlock {
            start_s: self.time_s.first().copied(),
            channels,
            clock_jitter: clock.and_then(|c| c.jitter),
            contradicting_rate_hz: clock.and_then(|c| c.contradiction(rate_hz)),
            ..SignalBlock::default()
        })
    }

    fn column(&mut self, position: usize, name: Cow<'_, str>) -> Role {
        if let Some((known, role)) = self.layout.get(position)
            && *known == name
        {
            return *role;
        }
        if let Some(role) = self.roles.get(&*name) {
            return *role;
        }
        if self.layout.len() == MAX_COLUMNS {
            self.wrong = Some(BlockError::too_many_columns());
            return Role::Ignored;
        }
        let role = if is_time_alias(&name) {
            Role::Time
        } else {
            match Quantity::from_alias(&name) {
                Some(q) if !self.values.iter().any(|(known, _)| *known == q) => Role::Value(q),
                // A second spelling of a quantity that is there already.
                _ => Role::Ignored,
            }
        };
        if let Role::Value(quantity) = role {
            self.values.push((quantity, Vec::new()));
        }
        self.roles.insert(name.clone().into_owned(), role);
        self.layout.push((name.into_owned(), role));
        role
    }

    /// Ends a row, which must have had every column.
    fn close_row(&mut self) {
        self.rows += 1;
        let rows = self.rows;
        if rows * self.values.len() > MAX_SAMPLES {
            self.wrong = Some(BlockError::too_many_samples());
            return;
        }
        if let Some((quantity, values)) = self.values.iter().find(|(_, v)| v.len() != rows) {
            self.wrong = Some(BlockError::Content(format!(
                "row {rows} does not have the columns of the rows before: {} has {} values for {rows} rows",
                quantity.name(),
                values.len()
            )));
        }
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowsVisitor)
    }
}

struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = Rows;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Rows, A::Error> {
        let mut rows = Rows::default();
        while rows.wrong.is_none() && seq.next_element_seed(RowSeed(&mut rows))?.is_some() {}
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(rows)
    }
}

struct RowSeed<'a>(&'a mut Rows);

impl<'de> serde::de::DeserializeSeed<'de> for RowSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a row such as {\"时间\": 0.0, \"Ia\": 1.0}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let rows = self.0;
        let number = rows.rows + 1;
        let mut position = 0;
        while let Some(name) = map.next_key_seed(Name)? {
            if rows.wrong.is_some() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            match rows.column(position, name) {
                Role::Ignored => {
                    map.next_value::<IgnoredAny>()?;
                }
                Role::Time => match map.next_value::<TimeCell>()?.0 {
                    Some(t) if rows.time_s.len() < number => rows.time_s.push(t),
                    _ => {}
                },
                Role::Value(quantity) => {
                    let value: f64 = map.next_value()?;
                    let sample = value as f32;
                    if !sample.is_finite() {
                        return Err(A::Error::custom(format!(
                            "{} is {value:e} in row {number}, beyond single precision",
                            quantity.name()
                        )));
                    }
                    if let Some((_, values)) = rows.values.iter_mut().find(|(q, _)| *q == quantity)
                        && values.len() < number
                    {
                        values.push(sample);
                    }
                }
            }
            position += 1;
        }
        if rows.wrong.is_none() {
            rows.close_row();
        }
        Ok(())
    }
}

/// A cell of the time column: seconds, or something that only people read.
struct TimeCell(Option<f64>);

impl<'de> Deserialize<'de> for TimeCell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimeVisitor)
    }
}

struct TimeVisitor;

impl<'de> Visitor<'de> for TimeVisitor {
    type Value = TimeCell;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a time")
    }

    fn visit_f64<E>(self, value: f64) -> Result<TimeCell, E> {
        Ok(TimeCell(Some(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<TimeCell, E> {
        Ok(TimeCell(Some(value as f64)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<TimeCell, E> {
        Ok(TimeCell(Some(value as f64)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<TimeCell, E> {
        Ok(TimeCell(None))
    }

    fn visit_unit<E>(self) -> Result<TimeCell, E> {
        Ok(TimeCell(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<TimeCell, E> {
        Ok(TimeCell(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TimeCell, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(TimeCell(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TimeCell, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(TimeCell(None))
    }
}

/// A key, borrowed unless it is escaped.
struct Name;

impl<'de> serde::de::DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a column name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}
