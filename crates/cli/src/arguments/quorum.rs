use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use strongroom_types::limits::{KEY_QUORUM_MAX, QUORUM_VALUE_MAX};
use strongroom_types::{FilterTerm, KeyQuorum, QuorumService};

/// `quorum`.
#[derive(Debug, Subcommand)]
pub enum Quorum {
    /// Operations that several users approve by signing a token
    #[command(subcommand)]
    TokenSign(TokenSign),
}

/// `quorum token-sign`.
#[derive(Debug, Subcommand)]
pub enum TokenSign {
    /// Delete quorum tokens that were not used
    #[command(after_long_help = "\
`user`: one's own. `all`: everybody's (admins).

Examples:
  cloudhsm-cli quorum token-sign delete --scope user
  cloudhsm-cli quorum token-sign delete --scope all")]
    Delete {
        /// Whose
        #[arg(long, value_enum)]
        scope: Scope,
    },
    /// Write a token for others to sign; it is good in this login, for one operation, for ten minutes
    #[command(after_long_help = "\
So it is made and used in the shell, between one login and its logout. Approvers sign `token` with the key that they have \
registered, and add an entry to `signatures`:

  jq -r .token t.json | base64 -d > t.bin
  openssl pkeyutl -sign -inkey bea.key -pkeyopt digest:sha256 \\
    -in t.bin | base64 -w0

Services: user (user create, delete, change-password, change-mfa), quorum (set-quorum-value), cluster (cluster mtls), for \
admins; key-usage (crypto sign), key-management (key wrap, unwrap, share, unshare, set-attribute), for a key's users; \
registration, for one's own public key.

Examples:
  cloudhsm-cli quorum token-sign generate --service user --token t.json
  cloudhsm-cli quorum token-sign generate --service key-usage --token t.json \\
    --filter attr.label=site attr.class=private-key
  cloudhsm-cli quorum token-sign generate --service registration \\
    --token r.json")]
    Generate {
        /// What is to be approved
        #[arg(long, value_parser = service(&QuorumService::ALL))]
        service: QuorumService,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        token: PathBuf,
        /// Of key-usage and key-management: terms that together select one key, key-reference=0x… or attr.NAME=VALUE
        #[arg(long, num_args = 0.., value_name = "FILTER")]
        filter: Vec<FilterTerm>,
    },
    /// List the quorum tokens that can be used. Needs no login
    #[command(after_long_help = "Example:\n  cloudhsm-cli quorum token-sign list")]
    List,
    /// Show how many admins must approve what; 1 is off. Needs no login
    #[command(
        alias = "get-quorum-values",
        after_long_help = "Example:\n  cloudhsm-cli quorum token-sign list-quorum-values"
    )]
    ListQuorumValues,
    /// Show for how many seconds new tokens are good. Needs no login
    #[command(hide = true, after_long_help = "Example:\n  cloudhsm-cli quorum token-sign list-timeouts")]
    ListTimeouts,
    /// Set how many admins must approve what a service holds (admins)
    #[command(after_long_help = "\
So many admins must have registered a key. Once the value of `quorum` is 2 or more, changing any value needs approvals for \
the service quorum: raise it together with that of `user`.

Examples:
  cloudhsm-cli quorum token-sign set-quorum-value --service user --value 2
  cloudhsm-cli quorum token-sign set-quorum-value --service quorum --value 2
  cloudhsm-cli quorum token-sign set-quorum-value --service user --value 1 \\
    --approval t.json")]
    SetQuorumValue {
        /// Which
        #[arg(long, value_parser = service(&QuorumService::OF_ADMINS))]
        service: QuorumService,
        /// So many admins; 1 is off
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(QUORUM_VALUE_MAX)))]
        value: u32,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
    /// Set for how many seconds new tokens are good: the shorter of the two times (admins)
    #[command(
        hide = true,
        after_long_help = "\
Examples:
  cloudhsm-cli quorum token-sign set-timeout --generated 900
  cloudhsm-cli quorum token-sign set-timeout --approved 900"
    )]
    SetTimeout {
        /// The times
        #[command(flatten)]
        times: Times,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
}

/// One of the two times of a token.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Times {
    /// Seconds within which a token is approved
    #[arg(long, value_name = "SECONDS")]
    pub generated: Option<u32>,
    /// Seconds within which it is used
    #[arg(long, value_name = "SECONDS")]
    pub approved: Option<u32>,
}

/// Whose tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// One's own
    User,
    /// Everybody's
    All,
}

fn service(known: &[QuorumService]) -> impl clap::builder::TypedValueParser<Value = QuorumService> + use<> {
    use clap::builder::TypedValueParser as _;
    let names: Vec<&'static str> = known.iter().map(|service| service.as_str()).collect();
    clap::builder::PossibleValuesParser::new(names).map(|text| text.parse().expect("each is the name of a service"))
}

/// What others approved.
#[derive(Clone, Debug, Default, Args)]
pub struct Approval {
    /// A token file that enough users have signed, when several must approve this
    #[arg(long, value_name = "FILE")]
    pub approval: Option<PathBuf>,
}

/// How many users of a new key must approve what is done with it.
#[derive(Clone, Copy, Debug, Args)]
pub struct KeyQuorumOptions {
    /// So many of the key's users approve key wrap, unwrap, share, unshare and set-attribute with it; 0 is off
    #[arg(long, value_name = "N", value_parser = key_quorum())]
    pub manage_key_quorum_value: Option<u8>,
    /// So many of the key's users approve crypto sign with it; 0 is off
    #[arg(long, value_name = "N", value_parser = key_quorum())]
    pub use_key_quorum_value: Option<u8>,
}

/// The same for the private key of a new pair.
#[derive(Clone, Copy, Debug, Args)]
pub struct PrivateKeyQuorumOptions {
    /// So many of the private key's users approve key wrap, unwrap, share, unshare and set-attribute with it; 0 is off
    #[arg(long, value_name = "N", value_parser = key_quorum())]
    pub manage_private_key_quorum_value: Option<u8>,
    /// So many of the private key's users approve crypto sign with it; 0 is off
    #[arg(long, value_name = "N", value_parser = key_quorum())]
    pub use_private_key_quorum_value: Option<u8>,
}

fn key_quorum() -> clap::builder::RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(0..=i64::from(KEY_QUORUM_MAX))
}

impl From<KeyQuorumOptions> for KeyQuorum {
    fn from(options: KeyQuorumOptions) -> KeyQuorum {
        let (manage, usage) = (options.manage_key_quorum_value, options.use_key_quorum_value);
        KeyQuorum { manage: manage.unwrap_or(0), usage: usage.unwrap_or(0) }
    }
}

impl From<PrivateKeyQuorumOptions> for KeyQuorum {
    fn from(options: PrivateKeyQuorumOptions) -> KeyQuorum {
        let (manage, usage) = (options.manage_private_key_quorum_value, options.use_private_key_quorum_value);
        KeyQuorum { manage: manage.unwrap_or(0), usage: usage.unwrap_or(0) }
    }
}
