//! Pairs of 16-bit numbers as text: six characters of the base64 alphabet a pair, a third of what JSON numbers take.

use serde::{Deserialize, Deserializer, Serializer};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const CHARACTERS: usize = 6;

pub(super) fn serialize<S: Serializer>(pairs: &[[i16; 2]], serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = String::with_capacity(CHARACTERS * pairs.len());
    for [a, b] in pairs {
        let word = u32::from(a.cast_unsigned()) << 16 | u32::from(b.cast_unsigned());
        text.extend((0..CHARACTERS).map(|k| char::from(ALPHABET[(word >> (6 * k)) as usize & 63])));
    }
    serializer.serialize_str(&text)
}

/// What is no such text gives no pairs: the state is begun anew.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<[i16; 2]>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let pairs = text.as_bytes().chunks(CHARACTERS).map(pair).collect::<Option<Vec<_>>>();
    Ok(pairs.unwrap_or_default())
}

fn pair(characters: &[u8]) -> Option<[i16; 2]> {
    if characters.len() != CHARACTERS {
        return None;
    }
    let mut word = 0u64;
    for (k, c) in characters.iter().enumerate() {
        word |= (ALPHABET.iter().position(|a| a == c)? as u64) << (6 * k);
    }
    let word = u32::try_from(word).ok()?;
    Some([((word >> 16) as u16).cast_signed(), (word as u16).cast_signed()])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Held {
        #[serde(with = "super")]
        pairs: Vec<[i16; 2]>,
    }

    proptest! {
        #[test]
        fn pairs_come_back(pairs in prop::collection::vec(any::<[i16; 2]>(), 0..300)) {
            let held = Held { pairs };
            let text = serde_json::to_string(&held).unwrap();
            prop_assert_eq!(serde_json::from_str::<Held>(&text).unwrap(), held);
        }

        #[test]
        fn any_text_is_survived(text in ".{0,40}") {
            let json = serde_json::json!({ "pairs": text });
            prop_assert!(serde_json::from_value::<Held>(json).unwrap().pairs.len() <= 40);
        }
    }
}
