use std::fmt;

use strongroom_crypto::verify::{PKCS1_PADDING_LEN_MIN, pss_salt_fits};
use strongroom_types::limits::{RSA_BITS_MAX, RSA_BITS_MIN, RSA_BITS_STEP, RSA_EXPONENT_MAX, RSA_EXPONENT_MIN};
use strongroom_types::{PublicPart, RsaCipher, Secret, SignMechanism};

use crate::KeyError;
use crate::sys::{EcPrivate, Key, RsaPrivate};

/// A private key in clear, parsed and ready. May be used by any number of threads at once; wiped when dropped.
pub struct PrivateKey {
    key: Key,
    public: PublicPart,
}

impl PrivateKey {
    /// Reads PKCS #8 DER (RFC 5958): RSA with all CRT values, EC on a named curve, Ed25519, or an ML-DSA seed. AWS-LC
    /// checks that the parts fit together: p·q = n, the exponents, the CRT values; the point is the scalar's.
    pub fn from_pkcs8(pkcs8: &Secret) -> Result<PrivateKey, KeyError> {
        let key = Key::read(pkcs8.expose()).ok_or(KeyError::Pkcs8)?;
        let public = key.public().ok_or(KeyError::Pkcs8)?;
        check_public(&public)?;
        Ok(PrivateKey { key, public })
    }

    /// The public part.
    pub fn public(&self) -> &PublicPart {
        &self.public
    }

    /// Signs `data`, which is what the mechanism says: DigestInfo, digest, block, message or μ ([`SignMechanism`]).
    ///
    /// AWS-LC checks each RSA signature with the public exponent before it gives it out, and we do so with those of
    /// Ed25519. Those of ECDSA and ML-DSA nobody checks: with a fresh random number in each, one faulty result tells at
    /// most a bit of the key.
    pub fn sign(&self, mechanism: SignMechanism, data: &[u8]) -> Result<Vec<u8>, KeyError> {
        match (&self.key, &self.public, mechanism) {
            (Key::Ec(key), _, SignMechanism::Ecdsa) => sign_ecdsa(key, data),
            (Key::Ed25519(key), _, SignMechanism::Ed25519) => key.sign(data).ok_or(KeyError::Fault),
            (Key::Ed25519(key), _, SignMechanism::Ed25519Ph) => {
                key.sign_ph(data.try_into().map_err(|_| KeyError::DataLength)?).ok_or(KeyError::Fault)
            }
            (Key::MlDsa(key), _, SignMechanism::MlDsa) => {
                key.sign(data.try_into().map_err(|_| KeyError::DataLength)?).ok_or(KeyError::Fault)
            }
            (Key::Rsa(key), PublicPart::Rsa { modulus, .. }, mechanism) => sign_rsa(key, modulus, mechanism, data),
            _ => Err(KeyError::KeyType),
        }
    }

    /// Decrypts a ciphertext of the modulus' length. Every failure is the same [`KeyError::Decryption`].
    pub fn decrypt(&self, mechanism: RsaCipher, data: &[u8]) -> Result<Secret, KeyError> {
        let (Key::Rsa(key), PublicPart::Rsa { modulus, .. }) = (&self.key, &self.public) else {
            return Err(KeyError::KeyType);
        };
        if data.len() != modulus.len() {
            return Err(KeyError::DataLength);
        }
        let plain = match mechanism {
            RsaCipher::Pkcs => key.decrypt_pkcs1(data),
            RsaCipher::Oaep { hash } => key.decrypt_oaep(hash, data),
            RsaCipher::X509 => key.decrypt_raw(data),
        };
        plain.ok_or(KeyError::Decryption)
    }

    /// The secret that ECDH (SP 800-56A rev. 3 §5.7.1.2) gives with another side's point, `04 || x || y`, which is checked
    /// to be on the curve (§5.6.2.3.3; with a cofactor of 1, so is every other multiple of it): the x coordinate.
    pub(crate) fn agree(&self, peer_point: &[u8]) -> Result<Secret, KeyError> {
        let Key::Ec(key) = &self.key else { return Err(KeyError::KeyType) };
        key.agree(peer_point).ok_or(KeyError::PeerPoint)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.public {
            PublicPart::Rsa { modulus, .. } => write!(f, "PrivateKey(RSA, {} bits)", bits(modulus)),
            PublicPart::Ec { curve, .. } => write!(f, "PrivateKey({curve})"),
            PublicPart::MlDsa { algorithm, .. } => write!(f, "PrivateKey({algorithm})"),
        }
    }
}

fn sign_ecdsa(key: &EcPrivate, digest: &[u8]) -> Result<Vec<u8>, KeyError> {
    if digest.is_empty() {
        return Err(KeyError::DataLength);
    }
    key.sign(digest).ok_or(KeyError::Fault)
}

fn sign_rsa(key: &RsaPrivate, modulus: &[u8], mechanism: SignMechanism, data: &[u8]) -> Result<Vec<u8>, KeyError> {
    match mechanism {
        SignMechanism::RsaPkcs => {
            if data.len() + PKCS1_PADDING_LEN_MIN > modulus.len() {
                return Err(KeyError::DataLength);
            }
            key.sign_pkcs1(data).ok_or(KeyError::Fault)
        }
        SignMechanism::RsaPkcsPss { hash, salt_len } => {
            if data.len() != hash.digest_len() {
                return Err(KeyError::DataLength);
            }
            if !pss_salt_fits(modulus.len(), hash.digest_len(), salt_len) {
                return Err(KeyError::SaltLength);
            }
            key.sign_pss(hash, salt_len, data).ok_or(KeyError::Fault)
        }
        SignMechanism::RsaX509 => {
            if data.len() != modulus.len() {
                return Err(KeyError::DataLength);
            }
            if !in_range(data, modulus) {
                return Err(KeyError::DataRange);
            }
            key.sign_raw(data).ok_or(KeyError::Fault)
        }
        SignMechanism::Ecdsa | SignMechanism::Ed25519 | SignMechanism::Ed25519Ph | SignMechanism::MlDsa => {
            Err(KeyError::KeyType)
        }
    }
}

/// Whether an RSA key has a size and exponent that we take. Of the others AWS-LC reads those alone.
pub(crate) fn check_public(public: &PublicPart) -> Result<(), KeyError> {
    let PublicPart::Rsa { modulus, public_exponent } = public else { return Ok(()) };
    check_rsa_bits(bits(modulus))?;
    check_exponent(public_exponent).map(drop)
}

/// Whether 1 < block < n − 1. AWS-LC refuses the others as well: 0, 1 and n − 1 are their own signatures.
pub(crate) fn in_range(block: &[u8], modulus: &[u8]) -> bool {
    let (Some((last, high)), Some((modulus_last, modulus_high))) = (block.split_last(), modulus.split_last()) else {
        return false;
    };
    let tiny = *last <= 1 && high.iter().all(|byte| *byte == 0);
    // n is odd, so n − 1 differs from it in the last bit only.
    let largest = high == modulus_high && *last == modulus_last & 0xfe;
    block < modulus && !tiny && !largest
}

pub(crate) fn bits(modulus: &[u8]) -> u32 {
    let unused = modulus.first().map_or(0, |first| first.leading_zeros());
    u32::try_from(modulus.len() * 8).unwrap_or(u32::MAX) - unused
}

pub(crate) fn check_rsa_bits(bits: u32) -> Result<(), KeyError> {
    let fits = (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) && bits.is_multiple_of(RSA_BITS_STEP);
    if fits { Ok(()) } else { Err(KeyError::RsaBits) }
}

/// Odd and from 65,537 (FIPS 186-5 §A.1.1) to what AWS-LC makes keys with.
pub(crate) fn check_exponent(big_endian: &[u8]) -> Result<u32, KeyError> {
    let first = big_endian.iter().position(|byte| *byte != 0).ok_or(KeyError::Exponent)?;
    let digits = &big_endian[first..];
    if digits.len() > size_of::<u32>() {
        return Err(KeyError::Exponent);
    }
    let exponent = digits.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
    let fits = (RSA_EXPONENT_MIN..=RSA_EXPONENT_MAX).contains(&u64::from(exponent)) && exponent % 2 == 1;
    if fits { Ok(exponent) } else { Err(KeyError::Exponent) }
}
