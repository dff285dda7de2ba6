//! The store and the member table, without any time of their own: whoever calls decides when.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_store::{Changes, Delta, Loaded, MemberEntry, StoreError, StoredRecord};
use strongroom_types::{HsmId, Incarnation, RecordPath, Revision};

use super::process::ProcessId;
use super::tampering::Hands;

/// Everything durable that the members share.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) records: Records,
    deletions_kept: u64,
    entries: BTreeMap<HsmId, Held>,
    /// Changes with every commit and every changed entry.
    pub(crate) moments: u64,
    incarnations: u128,
    /// Who writes, on one host.
    pub(crate) writer: Option<ProcessId>,
    /// What somebody else did to the disk, while it is so.
    pub(crate) hands: Option<Hands>,
}

/// What a disk holds, and what somebody may put in its place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    pub(crate) revision: Revision,
    pub(crate) records: BTreeMap<RecordPath, (Revision, Vec<u8>)>,
    deletions: BTreeSet<(Revision, RecordPath)>,
    forgotten: Revision,
}

#[derive(Clone, Debug)]
struct Held {
    entry: MemberEntry,
    process: ProcessId,
}

/// Why an entry cannot be made.
pub(crate) struct Taken {
    /// The entry that stands.
    pub(crate) entry: MemberEntry,
}

impl Store {
    pub(crate) fn new(deletions_kept: u64) -> Store {
        Store {
            records: Records::default(),
            deletions_kept,
            entries: BTreeMap::new(),
            moments: 0,
            incarnations: 0,
            writer: None,
            hands: None,
        }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.records.revision
    }

    pub(crate) fn load(&self) -> Loaded {
        Loaded { revision: self.records.revision, records: self.records.records.iter().map(stored).collect() }
    }

    /// All or nothing; the newest revision when another batch was first.
    pub(crate) fn commit(
        &mut self,
        expected: Revision,
        puts: &[(RecordPath, Vec<u8>)],
        deletes: &[RecordPath],
    ) -> Result<(), Revision> {
        let on = &mut self.records;
        if on.revision != expected {
            return Err(on.revision);
        }
        let revision = on.revision.next();
        for (path, sealed) in puts {
            on.records.insert(*path, (revision, sealed.clone()));
        }
        for path in deletes {
            if on.records.remove(path).is_some() {
                on.deletions.insert((revision, *path));
            }
        }
        let forget = Revision(revision.0.saturating_sub(self.deletions_kept));
        while let Some(oldest) = on.deletions.first().copied().filter(|(deleted, _)| *deleted <= forget) {
            on.deletions.remove(&oldest);
            on.forgotten = oldest.0;
        }
        on.revision = revision;
        self.moments += 1;
        Ok(())
    }

    pub(crate) fn changes_since(&self, seen: Revision) -> Result<Changes, StoreError> {
        let on = &self.records;
        let newest = on.revision;
        if seen > newest {
            return Err(StoreError::WentBack { seen, newest });
        }
        if seen < on.forgotten {
            return Ok(Changes::TooOld);
        }
        let puts = on.records.iter().filter(|(_, (revision, _))| *revision > seen).map(stored).collect();
        let deleted = on.deletions.iter().filter(|(revision, _)| *revision > seen).map(|(_, path)| *path);
        let deletes: BTreeSet<_> = deleted.filter(|path| !on.records.contains_key(path)).collect();
        Ok(Changes::Since(Delta { revision: newest, puts, deletes: deletes.into_iter().collect() }))
    }

    pub(crate) fn join(
        &mut self,
        process: ProcessId,
        hsm_id: &HsmId,
        applied: Revision,
        clock_ahead_ms: i64,
    ) -> Result<(), Taken> {
        if let Some(held) = self.entries.get(hsm_id) {
            return Err(Taken { entry: held.entry.clone() });
        }
        self.incarnations += 1;
        let incarnation = Incarnation::from_bytes(self.incarnations.to_be_bytes());
        let entry = MemberEntry { hsm_id: hsm_id.clone(), incarnation, applied, beat: 0, clock_ahead_ms };
        self.entries.insert(hsm_id.clone(), Held { entry, process });
        self.moments += 1;
        Ok(())
    }

    /// False when the entry is gone.
    pub(crate) fn renew(&mut self, process: ProcessId, hsm_id: &HsmId, applied: Revision, clock_ahead_ms: i64) -> bool {
        let Some(held) = self.entries.get_mut(hsm_id).filter(|held| held.process == process) else { return false };
        held.entry.beat += 1;
        held.entry.clock_ahead_ms = clock_ahead_ms;
        if applied > held.entry.applied {
            held.entry.applied = applied;
            self.moments += 1;
        }
        true
    }

    /// Removes the entry of a process.
    pub(crate) fn leave_entry(&mut self, process: ProcessId) {
        let len = self.entries.len();
        self.entries.retain(|_, held| held.process != process);
        if self.entries.len() != len {
            self.moments += 1;
        }
    }

    /// The kernel gives back what an ended process held.
    pub(crate) fn leave(&mut self, process: ProcessId) {
        self.leave_entry(process);
        if self.writer == Some(process) {
            self.writer = None;
        }
    }

    pub(crate) fn members(&self) -> Vec<MemberEntry> {
        self.entries.values().map(|held| held.entry.clone()).collect()
    }

    /// Which process holds the entry.
    pub(crate) fn holder(&self, entry: &MemberEntry) -> Option<ProcessId> {
        let held = self.entries.get(&entry.hsm_id)?;
        (held.entry.incarnation == entry.incarnation).then_some(held.process)
    }

    /// Removes an entry that has not been renewed since it was seen so.
    pub(crate) fn remove(&mut self, entry: &MemberEntry) {
        let same = |held: &Held| held.entry.incarnation == entry.incarnation && held.entry.beat == entry.beat;
        if self.entries.get(&entry.hsm_id).is_some_and(same) {
            self.entries.remove(&entry.hsm_id);
            self.moments += 1;
        }
    }
}

fn stored((path, (revision, sealed)): (&RecordPath, &(Revision, Vec<u8>))) -> StoredRecord {
    StoredRecord { path: *path, revision: *revision, sealed: sealed.clone() }
}
