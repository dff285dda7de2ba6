//! Who may do what, when: one table.

use std::sync::Arc;

use strongroom_types::{ClusterState, QuorumService, Refusal, Role, Status};

use crate::logins::login_stands;
use crate::{Actor, Command, State, User};

/// Everything that can be asked of an HSM, or that an HSM does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Sets the first admin's password.
    Activate,
    /// Takes the cluster's CSR.
    ApplianceCsr,
    /// Installs the cluster's certificate.
    ApplianceInstallCertificate,
    /// Asks how the HSM is.
    ApplianceState,
    /// Binds a connection to a login.
    Attach,
    /// Makes a certificate.
    CertificateCreate,
    /// Deletes a certificate.
    CertificateDelete,
    /// Searches certificates.
    CertificateFind,
    /// Shows one certificate.
    CertificateGet,
    /// Says anew what a certificate is.
    CertificateSet,
    /// Asks for the cluster and its HSMs.
    ClusterInfo,
    /// Makes the cluster.
    CreateCluster,
    /// Decrypts.
    Decrypt,
    /// Encrypts.
    Encrypt,
    /// Takes a user who is gone off share lists.
    ForgetUser,
    /// Opens a connection.
    Hello,
    /// Makes another key of the same material.
    KeyCopy,
    /// Deletes a key.
    KeyDelete,
    /// Makes a secret key from another key.
    KeyDerive,
    /// Seals a key for a clone.
    KeyExport,
    /// Searches, lists and shows keys.
    KeyFind,
    /// Makes a pair.
    KeyGeneratePair,
    /// Makes a secret key.
    KeyGenerateSecret,
    /// Shows one key.
    KeyGet,
    /// Makes a key of one that others have.
    KeyImport,
    /// Gives the value of a secret key that is not sensitive.
    KeyReadValue,
    /// Takes a key from a clone.
    KeyReplicate,
    /// Changes an attribute of a key; admins `trusted` only.
    KeySetAttribute,
    /// Lets another crypto user use a key.
    KeyShare,
    /// Takes that back.
    KeyUnshare,
    /// Makes a key of what was wrapped.
    KeyUnwrap,
    /// Gives a key out, wrapped under another one.
    KeyWrap,
    /// Logs in.
    Login,
    /// Asks for a challenge to sign beside the password.
    LoginChallenge,
    /// Writes down how a try to log in went.
    LoginOutcome,
    /// Logs out.
    Logout,
    /// Makes the key that a cluster shares with its clones.
    MakeHistoryKey,
    /// Deregisters a trust anchor.
    MtlsDeregisterTrustAnchor,
    /// Asks who may connect.
    MtlsGetEnforcement,
    /// Lists the trust anchors.
    MtlsListTrustAnchors,
    /// Registers a trust anchor.
    MtlsRegisterTrustAnchor,
    /// Says who may connect; the user `admin` only.
    MtlsSetEnforcement,
    /// Asks for a challenge to enable MFA with.
    MfaChallenge,
    /// Sets for how long quorum tokens are good.
    QuorumSetTime,
    /// Sets how many admins must approve what.
    QuorumSetValue,
    /// Deletes quorum tokens; crypto users their own only.
    QuorumTokenDelete,
    /// Makes a quorum token.
    QuorumTokenGenerate,
    /// Lists quorum tokens.
    QuorumTokenList,
    /// Asks how many admins must approve what.
    QuorumValues,
    /// Draws random bytes.
    Random,
    /// Enters an HSM.
    RegisterHsm,
    /// Reserves uses of a key.
    ReserveUses,
    /// Signs.
    Sign,
    /// Enables or ends MFA; crypto users their own only.
    UserChangeMfa,
    /// Changes a password; crypto users their own only.
    UserChangePassword,
    /// Registers one's own key for approvals.
    UserChangeQuorum,
    /// Makes a user.
    UserCreate,
    /// Deletes a user.
    UserDelete,
    /// Seals a user for a clone.
    UserExport,
    /// Lists the users.
    UserList,
    /// Takes a user from a clone.
    UserReplicate,
    /// Verifies.
    Verify,
}

/// Who calls, as far as permissions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The HSM itself.
    Hsm,
    /// The control plane.
    Appliance,
    /// Without a login.
    Anonymous,
    /// A logged-in admin.
    Admin,
    /// A logged-in crypto user.
    CryptoUser,
}

impl Caller {
    /// All of them, in the order of the table's columns.
    pub const ALL: [Caller; 5] = [Caller::Hsm, Caller::Appliance, Caller::Anonymous, Caller::Admin, Caller::CryptoUser];
}

/// In which states of the cluster an operation is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before the cluster is made.
    Before,
    /// In this state.
    In(ClusterState),
    /// In every state.
    Made,
    /// Even before the cluster is made.
    Always,
}

/// One row: an operation, when it is possible, who may do it, and what must be approved for it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The operation.
    pub operation: Operation,
    /// When.
    pub when: When,
    /// Who.
    pub callers: &'static [Caller],
    /// The service whose quorum value says how many users must approve it; none for what one user decides alone.
    pub service: Option<QuorumService>,
    /// Of what needs no login: whether a login that is there counts all the same. Then it must stand, and be of a user who may.
    pub login_counts: bool,
}

const ACTIVE: When = When::In(ClusterState::Active);
const INITIALIZED: When = When::In(ClusterState::Initialized);
const UNINITIALIZED: When = When::In(ClusterState::Uninitialized);

const HSM: &[Caller] = &[Caller::Hsm];
const APPLIANCE: &[Caller] = &[Caller::Appliance];
const ADMIN: &[Caller] = &[Caller::Admin];
const CRYPTO_USER: &[Caller] = &[Caller::CryptoUser];
const CRYPTO_USER_OR_NOBODY: &[Caller] = &[Caller::Anonymous, Caller::CryptoUser];
const LOGGED_IN: &[Caller] = &[Caller::Admin, Caller::CryptoUser];
const CLIENTS: &[Caller] = &[Caller::Anonymous, Caller::Admin, Caller::CryptoUser];
const ANYBODY: &[Caller] = &[Caller::Appliance, Caller::Anonymous, Caller::Admin, Caller::CryptoUser];

const fn row(operation: Operation, when: When, callers: &'static [Caller]) -> Row {
    Row { operation, when, callers, service: None, login_counts: false }
}

impl Row {
    /// The row of an operation that needs approvals for this service.
    const fn by(self, service: QuorumService) -> Row {
        Row { service: Some(service), ..self }
    }

    /// The row of an operation that is another one's matter with a login than without.
    const fn as_user(self) -> Row {
        Row { login_counts: true, ..self }
    }
}

/// The permission table, in order of [`Operation`].
pub const TABLE: &[Row] = &[
    row(Operation::Activate, INITIALIZED, CLIENTS),
    row(Operation::ApplianceCsr, UNINITIALIZED, APPLIANCE),
    row(Operation::ApplianceInstallCertificate, UNINITIALIZED, APPLIANCE),
    row(Operation::ApplianceState, When::Always, APPLIANCE),
    row(Operation::Attach, ACTIVE, CLIENTS),
    row(Operation::CertificateCreate, ACTIVE, CRYPTO_USER_OR_NOBODY).as_user(),
    row(Operation::CertificateDelete, ACTIVE, CRYPTO_USER_OR_NOBODY).as_user(),
    row(Operation::CertificateFind, ACTIVE, CLIENTS).as_user(),
    row(Operation::CertificateGet, ACTIVE, CLIENTS).as_user(),
    row(Operation::CertificateSet, ACTIVE, CRYPTO_USER_OR_NOBODY).as_user(),
    row(Operation::ClusterInfo, When::Made, ANYBODY),
    row(Operation::CreateCluster, When::Before, HSM),
    row(Operation::Decrypt, ACTIVE, CRYPTO_USER).by(QuorumService::KeyUsage),
    row(Operation::Encrypt, ACTIVE, CRYPTO_USER).by(QuorumService::KeyUsage),
    row(Operation::ForgetUser, ACTIVE, HSM),
    row(Operation::Hello, When::Made, ANYBODY),
    row(Operation::KeyCopy, ACTIVE, CRYPTO_USER),
    row(Operation::KeyDelete, ACTIVE, CRYPTO_USER),
    row(Operation::KeyDerive, ACTIVE, CRYPTO_USER).by(QuorumService::KeyManagement),
    row(Operation::KeyExport, ACTIVE, LOGGED_IN),
    row(Operation::KeyFind, ACTIVE, LOGGED_IN),
    row(Operation::KeyGeneratePair, ACTIVE, CRYPTO_USER),
    row(Operation::KeyGenerateSecret, ACTIVE, CRYPTO_USER),
    row(Operation::KeyGet, ACTIVE, LOGGED_IN),
    row(Operation::KeyImport, ACTIVE, CRYPTO_USER),
    row(Operation::KeyReadValue, ACTIVE, CRYPTO_USER),
    row(Operation::KeyReplicate, ACTIVE, LOGGED_IN),
    row(Operation::KeySetAttribute, ACTIVE, LOGGED_IN).by(QuorumService::KeyManagement),
    row(Operation::KeyShare, ACTIVE, CRYPTO_USER).by(QuorumService::KeyManagement),
    row(Operation::KeyUnshare, ACTIVE, CRYPTO_USER).by(QuorumService::KeyManagement),
    row(Operation::KeyUnwrap, ACTIVE, CRYPTO_USER).by(QuorumService::KeyManagement),
    row(Operation::KeyWrap, ACTIVE, CRYPTO_USER).by(QuorumService::KeyManagement),
    row(Operation::Login, ACTIVE, CLIENTS),
    row(Operation::LoginChallenge, ACTIVE, CLIENTS),
    row(Operation::LoginOutcome, ACTIVE, HSM),
    row(Operation::Logout, ACTIVE, LOGGED_IN),
    row(Operation::MakeHistoryKey, When::Made, HSM),
    row(Operation::MtlsDeregisterTrustAnchor, ACTIVE, ADMIN).by(QuorumService::Cluster),
    row(Operation::MtlsGetEnforcement, ACTIVE, LOGGED_IN),
    row(Operation::MtlsListTrustAnchors, When::Made, CLIENTS),
    row(Operation::MtlsRegisterTrustAnchor, ACTIVE, ADMIN).by(QuorumService::Cluster),
    row(Operation::MtlsSetEnforcement, ACTIVE, ADMIN).by(QuorumService::Cluster),
    row(Operation::MfaChallenge, ACTIVE, LOGGED_IN),
    row(Operation::QuorumSetTime, ACTIVE, ADMIN).by(QuorumService::Quorum),
    row(Operation::QuorumSetValue, ACTIVE, ADMIN).by(QuorumService::Quorum),
    row(Operation::QuorumTokenDelete, ACTIVE, LOGGED_IN),
    row(Operation::QuorumTokenGenerate, ACTIVE, LOGGED_IN),
    row(Operation::QuorumTokenList, ACTIVE, CLIENTS),
    row(Operation::QuorumValues, ACTIVE, CLIENTS),
    row(Operation::Random, ACTIVE, CLIENTS),
    row(Operation::RegisterHsm, When::Made, HSM),
    row(Operation::ReserveUses, ACTIVE, HSM),
    row(Operation::Sign, ACTIVE, CRYPTO_USER).by(QuorumService::KeyUsage),
    row(Operation::UserChangeMfa, ACTIVE, LOGGED_IN).by(QuorumService::User),
    row(Operation::UserChangePassword, ACTIVE, LOGGED_IN).by(QuorumService::User),
    row(Operation::UserChangeQuorum, ACTIVE, LOGGED_IN),
    row(Operation::UserCreate, ACTIVE, ADMIN).by(QuorumService::User),
    row(Operation::UserDelete, ACTIVE, ADMIN).by(QuorumService::User),
    row(Operation::UserExport, ACTIVE, ADMIN),
    row(Operation::UserList, When::Made, ANYBODY),
    row(Operation::UserReplicate, ACTIVE, ADMIN).by(QuorumService::User),
    row(Operation::Verify, ACTIVE, CRYPTO_USER),
];

impl Command {
    /// The operation that the command is.
    pub fn operation(&self) -> Operation {
        match self {
            Command::CreateCluster { .. } => Operation::CreateCluster,
            Command::MakeHistoryKey => Operation::MakeHistoryKey,
            Command::RegisterHsm(_) => Operation::RegisterHsm,
            Command::InstallCertificate { .. } => Operation::ApplianceInstallCertificate,
            Command::Activate => Operation::Activate,
            Command::CreateUser { .. } => Operation::UserCreate,
            Command::DeleteUser { .. } => Operation::UserDelete,
            Command::ChangePassword { .. } => Operation::UserChangePassword,
            Command::ChangeMfa { .. } => Operation::UserChangeMfa,
            Command::RegisterQuorumKey { .. } => Operation::UserChangeQuorum,
            Command::GenerateQuorumToken(_) => Operation::QuorumTokenGenerate,
            Command::DeleteQuorumTokens { .. } => Operation::QuorumTokenDelete,
            Command::SetQuorumValue { .. } => Operation::QuorumSetValue,
            Command::SetTokenTime { .. } => Operation::QuorumSetTime,
            Command::UseApproved { operation, .. } => *operation,
            Command::LoginFailed { .. } | Command::LoginSucceeded { .. } | Command::LoginSigned { .. } => {
                Operation::LoginOutcome
            }
            Command::Logout => Operation::Logout,
            Command::GenerateSecret { .. } => Operation::KeyGenerateSecret,
            Command::GeneratePair { .. } => Operation::KeyGeneratePair,
            Command::ImportKey { .. } => Operation::KeyImport,
            Command::UnwrapKey { .. } => Operation::KeyUnwrap,
            Command::CopyKey { .. } => Operation::KeyCopy,
            Command::DeriveKey { .. } => Operation::KeyDerive,
            Command::DeleteKey(_) => Operation::KeyDelete,
            Command::ShareKey { .. } => Operation::KeyShare,
            Command::UnshareKey { .. } => Operation::KeyUnshare,
            Command::SetAttribute { .. } => Operation::KeySetAttribute,
            Command::RegisterTrustAnchor { .. } => Operation::MtlsRegisterTrustAnchor,
            Command::DeregisterTrustAnchor(_) => Operation::MtlsDeregisterTrustAnchor,
            Command::SetEnforcement(_) => Operation::MtlsSetEnforcement,
            Command::ReplicateKey { .. } => Operation::KeyReplicate,
            Command::ReplicateUser { .. } => Operation::UserReplicate,
            Command::ForgetUser(_) => Operation::ForgetUser,
            Command::CreateCertificate { .. } => Operation::CertificateCreate,
            Command::DeleteCertificate(_) => Operation::CertificateDelete,
            Command::SetCertificate { .. } => Operation::CertificateSet,
            Command::ReserveUses { .. } => Operation::ReserveUses,
        }
    }
}

/// The service whose approvals an operation needs.
pub fn service_of(operation: Operation) -> Option<QuorumService> {
    TABLE.get(operation as usize).and_then(|row| row.service)
}

/// Refuses what the table does not give, in the order of [`Status`]: the cluster's state, nobody logged in, a login
/// that has ended, the role. Answers the user when the operation needs a login.
///
/// Every operation passes here; those on keys and users have more rules of their own.
pub fn permit<'s>(
    state: &'s State,
    actor: &Actor,
    operation: Operation,
    now_ms: u64,
) -> Result<Option<&'s Arc<User>>, Refusal> {
    // Looked up by number: rows stand in the order of the enum, which a test holds.
    let row = TABLE.get(operation as usize).ok_or(Status::Internal)?;
    if !is_possible(state, row.when) {
        let now = state.cluster().map_or("not created", |cluster| cluster.state.as_str());
        return Err(Refusal::new(Status::WrongClusterState, now));
    }
    let gives = |caller: Caller| row.callers.contains(&caller);
    let (allowed, otherwise) = match actor {
        Actor::Hsm => (gives(Caller::Hsm), Status::RoleNotPermitted),
        Actor::Appliance => (gives(Caller::Appliance), Status::RoleNotPermitted),
        Actor::Anonymous => {
            let needs_login = gives(Caller::Admin) || gives(Caller::CryptoUser);
            let otherwise = if needs_login { Status::NotLoggedIn } else { Status::RoleNotPermitted };
            (gives(Caller::Anonymous), otherwise)
        }
        // Who needs no login needs none that stands.
        Actor::Login(_) if gives(Caller::Anonymous) && !row.login_counts => (true, Status::RoleNotPermitted),
        Actor::Login(login) => {
            let user = login_stands(state, login, now_ms)?;
            let allowed = match user.role {
                Role::Admin => gives(Caller::Admin),
                Role::CryptoUser => gives(Caller::CryptoUser),
                Role::UnactivatedAdmin | Role::ApplianceUser => false,
            };
            return if allowed { Ok(Some(user)) } else { Err(Status::RoleNotPermitted.into()) };
        }
    };
    if allowed { Ok(None) } else { Err(otherwise.into()) }
}

fn is_possible(state: &State, when: When) -> bool {
    match (when, state.cluster()) {
        (When::Always, _) | (When::Made, Some(_)) | (When::Before, None) => true,
        (When::In(wanted), Some(cluster)) => cluster.state == wanted,
        (When::Before, Some(_)) | (When::Made | When::In(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_operations() {
        for (at, row) in TABLE.iter().enumerate() {
            assert_eq!(row.operation as usize, at, "{:?}", row.operation);
        }
        assert_eq!(TABLE.len(), Operation::Verify as usize + 1);
    }
}
