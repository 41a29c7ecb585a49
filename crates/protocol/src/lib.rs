//! What travels between vehicles, services and Redis: messages, keys, codecs, errors.
//!
//! Pure data: no I/O, no clock, no runtime. Every other crate may depend on this one.

pub mod bearings;
pub mod codec;
pub mod headers;
pub mod keys;
pub mod task;
pub mod timestamp;
pub mod token;

mod block;
mod clock;
mod entry;
mod fault;
mod health;
mod message;
mod monitor;
mod profile;
mod quantity;
mod result;
mod service;
mod switches;
mod vehicle;
mod verdict;

pub use block::{Channel, SignalBlock};
pub use clock::SamplingClock;
pub use entry::{DATA_TYPE, Message, Payload, RawEntry, Replay, Undecodable, decode_entry, message_id_of};
pub use fault::{FaultSet, FaultType, UnknownFaultType};
pub use health::{FaultState, FaultSummary, OverallHealth, OverallStatus, VehicleHealth};
pub use message::{EntryId, InvalidEntryId, MAX_MESSAGE_ID_BYTES, MessageId};
pub use monitor::{FaultFlow, MonitorSnapshot, ThroughputSource};
pub use profile::{BearingGeometry, MotorProfile, MotorType, VehicleMotor};
pub use quantity::{Quantity, TIME_ALIASES, is_time_alias};
pub use result::{DiagnosisResult, MalformedResult, features, result_health_score};
pub use service::{
    Assignment, Grant, ServiceEvent, ServiceEventType, ServiceRecord, ServiceStatus, ServiceType, WorkerLoad,
};
pub use switches::{Change, Position, Set, Supervisor, Switches, WORKERS_IN_ALL, WORKERS_OF_A_FAULT};
pub use vehicle::{InvalidVehicleId, MAX_VEHICLE_ID_BYTES, VehicleId};
pub use verdict::{Charts, Evidence, Severity, Status, Verdict};
