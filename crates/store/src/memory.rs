//! A store in memory, shared by the members of one process, whose failures a test can order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use strongroom_types::limits::DELETIONS_KEPT_REVISIONS;
use strongroom_types::{HsmId, Incarnation, RecordPath, Revision};
use thiserror::Error;

use crate::batch;
use crate::{
    Changes, CommitError, Delta, FenceError, JoinError, Loaded, MemberEntry, Moment, RenewError, Store, StoreError,
    StoredRecord,
};

/// How the next commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// As if another batch had come first; nothing is written.
    Conflict,
    /// The store cannot be written; nothing is.
    Unavailable,
    /// The outcome is unknown, and the batch was written.
    UnknownApplied,
    /// The outcome is unknown, and the batch was not written.
    UnknownLost,
}

/// What a test ordered.
#[derive(Debug, Error)]
#[error("a test made the store fail")]
struct Ordered;

/// One member's door to a store in memory. [`member`](MemoryStore::member) makes another.
///
/// Dropping a door takes its entry away, as the death of a process would.
pub struct MemoryStore {
    world: Arc<World>,
    seat: u64,
}

struct World {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    revision: Revision,
    records: BTreeMap<RecordPath, (Revision, Vec<u8>)>,
    deletions: BTreeSet<(Revision, RecordPath)>,
    /// Deletions up to this revision are forgotten.
    forgotten: Revision,
    deletions_kept: u64,
    entries: u64,
    incarnations: u128,
    seats: BTreeMap<u64, Seat>,
    seats_made: u64,
    /// Who asked to go first, and which asking it was.
    turn: Option<(u64, u64)>,
    turns: u64,
}

#[derive(Default)]
struct Seat {
    entry: Option<MemberEntry>,
    fenced: bool,
    paused: bool,
    holds_commits: bool,
    unavailable: bool,
    next_commit: Option<CommitFault>,
    every_commit: Option<CommitFault>,
    /// The turn that this member waited for in vain.
    exhausted: u64,
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new()
    }
}

impl MemoryStore {
    /// A store of its own, empty.
    pub fn new() -> MemoryStore {
        MemoryStore::with_deletions_kept(DELETIONS_KEPT_REVISIONS)
    }

    /// An empty store that remembers deletions for this many revisions.
    pub fn with_deletions_kept(deletions_kept: u64) -> MemoryStore {
        let state = State {
            revision: Revision(0),
            records: BTreeMap::new(),
            deletions: BTreeSet::new(),
            forgotten: Revision(0),
            deletions_kept,
            entries: 0,
            incarnations: 0,
            seats: BTreeMap::new(),
            seats_made: 0,
            turn: None,
            turns: 0,
        };
        MemoryStore::sit(Arc::new(World { state: Mutex::new(state), changed: Condvar::new() }))
    }

    /// Another member's door to the same store.
    pub fn member(&self) -> MemoryStore {
        MemoryStore::sit(Arc::clone(&self.world))
    }

    /// Makes this member's next commit fail.
    pub fn fail_next_commit(&self, fault: CommitFault) {
        self.state().seat(self.seat).next_commit = Some(fault);
    }

    /// Makes all of this member's commits fail, or ends that.
    pub fn fail_commits(&self, fault: Option<CommitFault>) {
        self.state().seat(self.seat).every_commit = fault;
    }

    /// Makes every read and commit of this member fail, or ends that. The member table stays in reach.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.state().seat(self.seat).unavailable = unavailable;
        self.world.changed.notify_all();
    }

    /// Every call of this member, also one that waits, hangs until [`resume`](MemoryStore::resume), as if its process
    /// were stopped.
    pub fn pause(&self) {
        self.state().seat(self.seat).paused = true;
        self.world.changed.notify_all();
    }

    /// Ends [`pause`](MemoryStore::pause).
    pub fn resume(&self) {
        self.state().seat(self.seat).paused = false;
        self.world.changed.notify_all();
    }

    /// Commits of this member hang before anything is written, as on a disk that is slow, or go on.
    pub fn hold_commits(&self, hold: bool) {
        self.state().seat(self.seat).holds_commits = hold;
        self.world.changed.notify_all();
    }

    fn sit(world: Arc<World>) -> MemoryStore {
        let mut state = world.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.seats_made += 1;
        let seat = state.seats_made;
        state.seats.insert(seat, Seat::default());
        drop(state);
        MemoryStore { world, seat }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.world.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, as soon as this member is not paused.
    fn enter(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        while state.seat(self.seat).paused {
            state = self.world.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    fn enter_records(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let mut state = self.enter();
        if state.seat(self.seat).unavailable { Err(StoreError::unavailable(Ordered)) } else { Ok(state) }
    }

    fn entry_changed(&self, state: &mut State) {
        state.entries += 1;
        if let Some((seat, _)) = state.turn
            && state.seats.get(&seat).is_none_or(|seat| seat.entry.is_none())
        {
            state.turn = None;
        }
        self.world.changed.notify_all();
    }
}

impl State {
    fn seat(&mut self, seat: u64) -> &mut Seat {
        self.seats.entry(seat).or_default()
    }

    fn moment(&self) -> Moment {
        Moment { revision: self.revision, entries: self.entries }
    }

    fn write(&mut self, puts: &[(RecordPath, Vec<u8>)], deletes: &[RecordPath]) {
        let revision = self.revision.next();
        for (path, sealed) in puts {
            self.records.insert(*path, (revision, sealed.clone()));
        }
        for path in deletes {
            if self.records.remove(path).is_some() {
                self.deletions.insert((revision, *path));
            }
        }
        let forget = Revision(revision.0.saturating_sub(self.deletions_kept));
        while let Some(oldest) = self.deletions.first().copied().filter(|(deleted, _)| *deleted <= forget) {
            self.deletions.remove(&oldest);
            self.forgotten = oldest.0;
        }
        self.revision = revision;
    }
}

impl Store for MemoryStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        let state = self.enter_records()?;
        Ok(Loaded { revision: state.revision, records: state.records.iter().map(stored).collect() })
    }

    fn commit(
        &self,
        expected: Revision,
        puts: &[(RecordPath, Vec<u8>)],
        deletes: &[RecordPath],
    ) -> Result<Revision, CommitError> {
        batch::check(puts, deletes)?;
        let mut state = self.enter_records().map_err(CommitError::Unavailable)?;
        while state.seat(self.seat).holds_commits {
            state = self.world.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let seat = state.seat(self.seat);
        let fault = seat.next_commit.take().or(seat.every_commit);
        let newest = state.revision;
        match fault {
            Some(CommitFault::Conflict) => return Err(CommitError::Conflict { newest }),
            Some(CommitFault::Unavailable) => return Err(CommitError::Unavailable(StoreError::unavailable(Ordered))),
            _ if newest != expected => return Err(CommitError::Conflict { newest }),
            Some(CommitFault::UnknownLost) => return Err(CommitError::Unknown(StoreError::unavailable(Ordered))),
            Some(CommitFault::UnknownApplied) | None => {}
        }
        state.write(puts, deletes);
        self.world.changed.notify_all();
        match fault {
            None => Ok(state.revision),
            Some(_) => Err(CommitError::Unknown(StoreError::unavailable(Ordered))),
        }
    }

    fn revision(&self) -> Result<Revision, StoreError> {
        Ok(self.enter_records()?.revision)
    }

    fn changes_since(&self, seen: Revision) -> Result<Changes, StoreError> {
        let state = self.enter_records()?;
        let newest = state.revision;
        if seen > newest {
            return Err(StoreError::WentBack { seen, newest });
        }
        if seen < state.forgotten {
            return Ok(Changes::TooOld);
        }
        let puts = state.records.iter().filter(|(_, (revision, _))| *revision > seen).map(stored).collect();
        let deleted = state.deletions.iter().filter(|(revision, _)| *revision > seen).map(|(_, path)| *path);
        let deletes: BTreeSet<_> = deleted.filter(|path| !state.records.contains_key(path)).collect();
        Ok(Changes::Since(Delta { revision: newest, puts, deletes: deletes.into_iter().collect() }))
    }

    fn moment(&self) -> Result<Moment, StoreError> {
        Ok(self.enter_records()?.moment())
    }

    fn wait(&self, seen: Moment, timeout: Duration) -> Result<Moment, StoreError> {
        let deadline = Instant::now() + timeout;
        loop {
            let state = self.enter_records()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if state.moment() != seen || left.is_zero() {
                return Ok(state.moment());
            }
            drop(self.world.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn join(&self, hsm_id: &HsmId, applied: Revision, clock_ms: u64) -> Result<Incarnation, JoinError> {
        let mut state = self.enter();
        if state.seats.values().filter_map(|seat| seat.entry.as_ref()).any(|entry| entry.hsm_id == *hsm_id)
            || state.seat(self.seat).entry.is_some()
        {
            return Err(JoinError::AlreadyJoined { hsm_id: hsm_id.clone(), pid: std::process::id() });
        }
        state.incarnations += 1;
        let incarnation = Incarnation::from_bytes(state.incarnations.to_be_bytes());
        let seat = state.seat(self.seat);
        seat.entry = Some(MemberEntry {
            hsm_id: hsm_id.clone(),
            incarnation,
            applied,
            beat: 0,
            clock_ahead_ms: clock_ahead_ms(clock_ms),
        });
        seat.fenced = false;
        self.entry_changed(&mut state);
        Ok(incarnation)
    }

    fn renew(&self, applied: Revision, clock_ms: u64) -> Result<(), RenewError> {
        let mut state = self.enter();
        let seat = state.seat(self.seat);
        let fenced = seat.fenced;
        let entry = seat.entry.as_mut().ok_or(if fenced { RenewError::Fenced } else { RenewError::NotJoined })?;
        entry.beat += 1;
        entry.clock_ahead_ms = clock_ahead_ms(clock_ms);
        if applied > entry.applied {
            entry.applied = applied;
            self.entry_changed(&mut state);
        }
        Ok(())
    }

    fn leave(&self) {
        let mut state = self.enter();
        let seat = state.seat(self.seat);
        seat.fenced = false;
        if seat.entry.take().is_some() {
            self.entry_changed(&mut state);
        }
    }

    fn announce_turn(&self) -> bool {
        let mut state = self.enter();
        if state.turn.is_some() || state.seat(self.seat).entry.is_none() {
            return false;
        }
        state.turns += 1;
        state.turn = Some((self.seat, state.turns));
        true
    }

    fn withdraw_turn(&self) {
        let mut state = self.enter();
        if state.turn.is_some_and(|(seat, _)| seat == self.seat) {
            state.turn = None;
            self.world.changed.notify_all();
        }
    }

    fn yield_turn(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut has_waited = false;
        let mut state = self.enter();
        while let Some((_, turn)) = state.turn.filter(|(seat, _)| *seat != self.seat) {
            let left = deadline.saturating_duration_since(Instant::now());
            let exhausted = &mut state.seat(self.seat).exhausted;
            if *exhausted == turn {
                break;
            }
            has_waited = true;
            if left.is_zero() {
                *exhausted = turn;
                break;
            }
            state = self.world.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        has_waited
    }

    fn members(&self) -> Result<Vec<MemberEntry>, StoreError> {
        let mut members: Vec<_> = self.enter().seats.values().filter_map(|seat| seat.entry.clone()).collect();
        members.sort_unstable_by(|one, other| one.hsm_id.cmp(&other.hsm_id));
        Ok(members)
    }

    fn fence(&self, entry: &MemberEntry) -> Result<(), FenceError> {
        let mut state = self.enter();
        let named = |seat: &Seat| seat.entry.as_ref().is_some_and(|held| held.incarnation == entry.incarnation);
        if named(state.seat(self.seat)) {
            return Err(FenceError::Itself { hsm_id: entry.hsm_id.clone() });
        }
        if let Some(seat) = state.seats.values_mut().find(|seat| named(seat)) {
            seat.entry = None;
            seat.fenced = true;
            self.entry_changed(&mut state);
        }
        Ok(())
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        let mut state = self.state();
        if state.seats.remove(&self.seat).is_some_and(|seat| seat.entry.is_some()) {
            self.entry_changed(&mut state);
        }
    }
}

fn clock_ahead_ms(clock_ms: u64) -> i64 {
    let machine_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    clock_ms.wrapping_sub(u64::try_from(machine_ms).unwrap_or(u64::MAX)).cast_signed()
}

fn stored((path, (revision, sealed)): (&RecordPath, &(Revision, Vec<u8>))) -> StoredRecord {
    StoredRecord { path: *path, revision: *revision, sealed: sealed.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(number: u8) -> RecordPath {
        RecordPath { kind: strongroom_types::RecordKind::Key, id: [number; 16] }
    }

    #[test]
    fn an_ordered_fault_hits_one_commit_of_one_member() {
        let check = |fault, written: bool, is_expected: fn(&CommitError) -> bool| {
            let store = MemoryStore::new();
            let other = store.member();
            store.fail_next_commit(fault);
            let error = store.commit(Revision(0), &[(path(1), vec![1])], &[]).unwrap_err();
            assert!(is_expected(&error), "{fault:?}: {error}");
            let newest = Revision(u64::from(written));
            assert_eq!(other.revision().unwrap(), newest, "{fault:?}");
            assert_eq!(store.commit(newest, &[(path(2), vec![2])], &[]).unwrap(), newest.next());
            store.fail_next_commit(fault);
            assert!(other.commit(newest.next(), &[(path(3), vec![3])], &[]).is_ok());
        };
        check(CommitFault::Conflict, false, |error| matches!(error, CommitError::Conflict { .. }));
        check(CommitFault::Unavailable, false, |error| matches!(error, CommitError::Unavailable(_)));
        check(CommitFault::UnknownLost, false, |error| matches!(error, CommitError::Unknown(_)));
        check(CommitFault::UnknownApplied, true, |error| matches!(error, CommitError::Unknown(_)));
    }

    #[test]
    fn an_unavailable_store_fails_reads_and_commits_and_keeps_the_table() {
        let store = MemoryStore::new();
        store.set_unavailable(true);
        assert!(matches!(store.revision(), Err(StoreError::Unavailable { .. })));
        assert!(matches!(store.load(), Err(StoreError::Unavailable { .. })));
        assert!(matches!(store.commit(Revision(0), &[], &[]), Err(CommitError::Unavailable(_))));
        assert_eq!(store.members().unwrap(), []);
        assert_eq!(store.member().revision().unwrap(), Revision(0));
        store.set_unavailable(false);
        assert_eq!(store.revision().unwrap(), Revision(0));
    }

    #[test]
    fn a_paused_member_hangs_until_it_is_resumed() {
        let store = Arc::new(MemoryStore::new());
        store.pause();
        let (sender, receiver) = std::sync::mpsc::channel();
        let paused = Arc::clone(&store);
        let thread = std::thread::spawn(move || sender.send(paused.revision().unwrap()).unwrap());
        assert_eq!(store.member().commit(Revision(0), &[], &[]).unwrap(), Revision(1));
        assert!(receiver.try_recv().is_err());
        store.resume();
        assert_eq!(receiver.recv().unwrap(), Revision(1));
        thread.join().unwrap();
    }

    #[test]
    fn an_entry_shows_its_clock() {
        let store = MemoryStore::new();
        let ahead_ms = || store.members().unwrap()[0].clock_ahead_ms;
        let machine_ms = || u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
        store.join(&HsmId::from_random([1; 7]), Revision(0), machine_ms() + 90_000).unwrap();
        assert!((80_000..=90_000).contains(&ahead_ms()), "{}", ahead_ms());
        store.renew(Revision(0), machine_ms() - 90_000).unwrap();
        assert!((-100_000..=-90_000).contains(&ahead_ms()), "{}", ahead_ms());
    }

    #[test]
    fn a_dropped_door_takes_its_entry_along() {
        let store = MemoryStore::new();
        let other = store.member();
        other.join(&HsmId::from_random([1; 7]), Revision(0), 0).unwrap();
        assert_eq!(store.members().unwrap().len(), 1);
        drop(other);
        assert_eq!(store.members().unwrap(), []);
    }
}
