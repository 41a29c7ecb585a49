//! What every request passes before and after its handler.

pub mod access;
pub mod body;
pub mod headers;
pub mod limits;
pub mod linger;
pub mod log;
pub mod origin;
pub mod places;
pub mod session;
pub mod standing;
