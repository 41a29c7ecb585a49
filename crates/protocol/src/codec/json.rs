//! `sensor_data` as JSON: the seeds' rows or columns, with readings and a motor profile beside them.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::columns::Columns;
use super::rows::Rows;
use super::{BlockError, MAX_SAMPLES};
use crate::{MotorProfile, Quantity, SignalBlock};

/// Reads `sensor_data`.
///
/// Rows: `{"data": [{"时间": s, "Ia": A, ...}, ...], "sampling_rate": Hz}`.
/// Columns: `{"columns": {"Ia": [A, ...], "vibration": {"sampling_rate": Hz, "values": [g, ...]}},
/// "sampling_rate": Hz, "start": s}`.
/// Both may have readings under the columns' names, `motor` (a [`MotorProfile`]) and
/// `synchronous` (default true). Other keys are ignored: a simulator's ground truth is among them.
///
/// # Errors
/// [`BlockError::Syntax`] when it is not such JSON, [`BlockError::Content`] when it is but holds
/// nothing to diagnose.
pub fn decode_json(text: &[u8]) -> Result<SignalBlock, BlockError> {
    let body: Body = serde_json::from_slice(text).map_err(|e| BlockError::Syntax(e.to_string()))?;
    let rate_hz = match body.sampling_rate {
        Some(rate) if !(rate.is_finite() && rate > 0.0) => {
            return Err(BlockError::content(format!(
                "sampling_rate is {rate}; a positive number of Hz is expected"
            )));
        }
        rate => rate,
    };
    let mut block = match (body.data, body.columns) {
        (Some(rows), None) => rows.into_block(rate_hz)?,
        (None, Some(columns)) => columns.into_block(rate_hz, body.start_s)?,
        (Some(_), Some(_)) => {
            return Err(BlockError::content("both data and columns are there; send one of them"));
        }
        (None, None) => {
            return Err(BlockError::content(
                "data is missing; send \"data\": [{\"时间\": 0.0, \"Ia\": 1.0, ...}, ...] with \"sampling_rate\"",
            ));
        }
    };
    if block.sample_count() > MAX_SAMPLES {
        return Err(BlockError::too_many_samples());
    }
    block.readings = body.readings;
    block.profile = body.motor;
    block.synchronous = body.synchronous.unwrap_or(true);
    Ok(block)
}

/// Writes `sensor_data`: in the seeds' rows where all channels share their sampling, else in columns.
pub fn encode_json(block: &SignalBlock) -> String {
    let rows = block.channels.first().map_or(0, |c| c.samples.len());
    let rate_hz = block.channels.first().map_or(1.0, |c| c.rate_hz);
    let uniform = block.channels.iter().all(|c| c.samples.len() == rows && c.rate_hz == rate_hz);
    let mut out = String::with_capacity(64 + block.sample_count() * 24);
    // Names are ours and need no escaping; a f32 is written in its shortest form that reads back.
    if uniform {
        out.push_str("{\"data\":[");
        for row in 0..rows {
            let time_s = block.start_s.unwrap_or(0.0) + row as f64 / rate_hz;
            push(&mut out, format_args!("{}{{\"时间\":{time_s:.6}", if row == 0 { "" } else { "," }));
            for channel in &block.channels {
                push(&mut out, format_args!(",\"{}\":{}", channel.quantity.name(), channel.samples[row]));
            }
            out.push('}');
        }
        push(&mut out, format_args!("],\"sampling_rate\":{rate_hz}"));
    } else {
        out.push_str("{\"columns\":{");
        for (n, channel) in block.channels.iter().enumerate() {
            let name = channel.quantity.name();
            let comma = if n == 0 { "" } else { "," };
            push(
                &mut out,
                format_args!("{comma}\"{name}\":{{\"sampling_rate\":{},\"values\":[", channel.rate_hz),
            );
            for (i, sample) in channel.samples.iter().enumerate() {
                push(&mut out, format_args!("{}{sample}", if i == 0 { "" } else { "," }));
            }
            out.push_str("]}");
        }
        out.push('}');
        if let Some(start_s) = block.start_s {
            push(&mut out, format_args!(",\"start\":{start_s}"));
        }
    }
    for (quantity, value) in &block.readings {
        push(&mut out, format_args!(",\"{}\":{value}", quantity.name()));
    }
    push(&mut out, format_args!(",\"synchronous\":{}", block.synchronous));
    if let Some(profile) = block.profile.as_ref().and_then(|p| serde_json::to_string(p).ok()) {
        push(&mut out, format_args!(",\"motor\":{profile}"));
    }
    out.push('}');
    out
}

/// Writing to a string cannot fail.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok());
}

#[derive(Default)]
struct Body {
    data: Option<Rows>,
    columns: Option<Columns>,
    sampling_rate: Option<f64>,
    start_s: Option<f64>,
    synchronous: Option<bool>,
    motor: Option<MotorProfile>,
    readings: BTreeMap<Quantity, f64>,
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with data or columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        let mut body = Body::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "data" => body.data = map.next_value()?,
                "columns" => body.columns = map.next_value()?,
                "sampling_rate" => body.sampling_rate = map.next_value()?,
                "start" => body.start_s = map.next_value()?,
                "synchronous" => body.synchronous = map.next_value()?,
                "motor" => body.motor = map.next_value()?,
                name => match Quantity::from_alias(name) {
                    Some(quantity) => {
                        if let Some(value) = map.next_value::<Option<f64>>()? {
                            body.readings.insert(quantity, value);
                        }
                    }
                    None => {
                        map.next_value::<IgnoredAny>()?;
                    }
                },
            }
        }
        Ok(body)
    }
}
