//! The trait and its words.

use std::time::Duration;

use strongroom_types::{HsmId, Incarnation, RecordPath, Revision};

use crate::{CommitError, FenceError, JoinError, RenewError, StoreError};

/// One record as it lies in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Where.
    pub path: RecordPath,
    /// The batch that wrote it.
    pub revision: Revision,
    /// Sealed bytes.
    pub sealed: Vec<u8>,
}

/// Everything a store holds at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The newest revision.
    pub revision: Revision,
    /// Every record, ordered by path.
    pub records: Vec<StoredRecord>,
}

/// What leads from one revision to the newest, collapsed: each path at most once, in its newest form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The revision that this leads to.
    pub revision: Revision,
    /// Records written since, ordered by path. Each carries the revision of the batch that wrote it.
    pub puts: Vec<StoredRecord>,
    /// Paths deleted since and not written again, ordered. Some may never have been seen by who asks.
    pub deletes: Vec<RecordPath>,
}

/// Answer to [`Store::changes_since`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// What changed; empty when nothing did.
    Since(Delta),
    /// Deletions that are needed are forgotten: [`Store::load`] anew.
    TooOld,
}

/// One entry of the member table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberEntry {
    /// Whose.
    pub hsm_id: HsmId,
    /// Which life of that HSM.
    pub incarnation: Incarnation,
    /// The revision it says it has applied.
    pub applied: Revision,
    /// Changes whenever the member renews its entry; means nothing else.
    pub beat: u64,
    /// How far the member's clock was ahead of this machine's when the entry was last renewed, in milliseconds. 0 in a
    /// store whose members share a machine, and so its clock.
    pub clock_ahead_ms: i64,
}

/// A point in the store's life: what a waiter has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The newest revision.
    pub revision: Revision,
    /// Changes whenever an entry of the member table comes, goes, or shows another applied revision.
    pub entries: u64,
}

/// Where a cluster's records and its member table lie. One value is one member's door to them; many threads use it at
/// once.
///
/// What every implementation keeps, and `contract` checks:
///
/// * Revisions are one sequence: a commit that succeeds takes the store from `expected` to `expected.next()`.
/// * A commit is all or nothing, and durable before it is acknowledged. One that ends in
///   [`Unknown`](CommitError::Unknown) is settled by the next read through the same value: what that read does not show
///   will not appear later.
/// * [`revision`](Store::revision), [`load`](Store::load) and [`changes_since`](Store::changes_since) show every commit
///   that was acknowledged, to whomever, before they were called.
/// * An entry that [`members`](Store::members) does not show belongs to a member that is not serving: it has left, is
///   dead or fenced, or will read a newer revision after its join than the caller has read before.
pub trait Store: Send + Sync {
    /// Everything, at one revision.
    fn load(&self) -> Result<Loaded, StoreError>;

    /// Writes `puts` and removes `deletes`, if the newest revision is `expected`; the answer is `expected.next()`.
    ///
    /// At most [`BATCH_RECORDS_MAX`](crate::BATCH_RECORDS_MAX) paths, each once, each record of at most
    /// [`RECORD_LEN_MAX`](strongroom_types::limits::RECORD_LEN_MAX) bytes. To delete what is not there is allowed.
    fn commit(
        &self,
        expected: Revision,
        puts: &[(RecordPath, Vec<u8>)],
        deletes: &[RecordPath],
    ) -> Result<Revision, CommitError>;

    /// The newest revision.
    fn revision(&self) -> Result<Revision, StoreError>;

    /// What changed since `seen`.
    fn changes_since(&self, seen: Revision) -> Result<Changes, StoreError>;

    /// The newest revision and the member table's state. Taken before [`members`](Store::members) is called, and given
    /// to [`wait`](Store::wait) after, it loses no change between the two.
    fn moment(&self) -> Result<Moment, StoreError>;

    /// Sleeps until a moment other than `seen`, for at most `timeout`; the answer is the moment then.
    ///
    /// A commit or a changed entry wakes at once; a member's death, and a commit whose process died before it could
    /// wake anybody, within 100 ms.
    fn wait(&self, seen: Moment, timeout: Duration) -> Result<Moment, StoreError>;

    /// Makes this value's entry in the member table, as a new incarnation that has applied `applied` and whose clock
    /// shows `clock_ms`, in milliseconds since 1970.
    fn join(&self, hsm_id: &HsmId, applied: Revision, clock_ms: u64) -> Result<Incarnation, JoinError>;

    /// Says that the entry's member is alive, has applied `applied` and reads `clock_ms` on its clock. An entry never
    /// goes back: a lower revision than it shows leaves it as it is.
    fn renew(&self, applied: Revision, clock_ms: u64) -> Result<(), RenewError>;

    /// Removes this value's entry, if it has one. Dropping the value does it too.
    fn leave(&self);

    /// Asks the other members to let this one commit first, until [`withdraw_turn`](Store::withdraw_turn). False when
    /// another member asked before, or when this value has no entry.
    fn announce_turn(&self) -> bool;

    /// Ends what [`announce_turn`](Store::announce_turn) began; does nothing when it did not.
    fn withdraw_turn(&self);

    /// Lets a member go first that has asked for it: waits until it withdraws or is gone, for at most `patience`. Who
    /// exhausts that is not waited for again until it asks anew. True when there was anything to wait for.
    fn yield_turn(&self, patience: Duration) -> bool;

    /// Every entry that stands, ordered by HSM id.
    fn members(&self) -> Result<Vec<MemberEntry>, StoreError>;

    /// Makes sure that this incarnation answers nothing any more, and removes its entry. Does nothing when the entry
    /// is gone already.
    ///
    /// Deciding that it must be is the caller's. A store whose members are processes of one host kills the process.
    fn fence(&self, entry: &MemberEntry) -> Result<(), FenceError>;
}
