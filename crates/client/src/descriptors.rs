//! The descriptors of connections, in a table that a forked child reads without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use strongroom_ffi::fork::{close_inherited, identity};
use strongroom_types::limits::{HSMS_MAX, POOL_LEN_MAX};

/// No descriptor.
const FREE: i32 = -1;
/// An entry that is being written.
const TAKEN: i32 = -2;
/// Every connection that a client may have.
const LEN: usize = HSMS_MAX * POOL_LEN_MAX;

/// One entry a connection.
pub(crate) struct Descriptors([Slot; LEN]);

struct Slot {
    descriptor: AtomicI32,
    /// Written before the descriptor is.
    identity: AtomicU64,
}

impl Descriptors {
    pub(crate) fn new() -> Arc<Descriptors> {
        let free = || Slot { descriptor: AtomicI32::new(FREE), identity: AtomicU64::new(0) };
        Arc::new(Descriptors(std::array::from_fn(|_| free())))
    }

    /// Enters a descriptor. Beyond [`LEN`] there is no room, and a child keeps the descriptor open, which costs no more
    /// than a number.
    pub(crate) fn enter(self: &Arc<Self>, descriptor: i32) -> Option<Entered> {
        let of = identity(descriptor)?;
        let take =
            |slot: &Slot| slot.descriptor.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok();
        let index = self.0.iter().position(take)?;
        self.0[index].identity.store(of, Ordering::Relaxed);
        self.0[index].descriptor.store(descriptor, Ordering::Release);
        Some(Entered { table: Arc::clone(self), index })
    }

    /// Closes every descriptor: in a child, where nobody else uses them. Each is closed once, whoever else tries.
    pub(crate) fn close_all(&self) {
        for slot in &self.0 {
            let descriptor = slot.descriptor.swap(FREE, Ordering::Acquire);
            if descriptor >= 0 {
                close_inherited(descriptor, slot.identity.load(Ordering::Relaxed));
            }
        }
    }
}

/// An entry, taken out when dropped. Drop it before the descriptor is closed: a child that is forked between the two then
/// keeps a descriptor open, where the other order would let it close somebody else's.
pub(crate) struct Entered {
    table: Arc<Descriptors>,
    index: usize,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.table.0[self.index].descriptor.store(FREE, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::mem;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_was_entered_and_not_taken_out_is_closed() {
        let table = Descriptors::new();
        let (kept, closed) = UnixStream::pair().unwrap();
        let (number, of) = (closed.as_raw_fd(), identity(closed.as_raw_fd()));
        let _entered = table.enter(number).unwrap();
        drop(table.enter(kept.as_raw_fd()).unwrap());
        // As in a child: the owner of the number is never used again.
        mem::forget(closed);
        table.close_all();
        assert!(identity(kept.as_raw_fd()).is_some());
        assert_ne!(identity(number), of);
        assert!(table.0.iter().all(|slot| slot.descriptor.load(Ordering::Relaxed) == FREE));
    }

    #[test]
    fn a_full_table_takes_no_more() {
        let table = Descriptors::new();
        let entered: Vec<_> = (0..LEN).map(|_| table.enter(0).unwrap()).collect();
        assert!(table.enter(0).is_none());
        drop(entered);
        assert!(table.enter(0).is_some());
    }
}
