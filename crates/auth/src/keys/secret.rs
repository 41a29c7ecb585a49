//! Shared secrets that somebody could guess.

use std::collections::HashSet;

/// Secrets that everybody knows, long enough to pass otherwise; from tutorials and the examples of tools.
const WELL_KNOWN: &[&str] = &[
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    "a-string-secret-at-least-256-bits-long",
    "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
    "your-secret-key-change-in-production",
    "your-secret-key-change-this-in-production",
    "your-super-secret-key-change-in-production",
    "your-super-secret-jwt-token-with-at-least-32-characters-long",
    "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
];
/// What secrets are not made of, but examples are.
const WORDS: &[&str] =
    &["secret", "password", "changeme", "change-me", "change_me", "example", "your-", "your_"];
/// Shortest shared secret, bytes: what HMAC-SHA-256 needs.
const SHORTEST_SECRET: usize = 32;
/// Fewest different bytes. 32 random hexadecimal digits have fewer once in 15,000 times, what `keygen` makes practically never.
const FEWEST_DIFFERENT: usize = 10;

/// What is wrong with a secret, if anything is.
pub fn flaw(secret: &[u8]) -> Option<String> {
    let different = secret.iter().collect::<HashSet<_>>().len();
    if secret.len() < SHORTEST_SECRET {
        Some(format!("the secret has {} bytes, at least {SHORTEST_SECRET} are needed", secret.len()))
    } else if different < FEWEST_DIFFERENT {
        Some(format!("the secret has only {different} different characters"))
    } else if repeats(secret) {
        Some("the secret repeats itself".to_owned())
    } else if counts(secret) {
        Some("the secret follows the order of the alphabet or of the digits".to_owned())
    } else if WELL_KNOWN.iter().any(|known| known.as_bytes() == secret) || says_what_it_is(secret) {
        Some("the secret is an example that everybody knows".to_owned())
    } else {
        None
    }
}

/// Whether it has a word that says it is one to be replaced.
fn says_what_it_is(secret: &[u8]) -> bool {
    let lower = secret.to_ascii_lowercase();
    WORDS.iter().any(|word| lower.windows(word.len()).any(|part| part == word.as_bytes()))
}

/// Whether more than a third of its triples were there before; of random hexadecimal digits one in a hundred was.
fn repeats(secret: &[u8]) -> bool {
    let triples = secret.windows(3);
    let (all, different) = (triples.len(), triples.collect::<HashSet<_>>().len());
    3 * (all - different) > all
}

/// Whether more than half of its bytes are the one before, or its neighbour; of random hexadecimal digits it is a sixth.
fn counts(secret: &[u8]) -> bool {
    let steps = secret.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 1).count();
    2 * steps > secret.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_can_be_guessed_is_refused() {
        for (secret, why) in [
            ("changeme-changeme-changeme-changeme", "different characters"),
            ("change-this-secret-change-this-secret", "repeats"),
            ("Passw0rd!Passw0rd!Passw0rd!Passw0rd!", "different characters"),
            ("correct horse battery-correct horse battery", "repeats"),
            ("12345678901234567890123456789012", "repeats"),
            ("abcdefghijklmnopqrstuvwxyz0123456789", "order"),
            ("aaaaaaaaaaaaaaaabcdefghijklmnopqrst", "repeats"),
            ("your-secret-key-change-in-production", "everybody knows"),
            ("your-256-bit-secret-your-secret-key-here", "everybody knows"),
            ("my_JWT_Password_4_production_only_2026", "everybody knows"),
            ("short", "5 bytes"),
        ] {
            let flaw = flaw(secret.as_bytes()).unwrap_or_default();
            assert!(flaw.contains(why), "{secret}: {flaw:?}");
            assert!(!flaw.contains(secret));
        }
    }

    proptest! {
        #[test]
        fn what_is_random_is_taken(bytes in proptest::array::uniform32(any::<u8>())) {
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            prop_assert_eq!(flaw(hex.as_bytes()), None);
            prop_assert_eq!(flaw(&bytes), None);
        }
    }
}
