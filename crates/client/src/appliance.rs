//! One HSM, as the control plane of its host speaks to it.

use std::path::{Path, PathBuf};

use crate::answers::ApplianceState;
use crate::error::{Attempt, Cause, ClientError, ConnectError};

/// One HSM at its Unix socket. Each call opens a connection of its own, once.
#[derive(Clone, Debug)]
pub struct Appliance {
    socket: PathBuf,
}

impl Appliance {
    /// The HSM that listens at this socket. Says nothing to it yet.
    pub fn new(socket: &Path) -> Appliance {
        Appliance { socket: socket.into() }
    }

    /// What the HSM says of itself.
    pub fn state(&self) -> Result<ApplianceState, ClientError> {
        self.nobody()
    }

    /// The cluster's certificate request, PEM.
    pub fn csr(&self) -> Result<String, ClientError> {
        self.nobody()
    }

    /// Gives the cluster its certificate, and the customer's CA that issued it.
    pub fn install_certificate(&self, _certificate_pem: &str, _trust_anchor_pem: &str) -> Result<(), ClientError> {
        self.nobody()
    }

    fn nobody<T>(&self) -> Result<T, ClientError> {
        let cause = Cause::Connect(ConnectError::Silent(0));
        Err(ClientError::Unavailable { tried: vec![Attempt { address: self.socket.display().to_string(), cause }] })
    }
}
