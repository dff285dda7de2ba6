use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Approval, Between, Who};
use crate::prompt::SecretArgument;

/// `user`.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Make a user (admins)
    #[command(after_long_help = "\
User names have up to 31 letters, digits, '_', '-' and '.'.

Examples:
  cloudhsm-cli user create --username alice --role crypto-user
  cloudhsm-cli user create --username bea --role admin \\
    --password a-good-password")]
    Create {
        /// Who
        #[command(flatten)]
        who: Who,
        /// The password, 8 to 32 characters without a colon; asked for twice when it is not given. On the command line
        /// others who use this machine can see it
        #[arg(long)]
        password: Option<SecretArgument>,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
    /// Delete a user who owns no keys; certificates of the user's go along (admins)
    #[command(after_long_help = "Example:\n  cloudhsm-cli user delete --username alice --role crypto-user")]
    Delete {
        /// Who
        #[command(flatten)]
        who: Who,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
    /// List the users. Needs no login
    #[command(after_long_help = "Example:\n  cloudhsm-cli user list")]
    List,
    /// Copy a user to a clone of the cluster, with the password (admins of both)
    #[command(after_long_help = "\
Clones are clusters of one origin (strongroom up --clone-of). The user keeps name, role, password, MFA and quorum key, \
and whether they are locked. A user who is there already and is the same is left as they are; one who differs is refused.

Where several admins of the destination must approve user management, give their token file with --approval, as for user \
create.

Single commands log in to the source with CLOUDHSM_ROLE and CLOUDHSM_PIN, to the destination with \
DESTINATION_CLOUDHSM_ROLE and DESTINATION_CLOUDHSM_PIN; in the shell, log in to both first.

Example:
  cloudhsm-cli user replicate --username alice --role crypto-user \\
    --source-cluster-id cluster-aaaaaaaaaaa \\
    --destination-cluster-id cluster-bbbbbbbbbbb")]
    Replicate {
        /// Who
        #[command(flatten)]
        who: Who,
        /// Between which clusters
        #[command(flatten)]
        between: Between,
        /// Approvals of admins of the destination
        #[command(flatten)]
        approval: Approval,
    },
    /// Set a user's password, unlock the user, end the user's logins (admins anyone's, crypto users their own)
    #[command(after_long_help = "\
Examples:
  cloudhsm-cli user change-password --username alice --role crypto-user
  cloudhsm-cli user change-password --username alice --role crypto-user \\
    --password a-new-password")]
    ChangePassword {
        /// Who
        #[command(flatten)]
        who: Who,
        /// The new password, 8 to 32 characters without a colon; asked for twice when it is not given. On the command
        /// line others who use this machine can see it
        #[arg(long)]
        password: Option<SecretArgument>,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
        /// End the user's MFA too
        #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", value_parser = yes_or_no)]
        deregister_mfa: Option<bool>,
        /// Forget the key with which the user approves too
        #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", value_parser = yes_or_no)]
        deregister_quorum: Option<bool>,
    },
    /// Change what a user signs beside the password
    #[command(subcommand)]
    ChangeMfa(ChangeMfa),
    /// Change what a user approves with
    #[command(subcommand)]
    ChangeQuorum(ChangeQuorum),
}

/// A flag that may carry a value.
fn yes_or_no(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" | "token-sign" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected no value, true or false"),
    }
}

/// `user change-mfa`.
#[derive(Debug, Subcommand)]
pub enum ChangeMfa {
    /// Enable MFA, change its key, or end it; sets a password (admins anyone's, crypto users their own)
    #[command(after_long_help = "\
With --token: writes a file, has it signed with the new key elsewhere as login mfa-token-sign does, and asks for the signed \
file and for the public key in PEM (RSA of 2048 bits). The key is registered for approvals too when the user has none. \
Every login of the user ends.

Examples:
  cloudhsm-cli user change-mfa token-sign --username alice \\
    --role crypto-user --token m.json
  cloudhsm-cli user change-mfa token-sign --username alice \\
    --role crypto-user --deregister --change-quorum")]
    TokenSign {
        /// Who
        #[command(flatten)]
        who: Who,
        /// The password from then on, which may be the old one; asked for twice when it is not given. On the command line
        /// others who use this machine can see it
        #[arg(long, value_name = "PASSWORD")]
        change_password: Option<SecretArgument>,
        /// What becomes of it
        #[command(flatten)]
        how: HowMfa,
        /// Change the key for approvals in the same way
        #[arg(long)]
        change_quorum: bool,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
}

/// MFA with a key, or none.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct HowMfa {
    /// Enable it, or change its key: the file to write
    #[arg(long, value_name = "FILE")]
    pub token: Option<PathBuf>,
    /// End it
    #[arg(long, alias = "disable")]
    pub deregister: bool,
}

/// `user change-quorum`.
#[derive(Debug, Subcommand)]
pub enum ChangeQuorum {
    /// With keys that sign tokens
    #[command(subcommand)]
    TokenSign(ChangeQuorumTokenSign),
}

/// `user change-quorum token-sign`.
#[derive(Debug, Subcommand)]
pub enum ChangeQuorumTokenSign {
    /// Register the public key with which one approves; for the user who is logged in
    #[command(
        alias = "activate",
        after_long_help = "\
The token comes from quorum token-sign generate --service registration, in the same login, with the base64 of its signature \
by the new key in `signed`. The key is RSA of 2048 bits, made outside the HSM.

  jq -r .tokens[0].unsigned r.json | base64 -d > r.bin
  openssl pkeyutl -sign -inkey bea.key -pkeyopt digest:sha256 \\
    -in r.bin | base64 -w0

Example:
  cloudhsm-cli user change-quorum token-sign register \\
    --public-key bea.pub.pem --signed-token r.json"
    )]
    Register {
        /// The public key, PEM
        #[arg(long, value_name = "FILE")]
        public_key: PathBuf,
        /// The registration token's file, signed
        #[arg(long, value_name = "FILE")]
        signed_token: PathBuf,
    },
}
