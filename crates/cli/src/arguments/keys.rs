use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use strongroom_types::{AttributeName, AttributeValue, FilterTerm, UserName};

/// `key`.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Delete one key of one's own; the other half of a pair stays
    Delete {
        /// Which
        #[command(flatten)]
        filter: Filter,
    },
    /// Make a key pair
    #[command(subcommand)]
    GenerateAsymmetricPair(GeneratePair),
    /// Write a key file: a public key in PEM, or a reference to a private key for OpenSSL
    GenerateFile {
        /// What to write
        #[arg(long, value_enum)]
        encoding: Encoding,
        /// The file to write
        #[arg(long)]
        path: PathBuf,
        /// Which
        #[command(flatten)]
        filter: Filter,
    },
    /// Make a secret key
    #[command(subcommand)]
    GenerateSymmetric(GenerateSymmetric),
    /// Find keys: one's own, those that are shared, and every public key
    List {
        /// Conditions that must all hold: key-reference=0x… or attr.NAME=VALUE; without any, every key
        #[arg(long, num_args = 0.., value_name = "FILTER")]
        filter: Vec<FilterTerm>,
        /// Keys on one page
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
        max_items: u32,
        /// The next_token of the page before
        #[arg(long, value_name = "TOKEN")]
        starting_token: Option<u32>,
        /// Show everything about each key
        #[arg(short, long)]
        verbose: bool,
    },
}

/// Selects one key.
#[derive(Debug, Args)]
pub struct Filter {
    /// Conditions that must all hold and select one key: key-reference=0x… or attr.NAME=VALUE
    #[arg(long, num_args = 1.., required = true, value_name = "FILTER")]
    pub filter: Vec<FilterTerm>,
}

/// What `key generate-file` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Encoding {
    /// A private key's reference: looks like a PEM private key, holds none
    ReferencePem,
    /// A public key as SubjectPublicKeyInfo
    Pem,
}

/// One attribute of a new key, as `NAME=VALUE`.
pub type Attribute = (AttributeName, AttributeValue);

fn attribute(text: &str) -> Result<Attribute, String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, such as sign=true")?;
    let name: AttributeName = name.parse().map_err(|_| format!("{name} is not a key attribute"))?;
    let value = value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value);
    let value = AttributeValue::parse(name, value).map_err(|error| format!("the value of {name}: {error}"))?;
    Ok((name, value))
}

/// `key generate-symmetric`.
#[derive(Debug, Subcommand)]
pub enum GenerateSymmetric {
    /// An AES key
    Aes {
        /// Its options
        #[command(flatten)]
        options: SecretOptions,
        /// Length in bytes: 16, 24 or 32
        #[arg(long)]
        key_length_bytes: u32,
    },
    /// A generic secret, for HMAC and derivation
    GenericSecret {
        /// Its options
        #[command(flatten)]
        options: SecretOptions,
        /// Length in bytes: 1 to 800
        #[arg(long)]
        key_length_bytes: u32,
    },
}

/// Options of every new secret key.
#[derive(Debug, Args)]
pub struct SecretOptions {
    /// The key's label, at most 127 characters
    #[arg(long)]
    pub label: String,
    /// Attributes of the key, such as encrypt=true extractable=false
    #[arg(long, num_args = 0.., value_parser = attribute, value_name = "NAME=VALUE")]
    pub attributes: Vec<Attribute>,
    /// Crypto users who may use the key
    #[arg(long, num_args = 0.., value_name = "USER")]
    pub share_crypto_users: Vec<UserName>,
}

/// `key generate-asymmetric-pair`.
#[derive(Debug, Subcommand)]
pub enum GeneratePair {
    /// An EC pair
    Ec {
        /// The curve
        #[arg(long, value_enum)]
        curve: Curve,
        /// Its options
        #[command(flatten)]
        options: PairOptions,
    },
    /// An RSA pair
    Rsa {
        /// Bits of the modulus: 2048 to 4096 in steps of 256
        #[arg(long)]
        modulus_size_bits: u32,
        /// The public exponent: odd, at least 65537
        #[arg(long)]
        public_exponent: u64,
        /// Its options
        #[command(flatten)]
        options: PairOptions,
    },
}

/// Options of every new pair.
#[derive(Debug, Args)]
pub struct PairOptions {
    /// The public key's label
    #[arg(long)]
    pub public_label: String,
    /// The private key's label
    #[arg(long)]
    pub private_label: String,
    /// Attributes of the public key, such as verify=true
    #[arg(long, num_args = 0.., value_parser = attribute, value_name = "NAME=VALUE")]
    pub public_attributes: Vec<Attribute>,
    /// Attributes of the private key, such as sign=true extractable=false
    #[arg(long, num_args = 0.., value_parser = attribute, value_name = "NAME=VALUE")]
    pub private_attributes: Vec<Attribute>,
    /// Crypto users who may use the private key
    #[arg(long, num_args = 0.., value_name = "USER")]
    pub share_crypto_users: Vec<UserName>,
}

/// Named curves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Curve {
    /// NIST P-256
    Prime256v1,
    /// NIST P-256, by its other name
    Secp256r1,
    /// NIST P-224
    Secp224r1,
    /// NIST P-384
    Secp384r1,
    /// SEC 2 secp256k1
    Secp256k1,
    /// NIST P-521
    Secp521r1,
}

impl From<Curve> for strongroom_types::Curve {
    fn from(curve: Curve) -> strongroom_types::Curve {
        use strongroom_types::Curve as Named;
        match curve {
            Curve::Prime256v1 | Curve::Secp256r1 => Named::P256,
            Curve::Secp224r1 => Named::P224,
            Curve::Secp384r1 => Named::P384,
            Curve::Secp256k1 => Named::Secp256k1,
            Curve::Secp521r1 => Named::P521,
        }
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::Flag;

    use super::*;

    #[test]
    fn attributes_are_read_as_they_are_printed() {
        let check = |text: &str, expected: Option<Attribute>| assert_eq!(attribute(text).ok(), expected, "{text}");
        let label = |text: &str| Some((AttributeName::Label, AttributeValue::Text(text.into())));
        check("sign=true", Some((AttributeName::Flag(Flag::Sign), AttributeValue::Bool(true))));
        check("id=0x0a", Some((AttributeName::Id, AttributeValue::Bytes(vec![10]))));
        check("label=a=b", label("a=b"));
        check("label=\"my key\"", label("my key"));
        for wrong in ["sign", "sign=1", "sign=", "=true", "Sign=true", "id=10", ""] {
            check(wrong, None);
        }
    }
}
