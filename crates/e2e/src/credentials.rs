//! Credentials for tests, made as an operator makes them.

use std::path::Path;
use std::process::Command;

use crate::cluster::{Cluster, program};

/// Standard output of `vtox` with `arguments`.
///
/// # Panics
/// When it fails.
pub fn vtox(cluster: &Cluster, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = Command::new(program("vtox"))
        .args(arguments)
        .env("REDIS_URL", &cluster.url)
        .envs(environment.iter().copied())
        .output()
        .expect("vtox");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "vtox {arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

/// A directory of keys for tokens.
pub fn keys(cluster: &Cluster) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    vtox(cluster, &["token", "keygen", text(directory.path())], &[]);
    directory
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
