//! The keys that sign and verify tokens, by their `kid`.

mod directory;
mod generate;
mod pem;
mod secret;

use std::collections::BTreeMap;
use std::time::SystemTime;

use jsonwebtoken::{DecodingKey, EncodingKey};

use crate::backend;
pub(crate) use directory::Fingerprint;
pub use generate::generate;

/// How tokens are signed. A key has one of these and no token can choose another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `EdDSA` on Curve25519.
    Ed25519,
    /// RSA PKCS#1 v1.5 with SHA-256, of 2048 to 8192 bits.
    Rs256,
    /// HMAC with SHA-256: whoever verifies could sign as well.
    Hs256,
}

impl Algorithm {
    pub(crate) fn of_header(algorithm: jsonwebtoken::Algorithm) -> Option<Self> {
        match algorithm {
            jsonwebtoken::Algorithm::EdDSA => Some(Self::Ed25519),
            jsonwebtoken::Algorithm::RS256 => Some(Self::Rs256),
            jsonwebtoken::Algorithm::HS256 => Some(Self::Hs256),
            _ => None,
        }
    }

    pub(crate) const fn in_header(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Ed25519 => jsonwebtoken::Algorithm::EdDSA,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
        }
    }
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The directory cannot be read.
    #[error(
        "the keys in {0} cannot be read ({1}); make a key by `vtox token keygen {0}`, or correct auth.keys_dir"
    )]
    Directory(String, std::io::Error),
    /// Nothing in it.
    #[error("{0} has no keys; make one by `vtox token keygen {0}`")]
    Empty(String),
    /// A private key or shared secret that is not only its owner's.
    #[error("{0} can be read by others than its owner (mode {1:03o}); run `chmod 600 {0}`")]
    Exposed(String, u32),
    /// A file, or the directory itself, that others could put a key of theirs into.
    #[error("{0} can be changed by others than its owner (mode {1:03o}); run `chmod go-w {0}`")]
    Writable(String, u32),
    /// A file that is no key, or a bad one.
    #[error("{0}: {1}")]
    Unusable(String, String),
    /// The key that is to sign is not there, or cannot.
    #[error(
        "auth.signing_kid is {0:?}, of which there is no private key; leave it empty for the newest, or use one of: {1}"
    )]
    CannotSign(String, String),
    /// A key cannot be written.
    #[error("{0} cannot be written: {1}")]
    Write(String, std::io::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
}

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    pub algorithm: Algorithm,
    pub verifying: DecodingKey,
    /// Only with the private part.
    pub signing: Option<EncodingKey>,
    changed: SystemTime,
}

/// Keys by `kid`. Its `Debug` form shows no secrets.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: BTreeMap<String, Key>,
}

/// Whether a text can be a `kid`: it is part of file names, of logs and of ids for limits.
pub(crate) fn is_kid(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(allowed)
}

impl Keyring {
    /// Adds a shared secret; white space at its ends does not count.
    ///
    /// # Errors
    /// What is wrong with it, and how to mend it.
    pub fn add_secret(&mut self, kid: &str, secret: &[u8], changed: SystemTime) -> Result<(), String> {
        backend::install();
        let secret = secret.trim_ascii();
        if let Some(flaw) = secret::flaw(secret) {
            return Err(format!("{flaw}; make another by `vtox token keygen DIR --alg hs256`"));
        }
        let verifying = DecodingKey::from_secret(secret);
        let signing = Some(EncodingKey::from_secret(secret));
        self.add(kid, Key { algorithm: Algorithm::Hs256, verifying, signing, changed })
    }

    /// Adds a key pair from the PEM text of its private key (PKCS#8, Ed25519 or RSA).
    ///
    /// # Errors
    /// As of [`Keyring::add_secret`].
    pub fn add_private(&mut self, kid: &str, pem: &str, changed: SystemTime) -> Result<(), String> {
        backend::install();
        let key = pem::private_key(pem)?;
        let signing = Some(match key.algorithm {
            Algorithm::Ed25519 => EncodingKey::from_ed_der(&key.pkcs8),
            _ => EncodingKey::from_rsa_der(&key.pkcs8),
        });
        let verifying = verifying(key.algorithm, &key.public);
        self.add(kid, Key { algorithm: key.algorithm, verifying, signing, changed })
    }

    /// Adds a key from the PEM text of its public part.
    ///
    /// # Errors
    /// As of [`Keyring::add_secret`].
    pub fn add_public(&mut self, kid: &str, pem: &str, changed: SystemTime) -> Result<(), String> {
        backend::install();
        let (algorithm, public) = pem::public_key(pem)?;
        let verifying = verifying(algorithm, &public);
        self.add(kid, Key { algorithm, verifying, signing: None, changed })
    }

    fn add(&mut self, kid: &str, key: Key) -> Result<(), String> {
        if !is_kid(kid) {
            return Err(format!(
                "{kid:?} is no key id; use 1 to 64 letters, digits and . _ - (not at the beginning: .)"
            ));
        }
        let Some(present) = self.keys.get_mut(kid) else {
            self.keys.insert(kid.to_owned(), key);
            return Ok(());
        };
        let public = |key: &Key| key.verifying.try_get_as_bytes().map(<[u8]>::to_vec).ok();
        if present.algorithm != key.algorithm || public(present) != public(&key) {
            return Err(format!("the files of {kid} are different keys; keep one of them under this name"));
        }
        if key.signing.is_some() {
            *present = key;
        }
        Ok(())
    }

    /// The key of a `kid`.
    pub(crate) fn key(&self, kid: &str) -> Option<&Key> {
        self.keys.get(kid)
    }

    /// The key to sign with and its `kid`: the preferred one, or the newest there is.
    pub(crate) fn signer(&self, preferred: Option<&str>) -> Option<(&str, &Key)> {
        let signers = self.keys.iter().filter(|(_, key)| key.signing.is_some());
        let (kid, key) = match preferred {
            Some(kid) => signers.into_iter().find(|(k, _)| *k == kid),
            None => signers.max_by_key(|(_, key)| key.changed),
        }?;
        Some((kid, key))
    }

    /// Ids of all keys.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Reads the keys of a directory: `KID.key.pem` (private), `KID.pub.pem` (public) and `KID.hs256` (shared secret).
    /// `signing_kid` must be able to sign where it is given.
    ///
    /// # Errors
    /// The first thing that is wrong with any of them, and how to mend it.
    pub fn read(directory: &std::path::Path, signing_kid: Option<&str>) -> Result<Self, KeyError> {
        let keyring = directory::read(directory)?;
        match signing_kid.filter(|kid| keyring.signer(Some(kid)).is_none()) {
            None => Ok(keyring),
            Some(kid) => {
                let able: Vec<&str> = keyring
                    .keys
                    .iter()
                    .filter(|(_, k)| k.signing.is_some())
                    .map(|(k, _)| k.as_str())
                    .collect();
                Err(KeyError::CannotSign(kid.to_owned(), able.join(", ")))
            }
        }
    }
}

fn verifying(algorithm: Algorithm, public: &[u8]) -> DecodingKey {
    match algorithm {
        Algorithm::Ed25519 => DecodingKey::from_ed_der(public),
        _ => DecodingKey::from_rsa_der(public),
    }
}

#[cfg(test)]
mod tests;
