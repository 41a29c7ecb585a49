//! What a production cluster on this machine keeps secret, below `secrets` in the data directory, which only its owner may
//! read: a password for each user of its Redis, made anew at each start, and the key that signs tokens, made at the first.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use vtox_auth::{Algorithm, generate};

/// Users of Redis and what each may do; without passwords.
const USERS: &str = include_str!("../../../../deploy/redis/users.acl");
/// The user of the commands of `vtox`, and of this one.
pub const OPERATOR: &str = "vtox-cli";

/// The directory, made when it is not there yet.
fn directory(data: &Path) -> anyhow::Result<PathBuf> {
    let directory = data.join("secrets");
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    // It may be there from before, with other rights.
    made.and_then(|()| std::fs::set_permissions(&directory, Permissions::from_mode(0o700)))
        .with_context(|| format!("{} cannot be made", directory.display()))?;
    Ok(directory)
}

/// Writes a file that only its owner may read.
fn write(path: &Path, content: &str) -> anyhow::Result<()> {
    let written = File::options().write(true).create(true).truncate(true).mode(0o600).open(path).and_then(
        |mut file| {
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.write_all(content.as_bytes())
        },
    );
    written.with_context(|| format!("{} cannot be written", path.display()))
}

/// Directory of the keys that sign tokens, for `auth.keys_dir`; a key is made where there is none.
pub fn token_keys(data: &Path) -> anyhow::Result<PathBuf> {
    let keys = directory(data)?.join("token-keys");
    let is_empty = std::fs::read_dir(&keys).map_or(true, |mut files| files.next().is_none());
    if is_empty {
        generate(&keys, "first", Algorithm::Ed25519)?;
    }
    Ok(keys)
}

/// The users of the private Redis with their passwords of this run.
pub struct RedisUsers {
    passwords: BTreeMap<&'static str, String>,
    directory: PathBuf,
}

impl RedisUsers {
    /// Makes passwords, and the ACL file with their hashes.
    pub fn make(data: &Path) -> anyhow::Result<Self> {
        let directory = directory(data)?;
        let mut passwords = BTreeMap::new();
        let mut acl = String::new();
        for line in USERS.lines() {
            let (user, rights) = split(line).context("deploy/redis/users.acl")?;
            if rights.starts_with("on ") {
                let password = random_hex()?;
                let hash = hex(digest(&SHA256, password.as_bytes()).as_ref());
                acl.push_str(&format!("user {user} #{hash} {rights}\n"));
                passwords.insert(user, password);
            } else {
                acl.push_str(&format!("{line}\n"));
            }
        }
        let users = Self { passwords, directory };
        write(&users.acl_file(), &acl)?;
        Ok(users)
    }

    /// The ACL file.
    pub fn acl_file(&self) -> PathBuf {
        self.directory.join("users.acl")
    }

    /// URL of a Redis on `port` of this machine for a user.
    pub fn url(&self, user: &str, port: u16) -> anyhow::Result<String> {
        let password = self.passwords.get(user).with_context(|| format!("Redis has no user {user}"))?;
        Ok(format!("redis://{user}:{password}@127.0.0.1:{port}"))
    }

    /// Leaves the operator's URL in a file, for other commands of `vtox`.
    pub fn leave_url(&self, port: u16) -> anyhow::Result<()> {
        write(&self.url_file(), &self.url(OPERATOR, port)?)
    }

    /// That file.
    pub fn url_file(&self) -> PathBuf {
        self.directory.join(format!("{OPERATOR}.url"))
    }
}

/// The programs of a cluster.
pub const PROGRAMS: [&str; 5] =
    ["vtox-gateway", "vtox-coordinator", "vtox-worker", "vtox-monitor", "vtox-websocket-bridge"];

/// The user of Redis that a program is.
pub fn user_of(program: &str) -> &str {
    match program {
        "vtox-websocket-bridge" => "vtox-bridge",
        program => program,
    }
}

/// The user of a line of the ACL file, and what follows.
fn split(line: &'static str) -> Option<(&'static str, &'static str)> {
    line.strip_prefix("user ")?.split_once(' ')
}

/// 32 random bytes.
fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the system has no random numbers"))?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_but_the_default_one_gets_a_password_of_its_own() {
        let data = tempfile::tempdir().unwrap();
        let users = RedisUsers::make(data.path()).unwrap();
        let acl = std::fs::read_to_string(users.acl_file()).unwrap();
        assert_eq!(users.passwords.len(), USERS.lines().count() - 1);
        for (user, password) in &users.passwords {
            assert!(!acl.contains(password.as_str()));
            let hash = hex(digest(&SHA256, password.as_bytes()).as_ref());
            assert!(acl.contains(&format!("user {user} #{hash} on ")), "{user}");
        }
        assert!(acl.contains("user default off"));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        users.leave_url(1).unwrap();
        assert_eq!((mode(&users.acl_file()), mode(&users.url_file())), (0o600, 0o600));
        assert_eq!(mode(&users.directory), 0o700);
        let keys = token_keys(data.path()).unwrap();
        let key = std::fs::read(keys.join("first.key.pem")).unwrap();
        token_keys(data.path()).unwrap();
        assert_eq!(std::fs::read(keys.join("first.key.pem")).unwrap(), key, "the key stays");
        let again = RedisUsers::make(data.path()).unwrap();
        assert!(again.passwords.values().all(|password| !users.passwords.values().any(|p| p == password)));
    }
}
