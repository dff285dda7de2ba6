use strongroom_types::Revision;
use strongroom_types::limits::EPOCH_REVISIONS;
use thiserror::Error;

use super::{Anchor, AnchorConflict};

/// What an HSM's anchor is to who looks at it while the HSM does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnchorFound {
    /// It says this.
    Seen(Anchor),
    /// It is none that this cluster's HSMs wrote, or was altered.
    Damaged,
    /// There is none, though the HSM has been a member.
    Missing,
    /// There is none, and the HSM was never a member of the cluster as the store has it.
    New,
}

/// What keeps an HSM from starting on a store.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Withheld {
    /// The store is not the one that it has seen, or nobody knows what it has seen.
    #[error(transparent)]
    Conflict(#[from] AnchorConflict),
    /// What it has seen cannot be read.
    #[error("its anchor is damaged")]
    Damaged,
}

impl AnchorFound {
    /// Whether the HSM starts on a store whose newest head is `newest`.
    pub fn check(&self, newest: &Anchor) -> Result<(), Withheld> {
        match self {
            AnchorFound::Seen(anchor) => Ok(Anchor::check(Some(anchor), newest, true)?),
            AnchorFound::Damaged => Err(Withheld::Damaged),
            AnchorFound::Missing => Err(AnchorConflict::Missing.into()),
            AnchorFound::New => Ok(()),
        }
    }
}

/// Where the epoch begins that follows an accepted rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEpoch {
    /// Its number: above all that were seen.
    pub epoch: u64,
    /// Its first revision: a multiple of [`EPOCH_REVISIONS`], half of that or more above all that were seen. Clients
    /// remember the highest revision that they were answered with and wait for it: what only grants may have gone beyond
    /// the anchors.
    pub revision: Revision,
}

/// Why no rollback is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RollbackRefusal {
    /// No HSM is kept from starting by what it has seen.
    #[error("there is nothing to accept: no HSM has seen a newer store than this one, of revision {0}")]
    Nothing(Revision),
    /// Another revision was named.
    #[error("the store is of revision {store}, not {named}; to accept it name revision {store}")]
    Revision {
        /// The store's.
        store: Revision,
        /// The one that was named.
        named: Revision,
    },
    /// There is no higher number.
    #[error("epochs and revisions have come to their end")]
    End,
}

/// Whether somebody who names `revision` may begin a new epoch with a store whose newest head is `store`, and where it
/// begins. `found` is what the anchors of all HSMs say.
pub fn new_epoch(store: &Anchor, found: &[AnchorFound], revision: Revision) -> Result<NewEpoch, RollbackRefusal> {
    if found.iter().all(|found| found.check(store).is_ok()) {
        return Err(RollbackRefusal::Nothing(store.revision));
    }
    if revision != store.revision {
        return Err(RollbackRefusal::Revision { store: store.revision, named: revision });
    }
    let seen = found.iter().filter_map(|found| if let AnchorFound::Seen(anchor) = found { Some(anchor) } else { None });
    let (epoch, highest) = seen
        .chain([store])
        .fold((0, 0), |(epoch, revision), anchor| (anchor.epoch.max(epoch), anchor.revision.0.max(revision)));
    let beyond = highest.checked_add(EPOCH_REVISIONS / 2);
    let next = || Some((epoch.checked_add(1)?, beyond?.checked_next_multiple_of(EPOCH_REVISIONS)?));
    // A store's revisions are signed.
    let (epoch, revision) = next().filter(|(_, next)| i64::try_from(*next).is_ok()).ok_or(RollbackRefusal::End)?;
    Ok(NewEpoch { epoch, revision: Revision(revision) })
}
