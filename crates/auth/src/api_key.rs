//! API keys: `vtox_KEYID_SECRET`.

use std::fmt;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use vtox_protocol::VehicleId;

use crate::{Denied, Principal, Role};

const PREFIX: &str = "vtox_";
/// Hexadecimal digits of 64 bits: many keys, none alike.
const ID_DIGITS: usize = 16;
/// Hexadecimal digits of 256 bits.
const SECRET_DIGITS: usize = 64;

/// An API key as its holder has it. Its text is lower-case hexadecimal, so that there is only one spelling.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    id: String,
    secret: String,
}

impl fmt::Debug for ApiKey {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl ApiKey {
    /// A new one; none when the system gives no random bytes.
    pub fn generate() -> Option<Self> {
        let mut bytes = [0; (ID_DIGITS + SECRET_DIGITS) / 2];
        SystemRandom::new().fill(&mut bytes).ok()?;
        let (id, secret) = bytes.split_at(ID_DIGITS / 2);
        Some(Self { id: hex(id), secret: hex(secret) })
    }

    /// From its text, if it has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let digits = |text: &str, count| {
            text.len() == count && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        (digits(id, ID_DIGITS) && digits(secret, SECRET_DIGITS))
            .then(|| Self { id: id.to_owned(), secret: secret.to_owned() })
    }

    /// Its id, which is no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole key, secret and all: to be shown once to its holder.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}", self.id, self.secret)
    }

    /// What is kept of its secret.
    // SHA-256 and no password hash: the secret has 256 random bits, which nobody guesses however fast the hash is, and
    // argon2 with each message would cost more than the diagnosis of it.
    fn digest(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, self.secret.as_bytes()).as_ref());
        bytes
    }
}

/// What is kept of an API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRecord {
    /// SHA-256 of the secret's text, hexadecimal.
    sha256: String,
    /// What its holder may do.
    pub role: Role,
    /// The only vehicle its holder may act for; always there for [`Role::Vehicle`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle_id: Option<VehicleId>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// When it was made, epoch s.
    pub created: u64,
    /// From when it is refused, epoch s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

impl ApiKeyRecord {
    /// Of a key; none where a key of role vehicle names no vehicle.
    pub fn of(
        key: &ApiKey,
        role: Role,
        vehicle_id: Option<VehicleId>,
        label: &str,
        created: u64,
        expires: Option<u64>,
    ) -> Option<Self> {
        let bound = role != Role::Vehicle || vehicle_id.is_some();
        let sha256 = hex(&key.digest());
        bound.then(|| Self { sha256, role, vehicle_id, label: label.to_owned(), created, expires })
    }

    /// Whether it is over.
    pub fn expired(&self, now_s: u64) -> bool {
        self.expires.is_some_and(|at| now_s >= at)
    }
}

/// Who shows a key. `record` is what is kept under its id, if anything.
pub fn check(
    key: &ApiKey,
    record: Option<&ApiKeyRecord>,
    revoked: bool,
    now_s: u64,
) -> Result<Principal, Denied> {
    // An unknown id is compared as well, with what no digest is: its answer takes as long as that of a wrong secret.
    let kept = record.map_or(&[0; 2 * 32][..], |record| record.sha256.as_bytes());
    let same = bool::from(hex(&key.digest()).as_bytes().ct_eq(kept));
    let record = record.filter(|_| same).ok_or(Denied::InvalidToken)?;
    if revoked {
        return Err(Denied::RevokedToken);
    }
    if record.expired(now_s) {
        return Err(Denied::ExpiredToken);
    }
    if record.role == Role::Vehicle && record.vehicle_id.is_none() {
        return Err(Denied::InvalidToken);
    }
    let named = [record.vehicle_id.as_ref().map(VehicleId::as_str), Some(record.label.as_str())];
    let subject = named.into_iter().flatten().find(|name| !name.is_empty()).unwrap_or(&key.id);
    Ok(Principal {
        subject: subject.to_owned(),
        role: record.role,
        vehicle: record.vehicle_id.clone(),
        credential: format!("key:{}", key.id),
    })
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str =
        "vtox_00112233445566aa_000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    /// `printf 000102...1e1f | sha256sum`.
    const SHA256_OF_SECRET: &str = "6c86c6aac5fb24bcf5d9939cb7d7d5645ce39418f449e03b262dd4fa14b4b92b";

    fn record() -> ApiKeyRecord {
        let text = format!(
            r#"{{"sha256":"{SHA256_OF_SECRET}","role":"vehicle","vehicle_id":"粤B·1","label":"gw","created":1000,"expires":2000}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_key_from_fixed_bytes() {
        let key = ApiKey::parse(KEY).unwrap();
        assert_eq!((key.id(), key.reveal()), ("00112233445566aa", KEY.to_owned()));
        let vehicle = Some(VehicleId::new("粤B·1").unwrap());
        let made = ApiKeyRecord::of(&key, Role::Vehicle, vehicle.clone(), "gw", 1_000, Some(2_000)).unwrap();
        assert_eq!(made, record());
        assert_eq!(ApiKeyRecord::of(&key, Role::Vehicle, None, "", 0, None), None, "a vehicle without an id");
        let principal = check(&key, Some(&record()), false, 1_500).unwrap();
        assert_eq!(
            principal,
            Principal {
                subject: "粤B·1".to_owned(),
                role: Role::Vehicle,
                vehicle,
                credential: "key:00112233445566aa".to_owned(),
            }
        );
        assert!(!format!("{key:?}").contains("0001020304"), "a secret in a log");
    }

    #[test]
    fn what_is_refused_says_why_only_to_who_has_the_secret() {
        let key = ApiKey::parse(KEY).unwrap();
        let other = ApiKey { secret: "0".repeat(64), ..key.clone() };
        assert_eq!(check(&key, None, false, 0), Err(Denied::InvalidToken));
        assert_eq!(check(&key, Some(&record()), false, 2_000), Err(Denied::ExpiredToken));
        assert_eq!(check(&key, Some(&record()), true, 1_500), Err(Denied::RevokedToken));
        assert_eq!(check(&other, Some(&record()), true, 9_000), Err(Denied::InvalidToken));
        let broken = ApiKeyRecord { vehicle_id: None, ..record() };
        assert_eq!(check(&key, Some(&broken), false, 0), Err(Denied::InvalidToken));
        let empty = ApiKeyRecord { sha256: String::new(), ..record() };
        assert_eq!(check(&key, Some(&empty), false, 0), Err(Denied::InvalidToken));
    }

    #[test]
    fn generated_keys_are_keys_and_differ() {
        let (one, two) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        assert_ne!(one.id, two.id);
        assert_ne!(one.secret, two.secret);
        assert_eq!(ApiKey::parse(&one.reveal()), Some(one));
    }

    proptest! {
        #[test]
        fn any_mutation_of_a_key_is_refused(at in 0..KEY.len(), by in any::<char>(), cut in any::<bool>()) {
            let mut text = KEY.to_owned();
            text.replace_range(at..=at, if cut { String::new() } else { by.to_string() }.as_str());
            prop_assume!(text != KEY);
            if let Some(key) = ApiKey::parse(&text) {
                let record = (key.id() == "00112233445566aa").then(record);
                prop_assert_eq!(check(&key, record.as_ref(), false, 1_500), Err(Denied::InvalidToken));
            }
        }
    }
}
