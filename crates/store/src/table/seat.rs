//! Joining, renewing, leaving, looking, fencing.

use std::sync::atomic::{Ordering::SeqCst, fence as memory_fence};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use strongroom_types::{HsmId, Incarnation, Revision};

use super::layout::{Occupant, SLOTS, Slot};
use super::{Table, lock_byte, process, sys};
use crate::{FenceError, JoinError, MemberEntry, RenewError, StoreError, TableError};

/// Held while a process joins, so that an HSM id can't take two slots at once.
const JOIN_LOCK_BYTE: u64 = 0;
/// Held while a process makes the database name this table.
const TAKE_OVER_LOCK_BYTE: u64 = 1;
/// How long a join waits for others' joins, which take microseconds.
const JOIN_WAIT: Duration = Duration::from_secs(5);
/// How long a slot may seem held by a member that is dead, because another process is emptying it.
const SWEEP_WAIT: Duration = Duration::from_millis(50);
/// How long a killed process may take to end.
const FENCE_WAIT: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(5) };
const PAUSE: Duration = Duration::from_millis(1);

/// What this door is in the table.
pub(super) enum Membership {
    /// Not joined.
    None,
    /// Joined once, and the entry was found gone.
    Fenced,
    /// Joined.
    Held(Seat),
}

/// The slot that this door holds.
pub(super) struct Seat {
    slot: usize,
    sequence: u32,
    incarnation: Incarnation,
}

/// While it lives, no other process makes the database name this table.
pub(crate) struct TakeOver<'a>(&'a Table);

impl Drop for TakeOver<'_> {
    fn drop(&mut self) {
        // Fails only with the whole file; then the lock goes with the process.
        let _ = sys::unlock(&self.0.file, TAKE_OVER_LOCK_BYTE);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("slot {slot} of the member table is held and names no HSM; restart the cluster's HSMs one after the other")]
struct SlotDamaged {
    slot: usize,
}

impl Table {
    /// Takes a free slot and writes the entry.
    pub(crate) fn join(&self, hsm_id: &HsmId, applied: Revision) -> Result<Incarnation, JoinError> {
        let mut membership = self.membership();
        if matches!(*membership, Membership::Held(_)) {
            return Err(JoinError::AlreadyJoined { hsm_id: hsm_id.clone(), pid: std::process::id() });
        }
        let occupant = self.new_occupant(hsm_id, applied).map_err(|error| self.joining(error))?;
        self.lock_joins().map_err(StoreError::from)?;
        let taken = self.take_slot(hsm_id, &occupant);
        // Unlocking a byte that is locked fails only with the whole file.
        let unlocked = sys::unlock(&self.file, JOIN_LOCK_BYTE).map_err(|error| self.joining(error));
        let (slot, sequence) = taken?;
        let incarnation = occupant.incarnation;
        *membership = Membership::Held(Seat { slot, sequence, incarnation });
        drop(membership);
        // Whoever reads the table from now on sees the entry; the revision that the caller reads next is therefore
        // that of everyone who did not see it, or newer.
        memory_fence(SeqCst);
        self.entry_changed();
        unlocked?;
        Ok(incarnation)
    }

    /// Shows that the member lives and what it has applied.
    pub(crate) fn renew(&self, applied: Revision) -> Result<(), RenewError> {
        let mut membership = self.membership();
        let seat = match &*membership {
            Membership::Held(seat) => seat,
            Membership::Fenced => return Err(RenewError::Fenced),
            Membership::None => return Err(RenewError::NotJoined),
        };
        let slot = self.map.slots.get(seat.slot);
        let renewed = slot.and_then(|slot| slot.renew(seat.sequence, seat.incarnation, applied, sys::boottime_ms()));
        match renewed {
            Some(true) => self.entry_changed(),
            Some(false) => {}
            None => {
                self.give_back(&membership);
                *membership = Membership::Fenced;
                self.entry_changed();
                return Err(RenewError::Fenced);
            }
        }
        Ok(())
    }

    /// Empties the slot and gives it back.
    pub(crate) fn leave(&self) {
        self.withdraw_turn();
        let mut membership = self.membership();
        if matches!(*membership, Membership::Held(_)) {
            self.give_back(&membership);
            self.entry_changed();
        }
        *membership = Membership::None;
    }

    /// Every entry whose slot is held.
    pub(crate) fn members(&self) -> Result<Vec<MemberEntry>, StoreError> {
        memory_fence(SeqCst);
        let mut members = Vec::new();
        for (index, slot) in self.map.slots.iter().enumerate() {
            let Some(occupant) = slot.read() else { continue };
            if !self.is_live(index)? {
                continue;
            }
            let hsm_id = occupant.hsm_id.clone().ok_or_else(|| StoreError::damaged(SlotDamaged { slot: index }))?;
            members.push(occupant.entry(hsm_id));
        }
        members.sort_unstable_by(|one, other| one.hsm_id.cmp(&other.hsm_id));
        Ok(members)
    }

    /// Whether a slot is held.
    pub(crate) fn is_anybody_in(&self) -> Result<bool, TableError> {
        for (index, slot) in self.map.slots.iter().enumerate() {
            let is_held = || sys::is_held(&self.file, lock_byte(index));
            if slot.is_used() && is_held().map_err(|error| self.error("looking at a slot's lock", error))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Empties the slots of the dead, so that everyone who waits for an entry's change notices.
    pub(crate) fn sweep(&self) -> Result<(), TableError> {
        let membership = self.membership();
        let own = membership.slot();
        let mut changed = false;
        for (index, slot) in self.map.slots.iter().enumerate() {
            // The own slot's lock would be granted again, and then given back.
            if own == Some(index) || !slot.is_used() {
                continue;
            }
            let byte = lock_byte(index);
            if sys::lock(&self.file, byte).map_err(|error| self.error("locking a slot", error))? {
                slot.write(None);
                sys::unlock(&self.file, byte).map_err(|error| self.error("unlocking a slot", error))?;
                changed = true;
            }
        }
        drop(membership);
        if changed {
            self.entry_changed();
        }
        Ok(())
    }

    /// Kills the process of this incarnation, and waits until the kernel has taken its lock away.
    pub(crate) fn fence(&self, entry: &MemberEntry) -> Result<(), FenceError> {
        let inaccessible = |doing| move |error| FenceError::Store(self.error(doing, error).into());
        let Some((slot, occupant)) = self.find(entry)? else { return Ok(()) };
        let (hsm_id, pid) = (entry.hsm_id.clone(), occupant.pid);
        if pid == std::process::id() {
            return Err(FenceError::Itself { hsm_id });
        }
        let process = sys::Pidfd::open(pid).map_err(inaccessible("opening a member's process"))?;
        // Read after the pidfd was opened: the same start time means that the pidfd is the member's.
        let start_time = process::start_time(pid).map_err(inaccessible("reading a member's start time"))?;
        let process = process.filter(|_| start_time == Some(occupant.start_time));
        if self.find(entry)?.is_none_or(|(found, _)| found != slot) {
            return Ok(());
        }
        if let Some(process) = &process {
            process.kill().map_err(|error| match error.raw_os_error() {
                Some(libc::EPERM) => FenceError::NotPermitted { hsm_id: hsm_id.clone(), pid },
                _ => inaccessible("killing a member's process")(error),
            })?;
        }
        let deadline = Instant::now() + FENCE_WAIT;
        while self.find(entry)?.is_some() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(FenceError::StillThere { hsm_id, pid });
            }
            match &process {
                Some(process) => process.wait(left.min(PAUSE)),
                None => std::thread::sleep(PAUSE),
            }
        }
        Ok(self.sweep().map_err(StoreError::from)?)
    }

    /// Kills the member that has held SQLite's write lock since it noted `mark`; false when that mark names no member.
    pub(crate) fn fence_writer(&self, mark: u64) -> Result<bool, FenceError> {
        let slot = usize::try_from(mark % 256).unwrap_or(0).checked_sub(1).filter(|slot| *slot < SLOTS);
        let Some((index, occupant)) = slot.and_then(|slot| Some((slot, self.map.slots.get(slot)?.read()?))) else {
            return Ok(false);
        };
        let Some(hsm_id) = occupant.hsm_id.clone().filter(|_| self.writer() == mark) else { return Ok(false) };
        if !self.is_live(index)? {
            return Ok(false);
        }
        self.fence(&occupant.entry(hsm_id))?;
        Ok(true)
    }

    /// The slot that this door holds.
    pub(super) fn own_slot(&self) -> Option<usize> {
        self.membership().slot()
    }

    fn membership(&self) -> MutexGuard<'_, Membership> {
        self.membership.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn new_occupant(&self, hsm_id: &HsmId, applied: Revision) -> std::io::Result<Occupant> {
        let pid = std::process::id();
        let start_time = process::start_time(pid)?.ok_or(std::io::ErrorKind::NotFound)?;
        let incarnation = Incarnation::from_bytes(sys::random()?);
        let heartbeat = sys::boottime_ms();
        Ok(Occupant { hsm_id: Some(hsm_id.clone()), incarnation, pid, start_time, applied, heartbeat })
    }

    /// Keeps everybody from joining until this door is dropped; false when somebody is in.
    pub(crate) fn close_joins(&self) -> Result<bool, TableError> {
        self.lock_joins()?;
        Ok(!self.is_anybody_in()?)
    }

    /// Waits for the turn to make the database name this table; none when it did not come.
    pub(crate) fn turn_to_take_over(&self, deadline: Instant) -> Result<Option<TakeOver<'_>>, TableError> {
        loop {
            if sys::lock(&self.file, TAKE_OVER_LOCK_BYTE).map_err(|error| self.error("locking it", error))? {
                return Ok(Some(TakeOver(self)));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn lock_joins(&self) -> Result<(), TableError> {
        let deadline = Instant::now() + JOIN_WAIT;
        while !sys::lock(&self.file, JOIN_LOCK_BYTE).map_err(|error| self.error("locking joins", error))? {
            if Instant::now() >= deadline {
                return Err(TableError::Locked { path: self.path.clone() });
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// The process that holds a slot for this HSM.
    fn holder_of(&self, hsm_id: &HsmId) -> Result<Option<u32>, JoinError> {
        for (index, slot) in self.map.slots.iter().enumerate() {
            let Some(Occupant { hsm_id: Some(found), pid, .. }) = slot.read() else { continue };
            if found == *hsm_id && sys::is_held(&self.file, lock_byte(index)).map_err(|error| self.joining(error))? {
                return Ok(Some(pid));
            }
        }
        Ok(None)
    }

    /// Under the join lock, and without a slot of one's own.
    fn take_slot(&self, hsm_id: &HsmId, occupant: &Occupant) -> Result<(usize, u32), JoinError> {
        // Who empties a dead member's slot holds it for a moment, and may be kept from going on for a while.
        let deadline = Instant::now() + SWEEP_WAIT;
        while let Some(pid) = self.holder_of(hsm_id)? {
            if Instant::now() >= deadline {
                return Err(JoinError::AlreadyJoined { hsm_id: hsm_id.clone(), pid });
            }
            std::thread::sleep(PAUSE);
        }
        for (index, slot) in self.map.slots.iter().enumerate() {
            if sys::lock(&self.file, lock_byte(index)).map_err(|error| self.joining(error))? {
                return Ok((index, slot.write(Some(occupant))));
            }
        }
        Err(JoinError::Full { slots: SLOTS })
    }

    fn give_back(&self, membership: &Membership) {
        let Membership::Held(seat) = membership else { return };
        if let Some(slot) = self.map.slots.get(seat.slot) {
            slot.write(None);
        }
        // Fails only with the whole file; then the lock goes with the process.
        let _ = sys::unlock(&self.file, lock_byte(seat.slot));
    }

    /// Whether somebody holds the slot.
    pub(super) fn is_live(&self, index: usize) -> Result<bool, StoreError> {
        if self.own_slot() == Some(index) {
            return Ok(true);
        }
        Ok(sys::is_held(&self.file, lock_byte(index)).map_err(|error| self.error("looking at a slot's lock", error))?)
    }

    fn find(&self, entry: &MemberEntry) -> Result<Option<(usize, Occupant)>, StoreError> {
        let named = |slot: &Slot| {
            slot.read().filter(|occupant| {
                occupant.incarnation == entry.incarnation && occupant.hsm_id.as_ref() == Some(&entry.hsm_id)
            })
        };
        let found = self.map.slots.iter().enumerate().find_map(|(index, slot)| Some((index, named(slot)?)));
        match found {
            Some((index, occupant)) if self.is_live(index)? => Ok(Some((index, occupant))),
            _ => Ok(None),
        }
    }

    fn joining(&self, error: std::io::Error) -> JoinError {
        JoinError::Store(self.error("joining", error).into())
    }
}

impl Occupant {
    /// What the table's readers are told.
    pub(super) fn entry(&self, hsm_id: HsmId) -> MemberEntry {
        MemberEntry {
            hsm_id,
            incarnation: self.incarnation,
            applied: self.applied,
            beat: self.heartbeat,
            // One host, one clock.
            clock_ahead_ms: 0,
        }
    }
}

impl Membership {
    fn slot(&self) -> Option<usize> {
        match self {
            Membership::Held(seat) => Some(seat.slot),
            Membership::None | Membership::Fenced => None,
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.leave();
    }
}
