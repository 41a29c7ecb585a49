//! Credentials: nothing that is made up is genuine, and reading it never panics.
#![no_main]

use std::sync::LazyLock;
use std::time::SystemTime;

use libfuzzer_sys::fuzz_target;
use vtox_auth::{Credential, Expected, Keyring, parse_credential, verify};

static KEYS: LazyLock<(Keyring, Expected)> = LazyLock::new(|| {
    let mut keys = Keyring::default();
    // Of no use to anybody: the target knows no token signed with it.
    keys.add_secret("k1", b"7b1f0a5de2c94c6fa0d3e8b1c5f29a64aa", SystemTime::UNIX_EPOCH).expect("a secret");
    (keys, Expected { audience: "vtox".to_owned(), issuer: None })
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(Credential::Token(token)) = parse_credential(text) {
        assert!(verify(&KEYS.0, &token, &KEYS.1, 1_700_000_000).is_err());
    }
});
