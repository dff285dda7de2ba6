use clap::Subcommand;

use super::Who;
use crate::prompt::SecretArgument;

/// `user`.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Make a user (admins)
    Create {
        /// Who
        #[command(flatten)]
        who: Who,
        /// The password, 8 to 32 characters; asked for when it is not given
        #[arg(long)]
        password: Option<SecretArgument>,
    },
    /// Delete a user who owns no keys (admins)
    Delete {
        /// Who
        #[command(flatten)]
        who: Who,
    },
    /// List the users. Needs no login
    List,
    /// Set a user's password, unlock the user, end the user's logins (admins anyone's, crypto users their own)
    ChangePassword {
        /// Who
        #[command(flatten)]
        who: Who,
        /// The new password, 8 to 32 characters; asked for when it is not given
        #[arg(long)]
        password: Option<SecretArgument>,
    },
}
