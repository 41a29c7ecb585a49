use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::*;

const RSA: &str = include_str!("../../testdata/rsa.key.pem");
const RSA_PUBLIC: &str = include_str!("../../testdata/rsa.pub.pem");
const ED: &str = include_str!("../../testdata/ed25519.key.pem");
const ED_PUBLIC: &str = include_str!("../../testdata/ed25519.pub.pem");

fn write(directory: &Path, name: &str, text: &str, mode: u32) {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

fn flaw(directory: &Path) -> String {
    Keyring::read(directory, None).unwrap_err().to_string()
}

#[test]
fn a_generated_pair_is_what_openssl_writes() {
    let seed = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44,
        0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
    ];
    assert_eq!(pem::ed25519_pair(&seed).unwrap(), (ED.to_owned(), ED_PUBLIC.to_owned()));
}

#[test]
fn generated_keys_are_private_and_sign() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys");
    let files = generate(&keys, "one", Algorithm::Ed25519).unwrap();
    assert_eq!(files, [keys.join("one.key.pem"), keys.join("one.pub.pem")]);
    generate(&keys, "two", Algorithm::Hs256).unwrap();
    for name in ["one.key.pem", "two.hs256"] {
        assert_eq!(fs::metadata(keys.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    let ring = Keyring::read(&keys, None).unwrap();
    assert_eq!(ring.kids().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(ring.signer(Some("one")).unwrap().0, "one");
    assert!(
        generate(&keys, "one", Algorithm::Ed25519).unwrap_err().to_string().contains("cannot be written")
    );
    assert!(generate(&keys, "../up", Algorithm::Ed25519).unwrap_err().to_string().contains("no key id"));
    assert!(generate(&keys, "rsa", Algorithm::Rs256).unwrap_err().to_string().contains("openssl genpkey"));
    let shown = format!("{ring:?}");
    let secret = fs::read_to_string(keys.join("two.hs256")).unwrap();
    assert!(!shown.contains(secret.trim()) && shown.contains("redacted"), "{shown}");
}

#[test]
fn the_newest_key_that_can_signs_unless_another_is_named() {
    let mut ring = Keyring::default();
    let at = |s| UNIX_EPOCH + Duration::from_secs(s);
    ring.add_private("a", RSA, at(2)).unwrap();
    ring.add_private("b", ED, at(1)).unwrap();
    assert_eq!(ring.signer(None).unwrap().0, "a");
    ring.add_public("c", ED_PUBLIC, at(3)).unwrap();
    assert_eq!(ring.signer(None).unwrap().0, "a", "a public key cannot sign");
    assert_eq!(ring.signer(Some("b")).unwrap().0, "b");
    assert!(ring.signer(Some("c")).is_none());
    ring.add_public("a", RSA_PUBLIC, at(1)).unwrap();
    assert!(ring.add_public("a", ED_PUBLIC, at(1)).unwrap_err().contains("different keys"));
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_mends_them() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path();
    assert!(flaw(keys).contains("has no keys; make one by `vtox token keygen"));
    assert!(flaw(&keys.join("nowhere")).contains("correct auth.keys_dir"));
    write(keys, "notes.txt", "not a key", 0o644);
    assert!(flaw(keys).contains("has no keys"));
    let good = "0123456789abcdef0123456789ABCDEF";
    for (name, text, mode, part) in [
        ("k.key.pem", ED, 0o644, "k.key.pem can be read by others than its owner (mode 644); run `chmod 600"),
        ("k.key.pem", RSA, 0o640, "chmod 600"),
        ("k.hs256", good, 0o604, "chmod 600"),
        (
            "k.pub.pem",
            ED_PUBLIC,
            0o664,
            "k.pub.pem can be changed by others than its owner (mode 664); run `chmod go-w",
        ),
        ("k.hs256", "", 0o600, "has 0 bytes, at least 32 are needed; make another by `vtox token keygen"),
        ("k.hs256", "short", 0o600, "has 5 bytes"),
        ("k.hs256", "0123456789abcdef0123456789ABCDE \n", 0o600, "has 31 bytes"),
        ("k.hs256", "abababababababababababababababababababab", 0o600, "only 2 different"),
        (
            "k.hs256",
            "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7\n",
            0o600,
            "everybody knows",
        ),
        ("k.key.pem", "nonsense", 0o600, "no private key in PEM form"),
        ("k.key.pem", ED_PUBLIC, 0o600, "holds a PUBLIC KEY"),
        ("k.pub.pem", ED, 0o644, "holds a PRIVATE KEY"),
        ("k.key.pem", include_str!("../../testdata/p256.key.pem"), 0o600, "only Ed25519 and RSA"),
        ("k.pub.pem", include_str!("../../testdata/rsa1024.pub.pem"), 0o644, "at least 2048 bits"),
        ("a b.pub.pem", ED_PUBLIC, 0o644, "no key id"),
    ] {
        write(keys, name, text, mode);
        let flaw = flaw(keys);
        assert!(flaw.contains(part), "{name} of mode {mode:o}: {flaw}");
        assert!(text.len() < 20 || !flaw.contains(text.trim()), "a secret in a message: {flaw}");
        fs::remove_file(keys.join(name)).unwrap();
    }
    write(keys, "k.pub.pem", ED_PUBLIC, 0o644);
    fs::set_permissions(keys, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(flaw(keys).contains("run `chmod go-w"));
    fs::set_permissions(keys, fs::Permissions::from_mode(0o755)).unwrap();
    let cannot = Keyring::read(keys, Some("k")).unwrap_err().to_string();
    assert!(cannot.contains("auth.signing_kid is \"k\""), "{cannot}");
}
