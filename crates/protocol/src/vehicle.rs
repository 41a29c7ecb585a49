//! Vehicle identity.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// Id of a vehicle such as `粤B·SEAL·202412345`: NFC-normalised, 1 to 128 bytes, no control
/// characters and none that are not seen, no white space at its ends, no `/` and no `\`, neither `.` nor `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, min_length = 1, max_length = 128))]
pub struct VehicleId(String);

/// Longest vehicle id, in bytes of UTF-8.
pub const MAX_VEHICLE_ID_BYTES: usize = 128;

/// Why a text is no vehicle id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVehicleId {
    /// Nothing there.
    #[error("vehicle id is empty; give the id of the vehicle")]
    Empty,
    /// Over the bound.
    #[error("vehicle id has {0} bytes; at most {MAX_VEHICLE_ID_BYTES} are allowed")]
    TooLong(usize),
    /// A character that does not belong in an id.
    #[error(
        "vehicle id has the character {0:?}, which is not allowed; use letters, digits and signs such as · - _ ."
    )]
    Character(char),
    /// A segment of a path that means something else.
    #[error(
        "vehicle id is {0:?}, which clients and proxies take out of paths; use letters or digits as well"
    )]
    Dots(String),
}

impl VehicleId {
    /// Normalises and checks an id.
    pub fn new(text: &str) -> Result<Self, InvalidVehicleId> {
        let text = text.trim();
        // Before normalising: NFC never grows a text more than threefold, so the bound holds for the work as well.
        if text.len() > 3 * MAX_VEHICLE_ID_BYTES {
            return Err(InvalidVehicleId::TooLong(text.len()));
        }
        let id: String = text.nfc().collect();
        match id.len() {
            0 => return Err(InvalidVehicleId::Empty),
            n if n > MAX_VEHICLE_ID_BYTES => return Err(InvalidVehicleId::TooLong(n)),
            _ => {}
        }
        let forbidden = |c: &char| {
            c.is_control()
                || matches!(c, '/' | '\\' | '\u{ad}' | '\u{61c}' | '\u{fffd}' | '\u{feff}')
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        };
        if matches!(id.as_str(), "." | "..") {
            return Err(InvalidVehicleId::Dots(id));
        }
        match id.chars().find(forbidden) {
            Some(c) => Err(InvalidVehicleId::Character(c)),
            None => Ok(Self(id)),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VehicleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for VehicleId {
    type Err = InvalidVehicleId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<String> for VehicleId {
    type Error = InvalidVehicleId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<VehicleId> for String {
    fn from(id: VehicleId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decomposed_and_composed_spellings_are_one_vehicle() {
        assert_eq!(VehicleId::new("e\u{301}-1"), VehicleId::new("\u{e9}-1"));
        assert_eq!(VehicleId::new("粤B·SEAL·202412345").unwrap().as_str(), "粤B·SEAL·202412345");
    }

    #[test]
    fn what_is_no_id_says_why() {
        assert_eq!(VehicleId::new("  "), Err(InvalidVehicleId::Empty));
        assert_eq!(VehicleId::new("a/b"), Err(InvalidVehicleId::Character('/')));
        assert_eq!(VehicleId::new("a\u{2067}b"), Err(InvalidVehicleId::Character('\u{2067}')));
        assert_eq!(VehicleId::new(" .. "), Err(InvalidVehicleId::Dots("..".to_owned())));
        assert!(VehicleId::new("...").is_ok());
        assert_eq!(VehicleId::new("a\u{0}b"), Err(InvalidVehicleId::Character('\0')));
        assert_eq!(VehicleId::new(&"x".repeat(10_000)), Err(InvalidVehicleId::TooLong(10_000)));
    }

    proptest! {
        #[test]
        fn an_accepted_id_is_stable_and_bounded(text in "\\PC{0,60}") {
            if let Ok(id) = VehicleId::new(&text) {
                prop_assert_eq!(VehicleId::new(id.as_str()), Ok(id.clone()));
                prop_assert!(id.as_str().len() <= MAX_VEHICLE_ID_BYTES);
            }
        }
    }
}
