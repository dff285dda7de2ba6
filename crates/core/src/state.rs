use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use strongroom_types::{
    CertificateReference, ChallengeId, CredentialId, HsmId, KeyClass, KeyReference, LoginId, RequestId, Revision, Role,
    TokenId, TrustAnchorReference, UserId, UserName,
};

use crate::aging::Aging;
use crate::head::cluster_time;
use crate::index::{KeyIndex, Term};
use crate::{
    Asker, Certificate, Cluster, EndedLogin, HistoryKey, Hsm, Key, QuorumToken, QuorumValues, Receipt, Rollback,
    SpentChallenge, TrustAnchor, User,
};

/// Everything a cluster is, at one revision. Cloning it costs a few pointers; two clones share what did not change.
///
/// It holds key material sealed only. Two members that applied the same batches, or loaded the same records, have
/// equal states. It changes through [`apply`](crate::apply()) alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub(crate) revision: Revision,
    pub(crate) time_ms: u64,
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) hsms: OrdMap<HsmId, Arc<Hsm>>,
    pub(crate) users: OrdMap<UserId, Arc<User>>,
    pub(crate) names: OrdMap<UserName, UserId>,
    pub(crate) keys: OrdMap<KeyReference, Arc<Key>>,
    pub(crate) index: KeyIndex,
    /// What each request id created. A pair has two entries.
    pub(crate) creations: OrdSet<(RequestId, Created)>,
    pub(crate) receipts: OrdMap<RequestId, Arc<Receipt>>,
    pub(crate) receipt_ages: Aging<Asker, RequestId>,
    pub(crate) ended_logins: OrdMap<LoginId, EndedLogin>,
    /// By the time until which they are kept, and by the user and the password that they rested on.
    pub(crate) ended_login_ages: Aging<(UserId, CredentialId), LoginId>,
    /// By the epoch that each began.
    pub(crate) rollbacks: OrdMap<u64, Arc<Rollback>>,
    pub(crate) trust_anchors: OrdMap<TrustAnchorReference, Arc<TrustAnchor>>,
    pub(crate) history_key: Option<Arc<HistoryKey>>,
    pub(crate) tokens: OrdMap<TokenId, Arc<QuorumToken>>,
    /// By the time of their end, and by whose they are.
    pub(crate) token_ages: Aging<UserId, TokenId>,
    pub(crate) quorum_values: Option<QuorumValues>,
    pub(crate) spent_challenges: OrdMap<ChallengeId, SpentChallenge>,
    pub(crate) certificates: OrdMap<CertificateReference, Arc<Certificate>>,
    pub(crate) spent_challenge_ages: Aging<(), ChallengeId>,
}

/// What carries the receipt of its own creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Created {
    User(UserId),
    Key(KeyReference),
    TrustAnchor(TrustAnchorReference),
    Certificate(CertificateReference),
}

impl State {
    /// The state of an empty store.
    pub fn empty() -> State {
        State::default()
    }

    /// The revision this state stands at.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The cluster's time when that revision was made, in milliseconds since 1970.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The cluster's time: the later of the caller's clock and that of the last batch.
    pub fn cluster_time(&self, clock_ms: u64) -> u64 {
        cluster_time(clock_ms, self.time_ms)
    }

    /// The cluster; none before it is made.
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }

    /// Every HSM, alive or not, in order of ids.
    pub fn hsms(&self) -> impl Iterator<Item = &Hsm> {
        self.hsms.values().map(Arc::as_ref)
    }

    /// One HSM.
    pub fn hsm(&self, id: &HsmId) -> Option<&Arc<Hsm>> {
        self.hsms.get(id)
    }

    /// Every user, in order of ids.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values().map(Arc::as_ref)
    }

    /// One user.
    pub fn user(&self, id: UserId) -> Option<&Arc<User>> {
        self.users.get(&id)
    }

    /// The user of a name, whatever the role.
    pub fn user_named(&self, name: &UserName) -> Option<&Arc<User>> {
        self.names.get(name).and_then(|id| self.users.get(id))
    }

    /// One key, whoever may see it. For use, ask [`authorize`](crate::authorize()).
    pub fn key(&self, reference: KeyReference) -> Option<&Arc<Key>> {
        self.keys.get(&reference)
    }

    /// Every key, in order of references.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.values()
    }

    /// How many keys the cluster holds.
    pub fn keys_len(&self) -> usize {
        self.keys.len()
    }

    /// How many of them are asymmetric; each half counts.
    pub fn asymmetric_keys_len(&self) -> usize {
        self.index.len(&Term::Class(KeyClass::PublicKey)) + self.index.len(&Term::Class(KeyClass::PrivateKey))
    }

    /// How many users the cluster holds, `app_user` not counted.
    pub fn users_len(&self) -> usize {
        self.users().filter(|user| user.role != Role::ApplianceUser).count()
    }

    /// How many keys a user owns.
    pub fn owned_keys_len(&self, user: UserId) -> usize {
        self.index.len(&Term::Owner(user))
    }

    /// Whether a login was ended before its ticket ran out.
    pub fn is_login_ended(&self, login: LoginId) -> bool {
        self.ended_logins.contains_key(&login)
    }

    /// The receipt kept for a request, if it is one with a record of its own.
    pub fn receipt(&self, request: RequestId) -> Option<&Arc<Receipt>> {
        self.receipts.get(&request)
    }

    /// Every rollback that was accepted, in the order of the epochs that they began.
    pub fn rollbacks(&self) -> impl Iterator<Item = &Rollback> {
        self.rollbacks.values().map(Arc::as_ref)
    }

    /// What the cluster shares with its clones; none of a cluster that was made before there were clones, until an HSM
    /// makes it one.
    pub fn history_key(&self) -> Option<&Arc<HistoryKey>> {
        self.history_key.as_ref()
    }

    /// One quorum token, whether it is still good or not; see [`list_tokens`](crate::list_tokens).
    pub fn quorum_token(&self, id: TokenId) -> Option<&Arc<QuorumToken>> {
        self.tokens.get(&id)
    }

    /// How many admins must approve what.
    pub fn quorum_values(&self) -> QuorumValues {
        self.quorum_values.unwrap_or_default()
    }

    /// Whether a challenge was used and has not run out.
    pub fn is_challenge_spent(&self, id: ChallengeId) -> bool {
        self.spent_challenges.contains_key(&id)
    }

    /// How many receipts with records of their own stand under a name.
    pub(crate) fn receipts_len_of(&self, asker: Asker) -> usize {
        self.receipt_ages.len_of(&asker)
    }

    /// What a request created and still exists.
    pub(crate) fn created_by(&self, request: RequestId) -> impl Iterator<Item = Created> + '_ {
        let first = Created::User(UserId::from_bytes([0; 16]));
        self.creations.range((request, first)..).take_while(move |(id, _)| *id == request).map(|(_, created)| *created)
    }
}
