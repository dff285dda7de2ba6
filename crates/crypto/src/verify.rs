//! Verification of signatures with public keys.

use strongroom_types::{Curve, PublicPart, SignMechanism};
use thiserror::Error;

use crate::sys::{self, EcPublic, MlDsaPublic, RsaPublic};

/// Bytes of padding that a PKCS #1 v1.5 block has at least (RFC 8017 §9.2: 00 01, eight FF, 00).
pub const PKCS1_PADDING_LEN_MIN: usize = 11;

/// Why a signature was not found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// A mechanism of another type of key, or of another curve.
    #[error("the mechanism does not fit the key's type")]
    KeyType,
    /// The public key itself is not valid.
    #[error("the public key is not valid")]
    Key,
    /// Data too short or too long for the mechanism and the key.
    #[error("the data's length does not fit the mechanism and the key")]
    DataLength,
    /// A salt that the modulus has no room for.
    #[error("the salt is longer than the modulus has room for")]
    SaltLength,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
}

/// Verifies `signature` over `data`, which is what was given when signing: the DigestInfo, the digest, the block, the
/// message or μ.
///
/// The whole padded block is compared with what it must be (RFC 8017 §8.2.2), so nothing hides in the padding. ECDSA
/// signatures are r and s of the order's length each; the digest is cut to the order's length on the left.
pub fn verify(public: &PublicPart, mechanism: SignMechanism, data: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
    match (public, mechanism) {
        (PublicPart::Rsa { modulus, public_exponent }, SignMechanism::RsaPkcs) => {
            let block = pkcs1_block(data, modulus.len()).ok_or(VerifyError::DataLength)?;
            recovers(&rsa(modulus, public_exponent)?, signature, &block)
        }
        (PublicPart::Rsa { modulus, public_exponent }, SignMechanism::RsaX509) => {
            if data.len() != modulus.len() {
                return Err(VerifyError::DataLength);
            }
            recovers(&rsa(modulus, public_exponent)?, signature, data)
        }
        (PublicPart::Rsa { modulus, public_exponent }, SignMechanism::RsaPkcsPss { hash, salt_len }) => {
            if data.len() != hash.digest_len() {
                return Err(VerifyError::DataLength);
            }
            if !pss_salt_fits(modulus.len(), hash.digest_len(), salt_len) {
                return Err(VerifyError::SaltLength);
            }
            let good = rsa(modulus, public_exponent)?.verify_pss(hash, salt_len, data, signature);
            good.then_some(()).ok_or(VerifyError::Signature)
        }
        (PublicPart::Ec { curve: Curve::Ed25519, point }, SignMechanism::Ed25519 | SignMechanism::Ed25519Ph) => {
            let point = point.as_slice().try_into().map_err(|_| VerifyError::Key)?;
            let signature = signature.try_into().map_err(|_| VerifyError::Signature)?;
            let good = match mechanism {
                SignMechanism::Ed25519 => sys::verify_ed25519(point, data, signature),
                _ => {
                    let digest = data.try_into().map_err(|_| VerifyError::DataLength)?;
                    sys::verify_ed25519ph(point, digest, signature)
                }
            };
            good.then_some(()).ok_or(VerifyError::Signature)
        }
        (PublicPart::MlDsa { algorithm, key }, SignMechanism::MlDsa) => {
            let mu = data.try_into().map_err(|_| VerifyError::DataLength)?;
            let key = MlDsaPublic::new(*algorithm, key).ok_or(VerifyError::Key)?;
            key.verify(mu, signature).then_some(()).ok_or(VerifyError::Signature)
        }
        (PublicPart::Ec { curve, point }, SignMechanism::Ecdsa) if curve.is_weierstrass() => {
            let key = EcPublic::new(*curve, point).ok_or(VerifyError::Key)?;
            let (r, s) = signature.split_at_checked(curve.field_len()).ok_or(VerifyError::Signature)?;
            let good = s.len() == curve.field_len() && key.verify(data, r, s);
            good.then_some(()).ok_or(VerifyError::Signature)
        }
        (PublicPart::Rsa { .. } | PublicPart::Ec { .. } | PublicPart::MlDsa { .. }, _) => Err(VerifyError::KeyType),
    }
}

fn rsa(modulus: &[u8], public_exponent: &[u8]) -> Result<RsaPublic, VerifyError> {
    RsaPublic::new(modulus, public_exponent).ok_or(VerifyError::Key)
}

fn recovers(key: &RsaPublic, signature: &[u8], block: &[u8]) -> Result<(), VerifyError> {
    if key.recover(signature).as_deref() == Some(block) { Ok(()) } else { Err(VerifyError::Signature) }
}

/// The block of EMSA-PKCS1-v1_5 around `data` (RFC 8017 §9.2), `len` bytes; none when data is too long for it.
fn pkcs1_block(data: &[u8], len: usize) -> Option<Vec<u8>> {
    let padding = len.checked_sub(data.len()).filter(|padding| *padding >= PKCS1_PADDING_LEN_MIN)?;
    let mut block = vec![0xff; padding];
    block[0] = 0;
    block[1] = 1;
    block[padding - 1] = 0;
    block.extend_from_slice(data);
    Some(block)
}

/// Whether a PSS block has room for the salt (RFC 8017 §9.1.1 step 3). Holds for moduli of whole bytes, the only ones
/// Strongroom has.
pub fn pss_salt_fits(modulus_len: usize, digest_len: usize, salt_len: u16) -> bool {
    digest_len + usize::from(salt_len) + 2 <= modulus_len
}
