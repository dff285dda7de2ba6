//! The command line, each option defined once; help is generated from here.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use strongroom_types::{ClusterMode, HsmType, Secret};

const EXAMPLES: &str = "\
Examples:
  strongroom up                            two HSMs in ./.strongroom, ready for clients
  strongroom up --hsms 3 --state ~/three   another cluster beside it
  strongroom up --output json              the same as one JSON object, for scripts
  strongroom status                        what runs, and how much it signed
  strongroom down                          stop it; nothing is lost

Exit codes:
  0  done
  1  a system call that does not fail on a sound machine; standard output
  2  the command line, or settings that differ from the cluster's
  3  the state folder
  4  an address is taken
  5  another `up` or `down` works on the folder, it did not end in time, or the cluster runs and should not
  6  a program of Strongroom is missing or did not start
  7  an HSM does not serve
  8  the cluster refused: certificate, activation, login or crypto user
  9  a rollback was not accepted: nothing to accept, another revision, a damaged store
  10 a clone was not made: the other cluster's folder or store, or what it is";

const UP_EXAMPLES: &str = "\
Examples:
  strongroom up
  strongroom up --state ./test --hsms 1 --crypto-user alice:correct-horse
  export CLOUDHSM_HOME=$(strongroom up --output json | jq -r .home)
  strongroom up --state ./copy --clone-of ./test

Running it again is safe: it completes what is missing, starts what is down, and prints the same. Type, mode, number \
of HSMs and passwords are settled when the cluster is made.

A clone begins with the users, passwords and keys that the other cluster has at that moment; afterwards nothing is copied \
by itself (`cloudhsm-cli key replicate` and `user replicate` do). It has ids, certificate and CA of its own.

A password on the command line can be seen by other users of this machine while the command runs; those that `up` \
makes itself are only in its output and in credentials.json, readable by you alone.";

const ACCEPT_ROLLBACK_HELP: &str = "\
Examples:
  strongroom accept-rollback                  what the store holds, what HSMs have seen, what would be lost
  strongroom accept-rollback --revision 300   begin a new epoch with the store, which is of revision 300

HSMs refuse a store that is older than what they have seen, and one whose anchors are lost: deleted keys, deleted users \
and old passwords would be back with it. Put the newest copy back if there is one. If there is none, this command takes \
the store as it is. The cluster must be down.";

/// Makes, starts and stops Strongroom clusters on this machine
#[derive(Debug, Parser)]
#[command(name = "strongroom", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make and start a cluster: HSMs, certificate, activation and one crypto user
    #[command(after_help = UP_EXAMPLES)]
    Up(Up),
    /// Tell what runs: the cluster's state and each HSM's
    Status(Status),
    /// Stop the cluster's HSMs and the process that watches them; nothing is deleted
    Down(Down),
    /// Watch the HSMs of a cluster in the foreground and restart those that die; `up` starts it by itself
    Serve(Serve),
    /// Accept a store that is older than what HSMs have seen: tell what that loses; with --revision, do it
    #[command(after_help = ACCEPT_ROLLBACK_HELP)]
    AcceptRollback(AcceptRollback),
}

/// Where the cluster's state is.
#[derive(Clone, Debug, Args)]
pub struct State {
    /// The folder that holds everything about the cluster
    #[arg(long = "state", value_name = "DIR", default_value = "./.strongroom")]
    pub folder: PathBuf,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// One JSON object on standard output
    Json,
}

/// `strongroom up`.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// The state folder.
    #[command(flatten)]
    pub state: State,
    /// Begin with the users and keys of another cluster, which may run meanwhile: its state folder
    #[arg(long, value_name = "DIR")]
    pub clone_of: Option<PathBuf>,
    /// Number of HSMs, 1 to 28 [default: 2; of a clone: as many as the other cluster has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=28))]
    pub hsms: Option<u8>,
    /// FIPS: approved algorithms only; NON_FIPS: all [default: FIPS; a clone has the other cluster's]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<ClusterMode>,
    /// hsm1.medium or hsm2m.medium; sets the cluster's limits [default: hsm2m.medium; of a clone: the other cluster's]
    #[arg(long, value_name = "TYPE")]
    pub hsm_type: Option<HsmType>,
    /// The admin's password, 8 to 32 characters [default: random]
    #[arg(long, value_name = "PASSWORD")]
    pub admin_password: Option<SecretArgument>,
    /// Name and password of the first crypto user [default: crypto_user and a random password]
    #[arg(long, value_name = "USER:PASSWORD")]
    pub crypto_user: Option<SecretArgument>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
    /// For tests: a member's lease, milliseconds
    #[arg(long, value_name = "MS", hide = true, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub lease_ms: Option<u64>,
    /// For tests: PBKDF2 iterations of a password
    #[arg(long, value_name = "N", hide = true, value_parser = clap::value_parser!(u32).range(1_000..))]
    pub password_iterations: Option<u32>,
}

/// `strongroom status`.
#[derive(Clone, Debug, Args)]
pub struct Status {
    /// The state folder.
    #[command(flatten)]
    pub state: State,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// `strongroom down`.
#[derive(Clone, Debug, Args)]
pub struct Down {
    /// The state folder.
    #[command(flatten)]
    pub state: State,
}

/// `strongroom serve`.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// The state folder.
    #[command(flatten)]
    pub state: State,
    /// Leave the terminal's session, as `up` starts it
    #[arg(long, hide = true)]
    pub detach: bool,
}

/// `strongroom accept-rollback`.
#[derive(Clone, Debug, Args)]
pub struct AcceptRollback {
    /// The state folder.
    #[command(flatten)]
    pub state: State,
    /// The revision of the store, as the command without this option tells it; accepts the store
    #[arg(long, value_name = "N")]
    pub revision: Option<u64>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// An argument that holds a secret. clap never judges it, because clap's messages repeat the value.
#[derive(Clone)]
pub struct SecretArgument(pub Secret);

impl FromStr for SecretArgument {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<SecretArgument, Infallible> {
        Ok(SecretArgument(Secret::from(text.as_bytes())))
    }
}

impl fmt::Debug for SecretArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretArgument")
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_is_accepted_and_what_is_not() {
        let check = |line: &str, accepted: bool| {
            let words = std::iter::once("strongroom").chain(line.split_whitespace());
            assert_eq!(Arguments::try_parse_from(words).is_ok(), accepted, "{line}");
        };
        check("up", true);
        check("up --hsms 1", true);
        check("up --hsms 28 --mode NON_FIPS --hsm-type hsm2m.medium --output json", true);
        check("up --state b --clone-of a", true);
        check("up --clone-of", false);
        check("up --hsms 0", false);
        check("up --hsms 29", false);
        check("up --hsms two", false);
        check("up --mode fips", false);
        check("up --hsm-type hsm3", false);
        check("up --output yaml", false);
        check("status --output json --state x", true);
        check("status --hsms 2", false);
        check("down --state x", true);
        check("serve", true);
        check("accept-rollback", true);
        check("accept-rollback --state x --revision 300 --output json", true);
        check("accept-rollback --revision last", false);
        check("accept-rollback --revision -1", false);
        check("restart", false);
        check("", false);
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let arguments = Arguments::try_parse_from([
            "strongroom",
            "up",
            "--admin-password",
            "hunter22",
            "--crypto-user",
            "a:hunter22",
        ]);
        assert!(!format!("{:?}", arguments.expect("valid arguments")).contains("hunter22"));
    }
}
