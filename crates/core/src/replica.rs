//! What is said about a key or a user that one cluster's HSM seals for a clone of it.

use prost::Message;
use strongroom_types::limits::{CLOCK_OFF_MS_MAX, REPLICA_SECONDS};
use strongroom_types::{ClusterId, ClusterMode, HsmType, KeyReference, RecordPath, Refusal, Role, Status, UserId};
use thiserror::Error;

use crate::plan::internal;
use crate::records::{hsm_type_from_number, hsm_type_number, mode_from_number, mode_number};
use crate::{Key, State, User};

const VERSION: u8 = 1;
/// How long it is good, in milliseconds.
const REPLICA_MS: u64 = REPLICA_SECONDS * 1_000;

/// The header of what is sealed: it stands in clear, and the key under which the rest is sealed is derived from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Whose HSM sealed it.
    pub source: ClusterId,
    /// For whom.
    pub destination: ClusterId,
    /// What it is about.
    pub what: Replicated,
    /// Who asked for it.
    pub asker: UserId,
    /// Whether that was an admin.
    pub by_admin: bool,
    /// The source's FIPS policy.
    pub mode: ClusterMode,
    /// The type of the source's HSMs.
    pub hsm_type: HsmType,
    /// Until when it is good, in milliseconds since 1970 by the source's time.
    pub expires_ms: u64,
}

/// What is replicated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicated {
    /// A key.
    Key(KeyReference),
    /// A user.
    User(UserId),
}

impl Replicated {
    /// Where its record lies, in either cluster.
    pub fn path(self) -> RecordPath {
        match self {
            Replicated::Key(reference) => Key::path_of(reference),
            Replicated::User(user) => User::path_of(user),
        }
    }
}

/// Bytes that are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the header is damaged, or of a format this version does not know")]
pub struct CorruptReplica;

/// Field numbers as in `docs/spec/wire.md`.
#[derive(Clone, PartialEq, Message)]
struct ReplicaMessage {
    #[prost(string, tag = "1")]
    source: String,
    #[prost(string, tag = "2")]
    destination: String,
    #[prost(bytes = "vec", tag = "3")]
    path: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    asker: Vec<u8>,
    #[prost(bool, tag = "5")]
    by_admin: bool,
    #[prost(uint32, tag = "6")]
    mode: u32,
    #[prost(uint32, tag = "7")]
    hsm_type: u32,
    #[prost(uint64, tag = "8")]
    expires_ms: u64,
}

impl Replica {
    /// The header of what `asker` may take from here to `destination`.
    pub(crate) fn of(
        state: &State,
        asker: &User,
        destination: &ClusterId,
        what: Replicated,
        now_ms: u64,
    ) -> Result<Replica, Refusal> {
        let cluster = state.cluster().ok_or_else(|| internal("cluster"))?;
        if cluster.id == *destination {
            return Err(Refusal::new(Status::NotClones, "source and destination are the same cluster"));
        }
        Ok(Replica {
            source: cluster.id.clone(),
            destination: destination.clone(),
            what,
            asker: asker.id,
            by_admin: asker.role == Role::Admin,
            mode: cluster.mode,
            hsm_type: cluster.hsm_type,
            expires_ms: state.cluster_time(now_ms).saturating_add(REPLICA_MS),
        })
    }

    /// Whether this cluster takes it now, from this user. `now_ms` is this cluster's time.
    pub(crate) fn check(&self, state: &State, user: &User, now_ms: u64) -> Result<(), Refusal> {
        let cluster = state.cluster().ok_or_else(|| internal("cluster"))?;
        if self.destination != cluster.id {
            let about = format!("it is for {}, this is {}", self.destination, cluster.id);
            return Err(Refusal::new(Status::NotClones, about));
        }
        match (self.hsm_type, cluster.hsm_type) {
            (HsmType::Hsm2mMedium, HsmType::Hsm1Medium) => {
                let about = format!("{} to {}", self.hsm_type, cluster.hsm_type);
                return Err(Refusal::new(Status::ReplicaUnsupported, about));
            }
            (HsmType::Hsm1Medium, _) | (HsmType::Hsm2mMedium, HsmType::Hsm2mMedium) => {}
        }
        if (self.mode, cluster.mode) == (ClusterMode::NonFips, ClusterMode::Fips) {
            return Err(Refusal::new(Status::ReplicaUnsupported, "NON_FIPS to FIPS"));
        }
        // A source whose clock is ahead makes nothing that is good for longer.
        let latest_ms = now_ms.saturating_add(REPLICA_MS + CLOCK_OFF_MS_MAX);
        if !(now_ms..=latest_ms).contains(&self.expires_ms) {
            return Err(Status::ReplicaExpired.into());
        }
        let both_admins = self.by_admin && user.role == Role::Admin;
        if self.asker != user.id && !both_admins {
            return Err(Refusal::new(Status::ReplicaOfAnother, user.name.as_str()));
        }
        Ok(())
    }

    /// The bytes that stand in front.
    pub fn encode(&self) -> Vec<u8> {
        let message = ReplicaMessage {
            source: self.source.as_str().to_owned(),
            destination: self.destination.as_str().to_owned(),
            path: self.what.path().to_bytes().to_vec(),
            asker: self.asker.as_bytes().to_vec(),
            by_admin: self.by_admin,
            mode: mode_number(self.mode),
            hsm_type: hsm_type_number(self.hsm_type),
            expires_ms: self.expires_ms,
        };
        let mut bytes = vec![VERSION];
        bytes.extend(message.encode_to_vec());
        bytes
    }

    /// Reads them. Nothing is known of them yet: anybody can write such bytes.
    pub fn decode(bytes: &[u8]) -> Result<Replica, CorruptReplica> {
        let content = bytes.strip_prefix(&[VERSION]).ok_or(CorruptReplica)?;
        let message = ReplicaMessage::decode(content).map_err(|_| CorruptReplica)?;
        let path = RecordPath::try_from(message.path.as_slice()).map_err(|_| CorruptReplica)?;
        let user = Replicated::User(UserId::from_bytes(path.id));
        let key = Key::reference_of(path).map(Replicated::Key);
        let what = [Some(user), key].into_iter().flatten().find(|what| what.path() == path).ok_or(CorruptReplica)?;
        let replica = Replica {
            source: message.source.parse().map_err(|_| CorruptReplica)?,
            destination: message.destination.parse().map_err(|_| CorruptReplica)?,
            what,
            asker: UserId::try_from(message.asker.as_slice()).map_err(|_| CorruptReplica)?,
            by_admin: message.by_admin,
            mode: mode_from_number(message.mode).ok_or(CorruptReplica)?,
            hsm_type: hsm_type_from_number(message.hsm_type).ok_or(CorruptReplica)?,
            expires_ms: message.expires_ms,
        };
        // The canonical form alone, so that one header has one key.
        if replica.encode() == bytes { Ok(replica) } else { Err(CorruptReplica) }
    }
}
