use std::collections::BTreeSet;
use std::sync::Arc;

use strongroom_types::{
    Attributes, Capacity, ClusterId, ClusterMode, ClusterState, CredentialId, HsmId, HsmType, KeyQuorum, KeyReference,
    LoginId, MtlsEnforcement, RecordKind, RecordPath, RequestId, Revision, Role, Secret, TokenId, TokenKey, UserId,
    UserName,
};

use super::certificate::Certificate;
use super::quorum::{QuorumToken, QuorumValues, SpentChallenge};
use super::rollback::Rollback;
use super::trust_anchor::TrustAnchor;
use crate::command::{CommandDigest, Effect};

/// One record of the state. The cluster key and the head are not among them: the first is opened by `crypto-keys`,
/// the second is [`Head`](crate::Head).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The cluster's life; one.
    Cluster(Cluster),
    /// One HSM.
    Hsm(Hsm),
    /// One user.
    User(User),
    /// One key.
    Key(Key),
    /// The outcome of one change.
    Receipt(Receipt),
    /// A login ended before its ticket ran out.
    EndedLogin(EndedLogin),
    /// An older store was accepted.
    Rollback(Rollback),
    /// A trust anchor of clients' certificates.
    TrustAnchor(TrustAnchor),
    /// What a cluster shares with its clones; one.
    HistoryKey(HistoryKey),
    /// What users may approve together.
    QuorumToken(QuorumToken),
    /// How many admins must approve what; one.
    QuorumValues(QuorumValues),
    /// A challenge that was used.
    SpentChallenge(SpentChallenge),
    /// A certificate that applications keep.
    Certificate(Certificate),
}

/// The cluster's life and settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Id.
    pub id: ClusterId,
    /// FIPS policy.
    pub mode: ClusterMode,
    /// Type of its HSMs.
    pub hsm_type: HsmType,
    /// Where it stands in its life.
    pub state: ClusterState,
    /// The private key of its certificate, sealed.
    pub sealed_tls_key: Arc<[u8]>,
    /// PKCS #10, DER.
    pub csr_der: Vec<u8>,
    /// Its certificate, PEM; empty while UNINITIALIZED.
    pub certificate_pem: String,
    /// The customer CA, possibly a chain, PEM; empty while UNINITIALIZED.
    pub trust_anchor_pem: String,
    /// Settings.
    pub settings: Settings,
    /// How much its type gave it when it was made; none in a record that is older than this field.
    pub capacity: Option<Capacity>,
    /// Counts the lives of the cluster, from 1; an accepted rollback begins the next.
    pub epoch: u64,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// Who may connect.
    pub mtls_enforcement: MtlsEnforcement,
    /// What it is a clone of; none of a cluster that began empty.
    pub origin: Option<Origin>,
}

/// The store that a clone began with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whose.
    pub cluster: ClusterId,
    /// In which of its lives.
    pub epoch: u64,
    /// At which revision.
    pub revision: Revision,
}

/// The key under which a cluster and its clones send each other keys and users, sealed for this cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryKey {
    /// 256 bits, sealed.
    pub sealed: Arc<[u8]>,
}

/// What an operator chose for the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A member's lease in milliseconds.
    pub lease_ms: u32,
    /// PBKDF2 iterations of passwords set from now on.
    pub password_iterations: u32,
}

/// One HSM of the cluster, alive or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hsm {
    /// Id.
    pub id: HsmId,
    /// IPv4 or IPv6 address in text form.
    pub ip: String,
    /// Port.
    pub port: u16,
    /// Availability zone.
    pub zone: String,
    /// Serial number.
    pub serial: String,
}

/// One user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Id, never given again.
    pub id: UserId,
    /// Name, unique over all roles.
    pub name: UserName,
    /// Role.
    pub role: Role,
    /// The password's hash; none for `app_user` and before activation.
    pub credential: Option<Credential>,
    /// Wrong passwords in a row.
    pub failures: u32,
    /// Whether the user is locked.
    pub lock: Lock,
    /// What the user signs challenges with beside the password; none without MFA.
    pub mfa_key: Option<TokenKey>,
    /// What the user signs quorum tokens with; none for who does not approve.
    pub quorum_key: Option<TokenKey>,
    /// How the user came to be; none for those made with the cluster.
    pub creation: Option<Creation>,
    /// Milliseconds since 1970.
    pub created_ms: u64,
}

/// Whether a user may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// May.
    Open,
    /// May not, until an admin sets a new password.
    Locked,
    /// May not before this time, in milliseconds since 1970.
    Until(u64),
}

/// A password as it is kept: PBKDF2-HMAC-SHA-512 (SP 800-132).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Id; logins rest on it.
    pub id: CredentialId,
    /// Salt.
    pub salt: [u8; 16],
    /// Iterations.
    pub iterations: u32,
    /// 64 bytes.
    pub hash: Secret,
}

/// The receipt of a creation, kept in what was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Creation {
    /// Who asked.
    pub asker: Asker,
    /// The request.
    pub request: RequestId,
    /// Digest of the command.
    pub digest: CommandDigest,
}

/// Under whose name a request id stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asker {
    /// An HSM.
    Hsm,
    /// The control plane.
    Appliance,
    /// Somebody without a login.
    Anonymous,
    /// A user.
    User(UserId),
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Reference, never given again.
    pub reference: KeyReference,
    /// Revision of the batch that wrote this record; not in the record's bytes.
    pub revision: Revision,
    /// Owner.
    pub owner: UserId,
    /// Crypto users who may use it. May hold users who are gone: ids are never given again, so such an entry grants
    /// nothing.
    pub shared: BTreeSet<UserId>,
    /// Attributes.
    pub attributes: Attributes,
    /// The material, sealed; none for public keys.
    pub sealed: Option<Arc<[u8]>>,
    /// Epoch of the cluster key under which the material is sealed.
    pub key_epoch: u64,
    /// How it came to be.
    pub creation: Creation,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// How many of its users must approve what is done with it; none for public keys.
    pub quorum: KeyQuorum,
    /// Uses by GCM that HSMs have reserved, whether they were made or not; at most
    /// [`KEY_USES_MAX`](strongroom_types::limits::KEY_USES_MAX).
    pub uses_reserved: u64,
}

/// The outcome of one change, kept for an hour so that a repeat acts once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Who asked.
    pub asker: Asker,
    /// The request.
    pub request: RequestId,
    /// Digest of the command.
    pub digest: CommandDigest,
    /// What came of it.
    pub outcome: Outcome,
    /// Which members must have applied it.
    pub effect: Effect,
    /// Milliseconds since 1970.
    pub time_ms: u64,
}

/// What a repeat is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// This user was changed or deleted.
    User {
        /// Name.
        name: UserName,
        /// Role.
        role: Role,
        /// The new password's id, when users changed their own.
        renewed: Option<CredentialId>,
    },
    /// The request made a key that was deleted since.
    KeyGone,
    /// The request made a user who was deleted since.
    UserGone,
    /// The request registered a trust anchor that was deregistered since.
    TrustAnchorGone,
    /// The request made this quorum token.
    Token(TokenId),
    /// The request made a certificate that was deleted since.
    CertificateGone,
}

/// A login ended before its ticket ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedLogin {
    /// The login.
    pub login: LoginId,
    /// Whose it was; when the user is gone, this record may go.
    pub user: UserId,
    /// The password it rested on; when the user has another, this record may go.
    pub credential: CredentialId,
    /// When its ticket runs out, in milliseconds since 1970; then this record may go.
    pub until_ms: u64,
}

impl Record {
    /// Where the record lies.
    pub fn path(&self) -> RecordPath {
        match self {
            Record::Cluster(_) => RecordPath::CLUSTER,
            Record::Hsm(hsm) => hsm.path(),
            Record::User(user) => User::path_of(user.id),
            Record::Key(key) => Key::path_of(key.reference),
            Record::Receipt(receipt) => Receipt::path_of(receipt.request),
            Record::EndedLogin(ended) => EndedLogin::path_of(ended.login),
            Record::Rollback(rollback) => rollback.path(),
            Record::TrustAnchor(anchor) => TrustAnchor::path_of(anchor.reference),
            Record::HistoryKey(_) => RecordPath::HISTORY_KEY,
            Record::QuorumToken(token) => QuorumToken::path_of(token.id),
            Record::QuorumValues(_) => RecordPath::QUORUM_VALUES,
            Record::SpentChallenge(spent) => SpentChallenge::path_of(spent.id),
            Record::Certificate(certificate) => Certificate::path_of(certificate.reference),
        }
    }
}

impl Cluster {
    /// How much it may hold.
    pub fn capacity(&self) -> Capacity {
        self.capacity.unwrap_or(self.hsm_type.capacity())
    }
}

impl Hsm {
    /// Where the record lies: the id's text without `hsm-`, padded with zeros to 16 bytes. It is random and at most
    /// 16 characters long.
    pub fn path(&self) -> RecordPath {
        let tail = self.id.as_str().bytes().skip("hsm-".len());
        let mut id = [0; 16];
        id.iter_mut().zip(tail).for_each(|(to, from)| *to = from);
        RecordPath { kind: RecordKind::Hsm, id }
    }
}

impl User {
    /// Where the record lies: the user's id.
    pub fn path_of(id: UserId) -> RecordPath {
        RecordPath { kind: RecordKind::User, id: *id.as_bytes() }
    }

    /// Whether the user may not log in now.
    pub fn is_locked(&self, now_ms: u64) -> bool {
        match self.lock {
            Lock::Open => false,
            Lock::Locked => true,
            Lock::Until(until_ms) => now_ms < until_ms,
        }
    }
}

impl Key {
    /// Where the record lies: eight zero bytes, then the reference, big-endian.
    pub fn path_of(reference: KeyReference) -> RecordPath {
        RecordPath { kind: RecordKind::Key, id: u128::from(reference.as_u64()).to_be_bytes() }
    }

    /// The reference in a path that [`Key::path_of`] made.
    pub fn reference_of(path: RecordPath) -> Option<KeyReference> {
        u64::try_from(u128::from_be_bytes(path.id)).ok().and_then(KeyReference::from_u64)
    }
}

impl Receipt {
    /// Where the record lies: the request id.
    pub fn path_of(request: RequestId) -> RecordPath {
        RecordPath { kind: RecordKind::Receipt, id: *request.as_bytes() }
    }
}

impl EndedLogin {
    /// Where the record lies: the login id.
    pub fn path_of(login: LoginId) -> RecordPath {
        RecordPath { kind: RecordKind::EndedLogin, id: *login.as_bytes() }
    }
}
