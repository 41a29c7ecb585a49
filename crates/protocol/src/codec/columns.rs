//! Column-oriented JSON, read straight into samples; a channel may have its own sampling rate.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{BlockError, MAX_SAMPLES};
use crate::{Channel, Quantity, SignalBlock};

/// The known columns, each once.
#[derive(Default)]
pub(super) struct Columns(Vec<Column>);

struct Column {
    name: String,
    quantity: Quantity,
    sampling_rate: Option<f64>,
    values: Samples,
}

/// Samples, as many as there is room for.
struct Samples {
    kept: Vec<f32>,
    room: usize,
    /// Place and value of the first that is beyond single precision.
    beyond: Option<(usize, f64)>,
    too_many: bool,
}

impl Columns {
    pub(super) fn into_block(
        self,
        rate_hz: Option<f64>,
        start_s: Option<f64>,
    ) -> Result<SignalBlock, BlockError> {
        let mut block = SignalBlock { start_s, ..SignalBlock::default() };
        for Column { name, quantity, sampling_rate, values } in self.0 {
            let rate_hz =
                sampling_rate.or(rate_hz).filter(|r| r.is_finite() && *r > 0.0).ok_or_else(|| {
                    BlockError::Content(format!("{name} has no sampling_rate in Hz, and the block has none"))
                })?;
            if values.too_many {
                return Err(BlockError::too_many_samples());
            }
            if let Some((at, value)) = values.beyond {
                return Err(BlockError::Content(format!(
                    "{name} is {value:e} at {at}, beyond single precision"
                )));
            }
            if values.kept.is_empty() {
                return Err(BlockError::Content(format!("{name} has no values")));
            }
            block.channels.push(Channel { quantity, rate_hz, samples: values.kept });
        }
        if block.channels.is_empty() {
            return Err(BlockError::Content(format!(
                "no known column; known are {}",
                Quantity::all_names().collect::<Vec<_>>().join(", ")
            )));
        }
        Ok(block)
    }
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ColumnsVisitor)
    }
}

struct ColumnsVisitor;

impl<'de> Visitor<'de> for ColumnsVisitor {
    type Value = Columns;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("columns by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Columns, A::Error> {
        let mut columns = Columns::default();
        let mut room = MAX_SAMPLES;
        while let Some(name) = map.next_key::<String>()? {
            let known = |quantity: &Quantity| columns.0.iter().any(|c| c.quantity == *quantity);
            let Some(quantity) = Quantity::from_alias(&name).filter(|q| !known(q)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let (sampling_rate, values) = map.next_value_seed(Values { room })?;
            room -= values.kept.len();
            columns.0.push(Column { name, quantity, sampling_rate, values });
        }
        Ok(columns)
    }
}

/// Reads `[A, ...]` or `{"sampling_rate": Hz, "values": [A, ...]}`.
struct Values {
    room: usize,
}

impl<'de> DeserializeSeed<'de> for Values {
    type Value = (Option<f64>, Samples);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values {
    type Value = (Option<f64>, Samples);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers, or an object with sampling_rate and values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut samples = Samples { kept: Vec::new(), room: self.room, beyond: None, too_many: false };
        while !samples.too_many
            && let Some(value) = seq.next_element::<f64>()?
        {
            samples.push(value);
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok((None, samples))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut sampling_rate, mut samples) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "sampling_rate" => sampling_rate = Some(map.next_value()?),
                "values" => samples = Some(map.next_value_seed(Values { room: self.room })?.1),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let missing = serde::de::Error::missing_field;
        Ok((
            Some(sampling_rate.ok_or_else(|| missing("sampling_rate"))?),
            samples.ok_or_else(|| missing("values"))?,
        ))
    }
}

impl Samples {
    fn push(&mut self, value: f64) {
        let sample = value as f32;
        if self.kept.len() == self.room {
            self.too_many = true;
        } else if sample.is_finite() {
            self.kept.push(sample);
        } else {
            self.beyond.get_or_insert((self.kept.len(), value));
        }
    }
}
