//! New keys.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};

use super::{Algorithm, KeyError, is_kid, pem};
use crate::api_key::hex;

/// Writes a new key under a `kid` into a directory, which is made when it is not there, and answers its files. What is
/// secret can be read by its owner alone. Files that are there are left alone.
///
/// # Errors
/// When a file cannot be written or is there already, or the key is of RSA, which is left to openssl.
pub fn generate(directory: &Path, kid: &str, algorithm: Algorithm) -> Result<Vec<PathBuf>, KeyError> {
    let unusable = |reason: String| KeyError::Unusable(directory.display().to_string(), reason);
    if !is_kid(kid) {
        return Err(unusable(format!("{kid:?} is no key id; use letters, digits and . _ -")));
    }
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::NoRandomness)?;
    let files = match algorithm {
        Algorithm::Ed25519 => {
            let (private, public) = pem::ed25519_pair(&seed).ok_or(KeyError::NoRandomness)?;
            vec![(format!("{kid}.key.pem"), private, 0o600), (format!("{kid}.pub.pem"), public, 0o644)]
        }
        Algorithm::Hs256 => vec![(format!("{kid}.hs256"), format!("{}\n", hex(&seed)), 0o600)],
        Algorithm::Rs256 => {
            let file = directory.join(format!("{kid}.key.pem"));
            return Err(unusable(format!(
                "RSA keys are made by openssl: `(umask 077; openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out {})`",
                file.display()
            )));
        }
    };
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error| KeyError::Write(path, error)
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed(directory))?;
    let mut written = Vec::new();
    for (name, text, mode) in files {
        let path = directory.join(name);
        let open = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        open.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed(&path))?;
        written.push(path);
    }
    Ok(written)
}
