//! The command line, each option defined once; help is generated from here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  strongroom-hsm init-root-key --path root.key   make the root key of a new installation, once
  strongroom-hsm run --folder hsms/hsm-abc       be the HSM whose hsm.json is in that folder

Nobody needs to run these by hand: `strongroom up` makes the root key and the folders and keeps \
the HSMs running.";

const RUN_HELP: &str = "\
The folder holds hsm.json (docs/reference/hsm-json.md). The HSM writes hsm.log there, keeps its anchor there, and \
takes the control plane's requests on control.sock. It listens for clients as soon as the cluster has its \
certificate. SIGTERM or SIGINT stop it in order.

Exit codes:
  0  stopped as asked
  1  something else; hsm.log tells
  2  the command line, hsm.json, the root key's file, or who may use the store's files
  3  the address is in use
  4  the cluster's state is refused: damaged, gone, older than this HSM has seen, a newer program's, something else's, \
or sealed under another root key";

const ACCEPT_ROLLBACK_HELP: &str = "\
`strongroom accept-rollback` runs this with the folders of all HSMs. It prints one JSON object: what the store is, what \
the anchor of each HSM has seen, what keeps it from starting, and what was accepted.

Exit codes:
  0  looked at, or accepted
  1  something else
  2  the command line, hsm.json, the root key's file, or who may use the store's files
  4  the store is refused whatever HSMs have seen: damaged, gone, something else's, or sealed under another root key
  5  not accepted: there is nothing to accept, another revision was named, or the cluster is in use";

const CLONE_HELP: &str = "\
`strongroom up --clone-of` runs this before the first HSM of the new cluster starts. The origin may run meanwhile. Store and \
root key of the new cluster are made; the command again does what is missing. It prints one JSON object.

Exit codes:
  0  founded, now or before
  1  something else
  2  the command line, hsm.json, the root key's file, or who may use the stores' files
  4  a store is refused: damaged, older than its HSMs have seen, a newer program's, something else's, or sealed under \
another root key
  5  the origin cannot be cloned so: it is not active yet, or mode or type do not fit";

const ROOT_KEY_HELP: &str = "\
The file must not exist; it is made with mode 0600. Keep a copy where it is safe: without the root key no cluster of \
this installation can ever be opened again, and with it everyone can who has a cluster's store.";

/// One HSM of a Strongroom cluster
#[derive(Debug, Parser)]
#[command(name = "strongroom-hsm", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Be an HSM, until stopped
    #[command(after_help = RUN_HELP)]
    Run(Run),
    /// Make the root key of a new installation
    #[command(after_help = ROOT_KEY_HELP)]
    InitRootKey(InitRootKey),
    /// Look at a stopped cluster's store beside what its HSMs have seen; with --revision, accept it as it is
    #[command(after_help = ACCEPT_ROLLBACK_HELP)]
    AcceptRollback(AcceptRollback),
    /// Found a cluster as a clone: it begins with the users and keys of another one
    #[command(after_help = CLONE_HELP)]
    Clone(Clone),
}

/// What `run` takes.
#[derive(Debug, Args)]
pub struct Run {
    /// The HSM's folder, with hsm.json
    #[arg(long, value_name = "DIR")]
    pub folder: PathBuf,
}

/// What `accept-rollback` takes.
#[derive(Debug, Args)]
pub struct AcceptRollback {
    /// The folder of an HSM, once for every HSM of the cluster
    #[arg(long, value_name = "DIR", required = true)]
    pub folder: Vec<PathBuf>,
    /// The revision of the store, to accept it
    #[arg(long, value_name = "N")]
    pub revision: Option<u64>,
}

/// What `clone` takes.
#[derive(Debug, Args)]
pub struct Clone {
    /// The folder of an HSM of the cluster to begin with, once for every HSM of that cluster
    #[arg(long, value_name = "DIR", required = true)]
    pub origin_folder: Vec<PathBuf>,
    /// The folder of an HSM of the new cluster, with hsm.json
    #[arg(long, value_name = "DIR")]
    pub folder: PathBuf,
}

/// What `init-root-key` takes.
#[derive(Debug, Args)]
pub struct InitRootKey {
    /// Where to make it
    #[arg(long, value_name = "FILE")]
    pub path: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
