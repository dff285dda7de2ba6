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
}

/// What `run` takes.
#[derive(Debug, Args)]
pub struct Run {
    /// The HSM's folder, with hsm.json
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
