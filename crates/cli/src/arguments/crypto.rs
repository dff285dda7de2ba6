use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use strongroom_types::{FilterTerm, HashFunction};

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
    Ecdsa {
        /// Key, hash and data
        #[command(flatten)]
        what: Key,
    },
    /// RSASSA-PKCS1-v1_5; a digest is given as DER DigestInfo
    RsaPkcs {
        /// Key, hash and data
        #[command(flatten)]
        what: Key,
    },
    /// RSASSA-PSS
    RsaPkcsPss {
        /// Key, hash and data
        #[command(flatten)]
        what: Key,
        /// Mask generation function; its hash must be the hash function
        #[arg(long, value_enum)]
        mgf: Mgf,
        /// Length of the salt in bytes
        #[arg(long)]
        salt_length: u16,
    },
}

/// `crypto verify`.
#[derive(Debug, Subcommand)]
pub enum Verify {
    /// ECDSA; the signature is r and s, one after the other
    Ecdsa {
        /// Key, hash and data
        #[command(flatten)]
        what: Key,
        /// The signature
        #[command(flatten)]
        signature: Signature,
    },
    /// RSASSA-PKCS1-v1_5; a digest is given as DER DigestInfo
    RsaPkcs {
        /// Key, hash and data
        #[command(flatten)]
        what: Key,
        /// The signature
        #[command(flatten)]
        signature: Signature,
    },
    /// RSASSA-PSS
    RsaPkcsPss {
        /// Key, hash and data
        #[command(flatten)]
        what: Key,
        /// Mask generation function; its hash must be the hash function
        #[arg(long, value_enum)]
        mgf: Mgf,
        /// Length of the salt in bytes
        #[arg(long)]
        salt_length: u16,
        /// The signature
        #[command(flatten)]
        signature: Signature,
    },
}

/// Which key, which hash, which data.
#[derive(Debug, Args)]
pub struct Key {
    /// Conditions that must all hold and select one key: key-reference=0x… or attr.NAME=VALUE
    #[arg(long, num_args = 1.., required = true, value_name = "FILTER")]
    pub key_filter: Vec<FilterTerm>,
    /// The hash function
    #[arg(long, value_enum)]
    pub hash_function: Hash,
    /// The data
    #[command(flatten)]
    pub data: Data,
    /// Whether the data is the message itself, or its digest
    #[arg(long, value_enum, default_value_t = DataType::Raw)]
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
    /// What the hash function made of the message
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
