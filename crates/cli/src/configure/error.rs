//! What can go wrong for a user of the tools. Every text names the cause and the fix.

use std::io;
use std::path::PathBuf;

use strongroom_client::ConfigError;
use strongroom_types::ClusterId;
use thiserror::Error;

/// The closed list.
#[derive(Debug, Error)]
pub enum ConfigureError {
    /// A cluster that is to be added is there.
    #[error(
        "{} names {id} already; to point it to other HSMs, remove it first: {program} remove-cluster --cluster-id {id}",
        path.display()
    )]
    AlreadyThere {
        /// The file.
        path: PathBuf,
        /// The tool.
        program: String,
        /// The cluster.
        id: ClusterId,
    },
    /// The file is no configuration, or cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// One of the clusters would have no name to choose it by.
    #[error(
        "the cluster in {} has no id, and of several each needs one; give it its own first: {program} -a ADDRESS \
         --cluster-id ITS_ID",
        path.display()
    )]
    Nameless {
        /// The file.
        path: PathBuf,
        /// The tool.
        program: String,
    },
    /// Addresses are to be asked for, and there is nobody who answers.
    #[error(
        "no control plane can be asked yet for the addresses of {id}; name one of its HSMs, which tells the others: \
         {program} {command}-a ADDRESS --cluster-id {id}"
    )]
    NoControlPlane {
        /// The tool.
        program: String,
        /// `add-cluster `, or nothing.
        command: &'static str,
        /// The cluster.
        id: ClusterId,
    },
    /// There is nothing that clients are installed in.
    #[error(
        "there is no folder {}; set CLOUDHSM_HOME to the client folder that `strongroom up` names, or make the folder",
        home.display()
    )]
    NoHome {
        /// Where it would be.
        home: PathBuf,
    },
    /// A cluster that is to be removed is not there.
    #[error("{} does not name {id}; it names {found}", path.display())]
    NotThere {
        /// The file.
        path: PathBuf,
        /// The cluster.
        id: ClusterId,
        /// What it names.
        found: String,
    },
    /// Which of several clusters is meant is not said.
    #[error("{program} changes a configuration of one cluster, and {} names {found}; {fix}", path.display())]
    SeveralClusters {
        /// The file.
        path: PathBuf,
        /// The tool.
        program: String,
        /// What it names.
        found: String,
        /// What to do.
        fix: &'static str,
    },
    /// The file would be longer than clients read.
    #[error("{} would be longer than clients read; remove clusters or addresses", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file, or its folder, cannot be written.
    #[error("cannot write {}: {source}{}", path.display(), rights(source))]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn rights(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; run it with sudo, or as the file's owner",
        _ => "",
    }
}
