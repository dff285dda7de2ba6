use clap::Subcommand;

use super::{Between, Who};
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
    },
    /// Delete a user who owns no keys (admins)
    #[command(after_long_help = "Example:\n  cloudhsm-cli user delete --username alice --role crypto-user")]
    Delete {
        /// Who
        #[command(flatten)]
        who: Who,
    },
    /// List the users. Needs no login
    #[command(after_long_help = "Example:\n  cloudhsm-cli user list")]
    List,
    /// Copy a user to a clone of the cluster, with the password (admins of both)
    #[command(after_long_help = "\
Clones are clusters of one origin (strongroom up --clone-of). The user keeps name, role, password, MFA and quorum key, \
and whether they are locked. A user who is there already and is the same is left as they are; one who differs is refused.

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
    },
}
