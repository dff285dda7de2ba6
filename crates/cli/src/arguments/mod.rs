//! The command tree. Each option is defined once; help is made from it.

mod crypto;
mod keys;
mod users;

use clap::{Args, Parser, Subcommand};
use strongroom_types::{ClusterId, Role};

pub use crypto::{Crypto, DataType, Key as SigningKey, Mgf, Sign, Signature, Verify};
pub use keys::{Encoding, GeneratePair, GenerateSymmetric, Key, PairOptions, SecretOptions};
pub use users::User;

use crate::prompt::SecretArgument;

/// Manages the users and keys of a Strongroom cluster.
///
/// Every command prints one JSON object: `{"error_code": 0, "data": …}`, or `{"error_code": 1, "data": "why"}` with exit
/// code 1.
#[derive(Debug, Parser)]
#[command(
    name = "cloudhsm-cli",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_long_help = "Single commands log in with CLOUDHSM_ROLE (admin or crypto-user) and CLOUDHSM_PIN \
                       (USER:PASSWORD):\n\n  \
                       export CLOUDHSM_ROLE=crypto-user CLOUDHSM_PIN=alice:her-password\n  \
                       cloudhsm-cli key list --filter attr.class=private-key\n\n\
                       The configuration is etc/cloudhsm-cli.cfg below CLOUDHSM_HOME (default /opt/cloudhsm)."
)]
pub struct Arguments {
    /// Which of the configured clusters to use
    #[arg(long, global = true, value_name = "CLUSTER_ID")]
    pub cluster_id: Option<ClusterId>,
    /// What to do.
    #[command(subcommand)]
    pub command: Top,
}

/// What a command line asks for.
#[derive(Debug, Subcommand)]
pub enum Top {
    /// Start a shell that stays logged in
    Interactive,
    /// One command.
    #[command(flatten)]
    Command(Box<Command>),
}

/// A line of the interactive shell.
#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_version_flag = true, max_term_width = 100)]
pub struct Line {
    /// Which of the configured clusters to use
    #[arg(long, global = true, value_name = "CLUSTER_ID")]
    pub cluster_id: Option<ClusterId>,
    /// What to do.
    #[command(subcommand)]
    pub command: InShell,
}

/// What a line of the shell asks for.
#[derive(Debug, Subcommand)]
pub enum InShell {
    /// One command.
    #[command(flatten)]
    Command(Box<Command>),
    /// Leave the shell
    #[command(visible_alias = "exit")]
    Quit,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at the cluster, activate a new one
    #[command(subcommand)]
    Cluster(Cluster),
    /// Sign and verify
    #[command(subcommand)]
    Crypto(Crypto),
    /// Make, find, export and delete keys
    #[command(subcommand)]
    Key(Key),
    /// Log in; the login holds on every HSM of the cluster until logout
    Login(Login),
    /// Log out on every HSM of the cluster
    Logout,
    /// Manage users
    #[command(subcommand)]
    User(User),
}

/// `cluster`.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Set the first admin's password; the cluster becomes ACTIVE. Needs no login
    Activate {
        /// The password; asked for when it is not given
        #[arg(long)]
        password: Option<SecretArgument>,
    },
    /// Show each HSM's vendor, model, serial number and versions. Needs no login
    HsmInfo,
}

/// `login`.
#[derive(Debug, Args)]
pub struct Login {
    /// Who
    #[command(flatten)]
    pub who: Who,
    /// The password; asked for when it is not given
    #[arg(long)]
    pub password: Option<SecretArgument>,
}

/// A user by name and role.
#[derive(Debug, Args)]
pub struct Who {
    /// The user's name; upper and lower case are the same
    #[arg(long)]
    pub username: String,
    /// The user's role
    #[arg(long, value_parser = role())]
    pub role: Role,
}

fn role() -> impl clap::builder::TypedValueParser<Value = Role> {
    use clap::builder::TypedValueParser as _;
    clap::builder::PossibleValuesParser::new(["crypto-user", "admin"])
        .map(|text| text.parse().expect("both are the names of roles"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Arguments::command().debug_assert();
        Line::command().debug_assert();
    }

    #[test]
    fn command_lines_of_the_guide_are_understood() {
        let check = |line: &str| {
            let words = std::iter::once("cloudhsm-cli").chain(line.split_whitespace());
            assert!(Arguments::try_parse_from(words).is_ok(), "{line}");
        };
        check("interactive --cluster-id cluster-234567abcde");
        check("cluster activate --password long-enough");
        check("cluster hsm-info");
        check("login --username alice --role crypto-user --password secret-1");
        check("user create --username alice --role crypto-user --password secret-1");
        check("user change-password --username alice --role admin");
        check("key generate-symmetric aes --label k --key-length-bytes 24 --attributes encrypt=true id=0x0a");
        check("key generate-symmetric generic-secret --label k --key-length-bytes 800 --share-crypto-users a b");
        check(
            "key generate-asymmetric-pair rsa --public-exponent 65537 --modulus-size-bits 2048 --public-label a \
             --private-label b --public-attributes verify=true --private-attributes sign=true",
        );
        check("key generate-asymmetric-pair ec --curve secp256r1 --public-label a --private-label b");
        check("key list --filter attr.class=public-key attr.label=x --max-items 3 --starting-token 5 -v");
        check("key list --filter=attr.class=public-key");
        check("key list --filter");
        check("key delete --filter key-reference=0xabc");
        check("key generate-file --encoding reference-pem --path f --filter attr.label=x");
        check("crypto sign rsa-pkcs --key-filter attr.label=x --hash-function sha256 --data YQ==");
        check(
            "crypto sign rsa-pkcs-pss --key-filter attr.label=x --hash-function sha256 --mgf mgf1-sha256 \
             --salt-length 32 --data-path f --data-type digest",
        );
        check(
            "crypto verify ecdsa --key-filter attr.label=x --hash-function sha512 --data YQ== --signature YQ== \
             --cluster-id cluster-234567abcde",
        );
    }

    #[test]
    fn wrong_lines_are_refused() {
        let check = |line: &str| {
            let words = std::iter::once("cloudhsm-cli").chain(line.split_whitespace());
            assert!(Arguments::try_parse_from(words).is_err(), "{line}");
        };
        check("key");
        check("login --username a --role operator");
        check("key generate-symmetric aes --key-length-bytes 16");
        check("key generate-symmetric aes --label k --key-length-bytes 16 --attributes colour=red");
        check("key list --filter label=x");
        check("crypto sign ecdsa --key-filter attr.label=x --hash-function md5 --data YQ==");
        check("crypto sign ecdsa --key-filter attr.label=x --hash-function sha256");
        check("crypto sign ecdsa --key-filter attr.label=x --hash-function sha256 --data YQ== --data-path f");
        check("key generate-file --encoding pem --path f");
    }
}
