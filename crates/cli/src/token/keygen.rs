//! `vtox token keygen`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use vtox_auth::{Algorithm, ApiKey, generate};
use vtox_service_kit::clock;

use crate::output::outln;

#[derive(Args)]
pub struct Arguments {
    /// Directory of the keys; made when it is not there.
    dir: PathBuf,
    /// Kind of key.
    #[arg(long, value_enum, default_value_t = Kind::Ed25519)]
    alg: Kind,
    /// Id of the key, in the names of its files; without it one is made up from the day.
    #[arg(long, value_name = "ID")]
    kid: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// A pair: only who has the private key can sign.
    Ed25519,
    /// A secret: whoever verifies could sign as well.
    Hs256,
    /// RSA, which openssl makes: says how.
    Rs256,
}

/// Writes a new key and says what to do with it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let algorithm = match arguments.alg {
        Kind::Ed25519 => Algorithm::Ed25519,
        Kind::Hs256 => Algorithm::Hs256,
        Kind::Rs256 => Algorithm::Rs256,
    };
    let kid = match &arguments.kid {
        Some(kid) => kid.clone(),
        None => {
            let day: String = clock::timestamp().chars().take(10).collect();
            let random = ApiKey::generate().map(|key| key.id().chars().take(4).collect::<String>());
            format!("{day}-{}", random.unwrap_or_default())
        }
    };
    for path in generate(&arguments.dir, &kid, algorithm)? {
        outln!("{}", path.display());
    }
    let dir = std::path::absolute(&arguments.dir).unwrap_or_else(|_| arguments.dir.clone());
    eprintln!(
        "Set auth.keys_dir to {0} (VTOX_AUTH__KEYS_DIR={0}); gateways that have it set see the key by themselves.",
        dir.display()
    );
    Ok(())
}
