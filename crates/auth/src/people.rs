//! People who log in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Role;

/// Name of a person: 1 to 64 letters, digits and `.` `_` `-` `@`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserName(String);

/// A text that is no [`UserName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no user name; use 1 to 64 letters, digits and . _ - @")]
pub struct InvalidUserName(String);

impl FromStr for UserName {
    type Err = InvalidUserName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
        let fits = (1..=64).contains(&text.chars().count()) && text.len() <= 128 && text.chars().all(allowed);
        fits.then(|| Self(text.to_owned())).ok_or_else(|| InvalidUserName(text.chars().take(64).collect()))
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is kept of a person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Hash of the password, a PHC string of argon2id.
    pub password: String,
    /// What the person may do.
    pub role: Role,
    /// When this was last changed, epoch s: tokens from before are refused.
    pub changed: u64,
}

impl fmt::Debug for User {
    /// Without the password's hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("role", &self.role)
            .field("changed", &self.changed)
            .finish_non_exhaustive()
    }
}
