//! Which mechanism fits which key and which data, in which mode of the cluster; and which keys can be made or brought
//! in. The one place where FIPS mode is told from the other: [`TABLE`] has a row for each algorithm, and what it asks of
//! parameters in FIPS mode is looked at here.

mod ciphers;
mod table;
mod wrapping;

pub use table::{Algorithm, Fips, Row, TABLE};
pub(crate) use wrapping::{check_wrappable, fits_payload, fits_wrapping_key};

use strongroom_types::limits::{
    CIPHER_DATA_LEN_MAX, DES3_LEN, ECDSA_DATA_LEN_MAX, ED25519_DATA_LEN_MAX, GENERIC_SECRET_LEN_MAX, RSA_BITS_MAX,
    RSA_BITS_MIN, RSA_BITS_STEP, RSA_EXPONENT_MAX, RSA_EXPONENT_MIN,
};
use strongroom_types::matching::without_leading_zeros;
use strongroom_types::{
    Attributes, ClusterMode, Curve, Derivation, DerivationError, HashFunction, KeyClass, KeyType, PublicPart, Refusal,
    SignMechanism, Status,
};

use crate::{Cluster, KeyUse, PairAlgorithm};

/// Bytes of μ, and of what HashEdDSA on Ed25519 signs: 512 bits both.
const LONG_DIGEST_LEN: usize = 64;

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
        KeyUse::Sign(..) => KeyClass::PrivateKey,
        KeyUse::Verify(..) => KeyClass::PublicKey,
        KeyUse::Encrypt(mechanism, _) => ciphers::encrypts_by(mechanism),
        KeyUse::Decrypt(mechanism, _) => ciphers::decrypts_by(mechanism),
        KeyUse::Mac(..) | KeyUse::VerifyMac(..) => KeyClass::SecretKey,
        KeyUse::Unwrap(mechanism, _) => wrapping::unwraps_by(mechanism),
        KeyUse::Derive(Derivation::Ecdh { .. }, _) => KeyClass::PrivateKey,
        KeyUse::Derive(Derivation::CounterKdf { .. }, _) | KeyUse::ReadValue => KeyClass::SecretKey,
    };
    let fits = match key_use {
        KeyUse::Sign(mechanism, _) | KeyUse::Verify(mechanism, _) => match mechanism {
            SignMechanism::RsaPkcs | SignMechanism::RsaPkcsPss { .. } | SignMechanism::RsaX509 => {
                key.key_type == KeyType::Rsa
            }
            SignMechanism::Ecdsa => curve(key).is_some_and(Curve::is_weierstrass),
            SignMechanism::Ed25519 | SignMechanism::Ed25519Ph => curve(key) == Some(Curve::Ed25519),
            SignMechanism::MlDsa => key.key_type == KeyType::MlDsa,
        },
        KeyUse::Encrypt(mechanism, _) | KeyUse::Decrypt(mechanism, _) => key.key_type == ciphers::key_type(mechanism),
        KeyUse::Mac(mechanism, _) | KeyUse::VerifyMac(mechanism, _) => ciphers::makes_mac(mechanism, key.key_type),
        KeyUse::Unwrap(mechanism, _) => key.key_type == wrapping::wraps_by(mechanism),
        KeyUse::Derive(Derivation::Ecdh { .. }, _) => curve(key).is_some_and(Curve::is_weierstrass),
        KeyUse::Derive(Derivation::CounterKdf { .. }, _) => key.key_type == KeyType::Aes,
        KeyUse::ReadValue => true,
    };
    if key.class == class && fits { Ok(()) } else { Err(Status::KeyTypeInconsistent.into()) }
}

fn curve(key: &Attributes) -> Option<Curve> {
    match key.public {
        Some(PublicPart::Ec { curve, .. }) => Some(curve),
        _ => None,
    }
}

/// Whether parameters, mode and data's length allow the use of a key that fits. In the order of [`Status`].
pub(crate) fn fits_data(key_use: KeyUse<'_>, key: &Attributes, cluster: &Cluster) -> Result<(), Refusal> {
    let algorithm = match key_use {
        KeyUse::Sign(mechanism, _) => Algorithm::of_signing(mechanism),
        KeyUse::Verify(mechanism, _) => Algorithm::of_verifying(mechanism),
        KeyUse::Encrypt(mechanism, _) => Algorithm::of_encrypting(mechanism),
        KeyUse::Decrypt(mechanism, _) => Algorithm::of_decrypting(mechanism),
        KeyUse::Mac(mechanism, _) => Algorithm::of_mac(mechanism),
        KeyUse::VerifyMac(mechanism, _) => Algorithm::of_verifying_mac(mechanism),
        KeyUse::Unwrap(mechanism, _) => Algorithm::of_wrapping(mechanism),
        KeyUse::Derive(derivation, _) => Algorithm::of_deriving(derivation),
        KeyUse::ReadValue => return Ok(()),
    };
    algorithm.permitted_in(cluster)?;
    let fips = cluster.mode == ClusterMode::Fips;
    match (key_use, &key.public) {
        (KeyUse::Sign(mechanism, data), Some(public)) => signature(mechanism, data, public, fips),
        // Verifying what was signed long ago stays possible.
        (KeyUse::Verify(mechanism, data), Some(public)) => signature(mechanism, data, public, false),
        (KeyUse::Derive(derivation, len), _) => derive(derivation, len, curve(key), fips),
        (KeyUse::Encrypt(mechanism, len), public) => length(ciphers::encrypts_len(mechanism, public.as_ref(), len)),
        (KeyUse::Decrypt(mechanism, len), public) => length(ciphers::decrypts_len(mechanism, public.as_ref(), len)),
        (KeyUse::Mac(mechanism, len), None) => {
            ciphers::strong_enough(mechanism, key, fips)?;
            length(len <= CIPHER_DATA_LEN_MAX)
        }
        // Verifying what was made long ago stays possible.
        (KeyUse::VerifyMac(_, len), None) => length(len <= CIPHER_DATA_LEN_MAX),
        (KeyUse::Unwrap(mechanism, len), public) => length(wrapping::is_wrapped_len(mechanism, public.as_ref(), len)),
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
        (SignMechanism::Ed25519, PublicPart::Ec { .. }) => length(data.len() <= ED25519_DATA_LEN_MAX),
        (SignMechanism::Ed25519Ph, PublicPart::Ec { .. }) | (SignMechanism::MlDsa, PublicPart::MlDsa { .. }) => {
            length(data.len() == LONG_DIGEST_LEN)
        }
        _ => Err(Status::KeyTypeInconsistent.into()),
    }
}

/// SP 800-56A rev. 3 appendix D has the curves of NIST, and not secp256k1.
fn derive(derivation: &Derivation, len: u32, curve: Option<Curve>, fips: bool) -> Result<(), Refusal> {
    if fips && curve == Some(Curve::Secp256k1) {
        return Err(Refusal::new(Status::MechanismNotApproved, "ECDH on secp256k1"));
    }
    let len = usize::try_from(len).map_err(|_| Status::KeySizeInvalid)?;
    derivation.check(len, curve).map_err(|error| match error {
        DerivationError::Output(about) => Refusal::new(Status::KeySizeInvalid, about),
        DerivationError::Parameter(about) => Refusal::new(Status::MechanismInvalid, about),
        DerivationError::Length(about) => Refusal::new(Status::DataLengthInvalid, about),
    })
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
        // Ed25519 has no ECDSA; its own digest is the longest.
        Curve::Ed25519 | Curve::P521 => HashFunction::Sha512,
    };
    hash.digest_len()
}

/// Whether such a pair can be made.
pub(crate) fn check_pair(algorithm: &PairAlgorithm, cluster: &Cluster) -> Result<(), Refusal> {
    let (modulus_bits, public_exponent) = match algorithm {
        PairAlgorithm::Ec(curve) => return Algorithm::of_curve(*curve).permitted_in(cluster),
        PairAlgorithm::MlDsa(_) => return Algorithm::MlDsaKeys.permitted_in(cluster),
        PairAlgorithm::Rsa { modulus_bits, public_exponent } => (modulus_bits, public_exponent),
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
    Algorithm::RsaKeys.permitted_in(cluster)
}

/// Whether a secret key of this type and length can be made.
pub(crate) fn check_secret(key_type: KeyType, length_bytes: u32, cluster: &Cluster) -> Result<(), Refusal> {
    check_secret_from_outside(key_type, length_bytes, false, cluster)?;
    if key_type == KeyType::Des3 { Algorithm::MakeDes3Keys.permitted_in(cluster) } else { Ok(()) }
}

/// Whether private keys of this type that were made elsewhere may come in; their public part is looked at later.
pub(crate) fn check_private_from_outside(key_type: KeyType) -> Result<(), Refusal> {
    match key_type {
        KeyType::Ec | KeyType::Rsa => Ok(()),
        KeyType::MlDsa => Err(ml_dsa_stays_out()),
        KeyType::Aes | KeyType::Des3 | KeyType::GenericSecret => {
            Err(Refusal::new(Status::TemplateInconsistent, "key-type"))
        }
    }
}

/// The original brings none in.
fn ml_dsa_stays_out() -> Refusal {
    Refusal::new(Status::MechanismInvalid, "ML-DSA keys cannot be brought in")
}

/// Whether a secret key of this type and length that was made elsewhere may come in. `weak` says what its material shows
/// (`crypto_keys::import`).
pub(crate) fn check_secret_from_outside(
    key_type: KeyType,
    length_bytes: u32,
    weak: bool,
    cluster: &Cluster,
) -> Result<(), Refusal> {
    let Some(algorithm) = Algorithm::of_secret(key_type) else {
        return Err(Refusal::new(Status::TemplateInconsistent, "key-type"));
    };
    let (fits, rule) = match key_type {
        KeyType::Aes => (matches!(length_bytes, 16 | 24 | 32), "AES keys have 16, 24 or 32".to_owned()),
        KeyType::Des3 => (length_bytes == DES3_LEN, format!("3DES keys have {DES3_LEN}")),
        _ => (
            (1..=GENERIC_SECRET_LEN_MAX).contains(&length_bytes),
            format!("generic secrets have 1 to {GENERIC_SECRET_LEN_MAX}"),
        ),
    };
    if !fits {
        return Err(Refusal::new(Status::KeySizeInvalid, format!("{length_bytes} bytes: {rule}")));
    }
    algorithm.permitted_in(cluster)?;
    if weak && cluster.mode == ClusterMode::Fips {
        return Err(Refusal::new(Status::KeyWeak, algorithm.row().name));
    }
    Ok(())
}

/// Whether a public or private key with this public part that was made elsewhere may come in. The part itself was
/// checked by `crypto`.
pub(crate) fn check_public_from_outside(public: &PublicPart, cluster: &Cluster) -> Result<(), Refusal> {
    match public {
        PublicPart::Rsa { modulus, public_exponent } => {
            let unused = modulus.first().map_or(0, |first| first.leading_zeros());
            let modulus_bits = u32::try_from(modulus.len() * 8).unwrap_or(u32::MAX).saturating_sub(unused);
            check_pair(&PairAlgorithm::Rsa { modulus_bits, public_exponent: public_exponent.clone() }, cluster)
        }
        PublicPart::MlDsa { .. } => Err(ml_dsa_stays_out()),
        PublicPart::Ec { .. } => Algorithm::of_public(public).permitted_in(cluster),
    }
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
            curve == wanted && curve.has_form_of_point(point)
        }
        (PublicPart::MlDsa { algorithm, key }, PairAlgorithm::MlDsa(wanted)) => {
            algorithm == wanted && key.len() == algorithm.public_len()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use strongroom_types::{HsmType, MlDsaAlgorithm};

    use super::*;
    use crate::tests::world::World;

    fn cluster(hsm_type: HsmType, mode: ClusterMode) -> Arc<Cluster> {
        Arc::clone(World::of(hsm_type, mode).state.cluster().unwrap())
    }

    /// In the three clusters that there can be.
    fn everywhere(decide: impl Fn(&Cluster) -> Result<(), Refusal>) -> [Option<Status>; 3] {
        [
            (HsmType::Hsm1Medium, ClusterMode::Fips),
            (HsmType::Hsm2mMedium, ClusterMode::Fips),
            (HsmType::Hsm2mMedium, ClusterMode::NonFips),
        ]
        .map(|(hsm_type, mode)| decide(&cluster(hsm_type, mode)).err().map(|refusal| refusal.status))
    }

    const ALLOWED: [Option<Status>; 3] = [None; 3];
    const OF_ED25519: [Option<Status>; 3] =
        [Some(Status::AlgorithmNotOfType), Some(Status::MechanismNotApproved), None];
    const OF_ML_DSA: [Option<Status>; 3] = [Some(Status::AlgorithmNotOfType), None, None];

    #[test]
    fn pairs_by_type_and_mode() {
        let check = |algorithm: PairAlgorithm, expected| {
            assert_eq!(everywhere(|cluster| check_pair(&algorithm, cluster)), expected, "{algorithm:?}");
        };
        for curve in Curve::WEIERSTRASS {
            check(PairAlgorithm::Ec(curve), ALLOWED);
        }
        check(PairAlgorithm::Ec(Curve::Ed25519), OF_ED25519);
        for algorithm in MlDsaAlgorithm::ALL {
            check(PairAlgorithm::MlDsa(*algorithm), OF_ML_DSA);
        }
        check(PairAlgorithm::Rsa { modulus_bits: 2048, public_exponent: vec![1, 0, 1] }, ALLOWED);
    }

    #[test]
    fn secrets_made_here_and_elsewhere_by_type_and_mode() {
        let check =
            |key_type, len, made: [Option<Status>; 3], brought: [Option<Status>; 3], weak: [Option<Status>; 3]| {
                assert_eq!(everywhere(|cluster| check_secret(key_type, len, cluster)), made, "{key_type} {len}");
                let from_outside =
                    |weak| everywhere(move |cluster| check_secret_from_outside(key_type, len, weak, cluster));
                assert_eq!((from_outside(false), from_outside(true)), (brought, weak), "{key_type} {len} from outside");
            };
        let weak = [Some(Status::KeyWeak), Some(Status::KeyWeak), None];
        check(KeyType::Aes, 32, ALLOWED, ALLOWED, weak);
        check(KeyType::GenericSecret, 800, ALLOWED, ALLOWED, weak);
        let not_in_fips = [Some(Status::MechanismNotApproved), Some(Status::MechanismNotApproved), None];
        check(KeyType::Des3, 24, not_in_fips, ALLOWED, weak);
        let size = [Some(Status::KeySizeInvalid); 3];
        for (key_type, len) in [(KeyType::Aes, 20), (KeyType::GenericSecret, 0), (KeyType::GenericSecret, 801)] {
            check(key_type, len, size, size, size);
        }
        for len in [0, 8, 16, 23, 25] {
            check(KeyType::Des3, len, size, size, size);
        }
        let not_secret = [Some(Status::TemplateInconsistent); 3];
        for key_type in [KeyType::Ec, KeyType::MlDsa, KeyType::Rsa] {
            check(key_type, 32, not_secret, not_secret, not_secret);
        }
    }

    #[test]
    fn public_parts_from_elsewhere_by_type_and_mode() {
        let check = |public: &PublicPart, expected| {
            assert_eq!(everywhere(|cluster| check_public_from_outside(public, cluster)), expected, "{public:?}");
        };
        let rsa = |len: usize, first: u8| PublicPart::Rsa {
            modulus: [&[first][..], &vec![0xff; len - 1]].concat(),
            public_exponent: vec![1, 0, 1],
        };
        check(&rsa(256, 0x80), ALLOWED);
        check(&rsa(512, 0x80), ALLOWED);
        let size = [Some(Status::KeySizeInvalid); 3];
        check(&rsa(256, 0x7f), size);
        check(&rsa(257, 0x01), size);
        check(&rsa(128, 0x80), size);
        check(&rsa(544, 0x80), size);
        let exponent = PublicPart::Rsa { modulus: vec![0xff; 256], public_exponent: vec![3] };
        check(&exponent, [Some(Status::AttributeValueInvalid); 3]);
        check(&PublicPart::Ec { curve: Curve::P224, point: vec![4; 57] }, ALLOWED);
        check(&PublicPart::Ec { curve: Curve::Ed25519, point: vec![4; 32] }, OF_ED25519);
        let algorithm = MlDsaAlgorithm::MlDsa44;
        check(&PublicPart::MlDsa { algorithm, key: vec![4; 1312] }, [Some(Status::MechanismInvalid); 3]);
    }

    #[test]
    fn exponents_at_below_and_above_their_bounds() {
        let any = cluster(HsmType::Hsm2mMedium, ClusterMode::NonFips);
        let check = |exponent: u64, expected: bool| {
            let public_exponent = exponent.to_be_bytes().to_vec();
            let fits = check_pair(&PairAlgorithm::Rsa { modulus_bits: 2048, public_exponent }, &any).is_ok();
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
        assert!(check_pair(&longer, &any).is_err());
    }
}
