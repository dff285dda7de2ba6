use std::sync::Arc;

use crate::permissions::Operation;
use crate::{
    CertificateView, Credential, Hsm, Key, KeyView, Record, Replica, SessionKey, SpentChallenge, TokenView,
    TrustAnchor, User, UserView,
};
use strongroom_types::{
    AttributeName, AttributeValue, CertificateChange, CertificateFingerprint, CertificateReference,
    CertificateTemplate, CheckValue, ClusterId, ClusterMode, CredentialId, Curve, Derivation, HsmType, KeyClass,
    KeyQuorum, KeyReference, KeyType, MlDsaAlgorithm, MtlsEnforcement, PublicPart, QuorumService, QuorumSubject,
    RecordPath, Refusal, RequestId, Role, Template, TokenId, TokenKey, TrustAnchorReference, UserId, UserName,
    WrapMechanism,
};
use thiserror::Error;

/// A change asked for. Holds no password and no key in clear: they are hashed and sealed beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Makes the cluster, with its first admin (not activated) and `app_user`. Needs [`Made::Cluster`]. By the HSM.
    CreateCluster {
        /// Its id.
        id: ClusterId,
        /// FIPS policy; `hsm1.medium` has `FIPS` only.
        mode: ClusterMode,
        /// Type of its HSMs.
        hsm_type: HsmType,
        /// Counts the lives of the cluster; 1 for the first.
        epoch: u64,
        /// A member's lease in milliseconds.
        lease_ms: u32,
        /// PBKDF2 iterations of passwords set from now on.
        password_iterations: u32,
    },
    /// Gives a cluster the key that it shares with its clones, if it has none. Needs [`Made::HistoryKey`]. By the HSM.
    MakeHistoryKey,
    /// Enters an HSM, or changes its address. The same entry again writes nothing. Needs [`Made::Nothing`]. By the HSM.
    RegisterHsm(Hsm),
    /// Takes the certificate that the customer's CA issued for the cluster's CSR. The HSM has checked the certificate
    /// against both before. Needs [`Made::Nothing`]. By the appliance user.
    InstallCertificate {
        /// The cluster's certificate, PEM.
        certificate_pem: String,
        /// The customer CA, possibly a chain, PEM.
        trust_anchor_pem: String,
    },
    /// Sets the first admin's password; the cluster becomes ACTIVE. Needs [`Made::Password`]. Without a login.
    Activate,
    /// Makes a user. Needs [`Made::User`].
    CreateUser {
        /// Name, unique over all roles.
        name: UserName,
        /// Admin or crypto user.
        role: Role,
    },
    /// Deletes a user who owns no keys, and the user's certificates.
    DeleteUser {
        /// Name.
        name: UserName,
        /// Role.
        role: Role,
    },
    /// Sets a password, unlocks the user, ends the user's logins. Needs [`Made::Password`].
    ChangePassword {
        /// Name.
        name: UserName,
        /// Role.
        role: Role,
        /// Keys that the user loses.
        deregister: Deregister,
    },
    /// Enables or ends MFA, with a new password, as [`Command::ChangePassword`] does. Needs [`Made::Password`].
    ChangeMfa {
        /// Name.
        name: UserName,
        /// Role.
        role: Role,
        /// To what.
        change: MfaChange,
        /// Whether the key for approvals changes as well. It is registered in any case when the user has none.
        change_quorum: bool,
    },
    /// Registers the key with which the actor approves. The HSM has verified the signature of the token by it. Needs
    /// [`Made::Nothing`].
    RegisterQuorumKey {
        /// The key.
        key: TokenKey,
        /// A registration token of the actor's login.
        token: TokenId,
    },
    /// Makes a quorum token for the actor's login. Needs [`Made::Token`].
    GenerateQuorumToken(QuorumSubject),
    /// Deletes quorum tokens: the actor's, or by an admin everybody's. Needs [`Made::Nothing`].
    DeleteQuorumTokens {
        /// Everybody's.
        of_everybody: bool,
    },
    /// Sets how many admins must approve what a service holds. Needs [`Made::Nothing`].
    SetQuorumValue {
        /// user, quorum or cluster.
        service: QuorumService,
        /// 1 is off.
        value: u8,
    },
    /// Sets for how long new tokens are good. Needs [`Made::Nothing`].
    SetTokenTime {
        /// Which time.
        time: TokenTime,
        /// Seconds.
        seconds: u32,
    },
    /// Spends the tokens by which the actor may use keys, for what comes next under this request id. Needs
    /// [`Made::Nothing`].
    UseApproved {
        /// What the keys are used for.
        operation: Operation,
        /// The keys, each with the service that its users approve.
        keys: Vec<QuorumSubject>,
    },
    /// A wrong password was tried. Commit this before answering. By the HSM.
    LoginFailed {
        /// The user.
        user: UserId,
        /// The password that was tried against.
        credential: CredentialId,
    },
    /// The right password was given: forgets the wrong ones. By the HSM.
    LoginSucceeded {
        /// The user.
        user: UserId,
        /// The password that was tried against.
        credential: CredentialId,
    },
    /// The right password and a good signature of a challenge were given: forgets wrong ones, uses the challenge up. Commit
    /// this before answering. By the HSM.
    LoginSigned {
        /// The user.
        user: UserId,
        /// The password that was tried against.
        credential: CredentialId,
        /// The challenge.
        challenge: SpentChallenge,
    },
    /// Ends the actor's login on every member.
    Logout,
    /// Makes a secret key. Needs [`Made::Secret`].
    GenerateSecret {
        /// AES, 3DES or generic secret.
        key_type: KeyType,
        /// Length in bytes.
        length_bytes: u32,
        /// Attributes.
        template: Template,
        /// Crypto users who may use the key.
        share_with: Vec<UserName>,
        /// How many of its users must approve what is done with the key.
        quorum: KeyQuorum,
    },
    /// Makes a key pair. Needs [`Made::Pair`].
    GeneratePair {
        /// What pair.
        algorithm: PairAlgorithm,
        /// Attributes of the public key.
        public_template: Template,
        /// Attributes of the private key.
        private_template: Template,
        /// Crypto users who may use the private key.
        share_with: Vec<UserName>,
        /// How many of its users must approve what is done with the private key.
        quorum: KeyQuorum,
    },
    /// Makes a key of one that others have. Needs [`Made::Key`].
    ImportKey {
        /// The key.
        key: ImportedKey,
        /// Attributes.
        template: Template,
    },
    /// Makes a secret key from another key. Needs [`Made::Key`].
    DeriveKey {
        /// The other key.
        base: SourceKey,
        /// How.
        derivation: Derivation,
        /// Its type.
        key_type: KeyType,
        /// Length in bytes.
        length_bytes: u32,
        /// Attributes.
        template: Template,
    },
    /// Makes a key of what was wrapped. Needs [`Made::Key`].
    UnwrapKey {
        /// The key that unwraps it.
        with: SourceKey,
        /// How.
        mechanism: WrapMechanism,
        /// Bytes of what was wrapped.
        wrapped_len: usize,
        /// Secret or private.
        class: KeyClass,
        /// Its type.
        key_type: KeyType,
        /// Attributes.
        template: Template,
        /// Attributes that hold unless `template` or the unwrapping key's template names them.
        defaults: Template,
        /// Crypto users who may use the key.
        share_with: Vec<UserName>,
        /// How many of its users must approve what is done with the key.
        quorum: KeyQuorum,
    },
    /// Makes another key of the same material. Needs [`Made::Key`].
    CopyKey {
        /// The original.
        from: SourceKey,
        /// Attributes that differ from the original's.
        template: Template,
    },
    /// Deletes one key; the other half of a pair stays.
    DeleteKey(KeyReference),
    /// Lets a crypto user use a key of one's own. Needs [`Made::Nothing`].
    ShareKey {
        /// The key.
        key: KeyReference,
        /// The user's name.
        name: UserName,
        /// The user's role.
        role: Role,
    },
    /// Takes a crypto user off a key's share list. Needs [`Made::Nothing`].
    UnshareKey {
        /// The key.
        key: KeyReference,
        /// The user's name.
        name: UserName,
        /// The user's role.
        role: Role,
    },
    /// Registers a trust anchor of clients' certificates. The HSM has checked the chain before. Needs [`Made::Nothing`].
    RegisterTrustAnchor {
        /// The anchor, then those that vouch for it up to a root, PEM.
        chain_pem: String,
        /// Of the first certificate.
        fingerprint: CertificateFingerprint,
    },
    /// Deregisters one; connections with certificates under it are over. Needs [`Made::Nothing`].
    DeregisterTrustAnchor(TrustAnchorReference),
    /// Says who may connect. Needs [`Made::Nothing`].
    SetEnforcement(MtlsEnforcement),
    /// Changes one attribute of a key: by its owner, `trusted` by an admin. Needs [`Made::Nothing`].
    SetAttribute {
        /// The key.
        key: KeyReference,
        /// Which.
        attribute: AttributeName,
        /// What it shall be.
        value: AttributeValue,
    },
    /// Takes a key that a clone's HSM sealed for this cluster; its material is sealed for this cluster here. Needs
    /// [`Made::Nothing`].
    ReplicateKey {
        /// What was sealed with it.
        replica: Replica,
        /// The key.
        key: Box<Key>,
    },
    /// Takes a user that a clone's HSM sealed for this cluster. Needs [`Made::User`], with the user's id and password
    /// under a new credential id.
    ReplicateUser {
        /// What was sealed with it.
        replica: Replica,
        /// The user.
        user: Box<User>,
    },
    /// Takes a user who is gone off share lists, as many as a batch holds. Needs [`Made::Nothing`]. By the HSM.
    ForgetUser(UserId),
    /// Makes a certificate: the actor's, or nobody's without a login. Needs [`Made::Certificate`].
    CreateCertificate {
        /// What it is.
        template: Box<CertificateTemplate>,
        /// Whether it shall be trusted, which is refused.
        trusted: bool,
    },
    /// Deletes one. Needs [`Made::Nothing`].
    DeleteCertificate(CertificateReference),
    /// Says anew what one is. Needs [`Made::Nothing`].
    SetCertificate {
        /// Which.
        reference: CertificateReference,
        /// What is said.
        change: CertificateChange,
    },
    /// Reserves uses of a key by GCM for one HSM; the reply says how many. Needs [`Made::Nothing`]. By the HSM.
    ReserveUses {
        /// The key.
        key: KeyReference,
        /// How many are wanted.
        uses: u64,
    },
}

/// What a key is that is brought in, as far as it is known before its material is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportedKey {
    /// A public key; the HSM has checked beforehand that it is one at all.
    Public(PublicPart),
    /// A private key of this type.
    Private(KeyType),
    /// A secret key of this type, with so many bytes.
    Secret(KeyType, u32),
}

/// The key of which a new one is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKey {
    /// One of the store.
    Stored(KeyReference),
    /// One of the actor's login.
    OfSession(Box<SessionKey>),
}

/// Which keys a user loses with a new password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deregister {
    /// The one for MFA, which ends with it.
    pub mfa: bool,
    /// The one for approvals.
    pub quorum: bool,
}

impl Deregister {
    /// None.
    pub const NONE: Deregister = Deregister { mfa: false, quorum: false };
}

/// What becomes of a user's MFA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MfaChange {
    /// It is enabled with this key, which signed the challenge: the HSM has verified that.
    Enable {
        /// The key.
        key: TokenKey,
        /// The user for whom the challenge was made.
        user: UserId,
        /// The challenge, which this uses up.
        challenge: SpentChallenge,
    },
    /// It ends.
    Disable,
}

/// The two times of a quorum token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenTime {
    /// From being made to being approved.
    Generated,
    /// From then to being used.
    Approved,
}

/// Which pair to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairAlgorithm {
    /// RSA.
    Rsa {
        /// 2048 to 4096 in steps of 256.
        modulus_bits: u32,
        /// Big-endian, odd, at least 65537.
        public_exponent: Vec<u8>,
    },
    /// EC.
    Ec(Curve),
    /// ML-DSA.
    MlDsa(MlDsaAlgorithm),
}

/// What the HSM generated, hashed or sealed before planning, so that planning again costs microseconds. Ids are
/// random and drawn by the HSM; [`PlanError::DrawAgain`] says when one is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// The command needs nothing.
    Nothing,
    /// For [`Command::CreateCluster`].
    Cluster {
        /// The cluster's TLS key, sealed.
        sealed_tls_key: Arc<[u8]>,
        /// The request for its certificate, PKCS #10 DER.
        csr_der: Vec<u8>,
        /// Id of the first admin.
        admin: UserId,
        /// Id of `app_user`.
        appliance: UserId,
        /// The key that the cluster shares with its clones, sealed.
        sealed_history_key: Arc<[u8]>,
    },
    /// For [`Command::MakeHistoryKey`]: the key, sealed.
    HistoryKey(Arc<[u8]>),
    /// For [`Command::CreateUser`] and [`Command::ReplicateUser`].
    User {
        /// The new user's id.
        id: UserId,
        /// The hashed password.
        credential: Credential,
    },
    /// For [`Command::GenerateQuorumToken`].
    Token(TokenId),
    /// For [`Command::Activate`], [`Command::ChangePassword`] and [`Command::ChangeMfa`].
    Password(Credential),
    /// For [`Command::GenerateSecret`].
    Secret(MadeSecret),
    /// For [`Command::GeneratePair`].
    Pair(MadePair),
    /// For [`Command::ImportKey`], [`Command::UnwrapKey`], [`Command::DeriveKey`] and [`Command::CopyKey`].
    Key(MadeKey),
    /// For [`Command::CreateCertificate`].
    Certificate {
        /// Its reference.
        reference: CertificateReference,
        /// The first three bytes of its SHA-1.
        check_value: CheckValue,
    },
}

/// A key that came in, was derived, or is a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeKey {
    /// Its reference; the material is sealed for it.
    pub reference: KeyReference,
    /// The material, sealed; none of a public key.
    pub sealed: Option<Arc<[u8]>>,
    /// The public part; none of a secret key.
    pub public: Option<PublicPart>,
    /// Length in bytes as the command line tool counts it: of secret and private keys.
    pub length_bytes: u32,
    /// Whether the material shows that the key is weaker than its length.
    pub weak: bool,
    /// None for generic secrets.
    pub check_value: Option<CheckValue>,
}

/// A generated secret key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeSecret {
    /// Its reference; the material is sealed for it.
    pub reference: KeyReference,
    /// The material, sealed.
    pub sealed: Arc<[u8]>,
    /// None for generic secrets.
    pub check_value: Option<CheckValue>,
}

/// A generated pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadePair {
    /// Reference of the public key.
    pub public_reference: KeyReference,
    /// Reference of the private key; the material is sealed for it.
    pub private_reference: KeyReference,
    /// The public part, for both halves.
    pub public: PublicPart,
    /// The private key's PKCS #8 DER, sealed.
    pub sealed: Arc<[u8]>,
    /// Length in bytes of the private key as the command line tool counts it.
    pub private_length_bytes: u32,
    /// Check value, for both halves.
    pub check_value: CheckValue,
}

/// A digest of a command, by which a repeat is told from another command under the same id.
///
/// It covers the whole request, a password in it too, so it must be keyed (HMAC under a subkey of the cluster key):
/// an unkeyed digest in a record would be a fast hash of the password.
pub type CommandDigest = [u8; 32];

/// Over what a command came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// Nothing that certificates concern: the HSM asks itself, or the control plane does over its socket.
    #[default]
    Inside,
    /// A client's connection, with the trust anchor under which its certificate was good; none without a certificate.
    Client(Option<CertificateFingerprint>),
}

/// What comes beside a command: what makes it act once, who approved it, and over what it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Chosen by the client; drawn by the HSM for its own changes.
    pub id: RequestId,
    /// Digest of the command.
    pub digest: CommandDigest,
    /// Approvals whose signatures the HSM has verified. No part of the digest: a repeat may come with others.
    pub approvals: Vec<Approval>,
    /// Looked at again when the change is committed: what a connection asked for that has come to its end since is refused.
    pub via: Via,
}

impl Request {
    /// Without approvals, from inside.
    pub fn new(id: RequestId, digest: CommandDigest) -> Request {
        Request { id, digest, approvals: Vec::new(), via: Via::Inside }
    }
}

/// Approvals of one quorum token: facts that the HSM found, for the rules to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The token, as the approval data names it.
    pub token: TokenId,
    /// Whose signature of it verifies, with which key.
    pub approvers: Vec<Approver>,
}

/// A user whose signature verifies with this key, which was the user's when the HSM looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// The user.
    pub user: UserId,
    /// The key.
    pub key: TokenKey,
}

/// Which members must have applied a change before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A new key, user, HSM, a name put on a share list, uses of a key reserved, or a step of the cluster's life: acknowledged when committed.
    Granting,
    /// Everything else: acknowledged when every member has applied it or is gone.
    Revoking,
}

/// What a change answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done; nothing to tell.
    Done,
    /// The user made, changed or deleted.
    User {
        /// The user, after the change (before it, when deleted).
        user: UserView,
        /// Set when users change their own password: the new one's id. Every login of theirs has ended; the HSM
        /// answers with a ticket for the connection's login that rests on this credential, so that whoever made the
        /// change stays logged in.
        renewed: Option<CredentialId>,
    },
    /// The one key made.
    /// The quorum token made.
    Token(TokenView),
    /// The secret key made.
    Key(KeyView),
    /// The pair made.
    Pair {
        /// Public half.
        public: KeyView,
        /// Private half.
        private: KeyView,
    },
    /// The trust anchor registered.
    TrustAnchor(Arc<TrustAnchor>),
    /// The certificate made.
    Certificate(CertificateView),
    /// So many uses of a key are the asking HSM's.
    Uses(u64),
}

/// What to write for one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Records to write.
    pub puts: Vec<Record>,
    /// Records to remove.
    pub deletes: Vec<RecordPath>,
    /// The answer once the effect is reached.
    pub reply: Reply,
    /// When to answer.
    pub effect: Effect,
}

/// The answer of a change made before under the same request id. Wait for its effect again before answering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The answer.
    pub reply: Reply,
    /// When to answer.
    pub effect: Effect,
}

/// The outcome of planning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Write this.
    Change(Planned),
    /// Nothing to write: the state is already as asked.
    Nothing(Reply),
    /// The change was made before.
    Replayed(Replayed),
}

/// The outcome of checking a command before its expensive part.
#[expect(clippy::large_enum_variant, reason = "lives for one decision, never in numbers")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Make what the command needs, then plan.
    Proceed,
    /// The change was made before.
    Replayed(Replayed),
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The rules refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A random id of [`Made`] is taken: draw it again (and seal again for a new key reference).
    #[error("a randomly drawn id is taken; draw it again")]
    DrawAgain,
    /// The [`Draft`](crate::Draft) has no room for this change: commit it and plan again in a new one.
    #[error("the batch is full; plan again in the next one")]
    BatchFull,
}
