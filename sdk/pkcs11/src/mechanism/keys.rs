//! Whether a key fits a mechanism.

use cryptoki_sys::{
    CK_FLAGS, CK_ULONG, CKF_DECRYPT, CKF_DERIVE, CKF_EC_F_P, CKF_EC_NAMEDCURVE, CKF_EC_UNCOMPRESS, CKF_ENCRYPT,
    CKF_SIGN, CKF_UNWRAP, CKF_VERIFY, CKF_WRAP, CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_KEY_SIZE_RANGE,
    CKR_KEY_TYPE_INCONSISTENT,
};
use strongroom_types::limits::{DES3_LEN, GENERIC_SECRET_LEN_MAX, RSA_BITS_MAX, RSA_BITS_MIN};
use strongroom_types::{Attributes, Curve, Flag, KeyClass, KeyType, MlDsaAlgorithm, PublicPart};

use crate::failure::Failure;

/// What is done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Decrypt,
    Derive,
    Encrypt,
    Sign,
    Unwrap,
    Verify,
    Wrap,
}

impl Use {
    /// The bit of a mechanism that has it.
    pub(crate) fn function(self) -> CK_FLAGS {
        match self {
            Use::Decrypt => CKF_DECRYPT,
            Use::Derive => CKF_DERIVE,
            Use::Encrypt => CKF_ENCRYPT,
            Use::Sign => CKF_SIGN,
            Use::Unwrap => CKF_UNWRAP,
            Use::Verify => CKF_VERIFY,
            Use::Wrap => CKF_WRAP,
        }
    }

    /// The attribute that permits it.
    fn flag(self) -> Flag {
        match self {
            Use::Decrypt => Flag::Decrypt,
            Use::Derive => Flag::Derive,
            Use::Encrypt => Flag::Encrypt,
            Use::Sign => Flag::Sign,
            Use::Unwrap => Flag::Unwrap,
            Use::Verify => Flag::Verify,
            Use::Wrap => Flag::Wrap,
        }
    }

    /// Which half of a pair does it.
    fn half(self) -> KeyClass {
        match self {
            Use::Decrypt | Use::Derive | Use::Sign | Use::Unwrap => KeyClass::PrivateKey,
            Use::Encrypt | Use::Verify | Use::Wrap => KeyClass::PublicKey,
        }
    }
}

/// The keys of a mechanism: those that it uses, or makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    Aes,
    Des3,
    /// EC keys on a curve of ECDSA.
    Ec,
    /// EC keys on any curve, to be made.
    EcAny,
    Ed25519,
    GenericSecret,
    MlDsa,
    None,
    Rsa,
    /// Secrets of any type: HMAC takes all (`docs/reference/choices.md`).
    Secret,
}

impl Keys {
    /// Smallest and largest size, in the unit of PKCS #11: bits of RSA and EC, bytes of secrets and of ML-DSA's public keys.
    pub(crate) fn sizes(self) -> (CK_ULONG, CK_ULONG) {
        match self {
            Keys::Aes => (16, 32),
            Keys::Des3 => (DES3_LEN.into(), DES3_LEN.into()),
            Keys::Ec => (224, 521),
            Keys::EcAny => (224, 521),
            Keys::Ed25519 => (255, 255),
            Keys::GenericSecret | Keys::Secret => (1, GENERIC_SECRET_LEN_MAX.into()),
            Keys::MlDsa => (ml_dsa_len(MlDsaAlgorithm::MlDsa44), ml_dsa_len(MlDsaAlgorithm::MlDsa87)),
            Keys::None => (0, 0),
            Keys::Rsa => (RSA_BITS_MIN.into(), RSA_BITS_MAX.into()),
        }
    }

    /// What `CK_MECHANISM_INFO` says of the curves.
    pub(crate) fn curve_flags(self) -> CK_FLAGS {
        match self {
            Keys::Ec | Keys::EcAny | Keys::Ed25519 => CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS,
            Keys::Aes | Keys::Des3 | Keys::GenericSecret | Keys::MlDsa | Keys::None | Keys::Rsa | Keys::Secret => 0,
        }
    }

    /// Refuses a key that the HSM would refuse too: by its class and type, by the attribute for this use, by its size.
    pub(crate) fn check(self, purpose: Use, key: &Attributes) -> Result<(), Failure> {
        if !self.is_of(key) || key.class != class_of(purpose, key.key_type) {
            return Err(Failure::call(CKR_KEY_TYPE_INCONSISTENT, "the key's class or type does not fit the mechanism"));
        }
        if !key.flags.has(purpose.flag()) {
            return Err(Failure::call(CKR_KEY_FUNCTION_NOT_PERMITTED, "the key's attribute for this use is false"));
        }
        let (min, max) = self.sizes();
        if size(key).is_some_and(|size| size < min || size > max) {
            return Err(Failure::call(CKR_KEY_SIZE_RANGE, "the key's size is outside what the mechanism takes"));
        }
        Ok(())
    }

    fn is_of(self, key: &Attributes) -> bool {
        let curve = match &key.public {
            Some(PublicPart::Ec { curve, .. }) => Some(*curve),
            Some(PublicPart::Rsa { .. } | PublicPart::MlDsa { .. }) | None => None,
        };
        match self {
            Keys::Aes => key.key_type == KeyType::Aes,
            Keys::Des3 => key.key_type == KeyType::Des3,
            Keys::Ec => curve.is_some_and(Curve::is_weierstrass),
            Keys::EcAny => curve.is_some(),
            Keys::Ed25519 => curve == Some(Curve::Ed25519),
            Keys::GenericSecret => key.key_type == KeyType::GenericSecret,
            Keys::MlDsa => key.key_type == KeyType::MlDsa,
            Keys::None => false,
            Keys::Rsa => key.key_type == KeyType::Rsa,
            Keys::Secret => key.class == KeyClass::SecretKey,
        }
    }
}

fn ml_dsa_len(algorithm: MlDsaAlgorithm) -> CK_ULONG {
    algorithm.public_len() as CK_ULONG
}

/// The class of the key of this type that a use takes.
fn class_of(purpose: Use, key_type: KeyType) -> KeyClass {
    match key_type {
        KeyType::Aes | KeyType::Des3 | KeyType::GenericSecret => KeyClass::SecretKey,
        KeyType::Ec | KeyType::MlDsa | KeyType::Rsa => purpose.half(),
    }
}

/// Size in the unit of [`Keys::sizes`]; none where all keys of the type are fit.
fn size(key: &Attributes) -> Option<CK_ULONG> {
    match (&key.public, key.key_type) {
        (Some(PublicPart::Rsa { modulus, .. }), _) => {
            let first = modulus.first().map_or(0, |byte| byte.leading_zeros());
            Some((modulus.len() as CK_ULONG * 8).saturating_sub(first.into()))
        }
        (None, KeyType::Aes | KeyType::Des3 | KeyType::GenericSecret) => Some(key.length_bytes.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use cryptoki_sys::CK_RV;
    use strongroom_types::{Flags, KeyTemplates};

    use super::*;

    fn key(class: KeyClass, key_type: KeyType, len: u32, public: Option<PublicPart>) -> Attributes {
        Attributes {
            class,
            key_type,
            label: String::new(),
            id: Vec::new(),
            check_value: None,
            flags: Flags::NONE,
            length_bytes: len,
            public,
            templates: KeyTemplates::NONE,
        }
    }

    fn rv(outcome: Result<(), Failure>) -> Option<CK_RV> {
        outcome.err().map(|failure| failure.rv())
    }

    #[test]
    fn each_use_takes_its_half_of_a_pair_and_its_attribute() {
        let rsa = || PublicPart::Rsa { modulus: vec![0x91; 256], public_exponent: vec![1, 0, 1] };
        let private = [(Use::Sign, Flag::Sign), (Use::Decrypt, Flag::Decrypt), (Use::Unwrap, Flag::Unwrap)];
        let public = [(Use::Verify, Flag::Verify), (Use::Encrypt, Flag::Encrypt), (Use::Wrap, Flag::Wrap)];
        let check = |class, uses: &[(Use, Flag)], others: &[(Use, Flag)]| {
            for (purpose, flag) in uses {
                let mut key = key(class, KeyType::Rsa, 256, Some(rsa()));
                assert_eq!(rv(Keys::Rsa.check(*purpose, &key)), Some(CKR_KEY_FUNCTION_NOT_PERMITTED), "{purpose:?}");
                key.flags = Flags::NONE.with(*flag, true);
                assert_eq!(rv(Keys::Rsa.check(*purpose, &key)), None, "{purpose:?}");
                assert_eq!(rv(Keys::Ec.check(*purpose, &key)), Some(CKR_KEY_TYPE_INCONSISTENT), "{purpose:?}");
                for (other, flag) in others {
                    key.flags = key.flags.with(*flag, true);
                    assert_eq!(rv(Keys::Rsa.check(*other, &key)), Some(CKR_KEY_TYPE_INCONSISTENT), "{other:?}");
                }
            }
        };
        check(KeyClass::PrivateKey, &private, &public);
        check(KeyClass::PublicKey, &public, &private);
    }

    #[test]
    fn curves_tell_ecdsa_from_eddsa() {
        for curve in Curve::ALL.iter().copied() {
            let part = PublicPart::Ec { curve, point: vec![4; curve.point_len()] };
            let mut key = key(KeyClass::PrivateKey, KeyType::Ec, 32, Some(part));
            key.flags = Flags::NONE.with(Flag::Sign, true);
            assert_eq!(Keys::Ec.check(Use::Sign, &key).is_ok(), curve.is_weierstrass(), "{curve}");
            assert_eq!(Keys::Ed25519.check(Use::Sign, &key).is_ok(), !curve.is_weierstrass(), "{curve}");
        }
    }

    #[test]
    fn sizes_outside_the_range_are_refused() {
        let check = |len: usize, first: u8, fits: bool| {
            let mut modulus = vec![0x91; len];
            modulus[0] = first;
            let part = PublicPart::Rsa { modulus, public_exponent: vec![3] };
            let mut key = key(KeyClass::PublicKey, KeyType::Rsa, 256, Some(part));
            key.flags = Flags::NONE.with(Flag::Verify, true);
            let expected = if fits { None } else { Some(CKR_KEY_SIZE_RANGE) };
            assert_eq!(rv(Keys::Rsa.check(Use::Verify, &key)), expected, "{len} {first}");
        };
        check(255, 0xff, false);
        check(256, 0x7f, false);
        check(256, 0x80, true);
        check(512, 0xff, true);
        check(513, 0x01, false);
        let mut secret = key(KeyClass::SecretKey, KeyType::GenericSecret, 800, None);
        secret.flags = Flags::NONE.with(Flag::Sign, true);
        assert_eq!(rv(Keys::Secret.check(Use::Sign, &secret)), None);
        assert_eq!(rv(Keys::Aes.check(Use::Sign, &secret)), Some(CKR_KEY_TYPE_INCONSISTENT));
    }
}
