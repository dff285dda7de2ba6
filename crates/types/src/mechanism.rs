use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A text or number that names no mechanism or hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a supported hash function: expected sha1, sha224, sha256, sha384 or sha512")]
pub struct MechanismError;

/// Hash functions (FIPS 180-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashFunction {
    /// SHA-1, 20 bytes.
    Sha1,
    /// SHA-224, 28 bytes.
    Sha224,
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
    /// SHA-512, 64 bytes.
    Sha512,
}

impl HashFunction {
    /// All of them.
    pub const ALL: [HashFunction; 5] =
        [HashFunction::Sha1, HashFunction::Sha224, HashFunction::Sha256, HashFunction::Sha384, HashFunction::Sha512];

    /// Length of a digest in bytes.
    pub fn digest_len(self) -> usize {
        match self {
            HashFunction::Sha1 => 20,
            HashFunction::Sha224 => 28,
            HashFunction::Sha256 => 32,
            HashFunction::Sha384 => 48,
            HashFunction::Sha512 => 64,
        }
    }

    /// The command line tool's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            HashFunction::Sha1 => "sha1",
            HashFunction::Sha224 => "sha224",
            HashFunction::Sha256 => "sha256",
            HashFunction::Sha384 => "sha384",
            HashFunction::Sha512 => "sha512",
        }
    }
}

impl fmt::Display for HashFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HashFunction {
    type Err = MechanismError;

    fn from_str(text: &str) -> Result<HashFunction, MechanismError> {
        HashFunction::ALL.into_iter().find(|hash| hash.as_str() == text).ok_or(MechanismError)
    }
}

/// How a signature is made from the bytes a client sends. Hashing happens in the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignMechanism {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2): data is the DigestInfo, or any bytes up to modulus length − 11
    /// (PKCS #11 `CKM_RSA_PKCS`). Signature: modulus length.
    RsaPkcs,
    /// RSASSA-PSS (RFC 8017 §8.1): data is the digest by `hash`; MGF1 with the same hash (`CKM_RSA_PKCS_PSS`).
    RsaPkcsPss {
        /// Hash of the message and of MGF1.
        hash: HashFunction,
        /// Salt length in bytes.
        salt_len: u16,
    },
    /// The private-key operation on a whole block of modulus length (`CKM_RSA_X_509`); padding was applied by
    /// the caller. OpenSSL's engine interface needs it for PSS.
    RsaX509,
    /// ECDSA (FIPS 186-5 §6.4) over a digest, which is cut to the order's length on the left. Signature: r and s,
    /// each of the order's length (`CKM_ECDSA`).
    Ecdsa,
    /// PureEdDSA on Ed25519 (RFC 8032 §5.1): data is the message itself. Signature: 64 bytes (`CKM_EDDSA`).
    Ed25519,
    /// HashEdDSA on Ed25519 (RFC 8032 §5.1) with an empty context: data is the message's SHA-512 digest.
    Ed25519Ph,
    /// ML-DSA (FIPS 204 §6.2): data is the 64 bytes of μ, which hold public key, context and message.
    MlDsa,
}

/// How a ciphertext is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecryptMechanism {
    /// RSAES-PKCS1-v1_5 (RFC 8017 §7.2).
    RsaPkcs,
    /// RSAES-OAEP (RFC 8017 §7.1), MGF1 with the same hash, empty label.
    RsaOaep {
        /// Hash of the label and of MGF1.
        hash: HashFunction,
    },
    /// The private-key operation on a whole block (`CKM_RSA_X_509`).
    RsaX509,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_names_read_back() {
        for hash in HashFunction::ALL {
            assert_eq!(hash.as_str().parse(), Ok(hash));
        }
        assert!("SHA256".parse::<HashFunction>().is_err());
        assert!("md5".parse::<HashFunction>().is_err());
    }
}
