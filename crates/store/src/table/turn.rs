//! Letting a member go first that lost too often.
//!
//! A hint and no lock: commits compare revisions, whoever's turn it is.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use super::Table;
use super::layout::SLOTS;

/// The longest sleep without looking whether the member that asked has died.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Table {
    /// Notes that this door's member wants to go first; false when another's note stands, or without a slot.
    pub(crate) fn announce_turn(&self) -> bool {
        let Some(slot) = self.own_slot().and_then(|slot| u64::try_from(slot + 1).ok()) else { return false };
        let header = &self.map.header;
        let number = header.turns.fetch_add(1, SeqCst).wrapping_add(1);
        let mark = number.wrapping_mul(256) | slot;
        let standing = header.turn.load(SeqCst);
        (standing == 0 || self.is_void(standing))
            && header.turn.compare_exchange(standing, mark, SeqCst, SeqCst).is_ok()
    }

    /// Removes this door's note.
    pub(crate) fn withdraw_turn(&self) {
        let header = &self.map.header;
        let standing = header.turn.load(SeqCst);
        let is_own = slot_of(standing).is_some_and(|slot| self.own_slot() == Some(slot));
        if is_own && header.turn.compare_exchange(standing, 0, SeqCst, SeqCst).is_ok() {
            self.wake();
        }
    }

    /// Waits until no other member's note stands, or for `patience`; true when there was one to wait for.
    pub(crate) fn yield_turn(&self, patience: Duration) -> bool {
        let mut has_waited = false;
        let deadline = Instant::now() + patience;
        loop {
            // Before the look, so that what changes after it is not slept through.
            let signal = self.signal();
            let standing = self.map.header.turn.load(SeqCst);
            if standing == 0 || standing == self.exhausted_turn.load(SeqCst) || self.is_void(standing) {
                return has_waited;
            }
            has_waited = true;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.exhausted_turn.store(standing, SeqCst);
                return has_waited;
            }
            self.sleep(signal, left.min(LOOK_EVERY));
        }
    }

    /// Whether a note binds nobody here: it is this door's own, or that of a slot which nobody holds.
    fn is_void(&self, mark: u64) -> bool {
        let Some(slot) = slot_of(mark) else { return true };
        // A table that cannot be looked at stops nobody.
        self.own_slot() == Some(slot) || !self.is_live(slot).unwrap_or(false)
    }
}

fn slot_of(mark: u64) -> Option<usize> {
    usize::try_from(mark % 256).ok()?.checked_sub(1).filter(|slot| *slot < SLOTS)
}
