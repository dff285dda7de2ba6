use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use strongroom_types::{FilterTerm, HashFunction};

use super::Approval;
use crate::files::Base64;

/// `crypto`.
#[derive(Debug, Subcommand)]
pub enum Crypto {
    /// Sign data with a private key
    #[command(subcommand)]
    Sign(Sign),
    /// Verify a signature with a public key
    #[command(subcommand)]
    Verify(Verify),
}

/// `crypto sign`.
#[derive(Debug, Subcommand)]
pub enum Sign {
    /// ECDSA; the signature is r and s, one after the other
    #[command(after_long_help = "\
The signature comes in base64. The key needs sign=true.

Examples:
  cloudhsm-cli crypto sign ecdsa \\
    --key-filter attr.label=site attr.class=private-key \\
    --hash-function sha256 --data-path message.bin
  cloudhsm-cli crypto sign ecdsa --key-filter key-reference=0x2e06bf \\
    --hash-function sha384 --data aGVsbG8=")]
    Ecdsa {
        /// Key, hash and data
        #[command(flatten)]
        what: Key,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
    /// Ed25519 of a message of up to 16,000 bytes (RFC 8032)
    #[command(after_long_help = "\
The message goes to the HSM as it is: Ed25519 reads it twice, so no digest stands for it. Longer ones are signed with \
ed25519ph. The signature comes in base64. The key needs sign=true and curve ed25519, which clusters in NON_FIPS mode have.

Example:
  cloudhsm-cli crypto sign ed25519 \\
    --key-filter attr.label=release attr.class=private-key --data-path notes.txt")]
    Ed25519 {
        /// Key and data
        #[command(flatten)]
        what: Input,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
    /// Ed25519ph: Ed25519 of a message's SHA-512 digest (RFC 8032), with an empty context
    #[command(after_long_help = "\
With --data-type raw the message is hashed here, so it may be of any length. The signature comes in base64 and is \
none of ed25519. The key needs sign=true.

Examples:
  cloudhsm-cli crypto sign ed25519ph \\
    --key-filter attr.label=release attr.class=private-key \\
    --data-type raw --hash-function sha512 --data-path image.iso
  cloudhsm-cli crypto sign ed25519ph --key-filter key-reference=0x2e06bf \\
    --data-type digest --hash-function sha512 --data-path image.sha512")]
    Ed25519ph {
        /// Key and data
        #[command(flatten)]
        what: Input,
        /// What the data is
        #[command(flatten)]
        hashed: Sha512Hashed,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
    /// ML-DSA with an empty context (FIPS 204)
    #[command(after_long_help = "\
With --data-type raw the message and the public key are hashed here, so the message may be of any length. With \
external-mu the data is the 64 bytes that come of it: \
SHAKE256(SHAKE256(public key, 64) || 00 || 00 || message, 64). The signature comes in base64. The key needs sign=true.

Example:
  cloudhsm-cli crypto sign ml-dsa \\
    --key-filter attr.label=site attr.class=private-key \\
    --data-type raw --hash-function shake256 --data-path message.bin")]
    MlDsa {
        /// Key and data
        #[command(flatten)]
        what: Input,
        /// What the data is
        #[command(flatten)]
        hashed: Shake256Hashed,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
    /// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2)
    #[command(after_long_help = "\
With --data-type digest the data is the DER DigestInfo (RFC 8017 §9.2), not the bare digest. \
The signature comes in base64. The key needs sign=true.

Example:
  cloudhsm-cli crypto sign rsa-pkcs \\
    --key-filter attr.label=site attr.class=private-key \\
    --hash-function sha256 --data-path message.bin")]
    RsaPkcs {
        /// Key, hash and data
        #[command(flatten)]
        what: Key,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
    /// RSASSA-PSS (RFC 8017 §8.1)
    #[command(after_long_help = "\
The signature comes in base64. The key needs sign=true.

Example:
  cloudhsm-cli crypto sign rsa-pkcs-pss \\
    --key-filter attr.label=site attr.class=private-key \\
    --hash-function sha256 --mgf mgf1-sha256 --salt-length 32 \\
    --data-path message.bin")]
    RsaPkcsPss {
        /// Key, hash and data
        #[command(flatten)]
        what: Key,
        /// Parameters
        #[command(flatten)]
        pss: Pss,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
}

/// `crypto verify`.
#[derive(Debug, Subcommand)]
pub enum Verify {
    /// ECDSA; the signature is r and s, one after the other
    #[command(after_long_help = "\
A signature that does not fit is answered with error_code 1. The key needs verify=true.

Example:
  cloudhsm-cli crypto verify ecdsa \\
    --key-filter attr.label=site attr.class=public-key \\
    --hash-function sha256 --data-path message.bin --signature-path message.sig")]
    Ecdsa {
        /// Key, hash and data
        #[command(flatten)]
        what: Key,
        /// The signature
        #[command(flatten)]
        signature: Signature,
    },
    /// Ed25519 of a message of up to 16,000 bytes (RFC 8032)
    #[command(after_long_help = "\
A signature that does not fit is answered with error_code 1. The key needs verify=true.

Example:
  cloudhsm-cli crypto verify ed25519 \\
    --key-filter attr.label=release attr.class=public-key \\
    --data-path notes.txt --signature-path notes.sig")]
    Ed25519 {
        /// Key and data
        #[command(flatten)]
        what: Input,
        /// The signature
        #[command(flatten)]
        signature: Signature,
    },
    /// Ed25519ph: Ed25519 of a message's SHA-512 digest (RFC 8032), with an empty context
    #[command(after_long_help = "\
A signature that does not fit is answered with error_code 1. The key needs verify=true.

Example:
  cloudhsm-cli crypto verify ed25519ph \\
    --key-filter attr.label=release attr.class=public-key \\
    --data-type raw --hash-function sha512 \\
    --data-path image.iso --signature-path image.sig")]
    Ed25519ph {
        /// Key and data
        #[command(flatten)]
        what: Input,
        /// What the data is
        #[command(flatten)]
        hashed: Sha512Hashed,
        /// The signature
        #[command(flatten)]
        signature: Signature,
    },
    /// ML-DSA with an empty context (FIPS 204)
    #[command(after_long_help = "\
A signature that does not fit is answered with error_code 1. The key needs verify=true.

Example:
  cloudhsm-cli crypto verify ml-dsa \\
    --key-filter attr.label=site attr.class=public-key \\
    --data-type raw --hash-function shake256 \\
    --data-path message.bin --signature-path message.sig")]
    MlDsa {
        /// Key and data
        #[command(flatten)]
        what: Input,
        /// What the data is
        #[command(flatten)]
        hashed: Shake256Hashed,
        /// The signature
        #[command(flatten)]
        signature: Signature,
    },
    /// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2)
    #[command(after_long_help = "\
With --data-type digest the data is the DER DigestInfo (RFC 8017 §9.2), not the bare digest. \
A signature that does not fit is answered with error_code 1. The key needs verify=true.

Example:
  cloudhsm-cli crypto verify rsa-pkcs \\
    --key-filter attr.label=site attr.class=public-key \\
    --hash-function sha256 --data-path message.bin --signature-path message.sig")]
    RsaPkcs {
        /// Key, hash and data
        #[command(flatten)]
        what: Key,
        /// The signature
        #[command(flatten)]
        signature: Signature,
    },
    /// RSASSA-PSS (RFC 8017 §8.1)
    #[command(after_long_help = "\
A signature that does not fit is answered with error_code 1. The key needs verify=true.

Example:
  cloudhsm-cli crypto verify rsa-pkcs-pss \\
    --key-filter attr.label=site attr.class=public-key \\
    --hash-function sha256 --mgf mgf1-sha256 --salt-length 32 \\
    --data-path message.bin --signature-path message.sig")]
    RsaPkcsPss {
        /// Key, hash and data
        #[command(flatten)]
        what: Key,
        /// Parameters
        #[command(flatten)]
        pss: Pss,
        /// The signature
        #[command(flatten)]
        signature: Signature,
    },
}

/// Parameters of RSASSA-PSS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct Pss {
    /// Mask generation function; its hash must be the hash function
    #[arg(long, value_enum)]
    pub mgf: Mgf,
    /// Length of the salt in bytes, usually that of the digest
    #[arg(long, value_name = "BYTES")]
    pub salt_length: u16,
}

/// Which key, which data.
#[derive(Debug, Args)]
pub struct Input {
    /// Terms that together select one key: key-reference=0x… or attr.NAME=VALUE
    #[arg(long, num_args = 1.., required = true, value_name = "FILTER")]
    pub key_filter: Vec<FilterTerm>,
    /// The data
    #[command(flatten)]
    pub data: Data,
}

/// What the data of Ed25519ph is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct Sha512Hashed {
    /// Whether the data is the message itself, or its SHA-512 digest
    #[arg(long, value_enum, value_name = "TYPE")]
    pub data_type: DataType,
    /// The hash function
    #[arg(long, value_enum, value_name = "HASH")]
    pub hash_function: Sha512,
}

/// What the data of ML-DSA is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct Shake256Hashed {
    /// Whether the data is the message itself, or what was hashed of it and the public key
    #[arg(long, value_enum, value_name = "TYPE")]
    pub data_type: MuType,
    /// The hash function
    #[arg(long, value_enum, value_name = "HASH")]
    pub hash_function: Shake256,
}

/// The hash function of Ed25519ph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sha512 {
    Sha512,
}

/// The hash function of ML-DSA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shake256 {
    Shake256,
}

/// What the data of ML-DSA is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MuType {
    /// The message; it is hashed here
    Raw,
    /// μ, 64 bytes
    ExternalMu,
}

/// Which key, which hash, which data.
#[derive(Debug, Args)]
pub struct Key {
    /// Terms that together select one key: key-reference=0x… or attr.NAME=VALUE
    #[arg(long, num_args = 1.., required = true, value_name = "FILTER")]
    pub key_filter: Vec<FilterTerm>,
    /// The hash function
    #[arg(long, value_enum, value_name = "HASH")]
    pub hash_function: Hash,
    /// The data
    #[command(flatten)]
    pub data: Data,
    /// Whether the data is the message itself, or its digest
    #[arg(long, value_enum, value_name = "TYPE", default_value_t = DataType::Raw)]
    pub data_type: DataType,
}

/// The data, given on the command line or in a file.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Data {
    /// The data in base64
    #[arg(long, value_name = "BASE64")]
    pub data: Option<Base64>,
    /// A file with the data as it is
    #[arg(long, value_name = "FILE")]
    pub data_path: Option<PathBuf>,
}

/// A signature, given on the command line or in a file.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Signature {
    /// The signature in base64
    #[arg(long, value_name = "BASE64")]
    pub signature: Option<Base64>,
    /// A file with the signature as it is
    #[arg(long, value_name = "FILE")]
    pub signature_path: Option<PathBuf>,
}

/// What data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DataType {
    /// The message; it is hashed here
    Raw,
    /// What the hash function made of the message (for rsa-pkcs, its DER DigestInfo)
    Digest,
}

/// Hash functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl From<Hash> for HashFunction {
    fn from(hash: Hash) -> HashFunction {
        match hash {
            Hash::Sha1 => HashFunction::Sha1,
            Hash::Sha224 => HashFunction::Sha224,
            Hash::Sha256 => HashFunction::Sha256,
            Hash::Sha384 => HashFunction::Sha384,
            Hash::Sha512 => HashFunction::Sha512,
        }
    }
}

/// Mask generation functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mgf {
    #[value(name = "mgf1-sha1")]
    Sha1,
    #[value(name = "mgf1-sha224")]
    Sha224,
    #[value(name = "mgf1-sha256")]
    Sha256,
    #[value(name = "mgf1-sha384")]
    Sha384,
    #[value(name = "mgf1-sha512")]
    Sha512,
}

impl From<Mgf> for HashFunction {
    fn from(mgf: Mgf) -> HashFunction {
        match mgf {
            Mgf::Sha1 => HashFunction::Sha1,
            Mgf::Sha224 => HashFunction::Sha224,
            Mgf::Sha256 => HashFunction::Sha256,
            Mgf::Sha384 => HashFunction::Sha384,
            Mgf::Sha512 => HashFunction::Sha512,
        }
    }
}
