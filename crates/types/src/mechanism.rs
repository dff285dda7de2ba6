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

/// Encrypting under an RSA public key, and decrypting with the private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RsaCipher {
    /// RSAES-PKCS1-v1_5 (RFC 8017 §7.2).
    Pkcs,
    /// RSAES-OAEP (RFC 8017 §7.1), MGF1 with the same hash, empty label.
    Oaep {
        /// Hash of the label and of MGF1.
        hash: HashFunction,
    },
    /// The bare operation on a whole block (`CKM_RSA_X_509`).
    X509,
}

impl RsaCipher {
    /// How many bytes the padding leaves of a modulus of `modulus_len` bytes (RFC 8017 §7.1.1, §7.2.1).
    pub fn room(self, modulus_len: usize) -> usize {
        let overhead = match self {
            RsaCipher::Oaep { hash } => 2 * hash.digest_len() + 2,
            RsaCipher::Pkcs => 11,
            RsaCipher::X509 => 0,
        };
        modulus_len.saturating_sub(overhead)
    }
}

/// Bytes of a block of AES (FIPS 197), of an initialisation vector of CBC, of a counter of CTR.
pub const AES_BLOCK_LEN: usize = 16;
/// Bytes of a block of 3DES (SP 800-67).
pub const DES_BLOCK_LEN: usize = 8;

/// How data are encrypted and decrypted, with all parameters. Padding of CBC is the caller's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CipherMechanism {
    /// CBC (SP 800-38A §6.2) over whole blocks of AES.
    AesCbc {
        /// Initialisation vector.
        iv: [u8; AES_BLOCK_LEN],
    },
    /// CTR (SP 800-38A §6.5). The whole block counts, 128 bits; who counts fewer begins anew where those overflow.
    AesCtr {
        /// The first counter block.
        counter: [u8; AES_BLOCK_LEN],
    },
    /// ECB (SP 800-38A §6.1) over whole blocks of AES.
    AesEcb,
    /// GCM (SP 800-38D): ciphertext and tag. The HSM draws the initialisation vector.
    AesGcm {
        /// Length of the tag.
        tag: GcmTag,
        /// Additional authenticated data.
        aad: Vec<u8>,
        /// For decrypting what the HSM drew; none for encrypting.
        iv: Option<[u8; GCM_IV_LEN]>,
    },
    /// CBC over whole blocks of 3DES.
    Des3Cbc {
        /// Initialisation vector.
        iv: [u8; DES_BLOCK_LEN],
    },
    /// ECB over whole blocks of 3DES.
    Des3Ecb,
    /// RSA: encrypting takes the public key, decrypting the private one.
    Rsa(RsaCipher),
}

/// How a message authentication code is made under a secret key. The message comes whole; no code is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MacMechanism {
    /// CMAC with AES (SP 800-38B): 16 bytes.
    AesCmac,
    /// HMAC (FIPS 198-1): as long as the digest.
    Hmac(HashFunction),
}

impl MacMechanism {
    /// Length of a code in bytes.
    pub fn mac_len(self) -> usize {
        match self {
            MacMechanism::AesCmac => AES_BLOCK_LEN,
            MacMechanism::Hmac(hash) => hash.digest_len(),
        }
    }
}

/// Bytes of a GCM initialisation vector made or taken here (SP 800-38D §8.2).
pub const GCM_IV_LEN: usize = 12;

/// Length of a GCM tag. Of the lengths of SP 800-38D §5.2.1.2 all but the 32 bits, which anybody can guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GcmTag(u8);

impl GcmTag {
    /// All of them, in bits.
    pub const BITS: [u32; 6] = [64, 96, 104, 112, 120, 128];

    /// A tag of so many bits, if there is one.
    pub fn of_bits(bits: u32) -> Option<GcmTag> {
        let known = GcmTag::BITS.contains(&bits);
        u8::try_from(bits / 8).ok().filter(|_| known).map(GcmTag)
    }

    /// Length in bits.
    pub fn bits(self) -> u32 {
        u32::from(self.0) * 8
    }

    /// Length in bytes.
    pub fn bytes(self) -> usize {
        usize::from(self.0)
    }
}

/// How a key is wrapped under another one, and unwrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WrapMechanism {
    /// AES-GCM (SP 800-38D): ciphertext and tag, the initialisation vector apart.
    AesGcm {
        /// Length of the tag.
        tag: GcmTag,
    },
    /// KW (RFC 3394, SP 800-38F §6.2) of what is a multiple of 8 bytes.
    AesNoPad,
    /// KW of what was padded to blocks of 8 bytes as in PKCS #5, always by one byte at least.
    AesPkcs5Pad,
    /// KWP (RFC 5649, SP 800-38F §6.3).
    AesZeroPad,
    /// AES-GCM: initialisation vector, ciphertext and tag in one.
    CloudhsmAesGcm {
        /// Length of the tag.
        tag: GcmTag,
    },
    /// RSAES-OAEP of a temporary AES-256 key, then the key under that one by KWP (PKCS #11 v2.40 `CKM_RSA_AES_KEY_WRAP`).
    RsaAes {
        /// Hash of the label, which is empty, and of MGF1.
        hash: HashFunction,
    },
    /// RSAES-OAEP (RFC 8017 §7.1), MGF1 with the same hash, empty label.
    RsaOaep {
        /// Hash of the label and of MGF1.
        hash: HashFunction,
    },
    /// RSAES-PKCS1-v1_5 (RFC 8017 §7.2).
    RsaPkcs,
}

impl WrapMechanism {
    /// The command line tool's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            WrapMechanism::AesGcm { .. } => "aes-gcm",
            WrapMechanism::AesNoPad => "aes-no-pad",
            WrapMechanism::AesPkcs5Pad => "aes-pkcs5-pad",
            WrapMechanism::AesZeroPad => "aes-zero-pad",
            WrapMechanism::CloudhsmAesGcm { .. } => "cloudhsm-aes-gcm",
            WrapMechanism::RsaAes { .. } => "rsa-aes",
            WrapMechanism::RsaOaep { .. } => "rsa-oaep",
            WrapMechanism::RsaPkcs => "rsa-pkcs",
        }
    }

    /// Whether each use needs an initialisation vector of its own, and so uses of a key are counted.
    pub fn is_gcm(self) -> bool {
        matches!(self, WrapMechanism::AesGcm { .. } | WrapMechanism::CloudhsmAesGcm { .. })
    }

    /// How the RSA part of a wrapped key is opened; none of the AES mechanisms.
    pub fn rsa_decryption(self) -> Option<RsaCipher> {
        match self {
            WrapMechanism::RsaAes { hash } | WrapMechanism::RsaOaep { hash } => Some(RsaCipher::Oaep { hash }),
            WrapMechanism::RsaPkcs => Some(RsaCipher::Pkcs),
            WrapMechanism::AesGcm { .. }
            | WrapMechanism::AesNoPad
            | WrapMechanism::AesPkcs5Pad
            | WrapMechanism::AesZeroPad
            | WrapMechanism::CloudhsmAesGcm { .. } => None,
        }
    }

    /// How many bytes the padding leaves of a modulus of `modulus_len` bytes; none of the AES mechanisms.
    pub fn rsa_room(self, modulus_len: usize) -> Option<usize> {
        Some(self.rsa_decryption()?.room(modulus_len))
    }
}

impl fmt::Display for WrapMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
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

    #[test]
    fn tags_have_the_lengths_of_the_standard() {
        let lengths: Vec<u32> = (0..=512).filter(|bits| GcmTag::of_bits(*bits).is_some()).collect();
        assert_eq!(lengths, GcmTag::BITS);
        for bits in GcmTag::BITS {
            let tag = GcmTag::of_bits(bits).unwrap();
            assert_eq!((tag.bits(), tag.bytes() * 8), (bits, bits as usize));
        }
        assert_eq!(GcmTag::of_bits(u32::MAX), None);
    }

    #[test]
    fn paddings_leave_what_their_standards_say() {
        let oaep = WrapMechanism::RsaOaep { hash: HashFunction::Sha512 };
        assert_eq!((oaep.rsa_room(256), oaep.rsa_room(130), oaep.rsa_room(129)), (Some(126), Some(0), Some(0)));
        assert_eq!(WrapMechanism::RsaPkcs.rsa_room(256), Some(245));
        assert_eq!(WrapMechanism::AesZeroPad.rsa_room(256), None);
    }
}
