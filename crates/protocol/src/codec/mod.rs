//! The forms of a signal block on the wire: rows and columns in JSON, MessagePack, and CSV.

mod binary;
mod columns;
mod csv;
mod json;
mod rows;

pub use binary::{decode_binary, encode_binary};
pub use csv::decode_csv;
pub use json::{decode_json, encode_json};

/// Why a text or bytes are no signal block.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BlockError {
    /// Not the syntax of the form.
    #[error("sensor_data cannot be read: {0}")]
    Syntax(String),
    /// Read, but without anything a detector could use.
    #[error("sensor_data cannot be diagnosed: {0}")]
    Content(String),
}

impl BlockError {
    fn content(text: impl Into<String>) -> Self {
        Self::Content(text.into())
    }

    fn too_many_samples() -> Self {
        Self::Content(format!("more than {MAX_SAMPLES} samples; send shorter blocks"))
    }

    fn too_many_columns() -> Self {
        Self::Content(format!("more than {MAX_COLUMNS} columns; leave out those that are no signals"))
    }
}

/// Most samples of a block over all channels. Bounds the work one message can ask for.
pub const MAX_SAMPLES: usize = 4_000_000;

/// Most columns or channels of a block, those nobody knows among them.
const MAX_COLUMNS: usize = 1_024;
