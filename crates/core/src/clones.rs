//! What a clone takes over from the store that it begins with.

use std::sync::Arc;

use strongroom_types::{ClusterId, ClusterMode, ClusterState, HsmType, Revision};
use thiserror::Error;

use crate::{
    Cluster, EndedLogin, HistoryKey, Hsm, Key, Origin, QuorumToken, QuorumValues, Receipt, Record, Rollback,
    SpentChallenge, State, User,
};

/// Why there is no clone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CloneRefusal {
    /// There are no users yet who could use the clone.
    #[error(
        "{cluster} is {} and can be cloned once it is ACTIVE; complete it first (`strongroom up`, or the certificate and \
         `cluster activate`)",
        state.as_str()
    )]
    NotActive {
        /// The origin.
        cluster: ClusterId,
        /// Where it stands.
        state: ClusterState,
    },
    /// A clone has its origin's mode.
    #[error("{cluster} is in {found} mode, and so is every clone of it; leave out --mode, or give --mode {found}")]
    Mode {
        /// The origin.
        cluster: ClusterId,
        /// Its mode.
        found: ClusterMode,
    },
    /// What the origin holds may not fit.
    #[error("{cluster} has HSMs of type hsm2m.medium, and hsm1.medium may not hold what they do; leave out --hsm-type")]
    Type {
        /// The origin.
        cluster: ClusterId,
    },
    /// Clones have ids of their own.
    #[error("{0} cannot be a clone of itself")]
    Itself(ClusterId),
    /// Made by an older version, and not used since.
    #[error("{0} has no history key yet; start it once with this version (`strongroom up`), and then clone it")]
    NoHistoryKey(ClusterId),
}

/// The cluster that the clone is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloneTaker {
    /// Its id.
    pub id: ClusterId,
    /// Its mode.
    pub mode: ClusterMode,
    /// The type of its HSMs.
    pub hsm_type: HsmType,
    /// A member's lease in milliseconds.
    pub lease_ms: u32,
    /// PBKDF2 iterations of passwords set from now on.
    pub password_iterations: u32,
    /// The private key of its certificate, sealed for it.
    pub sealed_tls_key: Arc<[u8]>,
    /// PKCS #10, DER.
    pub csr_der: Vec<u8>,
    /// When it is made, in milliseconds since 1970.
    pub now_ms: u64,
}

/// Whether such a cluster may begin with what `origin` holds, and what it is a clone of then.
pub fn check_clone(
    origin: &State,
    (id, mode, hsm_type): (&ClusterId, ClusterMode, HsmType),
) -> Result<Origin, CloneRefusal> {
    let Some(cluster) = origin.cluster() else {
        return Err(CloneRefusal::NotActive { cluster: id.clone(), state: ClusterState::Uninitialized });
    };
    let name = || cluster.id.clone();
    if cluster.id == *id {
        return Err(CloneRefusal::Itself(name()));
    }
    if cluster.state != ClusterState::Active {
        return Err(CloneRefusal::NotActive { cluster: name(), state: cluster.state });
    }
    if cluster.mode != mode {
        return Err(CloneRefusal::Mode { cluster: name(), found: cluster.mode });
    }
    if (cluster.hsm_type, hsm_type) == (HsmType::Hsm2mMedium, HsmType::Hsm1Medium) {
        return Err(CloneRefusal::Type { cluster: name() });
    }
    if origin.history_key().is_none() {
        return Err(CloneRefusal::NoHistoryKey(name()));
    }
    Ok(Origin { cluster: name(), epoch: cluster.epoch, revision: origin.revision() })
}

/// The record of a clone's first batch, of `revision` in epoch 1, for a record of the origin; none for one that stays
/// behind. Material and history key are still sealed for the origin: whoever has both clusters' keys seals them anew.
///
/// What a cluster is and holds goes along. What happened to its HSMs, who is logged in, and which requests it has answered
/// does not.
pub fn carried(
    record: &Record,
    origin: &State,
    from: &Origin,
    taker: &CloneTaker,
    revision: Revision,
) -> Option<Record> {
    match record {
        Record::Cluster(cluster) => Some(Record::Cluster(Cluster {
            id: taker.id.clone(),
            mode: cluster.mode,
            hsm_type: taker.hsm_type,
            state: ClusterState::Uninitialized,
            sealed_tls_key: Arc::clone(&taker.sealed_tls_key),
            csr_der: taker.csr_der.clone(),
            certificate_pem: String::new(),
            trust_anchor_pem: String::new(),
            settings: crate::Settings { lease_ms: taker.lease_ms, password_iterations: taker.password_iterations },
            capacity: Some(taker.hsm_type.capacity()),
            epoch: FIRST_EPOCH,
            created_ms: taker.now_ms,
            mtls_enforcement: cluster.mtls_enforcement,
            origin: Some(from.clone()),
        })),
        // Whole: password, lock, and whatever else makes the user who they are.
        Record::User(user) => Some(Record::User(User::clone(user))),
        Record::Key(key) => {
            let mut key = Key { revision, key_epoch: FIRST_EPOCH, ..key.clone() };
            key.shared.retain(|user| origin.user(*user).is_some());
            Some(Record::Key(key))
        }
        Record::TrustAnchor(anchor) => Some(Record::TrustAnchor(anchor.clone())),
        Record::Certificate(certificate) => Some(Record::Certificate(certificate.clone())),
        // What must be approved there must be approved here. Revisions begin anew.
        Record::QuorumValues(values) => {
            Some(Record::QuorumValues(QuorumValues { void_revision: Revision(0), ..*values }))
        }
        Record::HistoryKey(HistoryKey { sealed }) => {
            Some(Record::HistoryKey(HistoryKey { sealed: Arc::clone(sealed) }))
        }
        Record::Hsm(Hsm { .. })
        | Record::Receipt(Receipt { .. })
        | Record::EndedLogin(EndedLogin { .. })
        | Record::Rollback(Rollback { .. })
        | Record::QuorumToken(QuorumToken { .. })
        | Record::SpentChallenge(SpentChallenge { .. }) => None,
    }
}

/// A clone's epochs are its own.
const FIRST_EPOCH: u64 = 1;
