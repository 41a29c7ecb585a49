//! Reading a manifest of labelled recordings.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vtox_protocol::{BearingGeometry, Channel, FaultType, MotorProfile, Quantity, SignalBlock};

use crate::npy::{NpyError, read_npy};

/// What is really the matter with a recorded motor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// Nothing.
    Healthy,
    /// Inter-turn short circuit.
    TurnFault,
    /// Insulation.
    Insulation,
    /// Bearing damage.
    Bearing,
    /// Eccentricity.
    Eccentricity,
    /// Broken rotor bars.
    BrokenBar,
    /// Something that is none of the five faults and must not be taken for one.
    Other,
}

impl Label {
    /// The fault that should be found, if it is one of the five.
    pub const fn fault(self) -> Option<FaultType> {
        match self {
            Self::TurnFault => Some(FaultType::TurnFault),
            Self::Insulation => Some(FaultType::Insulation),
            Self::Bearing => Some(FaultType::Bearing),
            Self::Eccentricity => Some(FaultType::Eccentricity),
            Self::BrokenBar => Some(FaultType::BrokenBar),
            Self::Healthy | Self::Other => None,
        }
    }
}

/// How far a label can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Contradicted by the signal.
    Low,
    /// With reservations.
    Medium,
    /// Undisputed.
    High,
}

/// A labelled recording, ready to be diagnosed.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Name of the recording. May give the label away, so it is for reports only, like all fields but the last two.
    pub id: String,
    /// Where it comes from.
    pub dataset: String,
    /// What should be found at the end of the recording.
    pub label: Label,
    /// What may be found beside it.
    pub secondary_labels: Vec<Label>,
    /// How far the label can be trusted.
    pub label_confidence: Confidence,
    /// Whether it counts.
    pub score: bool,
    /// The motor: the same value for the same physical unit.
    pub machine_id: String,
    /// Blocks in order with their times, s, where known; one per snapshot, or one of the whole recording.
    pub blocks: Vec<(Option<f64>, SignalBlock)>,
    /// What is known of the motor.
    pub profile: MotorProfile,
}

/// Why a manifest or a file it names cannot be read.
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
    #[error(
        "{path} is no manifest: {source}; it needs `records` with file, channels, sampling_rate_hz and fault_label"
    )]
    Json {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
    /// Not an array.
    #[error("{path}: {source}")]
    Npy {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: NpyError,
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

#[derive(Deserialize)]
struct Manifest {
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    id: String,
    file: String,
    dataset: String,
    fault_label: Label,
    #[serde(default)]
    secondary_labels: Vec<Label>,
    label_confidence: Confidence,
    #[serde(default = "yes")]
    score: bool,
    #[serde(default)]
    machine_id: String,
    channels: Vec<RecordedChannel>,
    sampling_rate_hz: f64,
    rpm: Option<f64>,
    pole_pairs: Option<u8>,
    bearing: Option<RecordedBearing>,
    #[serde(default = "yes")]
    channels_synchronous: bool,
    #[serde(default)]
    snapshot_time_s: Vec<f64>,
}

#[derive(Deserialize)]
struct RecordedChannel {
    name: String,
    #[serde(default = "one")]
    scale: f64,
}

#[derive(Deserialize)]
struct RecordedBearing {
    n_balls: u8,
    ball_d_mm: f64,
    pitch_d_mm: f64,
    #[serde(default)]
    contact_angle_deg: f64,
}

const fn yes() -> bool {
    true
}

const fn one() -> f64 {
    1.0
}

/// Reads a manifest and gives its recordings one after the other, each loaded when it is asked for.
pub fn recordings(
    manifest: &Path,
) -> Result<impl Iterator<Item = Result<Recording, ManifestError>> + use<>, ManifestError> {
    let bytes = read(manifest)?;
    let parsed: Manifest = serde_json::from_slice(&bytes)
        .map_err(|source| ManifestError::Json { path: manifest.to_owned(), source })?;
    let directory = manifest.parent().unwrap_or(Path::new("")).to_owned();
    Ok(parsed.records.into_iter().map(move |record| load(&directory, record)))
}

fn read(path: &Path) -> Result<Vec<u8>, ManifestError> {
    fs::read(path).map_err(|source| ManifestError::Io { path: path.to_owned(), source })
}

fn load(directory: &Path, record: Record) -> Result<Recording, ManifestError> {
    let path = directory.join(&record.file);
    let array =
        read_npy(&read(&path)?).map_err(|source| ManifestError::Npy { path: path.clone(), source })?;
    let channels = record.channels.len();
    let (snapshots, samples) = match array.shape[..] {
        [samples, c] if c == channels => (1, samples),
        [snapshots, samples, c] if c == channels => (snapshots, samples),
        _ => {
            return Err(ManifestError::Shape { path, shape: array.shape, channels });
        }
    };
    let quantities = quantities(&record.channels);
    let blocks = (0..snapshots)
        .map(|snapshot| {
            let rows = &array.values[snapshot * samples * channels..(snapshot + 1) * samples * channels];
            let start_s = record.snapshot_time_s.get(snapshot).copied();
            (start_s, block(&record, &quantities, rows, start_s))
        })
        .collect();
    let profile = MotorProfile {
        pole_pairs: record.pole_pairs,
        bearing: record.bearing.map(|b| BearingGeometry {
            elements: b.n_balls,
            element_diameter_mm: b.ball_d_mm,
            pitch_diameter_mm: b.pitch_d_mm,
            contact_angle_deg: b.contact_angle_deg,
        }),
        ..MotorProfile::default()
    };
    Ok(Recording {
        id: record.id,
        dataset: record.dataset,
        label: record.fault_label,
        secondary_labels: record.secondary_labels,
        label_confidence: record.label_confidence,
        score: record.score,
        machine_id: record.machine_id,
        blocks,
        profile,
    })
}

fn block(
    record: &Record,
    quantities: &[Option<Quantity>],
    rows: &[f64],
    start_s: Option<f64>,
) -> SignalBlock {
    let channels = quantities
        .iter()
        .enumerate()
        .filter_map(|(i, quantity)| {
            let scale = record.channels[i].scale;
            Some(Channel {
                quantity: (*quantity)?,
                rate_hz: record.sampling_rate_hz,
                samples: rows.iter().skip(i).step_by(quantities.len()).map(|x| (x * scale) as f32).collect(),
            })
        })
        .collect();
    SignalBlock {
        start_s,
        channels,
        readings: record.rpm.map(|rpm| (Quantity::Speed, rpm)).into_iter().collect(),
        synchronous: record.channels_synchronous,
        ..SignalBlock::default()
    }
}

/// The quantity of each channel: by its field name, else vibrations and currents in the order in which they come.
fn quantities(channels: &[RecordedChannel]) -> Vec<Option<Quantity>> {
    let mut taken = Vec::new();
    channels
        .iter()
        .map(|channel| {
            let next =
                |family: &[Quantity], taken: &[Quantity]| family.iter().copied().find(|q| !taken.contains(q));
            let quantity = match channel.name.split('_').next() {
                Some("vibration") => next(&Quantity::VIBRATIONS, &taken),
                Some("current") => next(&Quantity::CURRENTS, &taken),
                Some("voltage") => next(&Quantity::VOLTAGES, &taken),
                _ => Quantity::from_alias(&channel.name).filter(|q| !taken.contains(q)),
            }?;
            taken.push(quantity);
            Some(quantity)
        })
        .collect()
}
