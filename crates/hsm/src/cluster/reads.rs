//! Reading the newest state: all who wait share one read, which began after each of them asked.

use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use strongroom_types::{Refusal, Revision, Status};

use super::shared::Shared;

pub(super) struct Reads {
    reads: Mutex<Numbered>,
    ended: Condvar,
}

/// Reads are numbered from 1, and at most one runs.
struct Numbered {
    begun: u64,
    ended: u64,
    running: bool,
    /// Of the read that ended last.
    outcome: Result<(), Refusal>,
}

impl Reads {
    pub(super) fn new() -> Reads {
        Reads {
            reads: Mutex::new(Numbered { begun: 0, ended: 0, running: false, outcome: Ok(()) }),
            ended: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Numbered> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a read that begins from now on, or makes it.
    fn share(&self, deadline: Instant, read: impl FnOnce() -> Result<(), Refusal>) -> Result<(), Refusal> {
        let mut reads = self.lock();
        let wanted = reads.begun + 1;
        loop {
            if reads.ended >= wanted {
                return reads.outcome.clone();
            }
            if !reads.running {
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Status::DeadlineExceeded.into());
            }
            reads = self.ended.wait_timeout(reads, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        reads.begun += 1;
        reads.running = true;
        drop(reads);
        let mut reading = Reading { reads: self, outcome: Err(Status::Internal.into()) };
        reading.outcome = read();
        reading.outcome.clone()
    }
}

/// A read that runs; it ends also when it panics.
struct Reading<'a> {
    reads: &'a Reads,
    outcome: Result<(), Refusal>,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut reads = self.reads.lock();
        reads.running = false;
        reads.ended = reads.begun;
        reads.outcome = self.outcome.clone();
        self.reads.ended.notify_all();
    }
}

/// Applies the store's newest revision, or a newer one.
pub(super) fn freshen(shared: &Shared, deadline: Instant) -> Result<(), Refusal> {
    shared.reads.share(deadline, || {
        let newest = shared.store.revision().map_err(|error| shared.failed(error).refusal())?;
        // One that was found damaged may be whole again at the same revision: following it tells.
        if newest == shared.state.load().revision() && !shared.damaged.load(Ordering::Acquire) {
            return Ok(());
        }
        shared.follow().map(drop).map_err(|error| error.refusal())
    })
}

/// Applies at least `seen`.
pub(super) fn catch_up(shared: &Shared, seen: Revision, deadline: Instant) -> Result<(), Refusal> {
    if shared.state.load().revision() >= seen {
        return Ok(());
    }
    freshen(shared, deadline)?;
    if shared.state.load().revision() >= seen {
        return Ok(());
    }
    // The client was told of a revision that the store does not have: it is another cluster's client, or the store was
    // put back.
    Err(Refusal::new(Status::StoreUnavailable, format!("revision {seen} is not in the store")))
}
