//! Reading a manifest of labelled recordings, liberally: only a file, a label and what its columns are is required.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use vtox_protocol::codec::{BlockError, decode_csv};
use vtox_protocol::headers::{Column, columns, reading};
use vtox_protocol::{Channel, Quantity, SignalBlock};

use crate::layout::Layout;
use crate::motor::{number, profile};
use crate::npy::{NpyError, read_npy};
use crate::recording::{Confidence, Measurement, Recording, Truth};

/// Why a manifest or a recording it names cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}; give the path of a manifest.json next to its recordings")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// Not a manifest.
    #[error("{path} is no manifest: {source}; it needs `records`, a list of objects")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
    /// A record without what is needed.
    #[error("{0}; a record needs fault_label, and file, channels and sampling_rate_hz, or readings")]
    Record(String),
    /// Not an array.
    #[error("{path}: {source}")]
    Npy {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: NpyError,
    },
    /// Not a table.
    #[error("{path}: {source}")]
    Csv {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: BlockError,
    },
    /// The array does not have the shape the manifest describes.
    #[error(
        "{path}: shape {shape:?} does not fit {channels} channels; [sample, channel] or [snapshot, sample, channel] is expected"
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// Shape of the array.
        shape: Vec<usize>,
        /// Channels the manifest names.
        channels: usize,
    },
}

/// A recording that cannot be read; the others can.
#[derive(Debug, thiserror::Error)]
#[error("{id}: {source}")]
pub struct RecordError {
    /// Name of the recording, else its number.
    pub id: String,
    /// What is wrong with it.
    pub source: ManifestError,
}

/// A record of a manifest, not yet loaded.
#[derive(Debug, Clone)]
pub struct Record {
    directory: PathBuf,
    number: usize,
    fields: Map<String, Value>,
}

/// The records of a manifest, which is an object with a list of them under `records`, or the list itself.
pub fn records(manifest: &Path) -> Result<Vec<Record>, ManifestError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Manifest {
        Object {
            #[serde(alias = "recordings")]
            records: Vec<Map<String, Value>>,
        },
        List(Vec<Map<String, Value>>),
    }
    let parsed = serde_json::from_slice(&without_nan(&read(manifest)?))
        .map_err(|source| ManifestError::Json { path: manifest.to_owned(), source })?;
    let (Manifest::Object { records } | Manifest::List(records)) = parsed;
    let directory = manifest.parent().unwrap_or(Path::new("")).to_owned();
    Ok(records
        .into_iter()
        .enumerate()
        .map(|(number, fields)| Record { directory: directory.clone(), number, fields })
        .collect())
}

impl Record {
    /// An array that no manifest describes: its columns by name, and its sampling rate, Hz.
    pub fn of_array(path: &Path, channels: &[String], rate_hz: f64) -> Self {
        let fields = serde_json::json!({"file": path, "channels": channels, "sampling_rate_hz": rate_hz});
        let fields = if let Value::Object(fields) = fields { fields } else { Map::new() };
        Self { directory: PathBuf::new(), number: 0, fields }
    }

    /// Path of the recording.
    pub fn path(&self) -> Option<PathBuf> {
        Some(self.directory.join(self.text(&["file", "path", "filename"])?))
    }

    /// Reads the recording.
    pub fn load(&self) -> Result<Recording, RecordError> {
        let truth = self.truth();
        let loaded = truth.and_then(|truth| Ok(Recording { truth, measurement: self.measurement()? }));
        loaded.map_err(|source| RecordError { id: self.id(), source })
    }

    /// Reads what a detector may know of the recording. Takes from the record nothing but the file, the description of its
    /// channels, its readings and its motor.
    pub fn measurement(&self) -> Result<Measurement, ManifestError> {
        let mut blocks = match self.path() {
            Some(path) if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) => {
                vec![self.table(&path)?]
            }
            Some(path) => self.snapshots(&path)?,
            None => self.readings_alone()?,
        };
        let synchronous = self.fields.get("channels_synchronous").and_then(Value::as_bool).unwrap_or(true);
        let count = blocks.len();
        for (i, block) in blocks.iter_mut().enumerate() {
            block.synchronous = synchronous;
            self.read_readings(i, count, block);
        }
        Ok(Measurement {
            blocks,
            profile: profile(&self.fields),
            supply_frequency_hz: self.number(&["supply_frequency_hz"]).filter(|hz| *hz > 0.0),
        })
    }

    fn truth(&self) -> Result<Truth, ManifestError> {
        let field = |key: &str| self.fields.get(key).filter(|v| !v.is_null());
        let label = ["fault_label", "label"].iter().find_map(|key| field(key));
        let label = label.ok_or_else(|| ManifestError::Record("there is no fault_label".to_owned()))?;
        let text = |keys: &[&str]| self.text(keys).unwrap_or_default();
        let dataset = text(&["dataset"]);
        Ok(Truth {
            id: self.id(),
            // Without a name each recording is taken for a machine of its own.
            machine_id: self.text(&["machine_id", "machine"]).unwrap_or_else(|| self.id()),
            dataset: if dataset.is_empty() { "unnamed".to_owned() } else { dataset },
            label: Deserialize::deserialize(label)
                .map_err(|_| ManifestError::Record(format!("fault_label {label} is not known")))?,
            secondary_labels: field("secondary_labels")
                .and_then(Value::as_array)
                .map(|all| all.iter().filter_map(|v| Deserialize::deserialize(v).ok()).collect())
                .unwrap_or_default(),
            label_confidence: match field("label_confidence").map(Confidence::deserialize) {
                Some(Ok(confidence)) => confidence,
                Some(Err(_)) => Confidence::Medium,
                None => Confidence::High,
            },
            score: field("score").and_then(Value::as_bool).unwrap_or(true),
        })
    }

    fn id(&self) -> String {
        let stem = || Some(self.path()?.file_stem()?.to_str()?.to_owned());
        self.text(&["id"]).or_else(stem).unwrap_or_else(|| format!("record {}", self.number))
    }

    fn text(&self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| match self.fields.get(*key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    }

    fn number(&self, keys: &[&str]) -> Option<f64> {
        keys.iter().find_map(|key| number(self.fields.get(*key)?))
    }

    fn rate_hz(&self) -> Option<f64> {
        self.number(&["sampling_rate_hz", "sampling_rate", "sample_rate_hz", "fs_hz", "rate_hz"])
            .filter(|hz| *hz > 0.0)
    }

    fn table(&self, path: &Path) -> Result<SignalBlock, ManifestError> {
        decode_csv(&read(path)?, self.rate_hz())
            .map_err(|source| ManifestError::Csv { path: path.to_owned(), source })
    }

    /// Blocks of a record that has readings and no file: one, or one per entry of the longest list.
    fn readings_alone(&self) -> Result<Vec<SignalBlock>, ManifestError> {
        let readings = self.fields.get("readings").and_then(Value::as_object).filter(|r| !r.is_empty());
        let readings = readings.ok_or_else(|| ManifestError::Record("no file is named".to_owned()))?;
        let blocks = readings.values().filter_map(Value::as_array).map(Vec::len).max().unwrap_or(1);
        let times_s = self.times_s();
        let block = |i: usize| SignalBlock { start_s: times_s.get(i).copied(), ..SignalBlock::default() };
        Ok((0..blocks).map(block).collect())
    }

    fn times_s(&self) -> Vec<f64> {
        let times = self.fields.get("snapshot_time_s").and_then(Value::as_array);
        times.map(|all| all.iter().filter_map(number).collect()).unwrap_or_default()
    }

    /// The blocks of an array.
    fn snapshots(&self, path: &Path) -> Result<Vec<SignalBlock>, ManifestError> {
        let described = self.channels()?;
        let array =
            read_npy(&read(path)?).map_err(|source| ManifestError::Npy { path: path.to_owned(), source })?;
        let times_s = self.times_s();
        let layout =
            Layout::of(&array, described.len(), times_s.len()).ok_or_else(|| ManifestError::Shape {
                path: path.to_owned(),
                shape: array.shape.clone(),
                channels: described.len(),
            })?;
        let columns = columns(described.iter().map(|c| (c.name.as_str(), c.unit.as_deref())));
        Ok((0..layout.snapshots)
            .map(|snapshot| {
                let known = columns.iter().zip(&described).enumerate();
                let channels = known.filter_map(|(c, (column, described))| {
                    let Column { quantity, factor, offset } = (*column)?;
                    let physical =
                        |raw: f64| ((raw * described.scale + described.offset) * factor + offset) as f32;
                    let samples =
                        (0..layout.samples).map(|i| physical(layout.raw(&array, snapshot, i, c))).collect();
                    Some(Channel { quantity, rate_hz: described.rate_hz, samples })
                });
                SignalBlock {
                    start_s: times_s.get(snapshot).copied(),
                    channels: channels.collect(),
                    ..SignalBlock::default()
                }
            })
            .collect())
    }

    fn channels(&self) -> Result<Vec<Described>, ManifestError> {
        let lacks = |what: &str| ManifestError::Record(what.to_owned());
        let listed = self
            .fields
            .get("channels")
            .and_then(Value::as_array)
            .ok_or_else(|| lacks("there are no channels"))?;
        listed
            .iter()
            .map(|channel| {
                let field =
                    |keys: &[&str]| keys.iter().find_map(|key| channel.get(*key).filter(|v| !v.is_null()));
                let name = channel.as_str().or_else(|| field(&["name", "quantity"])?.as_str());
                let rate_hz = field(&["sampling_rate_hz", "rate_hz"]).and_then(number).filter(|hz| *hz > 0.0);
                Ok(Described {
                    name: name.unwrap_or_default().to_owned(),
                    unit: field(&["unit", "units"]).and_then(Value::as_str).map(str::to_owned),
                    scale: field(&["scale"]).and_then(number).unwrap_or(1.0),
                    offset: field(&["offset"]).and_then(number).unwrap_or(0.0),
                    rate_hz: rate_hz
                        .or_else(|| self.rate_hz())
                        .ok_or_else(|| lacks("there is no sampling_rate_hz"))?,
                })
            })
            .collect()
    }

    /// Slow quantities: the speed, what stands under `readings`, and the usual ones beside it. A list has one value per
    /// snapshot.
    fn read_readings(&self, snapshot: usize, snapshots: usize, block: &mut SignalBlock) {
        let value = |value: &Value| match value {
            Value::Array(list) if list.len() == snapshots => number(&list[snapshot]),
            Value::Object(with_unit) => number(with_unit.get("value")?),
            other => number(other),
        };
        const BESIDE: [&str; 10] = [
            "temperature_c",
            "temperature",
            "winding_temperature_c",
            "insulation_resistance_mohm",
            "insulation_resistance",
            "leakage_current_a",
            "leakage_current_ma",
            "leakage_current",
            "dc_bus_voltage_v",
            "dc_bus_voltage",
        ];
        let beside = BESIDE.iter().filter_map(|key| Some((*key, self.fields.get(*key)?)));
        let listed = self.fields.get("readings").and_then(Value::as_object);
        let listed = listed.into_iter().flatten().map(|(name, v)| (name.as_str(), v));
        for (name, v) in beside.chain(listed) {
            let unit = v.get("unit").and_then(Value::as_str);
            let column = if unit.is_some() { columns([(name, unit)]).pop().flatten() } else { reading(name) };
            if let (Some(Column { quantity, factor, offset }), Some(value)) = (column, value(v)) {
                block.readings.insert(quantity, value * factor + offset);
            }
        }
        let rpm = ["rpm", "speed_rpm"].iter().find_map(|key| value(self.fields.get(*key)?));
        if let Some(rpm) = rpm {
            block.readings.insert(Quantity::Speed, rpm);
        }
    }
}

/// JSON without the `NaN`, `Infinity` and byte-order mark that some writers put there.
fn without_nan(text: &[u8]) -> Vec<u8> {
    let mut rest = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let mut out = Vec::with_capacity(rest.len());
    let (mut in_string, mut escaped) = (false, false);
    while let Some((&byte, after)) = rest.split_first() {
        let word = [&b"NaN"[..], b"-Infinity", b"Infinity"].into_iter().find(|word| rest.starts_with(word));
        if let (false, Some(word)) = (in_string, word) {
            out.extend(b"null");
            rest = &rest[word.len()..];
            continue;
        }
        in_string ^= byte == b'"' && !escaped;
        escaped = in_string && byte == b'\\' && !escaped;
        out.push(byte);
        rest = after;
    }
    out
}

/// A channel as the manifest describes it.
struct Described {
    name: String,
    unit: Option<String>,
    scale: f64,
    offset: f64,
    rate_hz: f64,
}

fn read(path: &Path) -> Result<Vec<u8>, ManifestError> {
    fs::read(path).map_err(|source| ManifestError::Io { path: path.to_owned(), source })
}
