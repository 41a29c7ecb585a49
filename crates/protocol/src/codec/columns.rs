//! Column-oriented JSON; a channel may have its own sampling rate.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::BlockError;
use crate::{Channel, Quantity, SignalBlock};

#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Columns(BTreeMap<String, Column>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Column {
    Shared(Vec<f64>),
    Own { sampling_rate: f64, values: Vec<f64> },
}

impl Columns {
    pub(super) fn into_block(
        self,
        rate_hz: Option<f64>,
        start_s: Option<f64>,
    ) -> Result<SignalBlock, BlockError> {
        let mut block = SignalBlock { start_s, ..SignalBlock::default() };
        for (name, column) in self.0 {
            let Some(quantity) = Quantity::from_alias(&name) else {
                continue;
            };
            let (rate, values) = match column {
                Column::Own { sampling_rate, values } => (Some(sampling_rate), values),
                Column::Shared(values) => (rate_hz, values),
            };
            let rate_hz = rate.filter(|r| r.is_finite() && *r > 0.0).ok_or_else(|| {
                BlockError::Content(format!("{name} has no sampling_rate in Hz, and the block has none"))
            })?;
            let samples: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            if samples.is_empty() {
                return Err(BlockError::Content(format!("{name} has no values")));
            }
            if let Some(at) = samples.iter().position(|s| !s.is_finite()) {
                return Err(BlockError::Content(format!(
                    "{name} is {:e} at {at}, beyond single precision",
                    values[at]
                )));
            }
            if block.channel(quantity).is_none() {
                block.channels.push(Channel { quantity, rate_hz, samples });
            }
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
