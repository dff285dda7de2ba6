//! A cluster's life: made by its first HSM, given its certificate by the control plane, activated by its customer.

use std::sync::Arc;

use strongroom_types::limits::{CA_CHAIN_LEN_MAX, HSMS_MAX};
use strongroom_types::{ClusterMode, ClusterState, HsmType, MtlsEnforcement, Refusal, Role, Status, UserId, UserName};

use crate::plan::{Asking, internal};
use crate::records::{Lock, Settings};
use crate::users::whole;
use crate::{Cluster, Command, Credential, Effect, HistoryKey, Hsm, Made, Plan, PlanError, Record, Reply, User};

/// Name of the first admin.
const ADMIN: &str = "admin";
/// Name of the cluster's own user.
const APPLIANCE: &str = "app_user";

pub(crate) fn check_create(command: &Command) -> Result<(), Refusal> {
    let Command::CreateCluster { mode, hsm_type, epoch, lease_ms, password_iterations, .. } = command else {
        return Err(internal("command"));
    };
    if (*mode, *hsm_type) == (ClusterMode::NonFips, HsmType::Hsm1Medium) {
        return Err(Refusal::new(Status::WrongClusterState, "hsm1.medium has FIPS mode only"));
    }
    if *epoch == 0 || *lease_ms == 0 || *password_iterations == 0 {
        return Err(Refusal::new(Status::MalformedRequest, "epoch, lease and iterations are at least 1"));
    }
    Ok(())
}

pub(crate) fn create(asking: &Asking<'_>, command: &Command, made: &Made) -> Result<Plan, PlanError> {
    let (
        Command::CreateCluster { id, mode, hsm_type, epoch, lease_ms, password_iterations },
        Made::Cluster { sealed_tls_key, csr_der, admin, appliance, sealed_history_key },
    ) = (command, made)
    else {
        return Err(internal("made").into());
    };
    if admin == appliance {
        return Err(PlanError::DrawAgain);
    }
    let cluster = Cluster {
        id: id.clone(),
        mode: *mode,
        hsm_type: *hsm_type,
        state: ClusterState::Uninitialized,
        sealed_tls_key: sealed_tls_key.clone(),
        csr_der: csr_der.clone(),
        certificate_pem: String::new(),
        trust_anchor_pem: String::new(),
        settings: Settings { lease_ms: *lease_ms, password_iterations: *password_iterations },
        capacity: Some(hsm_type.capacity()),
        epoch: *epoch,
        created_ms: asking.now_ms,
        mtls_enforcement: MtlsEnforcement::None,
        origin: None,
    };
    let history_key = Record::HistoryKey(HistoryKey { sealed: sealed_history_key.clone() });
    let users = [(*admin, ADMIN, Role::UnactivatedAdmin), (*appliance, APPLIANCE, Role::ApplianceUser)];
    let users = users.map(|(id, name, role)| Record::User(first_user(asking, id, name, role)));
    Ok(asking.done([Record::Cluster(cluster), history_key].into_iter().chain(users).collect(), Effect::Granting))
}

fn first_user(asking: &Asking<'_>, id: UserId, name: &str, role: Role) -> User {
    let name: UserName = name.parse().expect("the names of the first users keep the rules");
    let created_ms = asking.now_ms;
    let (mfa_key, quorum_key) = (None, None);
    User {
        id,
        name,
        role,
        credential: None,
        failures: 0,
        lock: Lock::Open,
        mfa_key,
        quorum_key,
        creation: None,
        created_ms,
    }
}

pub(crate) fn check_register(asking: &Asking<'_>, hsm: &Hsm) -> Result<(), Refusal> {
    hsm.check().map_err(|field| Refusal::new(Status::MalformedRequest, field))?;
    let state = asking.state;
    let others = || state.hsms().filter(|other| other.id != hsm.id);
    if others().any(|other| (&other.ip, other.port) == (&hsm.ip, hsm.port)) {
        return Err(Refusal::new(Status::WrongClusterState, "another HSM has this address"));
    }
    if others().count() >= HSMS_MAX {
        return Err(Refusal::new(Status::WrongClusterState, format!("the cluster has {HSMS_MAX} HSMs")));
    }
    Ok(())
}

pub(crate) fn register(asking: &Asking<'_>, hsm: &Hsm) -> Plan {
    let same = asking.state.hsm(&hsm.id).is_some_and(|known| known.as_ref() == hsm);
    if same { Plan::Nothing(Reply::Done) } else { asking.done(vec![Record::Hsm(hsm.clone())], Effect::Granting) }
}

pub(crate) fn check_install(certificate_pem: &str, trust_anchor_pem: &str) -> Result<(), Refusal> {
    for (pem, about) in [(certificate_pem, "certificate"), (trust_anchor_pem, "trust anchor")] {
        if pem.is_empty() || pem.len() > CA_CHAIN_LEN_MAX {
            return Err(Refusal::new(Status::CertificateInvalid, about));
        }
    }
    Ok(())
}

/// For a cluster of before there were history keys. One that has one keeps it: its clones have the same.
pub(crate) fn make_history_key(asking: &Asking<'_>, sealed: &Arc<[u8]>) -> Plan {
    if asking.state.history_key().is_some() {
        return Plan::Nothing(Reply::Done);
    }
    let key = Record::HistoryKey(HistoryKey { sealed: Arc::clone(sealed) });
    asking.done(vec![key], Effect::Granting)
}

/// A clone has its admins: it is active as soon as it has its certificate.
pub(crate) fn install(asking: &Asking<'_>, certificate_pem: &str, trust_anchor_pem: &str) -> Result<Plan, PlanError> {
    let cluster = asking.state.cluster().ok_or_else(|| internal("cluster"))?;
    let is_active = asking.state.users().any(|user| user.role == Role::Admin);
    let cluster = Cluster {
        state: if is_active { ClusterState::Active } else { ClusterState::Initialized },
        certificate_pem: certificate_pem.to_owned(),
        trust_anchor_pem: trust_anchor_pem.to_owned(),
        ..Cluster::clone(cluster)
    };
    Ok(asking.done(vec![Record::Cluster(cluster)], Effect::Granting))
}

pub(crate) fn activate(asking: &Asking<'_>, credential: &Credential) -> Result<Plan, PlanError> {
    let state = asking.state;
    let cluster = state.cluster().ok_or_else(|| internal("cluster"))?;
    let admin = state.users().find(|user| user.role == Role::UnactivatedAdmin).ok_or_else(|| internal("admin"))?;
    let admin = User { role: Role::Admin, credential: Some(whole(credential)?.clone()), ..admin.clone() };
    let cluster = Cluster { state: ClusterState::Active, ..Cluster::clone(cluster) };
    Ok(asking.done(vec![Record::Cluster(cluster), Record::User(admin)], Effect::Granting))
}
