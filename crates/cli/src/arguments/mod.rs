//! The command tree. Each option is defined once; help is made from it, and the tests read every example of it.

mod crypto;
#[cfg(test)]
mod golden;
mod keys;
mod mtls;
mod quorum;
#[cfg(test)]
pub(crate) mod reference;
#[cfg(test)]
mod tests;
mod users;
mod wrapping;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Command as Tree, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use strongroom_types::{ClusterId, Role};

pub use crypto::{Crypto, DataType, Input, Key as SigningKey, MuType, Pss, Sign, Signature, Verify};
pub use keys::{Encoding, GeneratePair, GenerateSymmetric, Key, PairOptions, SecretOptions, attribute_value};
pub use mtls::Mtls;
pub use quorum::{Approval, KeyQuorumOptions, PrivateKeyQuorumOptions, Quorum, Scope, TokenSign};
pub use users::{ChangeMfa, ChangeQuorum, ChangeQuorumTokenSign, User};
pub use wrapping::{Gcm, Import, Oaep, Unwrap, UnwrapOptions, Wrap, WrapKeys};

use crate::prompt::SecretArgument;

/// How examples name the program; the shell's do not.
const PROGRAM: &str = "cloudhsm-cli ";

/// Manages the users and keys of a Strongroom cluster.
///
/// Every command prints one JSON object: `{"error_code": 0, "data": …}`, or `{"error_code": 1, "data": "why"}` with exit
/// code 1. A command line that cannot be understood is answered in plain text with exit code 2.
#[derive(Debug, Parser)]
#[command(
    name = "cloudhsm-cli",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_long_help = "Single commands log in with CLOUDHSM_ROLE (admin or crypto-user) and CLOUDHSM_PIN \
                       (USER:PASSWORD):\n\n  \
                       export CLOUDHSM_ROLE=crypto-user CLOUDHSM_PIN=alice:her-password\n  \
                       cloudhsm-cli key list --filter attr.class=private-key\n\n\
                       `cloudhsm-cli interactive` logs in once for many commands. `cloudhsm-cli help key list`\n\
                       explains one command, with examples.\n\n\
                       The configuration is etc/cloudhsm-cli.cfg below CLOUDHSM_HOME (default /opt/cloudhsm)."
)]
pub struct Arguments {
    /// Which of the configured clusters to use; needed when there are several
    #[arg(long, global = true, value_name = "CLUSTER_ID")]
    pub cluster_id: Option<ClusterId>,
    /// What to do.
    #[command(subcommand)]
    pub command: Top,
}

impl Arguments {
    /// The tree of single commands.
    pub fn tree() -> Tree {
        of_the_tool(Arguments::command())
    }

    /// Reads a command line, program name first.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
        let mut tree = Arguments::tree();
        let matches = tree.try_get_matches_from_mut(words)?;
        Arguments::from_arg_matches(&matches).map_err(|error| error.format(&mut tree))
    }
}

/// Lets every command say the tool's version as the tool's.
fn of_the_tool(tree: Tree) -> Tree {
    within(tree, of_the_tool).display_name("cloudhsm-cli")
}

/// Every command of a tree changed so.
fn within(tree: Tree, change: fn(Tree) -> Tree) -> Tree {
    let names: Vec<String> = tree.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.into_iter().fold(tree, |tree, name| tree.mut_subcommand(name, change))
}

/// What a command line asks for.
#[derive(Debug, Subcommand)]
pub enum Top {
    /// Start a shell that stays logged in
    #[command(after_long_help = "\
Type `help` there, or press the tab key. A line that ends with \\ goes on in the next one; values with \
blanks stand in quotes. Lines with a password are kept out of the history, which ends with the shell.

Example:
  cloudhsm-cli interactive")]
    Interactive,
    /// One command.
    #[command(flatten)]
    Command(Box<Command>),
}

/// Commands of the shell; a login lasts until logout, another login, or the shell's end
#[derive(Debug, Parser)]
#[command(
    name = "",
    override_usage = "COMMAND [OPTIONS]",
    no_binary_name = true,
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Line {
    /// Which of the configured clusters to use, instead of the one the shell was started with
    #[arg(long, global = true, value_name = "CLUSTER_ID")]
    pub cluster_id: Option<ClusterId>,
    /// What to do.
    #[command(subcommand)]
    pub command: InShell,
}

impl Line {
    /// The tree of the shell, whose examples are what one types there.
    pub fn tree() -> Tree {
        of_the_tool(in_shell(Line::command()))
    }

    /// Reads the words of a line.
    pub fn read(words: &[String]) -> Result<Line, clap::Error> {
        let mut tree = Line::tree();
        let matches = tree.try_get_matches_from_mut(words)?;
        Line::from_arg_matches(&matches).map_err(|error| error.format(&mut tree))
    }
}

/// Takes the program's name out of examples.
fn in_shell(tree: Tree) -> Tree {
    let examples = tree.get_after_long_help().map(|text| text.to_string().replace(PROGRAM, ""));
    let tree = within(tree, in_shell);
    match examples {
        Some(examples) => tree.after_long_help(examples),
        None => tree,
    }
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
    /// Make, find, share, change, export, wrap, unwrap, import and delete keys
    #[command(subcommand)]
    Key(Key),
    /// Log in; the login holds on every HSM of the cluster until logout
    #[command(after_long_help = "\
Five wrong passwords in a row lock a user; an admin unlocks with user change-password. \
In single-command mode this checks the password; the commands themselves log in with CLOUDHSM_PIN.

Examples:
  cloudhsm-cli login --username alice --role crypto-user
  cloudhsm-cli login --username admin --role admin

`cloudhsm-cli help login mfa-token-sign` explains how users with MFA log in.")]
    Login(Login),
    /// Log out on every HSM of the cluster
    #[command(after_long_help = "Example:\n  cloudhsm-cli logout")]
    Logout,
    /// Have several users approve operations
    #[command(subcommand)]
    Quorum(Quorum),
    /// Manage users
    #[command(subcommand)]
    User(User),
}

/// `cluster`.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Set the first admin's password; the cluster becomes ACTIVE. Needs no login
    #[command(after_long_help = "\
Works once, on a cluster that has its certificate. The user `admin` then has the role admin.

Examples:
  cloudhsm-cli cluster activate
  cloudhsm-cli cluster activate --password a-good-password")]
    Activate {
        /// The password, 8 to 32 characters without a colon; asked for twice when it is not given. On the command line
        /// others who use this machine can see it
        #[arg(long)]
        password: Option<SecretArgument>,
    },
    /// Show each HSM's vendor, model, serial number and versions. Needs no login
    #[command(after_long_help = "Example:\n  cloudhsm-cli cluster hsm-info")]
    HsmInfo,
    /// Have clients authenticate themselves with certificates (mutual TLS)
    #[command(subcommand)]
    Mtls(Mtls),
}

/// `login`.
#[derive(Debug, Args)]
pub struct Login {
    /// Who
    #[command(flatten)]
    pub who: Who,
    /// The password; asked for when it is not given. On the command line others who use this machine can see it
    #[arg(long)]
    pub password: Option<SecretArgument>,
    /// What is signed beside the password
    #[command(subcommand)]
    pub mfa: Option<LoginMfa>,
}

/// How `login` takes a signature beside the password.
#[derive(Debug, Subcommand)]
pub enum LoginMfa {
    /// Log in as a user with MFA: writes a file, and asks for it when it is signed
    #[command(after_long_help = "\
The file has a token to be signed with the user's own key, elsewhere: the base64 of the signature goes into `signed`. Then \
the prompt takes the path of the signed file. A token is good for ten minutes, once.

  jq -r .tokens[0].unsigned m.json | base64 -d > m.bin
  openssl pkeyutl -sign -inkey alice.key -pkeyopt digest:sha256 \\
    -in m.bin | base64 -w0

In the shell the login lasts; single commands log in with CLOUDHSM_PIN, which a user with MFA cannot.

Example:
  cloudhsm-cli login --username alice --role crypto-user mfa-token-sign \\
    --token m.json")]
    MfaTokenSign {
        /// The file to write
        #[arg(long, value_name = "FILE")]
        token: PathBuf,
    },
}

/// From which cluster to which. The tool must be configured for both.
#[derive(Debug, Args)]
pub struct Between {
    /// The cluster that has it
    #[arg(long, value_name = "CLUSTER_ID")]
    pub source_cluster_id: ClusterId,
    /// The cluster that is to have it too
    #[arg(long, value_name = "CLUSTER_ID")]
    pub destination_cluster_id: ClusterId,
}

/// A user by name and role.
#[derive(Debug, Args)]
pub struct Who {
    /// The user's name; upper and lower case are the same
    #[arg(long, value_name = "USER")]
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
