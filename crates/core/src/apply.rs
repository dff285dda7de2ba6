use std::collections::BTreeSet;
use std::sync::Arc;

use strongroom_types::{
    CertificateReference, ChallengeId, KeyReference, LoginId, RecordKind, RecordPath, RequestId, Revision, Role,
    TokenId, TrustAnchorReference, UserId, UserName,
};
use thiserror::Error;

use crate::state::Created;
use crate::{
    Certificate, Cluster, Creation, EndedLogin, Hsm, Key, QuorumToken, Receipt, Record, Rollback, SpentChallenge,
    State, TrustAnchor, User,
};

/// Records that change together: one commit, several commits in one step, or a whole store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The revision at which the state stands afterwards.
    pub revision: Revision,
    /// The cluster's time in that revision's head.
    pub time_ms: u64,
    /// Records written, at most one a path; their order does not matter.
    pub puts: Vec<Record>,
    /// Records removed. Paths that are not there are none too many: a member that catches up may hear of the end of
    /// what it never saw.
    pub deletes: Vec<RecordPath>,
}

/// Records that cannot stand together: the store is damaged, or a member is wrong. The state is left as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CorruptState {
    /// A batch of the past, or the same one again.
    #[error("revision {batch} cannot follow revision {state}")]
    Order {
        /// Where the state stands.
        state: Revision,
        /// The batch's.
        batch: Revision,
    },
    /// A path is written twice, or written and removed.
    #[error("the record {0} occurs twice in one batch")]
    Twice(RecordPath),
    /// A record that never ends was removed.
    #[error("the record {0} may not be removed")]
    Lasting(RecordPath),
    /// There are records but no cluster.
    #[error("there are records but no record of the cluster")]
    NoCluster,
    /// Two users of one name.
    #[error("two users are named {0}")]
    Name(UserName),
    /// A key whose owner is no crypto user of this cluster.
    #[error("the owner of key {0} is not a crypto user of the cluster")]
    Owner(KeyReference),
    /// A certificate whose owner is no crypto user of this cluster.
    #[error("the owner of certificate {0} is not a crypto user of the cluster")]
    CertificateOwner(CertificateReference),
    /// A user went while owning keys or certificates.
    #[error("user {0} is gone but owns keys or certificates")]
    OwnerGone(UserId),
    /// Two trust anchors of one certificate.
    #[error("the trust anchor {0} is registered twice")]
    TrustAnchor(TrustAnchorReference),
    /// A key of a revision outside the batch.
    #[error("key {reference} has revision {revision}, which is not of this batch")]
    KeyRevision {
        /// The key.
        reference: KeyReference,
        /// Its revision.
        revision: Revision,
    },
}

/// Changes the state by one batch; the only way it changes, on every member alike. All or nothing.
pub fn apply(state: &mut State, batch: &Batch) -> Result<(), CorruptState> {
    if batch.revision <= state.revision {
        let nothing = batch.revision == state.revision && batch.puts.is_empty() && batch.deletes.is_empty();
        let order = CorruptState::Order { state: state.revision, batch: batch.revision };
        return if nothing { Ok(()) } else { Err(order) };
    }
    check_keys_revisions(state, batch)?;
    let mut next = state.clone();
    change(&mut next, &batch.puts, &batch.deletes)?;
    next.revision = batch.revision;
    next.time_ms = state.cluster_time(batch.time_ms);
    *state = next;
    Ok(())
}

fn check_keys_revisions(state: &State, batch: &Batch) -> Result<(), CorruptState> {
    let wrong = |key: &&Key| key.revision <= state.revision || key.revision > batch.revision;
    let mut keys = batch.puts.iter().filter_map(|record| if let Record::Key(key) = record { Some(key) } else { None });
    match keys.find(wrong) {
        Some(key) => Err(CorruptState::KeyRevision { reference: key.reference, revision: key.revision }),
        None => Ok(()),
    }
}

/// Changes records without changing the revision; a [`Draft`](crate::Draft) sees its own plans through it.
pub(crate) fn change(state: &mut State, puts: &[Record], deletes: &[RecordPath]) -> Result<(), CorruptState> {
    let mut paths = BTreeSet::new();
    for path in deletes.iter().copied().chain(puts.iter().map(Record::path)) {
        if !paths.insert(path) {
            return Err(CorruptState::Twice(path));
        }
    }
    // Removals come first, so that a name may go from one user to another in one step.
    deletes.iter().try_for_each(|path| state.remove(*path))?;
    puts.iter().try_for_each(|record| state.put(record))?;
    check_together(state, puts, deletes)
}

/// What must hold between records, once all of them are in.
fn check_together(state: &State, puts: &[Record], deletes: &[RecordPath]) -> Result<(), CorruptState> {
    if state.cluster.is_none() && !(state.users.is_empty() && state.keys.is_empty() && state.hsms.is_empty()) {
        return Err(CorruptState::NoCluster);
    }
    let is_crypto_user = |id: UserId| state.user(id).is_some_and(|user| user.role == Role::CryptoUser);
    for record in puts {
        if let Record::Key(key) = record
            && !is_crypto_user(key.owner)
        {
            return Err(CorruptState::Owner(key.reference));
        }
        if let Record::Certificate(certificate) = record
            && !certificate.owner.is_none_or(is_crypto_user)
        {
            return Err(CorruptState::CertificateOwner(certificate.reference));
        }
        if let Record::TrustAnchor(anchor) = record
            && state
                .trust_anchors()
                .any(|other| other.fingerprint == anchor.fingerprint && other.reference != anchor.reference)
        {
            return Err(CorruptState::TrustAnchor(anchor.reference));
        }
    }
    for path in deletes.iter().filter(|path| path.kind == RecordKind::User) {
        let user = UserId::from_bytes(path.id);
        if state.owned_keys_len(user) > 0 || state.certificates_of(Some(user)).next().is_some() {
            return Err(CorruptState::OwnerGone(user));
        }
    }
    Ok(())
}

impl State {
    fn put(&mut self, record: &Record) -> Result<(), CorruptState> {
        match record {
            Record::Cluster(cluster) => self.put_cluster(cluster),
            Record::Hsm(hsm) => self.put_hsm(hsm),
            Record::User(user) => return self.put_user(user),
            Record::Key(key) => self.put_key(key),
            Record::Receipt(receipt) => self.put_receipt(receipt),
            Record::EndedLogin(ended) => self.put_ended_login(ended),
            Record::Rollback(rollback) => self.put_rollback(rollback),
            Record::TrustAnchor(anchor) => self.put_trust_anchor(anchor),
            Record::HistoryKey(key) => self.history_key = Some(Arc::new(key.clone())),
            Record::QuorumToken(token) => self.put_token(token),
            Record::QuorumValues(values) => self.quorum_values = Some(*values),
            Record::SpentChallenge(spent) => self.put_spent_challenge(spent),
            Record::Certificate(certificate) => self.put_certificate(certificate),
        }
        Ok(())
    }

    fn put_cluster(&mut self, cluster: &Cluster) {
        self.cluster = Some(Arc::new(cluster.clone()));
    }

    fn put_hsm(&mut self, hsm: &Hsm) {
        self.hsms.insert(hsm.id.clone(), Arc::new(hsm.clone()));
    }

    fn put_user(&mut self, user: &User) -> Result<(), CorruptState> {
        if self.names.get(&user.name).is_some_and(|holder| *holder != user.id) {
            return Err(CorruptState::Name(user.name.clone()));
        }
        self.remove_user(user.id);
        self.names.insert(user.name.clone(), user.id);
        self.users.insert(user.id, Arc::new(user.clone()));
        if let Some(Creation { request, .. }) = user.creation {
            self.creations.insert((request, Created::User(user.id)));
        }
        Ok(())
    }

    fn put_key(&mut self, key: &Key) {
        self.remove_key(key.reference);
        self.index.insert(key);
        self.creations.insert((key.creation.request, Created::Key(key.reference)));
        self.keys.insert(key.reference, Arc::new(key.clone()));
    }

    fn put_receipt(&mut self, receipt: &Receipt) {
        self.remove_receipt(receipt.request);
        self.receipt_ages.insert(&receipt.asker, receipt.time_ms, receipt.request);
        self.receipts.insert(receipt.request, Arc::new(receipt.clone()));
    }

    fn put_ended_login(&mut self, ended: &EndedLogin) {
        self.remove_ended_login(ended.login);
        self.ended_login_ages.insert(&(ended.user, ended.credential), ended.until_ms, ended.login);
        self.ended_logins.insert(ended.login, *ended);
    }

    fn put_rollback(&mut self, rollback: &Rollback) {
        self.rollbacks.insert(rollback.epoch, Arc::new(rollback.clone()));
    }

    fn put_trust_anchor(&mut self, anchor: &TrustAnchor) {
        self.remove_trust_anchor(anchor.reference);
        self.creations.insert((anchor.creation.request, Created::TrustAnchor(anchor.reference)));
        self.trust_anchors.insert(anchor.reference, Arc::new(anchor.clone()));
    }

    fn put_certificate(&mut self, certificate: &Certificate) {
        self.remove_certificate(certificate.reference);
        self.creations.insert((certificate.creation.request, Created::Certificate(certificate.reference)));
        self.certificates.insert(certificate.reference, Arc::new(certificate.clone()));
    }

    fn put_token(&mut self, token: &QuorumToken) {
        self.remove_token(token.id);
        self.token_ages.insert(&token.user, token.expires_ms, token.id);
        self.tokens.insert(token.id, Arc::new(token.clone()));
    }

    fn put_spent_challenge(&mut self, spent: &SpentChallenge) {
        self.remove_spent_challenge(spent.id);
        self.spent_challenge_ages.insert(&(), spent.until_ms, spent.id);
        self.spent_challenges.insert(spent.id, *spent);
    }

    fn remove(&mut self, path: RecordPath) -> Result<(), CorruptState> {
        match path.kind {
            RecordKind::ClusterKey
            | RecordKind::Head
            | RecordKind::Cluster
            | RecordKind::Rollback
            | RecordKind::HistoryKey
            | RecordKind::QuorumValues => {
                return Err(CorruptState::Lasting(path));
            }
            RecordKind::Hsm => self.remove_hsm(path),
            RecordKind::User => self.remove_user(UserId::from_bytes(path.id)),
            RecordKind::Key => {
                if let Some(reference) = Key::reference_of(path) {
                    self.remove_key(reference);
                }
            }
            RecordKind::Receipt => self.remove_receipt(RequestId::from_bytes(path.id)),
            RecordKind::EndedLogin => self.remove_ended_login(LoginId::from_bytes(path.id)),
            RecordKind::TrustAnchor => {
                if let Some(reference) = TrustAnchor::reference_of(path) {
                    self.remove_trust_anchor(reference);
                }
            }
            RecordKind::Certificate => {
                if let Some(reference) = Certificate::reference_of(path) {
                    self.remove_certificate(reference);
                }
            }
            RecordKind::QuorumToken => self.remove_token(TokenId::from_bytes(path.id)),
            RecordKind::SpentChallenge => self.remove_spent_challenge(ChallengeId::from_bytes(path.id)),
        }
        Ok(())
    }

    fn remove_hsm(&mut self, path: RecordPath) {
        let id = self.hsms().find(|hsm| hsm.path() == path).map(|hsm| hsm.id.clone());
        if let Some(id) = id {
            self.hsms.remove(&id);
        }
    }

    fn remove_user(&mut self, id: UserId) {
        if let Some(user) = self.users.remove(&id) {
            self.names.remove(&user.name);
            if let Some(Creation { request, .. }) = user.creation {
                self.creations.remove(&(request, Created::User(id)));
            }
        }
    }

    fn remove_key(&mut self, reference: KeyReference) {
        if let Some(key) = self.keys.remove(&reference) {
            self.index.remove(&key);
            self.creations.remove(&(key.creation.request, Created::Key(reference)));
        }
    }

    fn remove_trust_anchor(&mut self, reference: TrustAnchorReference) {
        if let Some(anchor) = self.trust_anchors.remove(&reference) {
            self.creations.remove(&(anchor.creation.request, Created::TrustAnchor(reference)));
        }
    }

    fn remove_certificate(&mut self, reference: CertificateReference) {
        if let Some(certificate) = self.certificates.remove(&reference) {
            self.creations.remove(&(certificate.creation.request, Created::Certificate(reference)));
        }
    }

    fn remove_receipt(&mut self, request: RequestId) {
        if let Some(receipt) = self.receipts.remove(&request) {
            self.receipt_ages.remove(&receipt.asker, receipt.time_ms, request);
        }
    }

    fn remove_token(&mut self, id: TokenId) {
        if let Some(token) = self.tokens.remove(&id) {
            self.token_ages.remove(&token.user, token.expires_ms, id);
        }
    }

    fn remove_spent_challenge(&mut self, id: ChallengeId) {
        if let Some(spent) = self.spent_challenges.remove(&id) {
            self.spent_challenge_ages.remove(&(), spent.until_ms, id);
        }
    }

    fn remove_ended_login(&mut self, login: LoginId) {
        if let Some(ended) = self.ended_logins.remove(&login) {
            self.ended_login_ages.remove(&(ended.user, ended.credential), ended.until_ms, login);
        }
    }
}
