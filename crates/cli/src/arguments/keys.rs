use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use strongroom_types::limits::KEY_PAGE_LEN_MAX;
use strongroom_types::{AttributeName, AttributeValue, FilterTerm, Flag, MlDsaAlgorithm, TemplateError, UserName};

use super::wrapping::{Import, Unwrap, Wrap};
use super::{Approval, Between, KeyQuorumOptions, PrivateKeyQuorumOptions, Who};

/// `key`.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Delete one key of one's own; the other half of a pair stays
    #[command(after_long_help = "\
A deleted key is gone on every HSM, and cannot be brought back.

Examples:
  cloudhsm-cli key delete --filter key-reference=0x2e06bf
  cloudhsm-cli key delete --filter attr.label=old-site attr.class=private-key")]
    Delete {
        /// Which
        #[command(flatten)]
        filter: Filter,
    },
    /// Make a key pair
    #[command(subcommand)]
    GenerateAsymmetricPair(GeneratePair),
    /// Write a key file: a public key in PEM, or a reference to a private key for OpenSSL
    #[command(after_long_help = "\
A reference file takes the place of a private key's file: OpenSSL with the engine cloudhsm, and servers \
that use it, sign with the key in the HSMs. It holds no secret. Keys on ed25519 and ML-DSA keys have none. \
A file that exists is written over.

Examples:
  cloudhsm-cli key generate-file --encoding reference-pem --path site.key \\
    --filter attr.label=site attr.class=private-key
  cloudhsm-cli key generate-file --encoding pem --path site.pub.pem \\
    --filter attr.label=site attr.class=public-key")]
    GenerateFile {
        /// What to write
        #[arg(long, value_enum)]
        encoding: Encoding,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        path: PathBuf,
        /// Which
        #[command(flatten)]
        filter: Filter,
    },
    /// Make a secret key
    #[command(subcommand)]
    GenerateSymmetric(GenerateSymmetric),
    /// Make a public key of one in a file
    #[command(subcommand)]
    Import(Import),
    /// Find keys: one's own, those that are shared, and every public key
    #[command(after_long_help = "\
Names and values of attributes are those that --verbose prints. Admins are shown references only. \
While there are more keys the answer holds next_token, which --starting-token takes.

Examples:
  cloudhsm-cli key list
  cloudhsm-cli key list --filter attr.class=private-key attr.sign=true -v
  cloudhsm-cli key list --filter key-reference=0x2e06bf
  cloudhsm-cli key list --filter attr.label=\"my key\"
  cloudhsm-cli key list --max-items 100 --starting-token 100")]
    List {
        /// Terms that must all hold: key-reference=0x… or attr.NAME=VALUE; without any, every key
        #[arg(long, num_args = 0.., value_name = "FILTER")]
        filter: Vec<FilterTerm>,
        /// Keys on one page
        #[arg(long, value_name = "N", default_value_t = 10,
              value_parser = clap::value_parser!(u32).range(1..=i64::from(KEY_PAGE_LEN_MAX)))]
        max_items: u32,
        /// The next_token of the page before
        #[arg(long, value_name = "TOKEN", value_parser = token)]
        starting_token: Option<u32>,
        /// Show everything about each key
        #[arg(short, long)]
        verbose: bool,
    },
    /// Copy one key to a clone of the cluster: its owner, and admins every key
    #[command(after_long_help = "\
Clones are clusters of one origin (strongroom up --clone-of). The key keeps its reference, attributes, owner and shares; its \
owner and everybody it is shared with must be there first (user replicate). A key that is there already and is the same is \
left as it is; one that differs is refused. Keys that are not extractable go along: no HSM but the clone's can read what \
is sent. Keys that are trusted or have wrap-with-trusted are for admins to copy. Log in to both clusters as the same user, or to both \
as admin.

Single commands log in to the source with CLOUDHSM_ROLE and CLOUDHSM_PIN, to the destination with \
DESTINATION_CLOUDHSM_ROLE and DESTINATION_CLOUDHSM_PIN; in the shell, log in to both first.

Example:
  cloudhsm-cli key replicate \\
    --filter attr.label=site attr.class=private-key \\
    --source-cluster-id cluster-aaaaaaaaaaa \\
    --destination-cluster-id cluster-bbbbbbbbbbb")]
    Replicate {
        /// Which, in the source
        #[command(flatten)]
        filter: Filter,
        /// Between which clusters
        #[command(flatten)]
        between: Between,
    },
    /// Change an attribute of one key of one's own; admins set trusted, and nothing else
    #[command(after_long_help = "\
When this is answered the change holds on every HSM. A key with modifiable=false keeps its attributes. \
extractable and modifiable go from true to false only, sensitive and wrap-with-trusted from false to true only.

Examples:
  cloudhsm-cli key set-attribute --name sign --value false \\
    --filter attr.label=site attr.class=private-key
  cloudhsm-cli key set-attribute --name label --value \"old site\" \\
    --filter key-reference=0x2e06bf
  cloudhsm-cli key set-attribute --name trusted --value true \\
    --filter key-reference=0x2e06bf")]
    SetAttribute {
        /// Which
        #[command(flatten)]
        filter: Filter,
        /// The attribute, by its name in key list --verbose
        #[arg(long, value_name = "ATTRIBUTE", value_parser = attribute_name(), hide_possible_values = true)]
        name: AttributeName,
        /// Its new value, as key list --verbose prints it
        #[arg(long)]
        value: String,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
    /// Let another crypto user use one key of one's own
    #[command(after_long_help = "\
Who has a key shared may sign, verify, encrypt and decrypt with it as its attributes permit, and may neither \
share, change, delete nor wrap it. The halves of a pair are shared each for itself.

Example:
  cloudhsm-cli key share --filter attr.label=site attr.class=private-key \\
    --username bob --role crypto-user")]
    Share {
        /// Which
        #[command(flatten)]
        filter: Filter,
        /// With whom
        #[command(flatten)]
        who: Who,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
    /// Take back what key share gave
    #[command(after_long_help = "\
When this is answered no HSM lets that user use the key any more. It is no error when the key was not shared.

Example:
  cloudhsm-cli key unshare --filter attr.label=site attr.class=private-key \\
    --username bob --role crypto-user")]
    Unshare {
        /// Which
        #[command(flatten)]
        filter: Filter,
        /// With whom it is shared
        #[command(flatten)]
        who: Who,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
    /// Bring in a key that is wrapped
    #[command(subcommand)]
    Unwrap(Unwrap),
    /// Give out a key of one's own, wrapped under another key
    #[command(subcommand)]
    Wrap(Wrap),
}

/// Every name is read, so that the HSM says why an attribute cannot be set.
fn attribute_name() -> impl clap::builder::TypedValueParser<Value = AttributeName> {
    use clap::builder::TypedValueParser as _;
    let flags = Flag::ALL.iter().map(|flag| AttributeName::Flag(*flag));
    let names = AttributeName::OTHERS.into_iter().chain(flags).map(AttributeName::as_str);
    clap::builder::PossibleValuesParser::new(names.collect::<Vec<_>>())
        .map(|text| text.parse().expect("each is the name of an attribute"))
}

fn token(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "expected the next_token of the page before")
}

/// Selects one key.
#[derive(Debug, Args)]
pub struct Filter {
    /// Terms that together select one key: key-reference=0x… or attr.NAME=VALUE
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

pub(super) fn attribute(text: &str) -> Result<Attribute, String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, such as sign=true")?;
    let name: AttributeName = name.parse().map_err(|_| format!("{name} is not a key attribute"))?;
    let value = attribute_value(name, value).map_err(|error| format!("the value of {name}: {error}"))?;
    Ok((name, value))
}

/// A value as it is written on a command line; quotes that the shell left are none of it.
pub fn attribute_value(name: AttributeName, text: &str) -> Result<AttributeValue, TemplateError> {
    let text = text.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(text);
    AttributeValue::parse(name, text)
}

/// `key generate-symmetric`.
#[derive(Debug, Subcommand)]
pub enum GenerateSymmetric {
    /// An AES key
    #[command(after_long_help = "\
Keys are extractable under another key unless extractable=false is given.

Examples:
  cloudhsm-cli key generate-symmetric aes --label vault --key-length-bytes 32
  cloudhsm-cli key generate-symmetric aes --label vault --key-length-bytes 32 \\
    --attributes encrypt=true decrypt=true extractable=false")]
    Aes {
        /// Its options
        #[command(flatten)]
        options: SecretOptions,
        /// Length in bytes: 16, 24 or 32
        #[arg(long, value_name = "BYTES")]
        key_length_bytes: u32,
    },
    /// A generic secret, for HMAC and derivation
    #[command(after_long_help = "\
Keys are extractable under another key unless extractable=false is given.

Example:
  cloudhsm-cli key generate-symmetric generic-secret --label pepper \\
    --key-length-bytes 32")]
    GenericSecret {
        /// Its options
        #[command(flatten)]
        options: SecretOptions,
        /// Length in bytes: 1 to 800
        #[arg(long, value_name = "BYTES")]
        key_length_bytes: u32,
    },
}

/// Options of every new secret key.
#[derive(Debug, Args)]
pub struct SecretOptions {
    /// The key's label, at most 127 bytes
    #[arg(long)]
    pub label: String,
    /// Attributes of the key, such as encrypt=true extractable=false
    #[arg(long, num_args = 0.., value_parser = attribute, value_name = "NAME=VALUE")]
    pub attributes: Vec<Attribute>,
    /// Crypto users who may use the key
    #[arg(long, num_args = 0.., value_name = "USER")]
    pub share_crypto_users: Vec<UserName>,
    /// Make a session key: it ends with this login, and is in no store
    #[arg(long)]
    pub session: bool,
    /// Approvals that its use will need
    #[command(flatten)]
    pub quorum: KeyQuorumOptions,
}

/// `key generate-asymmetric-pair`.
#[derive(Debug, Subcommand)]
pub enum GeneratePair {
    /// An EC pair
    #[command(after_long_help = "\
A key may sign only with sign=true and verify only with verify=true.

Example:
  cloudhsm-cli key generate-asymmetric-pair ec --curve prime256v1 \\
    --public-label site --private-label site \\
    --public-attributes verify=true \\
    --private-attributes sign=true extractable=false
  cloudhsm-cli key generate-asymmetric-pair ec --curve ed25519 \\
    --public-label release --private-label release \\
    --public-attributes verify=true --private-attributes sign=true")]
    Ec {
        /// The curve
        #[arg(long, value_enum)]
        curve: Curve,
        /// Its options
        #[command(flatten)]
        options: PairOptions,
    },
    /// An ML-DSA pair, for signatures that quantum computers do not forge (FIPS 204)
    #[command(after_long_help = "\
HSMs of type hsm1.medium have no ML-DSA. A key may sign only with sign=true and verify only with verify=true.

Example:
  cloudhsm-cli key generate-asymmetric-pair ml-dsa --mldsa-algorithm ML-DSA-65 \\
    --public-label site --private-label site \\
    --public-attributes verify=true \\
    --private-attributes sign=true extractable=false")]
    MlDsa {
        /// The parameter set
        #[arg(long, value_name = "ALGORITHM", value_parser = ml_dsa_algorithm())]
        mldsa_algorithm: MlDsaAlgorithm,
        /// Its options
        #[command(flatten)]
        options: PairOptions,
    },
    /// An RSA pair
    #[command(after_long_help = "\
A key may sign only with sign=true and verify only with verify=true.

Example:
  cloudhsm-cli key generate-asymmetric-pair rsa \\
    --modulus-size-bits 3072 --public-exponent 65537 \\
    --public-label site --private-label site \\
    --public-attributes verify=true \\
    --private-attributes sign=true extractable=false")]
    Rsa {
        /// Bits of the modulus: 2048 to 4096 in steps of 256
        #[arg(long, value_name = "BITS")]
        modulus_size_bits: u32,
        /// The public exponent: odd, 65537 to 4294967295
        #[arg(long, value_name = "NUMBER")]
        public_exponent: u64,
        /// Its options
        #[command(flatten)]
        options: PairOptions,
    },
}

/// The names of ML-DSA's parameter sets, in upper case.
fn ml_dsa_algorithm() -> impl clap::builder::TypedValueParser<Value = MlDsaAlgorithm> {
    use clap::builder::TypedValueParser as _;
    let names = MlDsaAlgorithm::ALL.iter().map(|algorithm| algorithm.as_str());
    clap::builder::PossibleValuesParser::new(names.collect::<Vec<_>>())
        .map(|text| text.parse().expect("each is the name of an algorithm"))
}

/// Options of every new pair.
#[derive(Debug, Args)]
pub struct PairOptions {
    /// The public key's label, at most 127 bytes
    #[arg(long, value_name = "LABEL")]
    pub public_label: String,
    /// The private key's label, at most 127 bytes
    #[arg(long, value_name = "LABEL")]
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
    /// Make session keys: they end with this login, and are in no store
    #[arg(long)]
    pub session: bool,
    /// Approvals that its use will need
    #[command(flatten)]
    pub quorum: PrivateKeyQuorumOptions,
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
    /// Edwards25519, for crypto sign ed25519 and ed25519ph; hsm2m.medium in NON_FIPS mode only
    Ed25519,
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
            Curve::Ed25519 => Named::Ed25519,
        }
    }
}

#[cfg(test)]
mod tests {
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
