//! Kinds of keys: class, type, and what tells two keys of one type apart, with their public parts. Spellings are the
//! command line tool's.

use std::fmt;
use std::str::FromStr;

use crate::TemplateError;

/// Object classes of keys (PKCS #11 v2.40 §4.7 to §4.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyClass {
    /// `CKO_PUBLIC_KEY`.
    PublicKey,
    /// `CKO_PRIVATE_KEY`.
    PrivateKey,
    /// `CKO_SECRET_KEY`.
    SecretKey,
}

/// Key types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    /// `CKK_AES`.
    Aes,
    /// `CKK_DES3`.
    Des3,
    /// `CKK_EC`, on one of the curves for ECDSA or for EdDSA.
    Ec,
    /// `CKK_GENERIC_SECRET`.
    GenericSecret,
    /// ML-DSA (FIPS 204).
    MlDsa,
    /// `CKK_RSA`.
    Rsa,
}

/// Parameter sets of ML-DSA (FIPS 204 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MlDsaAlgorithm {
    /// Security category 2.
    MlDsa44,
    /// Security category 3.
    MlDsa65,
    /// Security category 5.
    MlDsa87,
}

/// Named curves (SEC 2, FIPS 186-5, SP 800-186).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Curve {
    /// Edwards25519 with EdDSA (RFC 8032): no curve of ECDSA.
    Ed25519,
    /// NIST P-224.
    P224,
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
    /// SEC 2 secp256k1.
    Secp256k1,
}

macro_rules! spelled {
    ($name:ident, $error:literal, $($variant:ident => $text:literal $(| $alias:literal)*),* $(,)?) => {
        impl $name {
            /// The command line tool's spelling.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// Every one of them.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = TemplateError;

            fn from_str(text: &str) -> Result<$name, TemplateError> {
                match text {
                    $($text $(| $alias)* => Ok($name::$variant),)*
                    _ => Err(TemplateError { expected: $error }),
                }
            }
        }
    };
}

spelled!(KeyClass, "secret-key, public-key or private-key",
    PublicKey => "public-key", PrivateKey => "private-key", SecretKey => "secret-key");
spelled!(KeyType, "aes, des3, rsa, ec, ml-dsa or generic-secret",
    Aes => "aes", Des3 => "des3", Ec => "ec", GenericSecret => "generic-secret", MlDsa => "ml-dsa", Rsa => "rsa");
spelled!(MlDsaAlgorithm, "ML-DSA-44, ML-DSA-65 or ML-DSA-87",
    MlDsa44 => "ML-DSA-44", MlDsa65 => "ML-DSA-65", MlDsa87 => "ML-DSA-87");
spelled!(Curve, "prime256v1, secp256r1, secp224r1, secp384r1, secp256k1, secp521r1 or ed25519",
    Ed25519 => "ed25519", P224 => "secp224r1", P256 => "prime256v1" | "secp256r1", P384 => "secp384r1", P521 => "secp521r1",
    Secp256k1 => "secp256k1");

impl MlDsaAlgorithm {
    /// Length in bytes of a public key (FIPS 204 §4, table 2).
    pub fn public_len(self) -> usize {
        match self {
            MlDsaAlgorithm::MlDsa44 => 1312,
            MlDsaAlgorithm::MlDsa65 => 1952,
            MlDsaAlgorithm::MlDsa87 => 2592,
        }
    }

    /// Length in bytes of a private key in its expanded form (FIPS 204 §4, table 2).
    pub fn private_len(self) -> u32 {
        match self {
            MlDsaAlgorithm::MlDsa44 => 2560,
            MlDsaAlgorithm::MlDsa65 => 4032,
            MlDsaAlgorithm::MlDsa87 => 4896,
        }
    }

    /// Length in bytes of a signature (FIPS 204 §4, table 2).
    pub fn signature_len(self) -> usize {
        match self {
            MlDsaAlgorithm::MlDsa44 => 2420,
            MlDsaAlgorithm::MlDsa65 => 3309,
            MlDsaAlgorithm::MlDsa87 => 4627,
        }
    }

    /// The object identifier's content bytes (RFC 9881 §2).
    pub fn oid(self) -> &'static [u8] {
        match self {
            MlDsaAlgorithm::MlDsa44 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x11],
            MlDsaAlgorithm::MlDsa65 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12],
            MlDsaAlgorithm::MlDsa87 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x13],
        }
    }
}

impl Curve {
    /// The curves of ECDSA, in short Weierstrass form.
    pub const WEIERSTRASS: [Curve; 5] = [Curve::P224, Curve::P256, Curve::P384, Curve::P521, Curve::Secp256k1];

    /// Whether the curve is one of ECDSA.
    pub fn is_weierstrass(self) -> bool {
        self != Curve::Ed25519
    }

    /// Length in bytes of a field element, which is also that of the order for these curves.
    pub fn field_len(self) -> usize {
        match self {
            Curve::P224 => 28,
            Curve::Ed25519 | Curve::P256 | Curve::Secp256k1 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        }
    }

    /// Length in bytes of a public point: `04 || x || y` (SEC 1 §2.3.3), or the encoding of RFC 8032 §5.1.2.
    pub fn point_len(self) -> usize {
        if self.is_weierstrass() { 1 + 2 * self.field_len() } else { self.field_len() }
    }

    /// Whether bytes have the form of a public point. Whether they are one on the curve is for `crypto` to say.
    pub fn has_form_of_point(self, bytes: &[u8]) -> bool {
        bytes.len() == self.point_len() && (!self.is_weierstrass() || bytes.first() == Some(&4))
    }

    /// The object identifier's content bytes (without tag and length), RFC 5480 §2.1.1.1, SEC 2 §A.2 and RFC 8410 §3.
    pub fn oid(self) -> &'static [u8] {
        match self {
            Curve::Ed25519 => &[0x2b, 0x65, 0x70],
            Curve::P224 => &[0x2b, 0x81, 0x04, 0x00, 0x21],
            Curve::P256 => &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
            Curve::P384 => &[0x2b, 0x81, 0x04, 0x00, 0x22],
            Curve::P521 => &[0x2b, 0x81, 0x04, 0x00, 0x23],
            Curve::Secp256k1 => &[0x2b, 0x81, 0x04, 0x00, 0x0a],
        }
    }
}

/// The public part of an asymmetric key; both halves carry it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PublicPart {
    /// RSA: modulus and public exponent, big-endian without leading zeros.
    Rsa {
        /// n.
        modulus: Vec<u8>,
        /// e.
        public_exponent: Vec<u8>,
    },
    /// EC: curve and point, in the form that [`Curve::point_len`] tells.
    Ec {
        /// The curve.
        curve: Curve,
        /// The point.
        point: Vec<u8>,
    },
    /// ML-DSA.
    MlDsa {
        /// The parameter set.
        algorithm: MlDsaAlgorithm,
        /// The public key as FIPS 204 encodes it.
        key: Vec<u8>,
    },
}

impl PublicPart {
    /// The type of the keys that have such a public part.
    pub fn key_type(&self) -> KeyType {
        match self {
            PublicPart::Rsa { .. } => KeyType::Rsa,
            PublicPart::Ec { .. } => KeyType::Ec,
            PublicPart::MlDsa { .. } => KeyType::MlDsa,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_have_one_form_for_each_curve() {
        for curve in Curve::ALL.iter().copied() {
            let point = |first, len: usize| [&[first][..], &vec![7; len - 1]].concat();
            assert_eq!(curve.is_weierstrass(), Curve::WEIERSTRASS.contains(&curve));
            assert!(curve.has_form_of_point(&point(4, curve.point_len())), "{curve}");
            assert!(!curve.has_form_of_point(&point(4, curve.point_len() - 1)), "{curve}");
            assert!(!curve.has_form_of_point(&point(4, curve.point_len() + 1)), "{curve}");
            assert_eq!(curve.has_form_of_point(&point(5, curve.point_len())), !curve.is_weierstrass(), "{curve}");
        }
    }
}
