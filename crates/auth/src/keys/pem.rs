//! Keys in PEM files, as openssl and `vtox token keygen` write them.

use pkcs8::der::asn1::{OctetStringRef, UintRef};
use pkcs8::der::pem::LineEnding;
use pkcs8::der::{Decode, Document, Encode, Reader, SliceReader};
use pkcs8::spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};
use pkcs8::{PrivateKeyInfoRef, SecretDocument};
use ring::signature::{Ed25519KeyPair, KeyPair, RsaKeyPair};

use super::Algorithm;

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const SHORTEST_RSA_BITS: usize = 2_048;

/// A private key and the public one that belongs to it.
pub struct PrivateKey {
    pub algorithm: Algorithm,
    pub pkcs8: Vec<u8>,
    /// The 32 bytes of Ed25519, or the PKCS#1 form of RSA.
    pub public: Vec<u8>,
}

/// Reads a private key.
pub fn private_key(pem: &str) -> Result<PrivateKey, String> {
    let (label, document) = SecretDocument::from_pem(pem.trim())
        .map_err(|error| format!("no private key in PEM form ({error}); {MAKE_ONE}"))?;
    if label != "PRIVATE KEY" {
        return Err(format!(
            "it holds a {label}, not a PRIVATE KEY; convert it by `openssl pkcs8 -topk8 -nocrypt -in FILE`"
        ));
    }
    let info = PrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|error| format!("no private key ({error}); {MAKE_ONE}"))?;
    let algorithm = algorithm(info.algorithm.oid)?;
    let pkcs8 = document.as_bytes().to_vec();
    let unusable =
        |error: ring::error::KeyRejected| format!("the private key is unusable ({error}); {MAKE_ONE}");
    let public = match algorithm {
        Algorithm::Ed25519 => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8).map_err(unusable)?;
            pair.public_key().as_ref().to_vec()
        }
        _ => RsaKeyPair::from_pkcs8(&pkcs8).map_err(unusable)?.public().as_ref().to_vec(),
    };
    Ok(PrivateKey { algorithm, pkcs8, public })
}

/// Reads a public key.
pub fn public_key(pem: &str) -> Result<(Algorithm, Vec<u8>), String> {
    let (label, document) = Document::from_pem(pem.trim())
        .map_err(|error| format!("no public key in PEM form ({error}); {MAKE_ONE}"))?;
    if label != "PUBLIC KEY" {
        return Err(format!(
            "it holds a {label}, not a PUBLIC KEY; write one by `openssl pkey -in KEY -pubout`"
        ));
    }
    let info: SubjectPublicKeyInfoRef<'_> =
        document.decode_msg().map_err(|error| format!("no public key ({error}); {MAKE_ONE}"))?;
    let algorithm = algorithm(info.algorithm.oid)?;
    let public = info.subject_public_key.raw_bytes();
    match algorithm {
        Algorithm::Ed25519 if public.len() != 32 => Err("an Ed25519 key has 32 bytes".to_owned()),
        Algorithm::Rs256 if rsa_bits(public).is_none_or(|bits| bits < SHORTEST_RSA_BITS) => {
            Err(format!("an RSA key needs at least {SHORTEST_RSA_BITS} bits; {MAKE_ONE}"))
        }
        _ => Ok((algorithm, public.to_vec())),
    }
}

const MAKE_ONE: &str = "make one by `vtox token keygen DIR`";

fn algorithm(oid: ObjectIdentifier) -> Result<Algorithm, String> {
    match oid {
        ED25519 => Ok(Algorithm::Ed25519),
        RSA => Ok(Algorithm::Rs256),
        other => Err(format!("keys of the kind {other} are not supported, only Ed25519 and RSA; {MAKE_ONE}")),
    }
}

/// Bits of the modulus in the PKCS#1 form of an RSA key.
fn rsa_bits(pkcs1: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(pkcs1).ok()?;
    let modulus = reader.sequence(|inner| {
        let modulus = UintRef::decode(inner)?;
        UintRef::decode(inner)?;
        Ok::<_, pkcs8::der::Error>(modulus)
    });
    let bytes = modulus.ok()?.as_bytes();
    Some(bytes.len() * 8 - bytes.first()?.leading_zeros() as usize)
}

/// The PEM texts of an Ed25519 pair, private and public, from its 32 random bytes.
pub fn ed25519_pair(seed: &[u8; 32]) -> Option<(String, String)> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
    let algorithm = AlgorithmIdentifierRef { oid: ED25519, parameters: None };
    let inner = OctetStringRef::new(seed).ok()?.to_der().ok()?;
    let private = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(&inner).ok()?);
    let private = SecretDocument::encode_msg(&private).ok()?.to_pem("PRIVATE KEY", LineEnding::LF).ok()?;
    let subject_public_key = pkcs8::der::asn1::BitStringRef::from_bytes(pair.public_key().as_ref()).ok()?;
    let public = SubjectPublicKeyInfoRef { algorithm, subject_public_key };
    let public = Document::encode_msg(&public).ok()?.to_pem("PUBLIC KEY", LineEnding::LF).ok()?;
    Some((private.to_string(), public))
}
