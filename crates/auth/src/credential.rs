//! What a credential looks like. Pure: any text may come in.

use std::fmt;

use jsonwebtoken::decode_header;

use crate::Denied;
use crate::api_key::ApiKey;
use crate::keys::{Algorithm, is_kid};

/// Longest credential, bytes.
const MAX_BYTES: usize = 8_192;

/// A credential by its form alone; nothing about it has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential<'a> {
    /// Made by `vtox token issue`.
    ApiKey(ApiKey),
    /// A signed JSON web token.
    Token(Token<'a>),
}

/// A JSON web token with a readable header.
#[derive(Clone, PartialEq, Eq)]
pub struct Token<'a> {
    /// The whole token.
    pub text: &'a str,
    /// Which key it says it is signed with.
    pub kid: String,
    /// How it says it is signed.
    pub algorithm: Algorithm,
}

impl fmt::Debug for Token<'_> {
    /// Without the token itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Reads the form of a credential, without the `Bearer` before it.
///
/// # Errors
/// [`Denied::MissingToken`] for nothing, [`Denied::InvalidToken`] for what is neither an API key nor a token that could be
/// verified.
pub fn parse_credential(text: &str) -> Result<Credential<'_>, Denied> {
    if text.is_empty() {
        return Err(Denied::MissingToken);
    }
    if text.len() > MAX_BYTES {
        return Err(Denied::InvalidToken);
    }
    if let Some(key) = ApiKey::parse(text) {
        return Ok(Credential::ApiKey(key));
    }
    let header = decode_header(text).map_err(|_| Denied::InvalidToken)?;
    // Nothing that a header may call critical is understood here.
    if header.crit.is_some() {
        return Err(Denied::InvalidToken);
    }
    let kid = header.kid.filter(|kid| is_kid(kid)).ok_or(Denied::InvalidToken)?;
    let algorithm = Algorithm::of_header(header.alg).ok_or(Denied::InvalidToken)?;
    Ok(Credential::Token(Token { text, kid, algorithm }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `{"alg":ALG,"kid":KID}` in base64url, by hand.
    const GOOD: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6ImsxIn0"; // {"alg":"EdDSA","kid":"k1"}
    const NONE: &str = "eyJhbGciOiJub25lIiwia2lkIjoiazEifQ"; // {"alg":"none","kid":"k1"}
    const HS512: &str = "eyJhbGciOiJIUzUxMiIsImtpZCI6ImsxIn0"; // {"alg":"HS512","kid":"k1"}
    const NO_KID: &str = "eyJhbGciOiJFZERTQSJ9"; // {"alg":"EdDSA"}
    const PATH: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6Ii4uL3gifQ"; // {"alg":"EdDSA","kid":"../x"}
    const CRITICAL: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6ImsxIiwiY3JpdCI6WyJleHAiXX0"; // ..., "crit":["exp"]

    #[test]
    fn a_token_is_known_by_its_header() {
        let text = format!("{GOOD}.e30.AA");
        let Ok(Credential::Token(token)) = parse_credential(&text) else { panic!("no token") };
        assert_eq!((token.kid.as_str(), token.algorithm), ("k1", Algorithm::Ed25519));
        assert!(!format!("{token:?}").contains(GOOD), "a token in a log");
        for header in [NONE, HS512, NO_KID, PATH, CRITICAL] {
            let text = format!("{header}.e30.AA");
            assert_eq!(parse_credential(&text), Err(Denied::InvalidToken), "{header}");
        }
        assert_eq!(parse_credential(&format!("{GOOD}.e30")), Err(Denied::InvalidToken));
        assert_eq!(
            parse_credential(&format!("{GOOD}.e30.A{}", "A".repeat(9_000))),
            Err(Denied::InvalidToken)
        );
        assert_eq!(parse_credential(""), Err(Denied::MissingToken));
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer(text in "\\PC{0,200}") {
            prop_assert!(parse_credential(&text).is_err());
        }

        #[test]
        fn anything_like_a_token_has_an_answer(header in "[A-Za-z0-9_-]{0,60}", rest in "[.A-Za-z0-9_-]{0,60}") {
            drop(parse_credential(&format!("{header}.{rest}")));
            drop(parse_credential(&format!("vtox_{rest}")));
        }
    }
}
