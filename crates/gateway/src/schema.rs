//! Pieces that many answers are made of.

use serde::Serialize;
use utoipa::ToSchema;

/// The word `success`.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Success {
    /// It is.
    Success,
}

/// An answer with its data.
#[derive(Debug, Serialize, ToSchema)]
pub struct Answer<T> {
    /// `success`.
    pub status: Success,
    /// What was asked for.
    pub data: T,
}

impl<T> Answer<T> {
    /// With its data.
    pub fn of(data: T) -> Self {
        Self { status: Success::Success, data }
    }
}

/// MessagePack.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "describes bodies that are read as bytes")]
pub struct MessagePack(Vec<u8>);
