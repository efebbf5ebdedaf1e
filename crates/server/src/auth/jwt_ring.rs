//! The signatures of tokens, verified by ring: HS, RS, PS and ES 256/384/512, and Ed25519.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::{hmac, signature};

static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| Ok(Box::new(Key::new(*algorithm, key)?)),
    // For making keys public, which nobody does here.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes `jsonwebtoken` verify by ring, from the first call on.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    // A provider that was there before belongs to the same process, and is as good.
    ONCE.call_once(|| {
        let _ = RING.install_default();
    });
}

struct Key {
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    Secret(hmac::Key),
    Rsa { by: &'static signature::RsaParameters, n: Vec<u8>, e: Vec<u8> },
    Public(signature::UnparsedPublicKey<Vec<u8>>),
}

impl Key {
    fn new(algorithm: Algorithm, key: &DecodingKey) -> Result<Self> {
        use Algorithm::{
            ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512,
        };
        if algorithm.family() != key.family() {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        let secret = |by| Ok::<_, ErrorKind>(Material::Secret(hmac::Key::new(by, bytes(key)?)));
        let public = |by| {
            let key = signature::UnparsedPublicKey::new(by, bytes(key)?.to_vec());
            Ok::<_, ErrorKind>(Material::Public(key))
        };
        let material = match algorithm {
            HS256 => secret(hmac::HMAC_SHA256)?,
            HS384 => secret(hmac::HMAC_SHA384)?,
            HS512 => secret(hmac::HMAC_SHA512)?,
            RS256 => rsa(&signature::RSA_PKCS1_2048_8192_SHA256, key)?,
            RS384 => rsa(&signature::RSA_PKCS1_2048_8192_SHA384, key)?,
            RS512 => rsa(&signature::RSA_PKCS1_2048_8192_SHA512, key)?,
            PS256 => rsa(&signature::RSA_PSS_2048_8192_SHA256, key)?,
            PS384 => rsa(&signature::RSA_PSS_2048_8192_SHA384, key)?,
            PS512 => rsa(&signature::RSA_PSS_2048_8192_SHA512, key)?,
            ES256 => public(
                &signature::ECDSA_P256_SHA256_FIXED as &dyn signature::VerificationAlgorithm,
            )?,
            ES384 => public(&signature::ECDSA_P384_SHA384_FIXED)?,
            EdDSA => public(&signature::ED25519)?,
            _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
        };
        Ok(Self { algorithm, material })
    }
}

fn bytes(key: &DecodingKey) -> std::result::Result<&[u8], ErrorKind> {
    key.try_get_as_bytes().map_err(|_| ErrorKind::InvalidKeyFormat)
}

fn rsa(
    by: &'static signature::RsaParameters,
    key: &DecodingKey,
) -> std::result::Result<Material, ErrorKind> {
    match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            Ok(Material::Rsa { by, n: n.clone(), e: e.clone() })
        }
        DecodingKeyKind::SecretOrDer(_) => Err(ErrorKind::InvalidKeyFormat),
    }
}

impl Verifier<Vec<u8>> for Key {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        match &self.material {
            Material::Secret(key) => hmac::verify(key, message, signature),
            Material::Rsa { by, n, e } => {
                signature::RsaPublicKeyComponents { n, e }.verify(by, message, signature)
            }
            Material::Public(key) => key.verify(message, signature),
        }
        .map_err(|_| Error::new())
    }
}

impl JwtVerifier for Key {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
