use prost::Message;
use strongroom_types::{HsmId, RecordKind, RecordPath, Revision};

use super::codec::Field;
use crate::member::{Anchor, AnchorFound};

/// The event of an older store that was accepted on purpose. Written with the first head of the epoch that it begins,
/// and never removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// The epoch that began.
    pub epoch: u64,
    /// Its first revision.
    pub revision: Revision,
    /// The head of the store that was accepted.
    pub accepted: Anchor,
    /// When that head was written, in milliseconds since 1970.
    pub accepted_ms: u64,
    /// What the anchor of each HSM that was asked said, in order of ids.
    pub found: Vec<(HsmId, AnchorFound)>,
    /// The user of the system who accepted it.
    pub uid: u32,
    /// The user who had logged in to the system (proc(5), `loginuid`), whatever they became since; none when the system
    /// does not say.
    pub login_uid: Option<u32>,
    /// Cluster time of the acceptance, in milliseconds since 1970.
    pub time_ms: u64,
}

impl Rollback {
    /// Where the record lies: eight zero bytes, then the epoch, big-endian.
    pub fn path(&self) -> RecordPath {
        RecordPath { kind: RecordKind::Rollback, id: u128::from(self.epoch).to_be_bytes() }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RollbackMessage {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(message, optional, tag = "3")]
    accepted: Option<AnchorMessage>,
    #[prost(uint64, tag = "4")]
    accepted_ms: u64,
    #[prost(message, repeated, tag = "5")]
    found: Vec<FoundMessage>,
    #[prost(uint32, tag = "6")]
    uid: u32,
    #[prost(uint32, optional, tag = "7")]
    login_uid: Option<u32>,
    #[prost(uint64, tag = "8")]
    time_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct AnchorMessage {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(bytes = "vec", tag = "3")]
    head_digest: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct FoundMessage {
    #[prost(string, tag = "1")]
    hsm: String,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(message, optional, tag = "3")]
    anchor: Option<AnchorMessage>,
}

pub(super) fn rollback_message(rollback: &Rollback) -> RollbackMessage {
    RollbackMessage {
        epoch: rollback.epoch,
        revision: rollback.revision.0,
        accepted: Some(anchor_message(&rollback.accepted)),
        accepted_ms: rollback.accepted_ms,
        found: rollback.found.iter().map(found_message).collect(),
        uid: rollback.uid,
        login_uid: rollback.login_uid,
        time_ms: rollback.time_ms,
    }
}

pub(super) fn rollback_of(message: RollbackMessage) -> Field<Rollback> {
    let accepted = message.accepted.map(|anchor| anchor_of(&anchor)).transpose()?.ok_or("accepted")?;
    // The numbers of a later epoch are higher.
    if message.epoch <= accepted.epoch {
        return Err("epoch");
    }
    if message.revision <= accepted.revision.0 {
        return Err("revision");
    }
    Ok(Rollback {
        epoch: message.epoch,
        revision: Revision(message.revision),
        accepted,
        accepted_ms: message.accepted_ms,
        found: message.found.into_iter().map(found_of).collect::<Field<Vec<_>>>()?,
        uid: message.uid,
        login_uid: message.login_uid,
        time_ms: message.time_ms,
    })
}

fn anchor_message(anchor: &Anchor) -> AnchorMessage {
    let Anchor { epoch, revision, head_digest } = anchor;
    AnchorMessage { epoch: *epoch, revision: revision.0, head_digest: head_digest.to_vec() }
}

fn anchor_of(message: &AnchorMessage) -> Field<Anchor> {
    Ok(Anchor {
        epoch: if message.epoch == 0 { return Err("anchor.epoch") } else { message.epoch },
        revision: Revision(message.revision),
        head_digest: message.head_digest.as_slice().try_into().map_err(|_| "anchor.head_digest")?,
    })
}

fn found_message((hsm, found): &(HsmId, AnchorFound)) -> FoundMessage {
    let (kind, anchor) = match found {
        AnchorFound::Seen(anchor) => (1, Some(anchor_message(anchor))),
        AnchorFound::Damaged => (2, None),
        AnchorFound::Missing => (3, None),
        AnchorFound::New => (4, None),
    };
    FoundMessage { hsm: hsm.as_str().to_owned(), kind, anchor }
}

fn found_of(message: FoundMessage) -> Field<(HsmId, AnchorFound)> {
    let hsm = message.hsm.parse().map_err(|_| "found.hsm")?;
    let found = match (message.kind, message.anchor) {
        (1, Some(anchor)) => AnchorFound::Seen(anchor_of(&anchor)?),
        (2, None) => AnchorFound::Damaged,
        (3, None) => AnchorFound::Missing,
        (4, None) => AnchorFound::New,
        _ => return Err("found.kind"),
    };
    Ok((hsm, found))
}
