use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use strongroom_types::{FilterTerm, GcmTag, KeyClass, KeyType, UserName};

use super::crypto::{Data, Hash, Mgf};
use super::keys::{Attribute, Filter, attribute};
use super::{Approval, KeyQuorumOptions};
use crate::files::Hex;

/// `key import`.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// Make a public key of one in a PEM file
    #[command(after_long_help = "\
The file holds `-----BEGIN PUBLIC KEY-----` (SubjectPublicKeyInfo), as openssl pkey -pubout writes it. \
An RSA key that is to wrap needs wrap=true. Private keys come in by key unwrap.

Examples:
  cloudhsm-cli key import pem --path target.pub.pem --label target \\
    --key-type-class rsa-public --attributes wrap=true
  cloudhsm-cli key import pem --path site.pub.pem --label site \\
    --key-type-class ec-public --attributes verify=true")]
    Pem {
        /// The PEM file
        #[arg(long, value_name = "FILE")]
        path: PathBuf,
        /// The key's label, at most 127 bytes
        #[arg(long)]
        label: String,
        /// What the file holds
        #[arg(long, value_enum, value_name = "CLASS")]
        key_type_class: PublicKind,
        /// Attributes of the key, such as verify=true wrap=true
        #[arg(long, num_args = 0.., value_parser = attribute, value_name = "NAME=VALUE")]
        attributes: Vec<Attribute>,
    },
}

/// Kinds of public keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PublicKind {
    /// An EC key, Ed25519 too
    EcPublic,
    /// An RSA key
    RsaPublic,
}

impl From<PublicKind> for KeyType {
    fn from(kind: PublicKind) -> KeyType {
        match kind {
            PublicKind::EcPublic => KeyType::Ec,
            PublicKind::RsaPublic => KeyType::Rsa,
        }
    }
}

/// `key wrap`.
#[derive(Debug, Subcommand)]
pub enum Wrap {
    /// AES-GCM (SP 800-38D); the HSM draws the iv, which unwrapping needs
    #[command(after_long_help = "\
The wrapped key is ciphertext and tag in base64. The wrapping key is an AES key with wrap=true, the payload a \
key of one's own with extractable=true.

Example:
  cloudhsm-cli key wrap aes-gcm --tag-length-bits 128 --aad 0x10 \\
    --payload-filter attr.label=vault \\
    --wrapping-filter attr.label=kek")]
    AesGcm {
        /// Keys and file
        #[command(flatten)]
        keys: WrapKeys,
        /// Parameters
        #[command(flatten)]
        gcm: Gcm,
    },
    /// AES key wrap (RFC 3394) of a key of 16, 24, 32 … bytes
    #[command(after_long_help = "\
The wrapping key is an AES key with wrap=true, the payload a key of one's own with extractable=true.

Example:
  cloudhsm-cli key wrap aes-no-pad --payload-filter attr.label=vault \\
    --wrapping-filter attr.label=kek")]
    AesNoPad {
        /// Keys and file
        #[command(flatten)]
        keys: WrapKeys,
    },
    /// AES key wrap (RFC 3394) after padding to blocks of 8 bytes as in PKCS #5
    #[command(after_long_help = "\
The wrapping key is an AES key with wrap=true, the payload a key of one's own with extractable=true. \
Other tools take aes-zero-pad, which is a standard.

Example:
  cloudhsm-cli key wrap aes-pkcs5-pad --payload-filter attr.label=site \\
    attr.class=private-key --wrapping-filter attr.label=kek")]
    AesPkcs5Pad {
        /// Keys and file
        #[command(flatten)]
        keys: WrapKeys,
    },
    /// AES key wrap with padding (RFC 5649)
    #[command(after_long_help = "\
The wrapping key is an AES key with wrap=true, the payload a key of one's own with extractable=true. \
A private key is wrapped as PKCS #8 DER.

Example:
  cloudhsm-cli key wrap aes-zero-pad --payload-filter attr.label=site \\
    attr.class=private-key --wrapping-filter attr.label=kek \\
    --path site.wrapped")]
    AesZeroPad {
        /// Keys and file
        #[command(flatten)]
        keys: WrapKeys,
    },
    /// AES-GCM with the iv in front of the wrapped key
    #[command(after_long_help = "\
The wrapped key is iv, ciphertext and tag. The wrapping key is an AES key with wrap=true, the payload a key of \
one's own with extractable=true.

Example:
  cloudhsm-cli key wrap cloudhsm-aes-gcm --tag-length-bits 128 \\
    --payload-filter attr.label=vault \\
    --wrapping-filter attr.label=kek")]
    CloudhsmAesGcm {
        /// Keys and file
        #[command(flatten)]
        keys: WrapKeys,
        /// Parameters
        #[command(flatten)]
        gcm: Gcm,
    },
    /// RSA-OAEP of a temporary AES-256 key, and the payload under that one (CKM_RSA_AES_KEY_WRAP)
    #[command(after_long_help = "\
Wraps keys of any length, RSA private keys too. The wrapping key is an RSA public key with wrap=true, the \
payload a key of one's own with extractable=true.

Example:
  cloudhsm-cli key wrap rsa-aes --hash-function sha256 --mgf mgf1-sha256 \\
    --payload-filter attr.label=site attr.class=private-key \\
    --wrapping-filter attr.label=target --path site.wrapped")]
    RsaAes {
        /// Keys and file
        #[command(flatten)]
        keys: WrapKeys,
        /// Parameters
        #[command(flatten)]
        oaep: Oaep,
    },
    /// RSA-OAEP (RFC 8017 §7.1) of a key that fits into the modulus
    #[command(after_long_help = "\
The wrapping key is an RSA public key with wrap=true, the payload a key of one's own with extractable=true.

Example:
  cloudhsm-cli key wrap rsa-oaep --hash-function sha256 --mgf mgf1-sha256 \\
    --payload-filter attr.label=vault \\
    --wrapping-filter attr.label=target")]
    RsaOaep {
        /// Keys and file
        #[command(flatten)]
        keys: WrapKeys,
        /// Parameters
        #[command(flatten)]
        oaep: Oaep,
    },
    /// RSA PKCS #1 v1.5 (RFC 8017 §7.2); not in FIPS mode
    #[command(after_long_help = "\
The wrapping key is an RSA public key with wrap=true, the payload a key of one's own with extractable=true. \
Prefer rsa-oaep: it withstands attacks that this padding invites.

Example:
  cloudhsm-cli key wrap rsa-pkcs --payload-filter attr.label=vault \\
    --wrapping-filter attr.label=target")]
    RsaPkcs {
        /// Keys and file
        #[command(flatten)]
        keys: WrapKeys,
    },
}

/// Which key goes out, under which, and where to.
#[derive(Debug, Args)]
pub struct WrapKeys {
    /// Terms that together select the key to wrap: key-reference=0x… or attr.NAME=VALUE
    #[arg(long, num_args = 1.., required = true, value_name = "FILTER")]
    pub payload_filter: Vec<FilterTerm>,
    /// Terms that together select the key to wrap it under
    #[arg(long, num_args = 1.., required = true, value_name = "FILTER")]
    pub wrapping_filter: Vec<FilterTerm>,
    /// A file to write the wrapped key to, as it is
    #[arg(long, value_name = "FILE")]
    pub path: Option<PathBuf>,
    /// A token file of the key to wrap that enough of its users have signed, when several must approve this
    #[arg(long, value_name = "FILE")]
    pub payload_approval: Option<PathBuf>,
    /// The same of the key to wrap it under
    #[arg(long, value_name = "FILE")]
    pub wrapping_approval: Option<PathBuf>,
}

/// `key unwrap`.
#[derive(Debug, Subcommand)]
pub enum Unwrap {
    /// What key wrap aes-gcm made
    #[command(after_long_help = "\
The unwrapping key is an AES key with unwrap=true.

Example:
  cloudhsm-cli key unwrap aes-gcm --filter attr.label=kek \\
    --key-type-class aes --label vault --tag-length-bits 128 --aad 0x10 \\
    --iv 0xf90613bb8e337ec0339aad21 --data-path vault.wrapped")]
    AesGcm {
        /// Keys and data
        #[command(flatten)]
        options: UnwrapOptions,
        /// Parameters
        #[command(flatten)]
        gcm: Gcm,
        /// The iv that key wrap printed, 12 bytes in hexadecimal
        #[arg(long, value_name = "HEX")]
        iv: Hex,
    },
    /// AES key wrap (RFC 3394)
    #[command(after_long_help = "\
The unwrapping key is an AES key with unwrap=true.

Example:
  cloudhsm-cli key unwrap aes-no-pad --filter attr.label=kek \\
    --key-type-class aes --label vault --data-path vault.wrapped")]
    AesNoPad {
        /// Keys and data
        #[command(flatten)]
        options: UnwrapOptions,
    },
    /// What key wrap aes-pkcs5-pad made
    #[command(after_long_help = "\
The unwrapping key is an AES key with unwrap=true.

Example:
  cloudhsm-cli key unwrap aes-pkcs5-pad --filter attr.label=kek \\
    --key-type-class ec-private --label site --attributes sign=true \\
    --data-path site.wrapped")]
    AesPkcs5Pad {
        /// Keys and data
        #[command(flatten)]
        options: UnwrapOptions,
    },
    /// AES key wrap with padding (RFC 5649)
    #[command(after_long_help = "\
The unwrapping key is an AES key with unwrap=true.

Example:
  cloudhsm-cli key unwrap aes-zero-pad --filter attr.label=kek \\
    --key-type-class rsa-private --label site --attributes sign=true \\
    --data-path site.wrapped")]
    AesZeroPad {
        /// Keys and data
        #[command(flatten)]
        options: UnwrapOptions,
    },
    /// What key wrap cloudhsm-aes-gcm made
    #[command(after_long_help = "\
The unwrapping key is an AES key with unwrap=true.

Example:
  cloudhsm-cli key unwrap cloudhsm-aes-gcm --filter attr.label=kek \\
    --key-type-class aes --label vault --tag-length-bits 128 \\
    --data-path vault.wrapped")]
    CloudhsmAesGcm {
        /// Keys and data
        #[command(flatten)]
        options: UnwrapOptions,
        /// Parameters
        #[command(flatten)]
        gcm: Gcm,
    },
    /// RSA-OAEP of a temporary AES key, and the key under that one (CKM_RSA_AES_KEY_WRAP)
    #[command(after_long_help = "\
The unwrapping key is an RSA private key with unwrap=true.

Example:
  cloudhsm-cli key unwrap rsa-aes --filter attr.label=transport \\
    attr.class=private-key --hash-function sha256 --mgf mgf1-sha256 \\
    --key-type-class rsa-private --label site --attributes sign=true \\
    --data-path site.wrapped")]
    RsaAes {
        /// Keys and data
        #[command(flatten)]
        options: UnwrapOptions,
        /// Parameters
        #[command(flatten)]
        oaep: Oaep,
    },
    /// RSA-OAEP (RFC 8017 §7.1)
    #[command(after_long_help = "\
The unwrapping key is an RSA private key with unwrap=true.

Example:
  cloudhsm-cli key unwrap rsa-oaep --filter attr.label=transport \\
    attr.class=private-key --hash-function sha256 --mgf mgf1-sha256 \\
    --key-type-class aes --label vault --data-path vault.wrapped")]
    RsaOaep {
        /// Keys and data
        #[command(flatten)]
        options: UnwrapOptions,
        /// Parameters
        #[command(flatten)]
        oaep: Oaep,
    },
    /// RSA PKCS #1 v1.5 (RFC 8017 §7.2); not in FIPS mode
    #[command(after_long_help = "\
The unwrapping key is an RSA private key with unwrap=true. Prefer rsa-oaep.

Example:
  cloudhsm-cli key unwrap rsa-pkcs --filter attr.label=transport \\
    attr.class=private-key --key-type-class aes --label vault \\
    --data-path vault.wrapped")]
    RsaPkcs {
        /// Keys and data
        #[command(flatten)]
        options: UnwrapOptions,
    },
}

/// What comes in, with which key, and what it becomes.
#[derive(Debug, Args)]
pub struct UnwrapOptions {
    /// The key that unwraps
    #[command(flatten)]
    pub filter: Filter,
    /// The wrapped key
    #[command(flatten)]
    pub data: Data,
    /// What was wrapped
    #[arg(long, value_enum, value_name = "CLASS")]
    pub key_type_class: KeyKind,
    /// The new key's label, at most 127 bytes
    #[arg(long)]
    pub label: String,
    /// Attributes of the new key, such as sign=true extractable=false
    #[arg(long, num_args = 0.., value_parser = attribute, value_name = "NAME=VALUE")]
    pub attributes: Vec<Attribute>,
    /// Crypto users who may use the new key
    #[arg(long, num_args = 0.., value_name = "USER")]
    pub share_crypto_users: Vec<UserName>,
    /// Make a session key: it ends with this login, and is in no store
    #[arg(long)]
    pub session: bool,
    /// Approvals that its use will need
    #[command(flatten)]
    pub quorum: KeyQuorumOptions,
    /// Approvals
    #[command(flatten)]
    pub approval: Approval,
}

/// Kinds of keys that come in wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyKind {
    /// An AES key
    Aes,
    /// A 3DES key of 24 bytes
    Des3,
    /// An EC private key, Ed25519 too, in PKCS #8
    EcPrivate,
    /// A generic secret
    GenericSecret,
    /// An RSA private key, in PKCS #8
    RsaPrivate,
}

impl From<KeyKind> for (KeyClass, KeyType) {
    fn from(kind: KeyKind) -> (KeyClass, KeyType) {
        match kind {
            KeyKind::Aes => (KeyClass::SecretKey, KeyType::Aes),
            KeyKind::Des3 => (KeyClass::SecretKey, KeyType::Des3),
            KeyKind::EcPrivate => (KeyClass::PrivateKey, KeyType::Ec),
            KeyKind::GenericSecret => (KeyClass::SecretKey, KeyType::GenericSecret),
            KeyKind::RsaPrivate => (KeyClass::PrivateKey, KeyType::Rsa),
        }
    }
}

/// Parameters of AES-GCM.
#[derive(Debug, Args)]
pub struct Gcm {
    /// Length of the tag in bits: 64, 96, 104, 112, 120 or 128
    #[arg(long, value_name = "BITS", value_parser = tag)]
    pub tag_length_bits: GcmTag,
    /// Additional authenticated data in hexadecimal, such as 0x10; at most 16 KiB
    #[arg(long, value_name = "HEX")]
    pub aad: Option<Hex>,
}

fn tag(text: &str) -> Result<GcmTag, &'static str> {
    text.parse().ok().and_then(GcmTag::of_bits).ok_or("expected 64, 96, 104, 112, 120 or 128")
}

/// Parameters of RSA-OAEP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct Oaep {
    /// The hash function
    #[arg(long, value_enum, value_name = "HASH")]
    pub hash_function: Hash,
    /// Mask generation function; its hash must be the hash function
    #[arg(long, value_enum)]
    pub mgf: Mgf,
}
