use strongroom_types::{RecordKind, RecordPath, Revision};
use thiserror::Error;

use crate::{Head, Record, State};

/// What an HSM keeps outside the store, so that it notices an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The cluster's epoch.
    pub epoch: u64,
    /// A revision that this HSM has applied.
    pub revision: Revision,
    /// Digest of that revision's head.
    pub head_digest: [u8; 32],
}

/// What to do about a store that is not the newest.
const PUT_BACK_OR_ACCEPT: &str =
    "put back the newest copy of the store, or if there is none accept this one with `strongroom accept-rollback`";

/// The store is not the one that this HSM has seen.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnchorConflict {
    /// It is older.
    #[error(
        "the store is at revision {store}, this HSM has seen revision {anchor}: an older copy was put in its place; \
         {PUT_BACK_OR_ACCEPT}"
    )]
    Older {
        /// Where the store stands.
        store: Revision,
        /// What the anchor says.
        anchor: Revision,
    },
    /// It has the revision, but another history.
    #[error(
        "the store's revision {0} is not the one that this HSM has seen: its history is another's; {PUT_BACK_OR_ACCEPT}"
    )]
    Other(Revision),
    /// It is of an earlier epoch: an accepted rollback was undone.
    #[error(
        "the store is of epoch {store}, this HSM has seen epoch {anchor}, which began when a rollback was accepted: a copy \
         from before was put in its place; {PUT_BACK_OR_ACCEPT}"
    )]
    Epoch {
        /// The store's.
        store: u64,
        /// The anchor's.
        anchor: u64,
    },
    /// There is no anchor, though this HSM has been a member.
    #[error(
        "this HSM has been a member of the cluster, but its anchor file is missing, so that nobody knows whether the store \
         is the newest one; put the file back, or if the store is the newest copy accept it with `strongroom \
         accept-rollback`"
    )]
    Missing,
}

impl Anchor {
    /// The anchor of a head.
    pub fn of(head: &Head, head_digest: [u8; 32]) -> Anchor {
        Anchor { epoch: head.epoch, revision: head.revision, head_digest }
    }

    /// Whether a store whose newest head is `newest` may be the one that was seen. `was_member`: whether its records
    /// name this HSM.
    pub fn check(anchor: Option<&Anchor>, newest: &Anchor, was_member: bool) -> Result<(), AnchorConflict> {
        let Some(anchor) = anchor else {
            return if was_member { Err(AnchorConflict::Missing) } else { Ok(()) };
        };
        if anchor.epoch < newest.epoch {
            // Only an HSM can seal a store for another epoch, and it does when a rollback was accepted. This one did not
            // run then.
            return Ok(());
        }
        if anchor.epoch > newest.epoch {
            return Err(AnchorConflict::Epoch { store: newest.epoch, anchor: anchor.epoch });
        }
        if newest.revision < anchor.revision {
            return Err(AnchorConflict::Older { store: newest.revision, anchor: anchor.revision });
        }
        let same = newest.revision > anchor.revision || newest.head_digest == anchor.head_digest;
        if same { Ok(()) } else { Err(AnchorConflict::Other(newest.revision)) }
    }
}

/// Whether a step takes anything away from anybody, as far as its records tell: then the anchor must be durable before
/// this member's entry shows the step.
///
/// Only a step that writes nothing but new records and receipts, and removes nothing but what is over, takes nothing.
pub fn revokes(before: &State, puts: &[Record], deletes: &[RecordPath]) -> bool {
    let over = |path: &RecordPath| matches!(path.kind, RecordKind::Receipt | RecordKind::EndedLogin);
    let grants = |record: &Record| match record {
        Record::Receipt(_) => true,
        Record::EndedLogin(_) | Record::Rollback(_) | Record::QuorumValues(_) | Record::SpentChallenge(_) => false,
        Record::Cluster(_)
        | Record::Hsm(_)
        | Record::User(_)
        | Record::Key(_)
        | Record::TrustAnchor(_)
        | Record::Certificate(_)
        | Record::HistoryKey(_)
        | Record::QuorumToken(_) => !before.holds(record.path()),
    };
    !deletes.iter().all(over) || !puts.iter().all(grants)
}
