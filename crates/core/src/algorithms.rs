//! Which mechanism fits which key and which data, in which mode of the cluster; and which keys can be made. The one
//! place where FIPS mode is told from the other.
//!
//! | Mechanism | Key | Sign, decrypt in FIPS mode | Verify in FIPS mode |
//! | --- | --- | --- | --- |
//! | RSA PKCS #1 v1.5 signature | RSA | without SHA-1 and MD5, where a DigestInfo shows the hash | all |
//! | RSA PSS | RSA | without SHA-1; salt at most as long as the digest (FIPS 186-5 §5.4) | all |
//! | raw RSA | RSA | all: what the caller padded can't be judged | all |
//! | ECDSA | EC | digest at least as long as the curve asks (FIPS 186-5 §6.1.1) | all |
//! | RSA PKCS #1 v1.5 decryption | RSA | refused (SP 800-131A rev. 2 §6) | |
//! | RSA OAEP | RSA | all hashes (SP 800-56B rev. 2 §7.2.2) | |
//!
//! Keys of every size and curve that the table of the service's guide lists are allowed in both modes.

use strongroom_types::limits::{
    GENERIC_SECRET_LEN_MAX, RSA_BITS_MAX, RSA_BITS_MIN, RSA_BITS_STEP, RSA_EXPONENT_MAX, RSA_EXPONENT_MIN,
};
use strongroom_types::matching::without_leading_zeros;
use strongroom_types::{
    Attributes, ClusterMode, Curve, DecryptMechanism, HashFunction, KeyClass, KeyType, PublicPart, Refusal,
    SignMechanism, Status,
};

use crate::{KeyUse, PairAlgorithm};

/// Bytes of data in an ECDSA call. The longest digest has 64; a longer one is cut to the order's length like any.
pub const ECDSA_DATA_LEN_MAX: usize = 128;

/// PKCS #1 v1.5 signature: what the padding takes of the modulus (RFC 8017 §9.2).
const PKCS1_OVERHEAD: usize = 11;

/// DigestInfo up to the digest (RFC 8017 §9.2 note 1), of hashes that are not approved for signatures: SHA-1 and MD5,
/// each with NULL parameters and without.
const WEAK_DIGEST_INFOS: [(&[u8], usize); 4] = [
    (&[0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14], 20),
    (&[0x30, 0x1f, 0x30, 0x07, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x04, 0x14], 20),
    (&[0x30, 0x20, 0x30, 0x0c, 0x06, 0x08, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x05, 0x05, 0x00, 0x04, 0x10], 16),
    (&[0x30, 0x1e, 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x05, 0x04, 0x10], 16),
];

/// Whether the key's class and type fit the mechanism.
pub(crate) fn fits_key(key_use: KeyUse<'_>, key: &Attributes) -> Result<(), Refusal> {
    let class = match key_use {
        KeyUse::Sign(..) | KeyUse::Decrypt(..) => KeyClass::PrivateKey,
        KeyUse::Verify(..) => KeyClass::PublicKey,
    };
    let key_type = match key_use {
        KeyUse::Sign(mechanism, _) | KeyUse::Verify(mechanism, _) => match mechanism {
            SignMechanism::RsaPkcs | SignMechanism::RsaPkcsPss { .. } | SignMechanism::RsaX509 => KeyType::Rsa,
            SignMechanism::Ecdsa => KeyType::Ec,
        },
        KeyUse::Decrypt(
            DecryptMechanism::RsaPkcs | DecryptMechanism::RsaOaep { .. } | DecryptMechanism::RsaX509,
            _,
        ) => KeyType::Rsa,
    };
    if (key.class, key.key_type) == (class, key_type) { Ok(()) } else { Err(Status::KeyTypeInconsistent.into()) }
}

/// Whether parameters, mode and data's length allow the use of a key that fits. In the order of [`Status`].
pub(crate) fn fits_data(key_use: KeyUse<'_>, key: &Attributes, mode: ClusterMode) -> Result<(), Refusal> {
    let fips = mode == ClusterMode::Fips;
    match (key_use, &key.public) {
        (KeyUse::Sign(mechanism, data), Some(public)) => signature(mechanism, data, public, fips),
        // Verifying what was signed long ago stays possible.
        (KeyUse::Verify(mechanism, data), Some(public)) => signature(mechanism, data, public, false),
        (KeyUse::Decrypt(mechanism, data), Some(PublicPart::Rsa { modulus, .. })) => {
            if fips && mechanism == DecryptMechanism::RsaPkcs {
                return Err(Refusal::new(Status::MechanismNotApproved, "RSA PKCS #1 v1.5 decryption"));
            }
            length(data.len() == modulus.len())
        }
        _ => Err(Status::KeyTypeInconsistent.into()),
    }
}

fn signature(mechanism: SignMechanism, data: &[u8], public: &PublicPart, fips: bool) -> Result<(), Refusal> {
    match (mechanism, public) {
        (SignMechanism::RsaPkcs, PublicPart::Rsa { modulus, .. }) => {
            if fips && shows_weak_hash(data) {
                return Err(Refusal::new(Status::MechanismNotApproved, "signature with SHA-1 or MD5"));
            }
            length(data.len() <= modulus.len().saturating_sub(PKCS1_OVERHEAD))
        }
        (SignMechanism::RsaPkcsPss { hash, salt_len }, PublicPart::Rsa { modulus, .. }) => {
            let salt_len = usize::from(salt_len);
            // RFC 8017 §9.1.1; a modulus of whole bytes makes emLen its length.
            if hash.digest_len() + salt_len + 2 > modulus.len() {
                return Err(Refusal::new(Status::MechanismInvalid, "salt length"));
            }
            if fips && hash == HashFunction::Sha1 {
                return Err(Refusal::new(Status::MechanismNotApproved, "signature with SHA-1"));
            }
            if fips && salt_len > hash.digest_len() {
                return Err(Refusal::new(Status::MechanismNotApproved, "salt longer than the digest"));
            }
            length(data.len() == hash.digest_len())
        }
        (SignMechanism::RsaX509, PublicPart::Rsa { modulus, .. }) => length(data.len() == modulus.len()),
        (SignMechanism::Ecdsa, PublicPart::Ec { curve, .. }) => {
            if fips && !data.is_empty() && data.len() < approved_digest_len(*curve) {
                return Err(Refusal::new(Status::MechanismNotApproved, "digest weaker than the key"));
            }
            length((1..=ECDSA_DATA_LEN_MAX).contains(&data.len()))
        }
        _ => Err(Status::KeyTypeInconsistent.into()),
    }
}

fn length(fits: bool) -> Result<(), Refusal> {
    if fits { Ok(()) } else { Err(Status::DataLengthInvalid.into()) }
}

fn shows_weak_hash(data: &[u8]) -> bool {
    WEAK_DIGEST_INFOS
        .iter()
        .any(|(prefix, digest_len)| data.strip_prefix(*prefix).is_some_and(|digest| digest.len() == *digest_len))
}

/// The shortest digest whose strength is the curve's.
fn approved_digest_len(curve: Curve) -> usize {
    let hash = match curve {
        Curve::P224 => HashFunction::Sha224,
        Curve::P256 | Curve::Secp256k1 => HashFunction::Sha256,
        Curve::P384 => HashFunction::Sha384,
        Curve::P521 => HashFunction::Sha512,
    };
    hash.digest_len()
}

/// Whether such a pair can be made.
pub(crate) fn check_pair(algorithm: &PairAlgorithm) -> Result<(), Refusal> {
    let PairAlgorithm::Rsa { modulus_bits, public_exponent } = algorithm else {
        return Ok(());
    };
    let exponent = without_leading_zeros(public_exponent);
    let number =
        exponent.iter().try_fold(0_u64, |number, byte| number.checked_mul(256).map(|number| number | u64::from(*byte)));
    let fits = |number: u64| number % 2 == 1 && (RSA_EXPONENT_MIN..=RSA_EXPONENT_MAX).contains(&number);
    if !number.is_some_and(fits) {
        let about = format!("public-exponent: odd, {RSA_EXPONENT_MIN} to {RSA_EXPONENT_MAX}");
        return Err(Refusal::new(Status::AttributeValueInvalid, about));
    }
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(modulus_bits) || modulus_bits % RSA_BITS_STEP != 0 {
        let about = format!("{modulus_bits} bits: RSA keys have {RSA_BITS_MIN} to {RSA_BITS_MAX} in steps of 256");
        return Err(Refusal::new(Status::KeySizeInvalid, about));
    }
    Ok(())
}

/// Whether a secret key of this type can have this length.
pub(crate) fn check_secret(key_type: KeyType, length_bytes: u32) -> Result<(), Refusal> {
    let fits = match key_type {
        KeyType::Aes => matches!(length_bytes, 16 | 24 | 32),
        KeyType::GenericSecret => (1..=GENERIC_SECRET_LEN_MAX).contains(&length_bytes),
        KeyType::Ec | KeyType::Rsa => return Err(Refusal::new(Status::TemplateInconsistent, "key-type")),
    };
    if fits {
        return Ok(());
    }
    let rule = match key_type {
        KeyType::Aes => "AES keys have 16, 24 or 32".to_owned(),
        _ => format!("generic secrets have 1 to {GENERIC_SECRET_LEN_MAX}"),
    };
    Err(Refusal::new(Status::KeySizeInvalid, format!("{length_bytes} bytes: {rule}")))
}

/// Whether a public part is one that the algorithm makes.
pub(crate) fn is_of(public: &PublicPart, algorithm: &PairAlgorithm) -> bool {
    match (public, algorithm) {
        (
            PublicPart::Rsa { modulus, public_exponent },
            PairAlgorithm::Rsa { modulus_bits, public_exponent: wanted },
        ) => {
            let full = modulus.first().is_some_and(|first| *first >= 0x80);
            full && modulus.len() * 8 == *modulus_bits as usize && public_exponent == without_leading_zeros(wanted)
        }
        (PublicPart::Ec { curve, point }, PairAlgorithm::Ec(wanted)) => {
            curve == wanted && point.len() == 1 + 2 * curve.field_len() && point.first() == Some(&4)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_at_below_and_above_their_bounds() {
        let check = |exponent: u64, expected: bool| {
            let public_exponent = exponent.to_be_bytes().to_vec();
            let fits = check_pair(&PairAlgorithm::Rsa { modulus_bits: 2048, public_exponent }).is_ok();
            assert_eq!(fits, expected, "{exponent}");
        };
        check(RSA_EXPONENT_MIN, true);
        check(RSA_EXPONENT_MAX, true);
        for outside in [0, 1, 3, RSA_EXPONENT_MIN - 2, RSA_EXPONENT_MIN - 1, RSA_EXPONENT_MIN + 1] {
            check(outside, false);
        }
        for outside in [RSA_EXPONENT_MAX - 1, RSA_EXPONENT_MAX + 1, RSA_EXPONENT_MAX + 2, u64::MAX] {
            check(outside, false);
        }
        let longer = PairAlgorithm::Rsa { modulus_bits: 2048, public_exponent: vec![0xff; 9] };
        assert!(check_pair(&longer).is_err());
    }
}
