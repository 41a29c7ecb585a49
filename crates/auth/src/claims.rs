//! What a token says, and whether it may be believed.

use std::fmt;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vtox_protocol::VehicleId;

use crate::{Denied, Keyring, Principal, Role, Token};

/// How far clocks may be apart, s.
const LEEWAY_S: f64 = 5.0;
/// Longest `sub` and `jti`, bytes: they are kept in logs and in memory.
const MAX_NAME_BYTES: usize = 128;

/// For whom tokens are, and by whom.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Must be among `aud`.
    pub audience: String,
    /// Must be `iss`; none: anybody whose key is in the directory.
    pub issuer: Option<String>,
}

/// What a genuine token says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Claims {
    /// Whose it is.
    pub sub: String,
    /// What they may do.
    pub role: Role,
    /// The only vehicle they may act for; always there for [`Role::Vehicle`].
    pub vehicle_id: Option<VehicleId>,
    /// Epoch s from which it is refused.
    exp: f64,
    /// Epoch s before which it is refused.
    nbf: Option<f64>,
    /// Epoch s at which it was made.
    pub iat: Option<f64>,
    /// Id by which it can be revoked.
    pub jti: Option<String>,
    /// Whether `sub` is a person that logged in here; the token is worth no more than that person is now.
    #[serde(default)]
    pub local_user: bool,
}

impl Claims {
    /// Who shows a token with these claims, signed with the key `kid`.
    pub fn principal(self, kid: &str) -> Principal {
        let credential =
            if self.local_user { format!("user:{}", self.sub) } else { format!("jwt:{kid}:{}", self.sub) };
        Principal { subject: self.sub, role: self.role, vehicle: self.vehicle_id, credential }
    }
}

/// Checks signature and claims of a token at `now_s`, epoch s. The key decides how it must be signed, not the token.
///
/// # Errors
/// [`Denied::InvalidToken`] unless the signature is right; then also what is wrong with the claims.
pub fn verify(
    keyring: &Keyring,
    token: &Token<'_>,
    expected: &Expected,
    now_s: u64,
) -> Result<Claims, Denied> {
    let key = keyring.key(&token.kid).filter(|key| key.algorithm == token.algorithm);
    let key = key.ok_or(Denied::InvalidToken)?;
    let mut validation = Validation::new(key.algorithm.in_header());
    // The library reads the clock itself; here the time is given.
    validation.validate_exp = false;
    validation.set_audience(&[&expected.audience]);
    let mut required = vec!["exp", "aud", "sub"];
    if let Some(issuer) = &expected.issuer {
        validation.set_issuer(&[issuer]);
        required.push("iss");
    }
    validation.set_required_spec_claims(&required);
    let claims = decode::<Claims>(token.text, &key.verifying, &validation).map_err(|error| {
        tracing::debug!(kid = token.kid, %error, "token refused");
        match error.kind() {
            ErrorKind::InvalidAudience => Denied::WrongAudience,
            ErrorKind::InvalidIssuer => Denied::WrongIssuer,
            _ => Denied::InvalidToken,
        }
    })?;
    check(claims.claims, now_s as f64)
}

fn check(claims: Claims, now_s: f64) -> Result<Claims, Denied> {
    let named =
        |text: &str| (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    if !named(&claims.sub) || claims.jti.as_deref().is_some_and(|jti| !named(jti)) {
        return Err(Denied::InvalidToken);
    }
    if claims.role == Role::Vehicle && claims.vehicle_id.is_none() {
        return Err(Denied::InvalidToken);
    }
    if now_s >= claims.exp + LEEWAY_S {
        return Err(Denied::ExpiredToken);
    }
    if claims.nbf.is_some_and(|nbf| now_s + LEEWAY_S < nbf) {
        return Err(Denied::EarlyToken);
    }
    Ok(claims)
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct Issue {
    /// Whose it will be.
    pub subject: String,
    /// What they may do.
    pub role: Role,
    /// The only vehicle they may act for.
    pub vehicle: Option<VehicleId>,
    /// How long it will be good for, s.
    pub lifetime_s: u64,
    /// Whether `subject` is a person that logged in here.
    pub local_user: bool,
}

/// A new token.
#[derive(Clone)]
pub struct Issued {
    /// The token itself.
    pub token: String,
    /// Id by which it can be revoked.
    pub id: String,
    /// How long it is good for, s.
    pub lifetime_s: u64,
}

impl fmt::Debug for Issued {
    /// Without the token itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("id", &self.id)
            .field("lifetime_s", &self.lifetime_s)
            .finish_non_exhaustive()
    }
}

/// Whether a text can be the id (`jti`) of a token that is made here; other issuers may have any.
pub fn is_token_id(text: &str) -> bool {
    Uuid::try_parse(text).is_ok_and(|id| id.get_version_num() == 4 && id.to_string() == text)
}

#[derive(Serialize)]
struct Written<'a> {
    sub: &'a str,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    vehicle_id: Option<&'a VehicleId>,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    iat: u64,
    exp: u64,
    jti: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    local_user: bool,
}

impl Keyring {
    /// Makes and signs a token at `now_s`, epoch s, with the preferred key or the newest.
    ///
    /// # Errors
    /// [`Denied::NoSigningKey`]; [`Denied::InvalidToken`] where nobody could use it, as one for a vehicle without an id.
    pub fn sign(
        &self,
        preferred_kid: Option<&str>,
        expected: &Expected,
        issue: &Issue,
        now_s: u64,
    ) -> Result<Issued, Denied> {
        let (kid, key) = self.signer(preferred_kid).ok_or(Denied::NoSigningKey)?;
        let signing = key.signing.as_ref().ok_or(Denied::NoSigningKey)?;
        let id = Uuid::new_v4().to_string();
        let claims = Written {
            sub: &issue.subject,
            role: issue.role,
            vehicle_id: issue.vehicle.as_ref(),
            aud: &expected.audience,
            iss: expected.issuer.as_deref(),
            iat: now_s,
            exp: now_s.saturating_add(issue.lifetime_s),
            jti: &id,
            local_user: issue.local_user,
        };
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(key.algorithm.in_header()) };
        let token = encode(&header, &claims, signing).map_err(|error| {
            tracing::error!(kid, %error, "a token cannot be signed");
            Denied::NoSigningKey
        })?;
        let read = Token { text: &token, kid: kid.to_owned(), algorithm: key.algorithm };
        verify(self, &read, expected, now_s)?;
        Ok(Issued { token, id, lifetime_s: issue.lifetime_s })
    }
}

#[cfg(test)]
mod tests;
