//! The cryptography of JSON web tokens, on ring: what TLS uses as well, and nothing more than a C compiler to build.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use ring::hmac::{self, HMAC_SHA256};
use ring::rand::SystemRandom;
use ring::signature::{
    ED25519, Ed25519KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};

static BACKEND: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes it the one the tokens' library uses; must come before the first key.
pub fn install() {
    // The first call wins, and all bring the same.
    let _ = BACKEND.install_default();
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    let rejected = |error: ring::error::KeyRejected| ErrorKind::Provider(error.to_string());
    Ok(match (algorithm, key.family()) {
        (Algorithm::EdDSA, AlgorithmFamily::Ed) => Box::new(Ed25519Pair(
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.as_bytes()).map_err(rejected)?,
        )),
        (Algorithm::RS256, AlgorithmFamily::Rsa) => {
            Box::new(RsaPair(RsaKeyPair::from_pkcs8(key.as_bytes()).map_err(rejected)?))
        }
        (Algorithm::HS256, AlgorithmFamily::Hmac) => {
            Box::new(SharedSecret(hmac::Key::new(HMAC_SHA256, key.as_bytes())))
        }
        _ => return Err(ErrorKind::InvalidAlgorithm.into()),
    })
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    let bytes = key.try_get_as_bytes()?;
    let public = |scheme: &'static dyn VerificationAlgorithm| {
        Box::new(PublicKey { algorithm: *algorithm, key: UnparsedPublicKey::new(scheme, bytes.to_vec()) })
    };
    Ok(match (algorithm, key.family()) {
        (Algorithm::EdDSA, AlgorithmFamily::Ed) => public(&ED25519),
        (Algorithm::RS256, AlgorithmFamily::Rsa) => public(&RSA_PKCS1_2048_8192_SHA256),
        (Algorithm::HS256, AlgorithmFamily::Hmac) => {
            Box::new(SharedSecret(hmac::Key::new(HMAC_SHA256, bytes)))
        }
        _ => return Err(ErrorKind::InvalidAlgorithm.into()),
    })
}

struct Ed25519Pair(Ed25519KeyPair);

impl Signer<Vec<u8>> for Ed25519Pair {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for Ed25519Pair {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct RsaPair(RsaKeyPair);

impl Signer<Vec<u8>> for RsaPair {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        let signed = self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
        signed.map(|()| signature).map_err(|_| Error::new())
    }
}

impl JwtSigner for RsaPair {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

struct PublicKey {
    algorithm: Algorithm,
    key: UnparsedPublicKey<Vec<u8>>,
}

impl Verifier<Vec<u8>> for PublicKey {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        self.key.verify(message, signature).map_err(|_| Error::new())
    }
}

impl JwtVerifier for PublicKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

struct SharedSecret(hmac::Key);

impl Signer<Vec<u8>> for SharedSecret {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl JwtSigner for SharedSecret {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl Verifier<Vec<u8>> for SharedSecret {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        hmac::verify(&self.0, message, signature).map_err(|_| Error::new())
    }
}

impl JwtVerifier for SharedSecret {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}
