//! One member's life, as decisions: joining and serving ([`Life`]), gathering changes into batches ([`Batcher`]),
//! waiting for the others ([`Acknowledgements`]), keeping count of what the store holds ([`Ledger`]), knowing a store
//! that is older than what was seen of it ([`Anchor`]) and accepting one on purpose ([`new_epoch`]), and a clock that is
//! wrong ([`Clocks`]).
//!
//! Events go in, actions come out; time is an argument, in milliseconds of a clock that also counts while the machine
//! sleeps. An HSM carries the actions out with threads and a store, a simulation in virtual time.

mod acknowledge;
mod anchor;
mod batcher;
mod clocks;
mod ledger;
mod life;
#[cfg(any(test, feature = "model"))]
mod model;
mod rollback;
#[cfg(test)]
mod tests;

pub use acknowledge::{Acknowledgements, ReadMark, Seen};
pub use anchor::{Anchor, AnchorConflict, revokes};
pub use batcher::{Answer, Answered, Batcher, CHANGES_WAITING_MAX, Change, Next, Withdrawn};
pub use clocks::{Clocks, Shown, clock_off};
pub use ledger::{CorruptLedger, Entered, Ledger, Mac};
pub use life::{Life, Step};
pub use rollback::{AnchorFound, NewEpoch, RollbackRefusal, Withheld, new_epoch};
use strongroom_types::{HsmId, Incarnation, Revision, Status};

/// What ends a member that no longer takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeaseKind {
    /// The store holds the entry for as long as the member's process lives, and fencing ends the process: an entry
    /// needs no clock. So on one host.
    Held,
    /// The entry is good for a lease after each renewal. The member stops by its own clock, and others may remove an
    /// entry that they saw unchanged for longer.
    Timed,
}

impl LeaseKind {
    /// How long another member's entry may keep a change waiting before that member is fenced: for a lease, and a
    /// tenth more where the other's clock decides.
    pub fn patience_ms(self, lease_ms: u64) -> u64 {
        match self {
            LeaseKind::Held => lease_ms,
            LeaseKind::Timed => lease_ms.saturating_add(lease_ms.div_ceil(10)),
        }
    }
}

/// One entry of the member table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose.
    pub hsm_id: HsmId,
    /// Which life of that HSM.
    pub incarnation: Incarnation,
    /// The revision it says it has applied.
    pub applied: Revision,
    /// Changes whenever the member renews.
    pub beat: u64,
}

/// Whether a member that has not applied a granting change would refuse so: ask the store for its
/// newest revision first, and decide again.
pub fn rests_on_absence(status: Status) -> bool {
    matches!(
        status,
        Status::WrongClusterState
            | Status::LoginEnded
            | Status::LoginFailed
            | Status::UserUnknown
            | Status::LastAdmin
            | Status::KeyUnknown
            | Status::CertificateUnknown
            | Status::TrustAnchorUnknown
            | Status::ReplicaUsersMissing
            | Status::TokenSignatureInvalid
            | Status::QuorumTokenInvalid
            | Status::QuorumRequired
            | Status::QuorumFailed
            | Status::QuorumValueInvalid
            | Status::QuorumTooFew
    )
}
