//! New keys.

use aws_lc_rs::cipher::{AES_128, AES_192, AES_256, EncryptingKey, UnboundCipherKey};
use strongroom_crypto::{random, spki};
use strongroom_types::{CheckValue, Curve, KeyType, MlDsaAlgorithm, PublicPart, Secret, limits};

use crate::import::{self, ImportedSecret};
use crate::private_key::{check_exponent, check_rsa_bits};
use crate::sys::{self, Key};
use crate::{KeyError, PrivateKey};

/// Bytes of a 3DES key.
const DES3_LEN: usize = limits::DES3_LEN as usize;

/// A pair, new or brought in.
#[derive(Debug)]
pub struct GeneratedPair {
    /// The public part.
    pub public: PublicPart,
    /// The private key, PKCS #8 DER: an EC key's holds its public key too, an ML-DSA key's its seed.
    pub pkcs8: Secret,
    /// The check value of both halves.
    pub check_value: CheckValue,
}

/// Makes an RSA pair of 2048 to 4096 bits in steps of 256 (FIPS 186-5 §A.1.3). The exponent is big-endian, odd, and
/// from 65,537 to 2³² − 1, which is as far as AWS-LC goes. Takes from a tenth of a second to several seconds.
pub fn rsa(bits: u32, public_exponent: &[u8]) -> Result<GeneratedPair, KeyError> {
    check_rsa_bits(bits)?;
    let exponent = check_exponent(public_exponent)?;
    let bits = i32::try_from(bits).map_err(|_| KeyError::RsaBits)?;
    pair(sys::generate_rsa(bits, exponent).ok_or(KeyError::Fault)?)
}

impl GeneratedPair {
    /// Length in bytes of the private key as the command line tool counts it: of its PKCS #8, or of FIPS 204's encoding.
    pub fn private_length_bytes(&self) -> u32 {
        match &self.public {
            PublicPart::MlDsa { algorithm, .. } => algorithm.private_len(),
            PublicPart::Rsa { .. } | PublicPart::Ec { .. } => {
                u32::try_from(self.pkcs8.len()).expect("a PKCS #8 has a few thousand bytes")
            }
        }
    }
}

/// Makes an EC pair (FIPS 186-5 §A.2.2), or one of Ed25519 (RFC 8032 §5.1.5).
pub fn ec(curve: Curve) -> Result<GeneratedPair, KeyError> {
    let pkcs8 = if curve.is_weierstrass() { sys::generate_ec(curve) } else { sys::generate_ed25519() };
    pair(pkcs8.ok_or(KeyError::Fault)?)
}

/// Makes an ML-DSA pair (FIPS 204 §5.1).
pub fn ml_dsa(algorithm: MlDsaAlgorithm) -> Result<GeneratedPair, KeyError> {
    pair(sys::generate_ml_dsa(algorithm).ok_or(KeyError::Fault)?)
}

pub(crate) fn pair(pkcs8: Secret) -> Result<GeneratedPair, KeyError> {
    let public = Key::read(pkcs8.expose()).and_then(|key| key.public()).ok_or(KeyError::Fault)?;
    let check_value = spki::check_value(&public);
    Ok(GeneratedPair { public, pkcs8, check_value })
}

/// `len` random bytes: an AES key or a generic secret.
pub fn secret(len: usize) -> Secret {
    let mut bytes = vec![0; len];
    random::fill(&mut bytes);
    Secret::new(bytes)
}

/// A 3DES key: three DES keys with odd parity, none weak, the second unlike the others (SP 800-67 rev. 2 §3.3).
pub fn des3() -> Result<ImportedSecret, KeyError> {
    loop {
        let material = sys::with_odd_parity(&secret(DES3_LEN));
        let key = import::computed_secret(KeyType::Des3, material).map_err(|_| KeyError::Fault)?;
        // Once in 2⁵⁰ keys it is.
        if !key.weak {
            return Ok(key);
        }
    }
}

/// The check value of an AES key: the first three bytes of a block of zeros, encrypted.
pub fn aes_check_value(key: &Secret) -> Result<CheckValue, KeyError> {
    let algorithm = match key.len() {
        16 => &AES_128,
        24 => &AES_192,
        32 => &AES_256,
        _ => return Err(KeyError::AesLength),
    };
    let mut block = [0; 16];
    let cipher = UnboundCipherKey::new(algorithm, key.expose()).and_then(EncryptingKey::ecb);
    cipher.and_then(|cipher| cipher.encrypt(&mut block)).map_err(|_| KeyError::Fault)?;
    Ok(block.first_chunk().copied().expect("a block has 16 bytes"))
}

/// Reads what was generated: the pair's private key, ready for use.
impl TryFrom<&GeneratedPair> for PrivateKey {
    type Error = KeyError;

    fn try_from(pair: &GeneratedPair) -> Result<PrivateKey, KeyError> {
        PrivateKey::from_pkcs8(&pair.pkcs8)
    }
}
