//! Keys in a directory.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{KeyError, Keyring};

/// Longest file that is read, bytes.
const MAX_BYTES: u64 = 65_536;

type Add = fn(&mut Keyring, &str, &[u8], SystemTime) -> Result<(), String>;

/// How a file is read, by the end of its name, and whether it is a secret.
const KINDS: [(&str, bool, Add); 3] = [
    (".key.pem", true, |ring, kid, bytes, at| ring.add_private(kid, text(bytes)?, at)),
    (".pub.pem", false, |ring, kid, bytes, at| ring.add_public(kid, text(bytes)?, at)),
    (".hs256", true, Keyring::add_secret),
];

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "no PEM text; make a key by `vtox token keygen DIR`".to_owned())
}

/// The files of a directory that are keys by their names, in order of these.
fn files(directory: &Path) -> std::io::Result<Vec<(PathBuf, Metadata)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if KINDS.iter().any(|(end, ..)| name.ends_with(end)) {
            // Through links: that is how secrets are mounted.
            let metadata = fs::metadata(&path)?;
            files.push((path, metadata));
        }
    }
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(files)
}

pub fn read(directory: &Path) -> Result<Keyring, KeyError> {
    let unreadable = |error| KeyError::Directory(directory.display().to_string(), error);
    let mut keyring = Keyring::default();
    let files = files(directory).map_err(unreadable)?;
    let mode = fs::metadata(directory).map_err(unreadable)?.mode();
    // Mounted secrets are in a directory for all, but with the sticky bit.
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        return Err(KeyError::Writable(directory.display().to_string(), mode & 0o777));
    }
    for (path, metadata) in &files {
        let shown = path.display().to_string();
        let unusable = |reason: String| KeyError::Unusable(shown.clone(), reason);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some((kid, secret, add)) =
            KINDS.iter().find_map(|(end, secret, add)| Some((name.strip_suffix(end)?, *secret, add)))
        else {
            continue;
        };
        if secret && metadata.mode() & 0o077 != 0 {
            return Err(KeyError::Exposed(shown, metadata.mode() & 0o777));
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(KeyError::Writable(shown, metadata.mode() & 0o777));
        }
        if metadata.len() > MAX_BYTES {
            return Err(unusable(format!("{} bytes are too many for a key", metadata.len())));
        }
        let bytes = fs::read(path).map_err(|error| unusable(error.to_string()))?;
        add(&mut keyring, kid, &bytes, metadata.modified().map_err(unreadable)?).map_err(unusable)?;
    }
    if files.is_empty() { Err(KeyError::Empty(directory.display().to_string())) } else { Ok(keyring) }
}

/// Tells whether a directory's keys may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprint(Vec<(PathBuf, Option<SystemTime>, u64, u64, u32)>);

impl Fingerprint {
    /// Of a directory; of an unreadable one as of one without keys.
    pub fn of(directory: &Path) -> Self {
        let files = files(directory).unwrap_or_default();
        Self(files.into_iter().map(|(p, m)| (p, m.modified().ok(), m.len(), m.ino(), m.mode())).collect())
    }
}
