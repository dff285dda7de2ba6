//! From HSMs that run to a cluster that serves: certificate, activation, crypto user.
//!
//! Each step may have been done by an `up` that was cut short, even while its answer was on the way. So a refusal that
//! says that the step was done before is taken for success, and what the cluster has then is compared with what it
//! should have.

use std::net::IpAddr;
use std::time::Duration;

use strongroom_client::{
    Appliance, ApplianceState, Client, ClientError, ClientName, ClusterConfig, Server, Setting, Settings,
};
use strongroom_crypto::certificates::{CertificateRequest, CustomerCa};
use strongroom_types::{ClusterState, Family, Role, Secret, Status};

use crate::clock;
use crate::error::{ExpectedError, HsmError, ProvisionError, StateError};
use crate::make::{self, CA_CERTIFICATE, CA_KEY};
use crate::state::{ClusterFile, Credentials, HsmEntry, Login, StateFolder, read_bounded};
use crate::supervise::CONTROL_SOCKET;
use crate::watch::Deadline;

/// How long a step is repeated while the HSM says that it cannot take it yet.
const STEP_PATIENCE: Duration = Duration::from_secs(15);

/// What an HSM says about itself and its cluster.
#[derive(Clone, Debug)]
pub(crate) struct HsmState {
    pub(crate) cluster_state: ClusterState,
    /// Whether it answers clients.
    pub(crate) serving: bool,
    pub(crate) reason: String,
    pub(crate) applied_revision: u64,
    pub(crate) signatures: u64,
    pub(crate) connections: u32,
}

impl HsmState {
    /// Why the HSM is not as it should be, for a person.
    pub(crate) fn why(&self) -> String {
        match (self.serving, self.reason.is_empty()) {
            (false, false) => self.reason.clone(),
            (false, true) => "it is not serving".to_owned(),
            (true, _) => format!("the cluster is {} to it", self.cluster_state),
        }
    }
}

/// What the HSM says, or none while nothing answers at its socket.
pub(crate) fn state(folder: &StateFolder, hsm: &HsmEntry) -> Result<Option<HsmState>, ExpectedError> {
    let said = match appliance(folder, hsm).state() {
        Ok(said) => said,
        Err(ClientError::Unavailable { .. }) => return Ok(None),
        Err(source) => {
            return Err(HsmError::Appliance { hsm: hsm.hsm_id.clone(), action: "tell its state", source }.into());
        }
    };
    let ApplianceState { hsm_id, cluster_state, serving, reason, applied_revision, signatures, connections, .. } = said;
    if hsm_id != hsm.hsm_id {
        let socket = folder.hsm(&hsm.hsm_id).join(CONTROL_SOCKET);
        return Err(HsmError::Another { hsm: hsm.hsm_id.clone(), found: hsm_id.to_string(), socket }.into());
    }
    let applied_revision = applied_revision.0;
    Ok(Some(HsmState { cluster_state, serving, reason, applied_revision, signatures, connections }))
}

fn appliance(folder: &StateFolder, hsm: &HsmEntry) -> Appliance {
    Appliance::new(&folder.hsm(&hsm.hsm_id).join(CONTROL_SOCKET))
}

/// Signs the cluster's request with the customer CA and hands the certificate to the cluster through `hsm`.
pub(crate) fn install_certificate(folder: &StateFolder, hsm: &HsmEntry) -> Result<(), ExpectedError> {
    let appliance = appliance(folder, hsm);
    let failed = |action| move |source| HsmError::Appliance { hsm: hsm.hsm_id.clone(), action, source };
    let Some(request) = step(|| appliance.csr()).map_err(failed("give the cluster's certificate request"))? else {
        return Ok(());
    };
    let request = CertificateRequest::from_pem(request.as_bytes())
        .map_err(|source| ProvisionError::Request { hsm: hsm.hsm_id.clone(), source })?;
    let certificate = customer_ca(folder)?.issue(&request, clock::now_s()).to_pem();
    let anchor_path = folder.ca().join(CA_CERTIFICATE);
    let anchor = String::from_utf8(make::customer_ca_pem(folder)?)
        .map_err(|_| StateError::Contradiction { path: anchor_path, what: "it is not text" })?;
    step(|| appliance.install_certificate(&certificate, &anchor)).map_err(failed("take the cluster's certificate"))?;
    Ok(())
}

fn customer_ca(folder: &StateFolder) -> Result<CustomerCa, ExpectedError> {
    let path = folder.ca();
    let file = |name: &str| {
        let path = path.join(name);
        read_bounded(&path)?.ok_or(StateError::Missing { path })
    };
    let (certificate, key) = (file(CA_CERTIFICATE)?, file(CA_KEY)?);
    let read = CustomerCa::from_pem(&certificate, &Secret::from(key.as_slice()));
    Ok(read.map_err(|source| ProvisionError::CustomerCa { path, source })?)
}

/// Activates the cluster unless it is `active`, and makes the crypto user unless it is there.
pub(crate) fn make_users(
    folder: &StateFolder,
    cluster: &ClusterFile,
    credentials: &Credentials,
    active: bool,
) -> Result<(), ExpectedError> {
    let (admin, crypto_user) = (&credentials.admin, &credentials.crypto_user);
    let client = open(folder, cluster)?;
    if !active {
        step(|| client.activate(&admin.password))
            .map_err(|source| ProvisionError::Client { action: "set the first admin's password", source })?;
    }
    log_in(folder, &client, admin, Role::Admin)?;
    let made = client.user_create(&crypto_user.name, Role::CryptoUser, &crypto_user.password);
    let there_before = match made {
        Ok(_) => false,
        Err(ClientError::Refused(refusal)) if refusal.status == Status::UserExists => true,
        Err(source) => return Err(ProvisionError::Client { action: "make the crypto user", source }.into()),
    };
    log_out(&client)?;
    if there_before {
        // An earlier `up` made the user, or somebody else did with another password: then `up` must not print ours.
        let client = open(folder, cluster)?;
        log_in(folder, &client, crypto_user, Role::CryptoUser)?;
        log_out(&client)?;
    }
    Ok(())
}

fn open(folder: &StateFolder, cluster: &ClusterFile) -> Result<Client, ExpectedError> {
    let server = |hsm: &HsmEntry| Server { address: IpAddr::V4(hsm.ip).to_string(), port: hsm.port };
    let config = ClusterConfig {
        cluster_id: Some(cluster.cluster_id.clone()),
        ca_path: Some(folder.ca().join(CA_CERTIFICATE)),
        settings: Settings::default().with(Setting::KeyAvailabilityCheck, false),
        ..ClusterConfig::new(cluster.hsms.iter().map(server).collect(), make::customer_ca_pem(folder)?)
    };
    let client = Client::open(config, ClientName::new("strongroom"));
    Ok(client.map_err(|source| ProvisionError::Configuration { source })?)
}

fn log_in(folder: &StateFolder, client: &Client, login: &Login, role: Role) -> Result<(), ExpectedError> {
    match client.login(&login.name, role, &login.password) {
        Ok(_) => Ok(()),
        Err(source @ ClientError::Refused(_)) => {
            let (path, name) = (folder.credentials_file(), login.name.clone());
            Err(ProvisionError::Password { name, role, path, source }.into())
        }
        Err(source) => Err(ProvisionError::Client { action: "take a login", source }.into()),
    }
}

fn log_out(client: &Client) -> Result<(), ExpectedError> {
    Ok(client.logout().map_err(|source| ProvisionError::Client { action: "take a logout", source })?)
}

/// Does a step of the cluster's life, again and again while it is too early for it; none if it was done before.
fn step<T>(mut ask: impl FnMut() -> Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    let deadline = Deadline::after(STEP_PATIENCE);
    loop {
        match ask() {
            Ok(answer) => return Ok(Some(answer)),
            Err(ClientError::Refused(refusal)) if refusal.status == Status::WrongClusterState => return Ok(None),
            Err(error) => {
                let passing = match &error {
                    ClientError::Refused(refusal) => refusal.status.family() == Family::Unavailable,
                    ClientError::Unavailable { .. } => true,
                    _ => false,
                };
                if !passing || !deadline.pause() {
                    return Err(error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::Refusal;

    use super::*;

    fn refused(status: Status) -> ClientError {
        ClientError::Refused(Refusal::from(status))
    }

    #[test]
    fn a_step_that_was_done_before_is_done() {
        assert_eq!(step(|| Ok(7)).expect("done"), Some(7));
        assert_eq!(step::<()>(|| Err(refused(Status::WrongClusterState))).expect("done before"), None);
    }

    #[test]
    fn a_step_that_comes_too_early_is_repeated() {
        let mut answers = vec![Ok(7), Err(refused(Status::Busy)), Err(refused(Status::NotServing))];
        assert_eq!(step(|| answers.pop().expect("not asked again")).expect("done"), Some(7));
    }

    #[test]
    fn a_step_that_is_refused_is_not_repeated() {
        let mut asked = 0;
        let refusal = step::<()>(|| {
            asked += 1;
            Err(refused(Status::CertificateInvalid))
        });
        assert!(matches!(refusal, Err(ClientError::Refused(refusal)) if refusal.status == Status::CertificateInvalid));
        assert_eq!(asked, 1);
    }
}
