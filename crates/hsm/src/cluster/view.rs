//! What this member has applied, and how it moves on: by what the store says, or by its own batch. Pure, so that a
//! simulation goes the same way.

use strongroom_core::member::{CorruptLedger, Ledger, revokes};
use strongroom_core::{Batch, CorruptHead, Head, Record, State, apply};
use strongroom_store::{Delta, Loaded, StoreError};
use strongroom_types::{RecordPath, Revision};

use super::StateError;
use super::sealing::{self, Opened, Sealed, SealsRecords};

/// The newest state that a member has applied, and the count of what the store holds behind it.
#[derive(Clone, Debug)]
pub struct View {
    state: State,
    ledger: Ledger,
    must_anchor: Revision,
}

/// A step that was applied: who must know of it is told before anybody counts on it.
#[derive(Clone, Debug)]
pub struct Advance {
    /// The state before.
    pub before: State,
    /// The state after.
    pub after: State,
    /// The records written and removed.
    pub changed: Vec<RecordPath>,
}

impl View {
    /// A whole store, opened and checked: every record opens, all together are what the head counts, and they fit each
    /// other.
    pub fn load(sealer: &impl SealsRecords, epoch: u64, loaded: &Loaded) -> Result<View, StateError> {
        let Opened { head, entered, records } = sealing::open(sealer, &loaded.records)?;
        let head = head.ok_or(StateError::Missing(RecordPath::HEAD))?;
        let ledger = Ledger::load(head, epoch, loaded.revision, &entered)?;
        let mut state = State::empty();
        let (revision, time_ms) = (head.revision, head.time_ms);
        apply(&mut state, &Batch { revision, time_ms, puts: records, deletes: Vec::new() })?;
        Ok(View { state, ledger, must_anchor: Revision(0) })
    }

    /// The state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The head of what was applied.
    pub fn head(&self) -> &Head {
        self.ledger.head()
    }

    /// The anchor must be durable up to here before this member's entry shows it.
    pub fn must_anchor(&self) -> Revision {
        self.must_anchor
    }

    /// Seals a batch that was planned on this state; none when the state has moved on since.
    pub fn seal(&self, sealer: &impl SealsRecords, batch: &Batch) -> Option<Result<Sealed, CorruptHead>> {
        let is_next = self.state.revision().next() == batch.revision;
        is_next.then(|| sealing::seal(sealer, &self.ledger, batch, Vec::new()))
    }

    /// Applies what changed. All or nothing; none when nothing did.
    pub fn step(&mut self, sealer: &impl SealsRecords, delta: &Delta) -> Result<Option<Advance>, StateError> {
        let Opened { head, entered, records } = sealing::open(sealer, &delta.puts)?;
        let time_ms = head.map_or(self.state.time_ms(), |head| head.time_ms);
        let batch = Batch { revision: delta.revision, time_ms, puts: records, deletes: delta.deletes.clone() };
        let mut state = self.state.clone();
        apply(&mut state, &batch)?;
        self.ledger.follow(head, delta.revision, &entered, &delta.deletes)?;
        Ok(self.advance(state, &batch))
    }

    /// Takes a whole store in place of what was applied: this member was too far behind.
    pub fn leap(&mut self, sealer: &impl SealsRecords, loaded: &Loaded) -> Result<Advance, StateError> {
        let known = *self.ledger.head();
        let View { state, ledger, .. } = View::load(sealer, known.epoch, loaded)?;
        if state.revision() < known.revision {
            let (seen, newest) = (known.revision, state.revision());
            return Err(StateError::Store(StoreError::WentBack { seen, newest }));
        }
        if ledger.head().time_ms < known.time_ms {
            return Err(CorruptLedger::Time.into());
        }
        let differs = |path: &&RecordPath| ledger.macs().get(path) != self.ledger.macs().get(path);
        let paths = ledger.macs().keys().chain(self.ledger.macs().keys()).filter(differs);
        let mut changed: Vec<RecordPath> = paths.copied().collect();
        changed.sort_unstable();
        changed.dedup();
        self.ledger = ledger;
        // What happened in between is not known in detail.
        self.must_anchor = state.revision();
        let before = std::mem::replace(&mut self.state, state);
        Ok(Advance { before, after: self.state.clone(), changed })
    }

    /// Applies this member's own batch, which is committed. Whoever followed the store in the meantime was faster, and
    /// then there is nothing to do.
    pub fn apply_own(&mut self, batch: &Batch, sealed: &Sealed) -> Result<Option<Advance>, StateError> {
        if self.state.revision() >= batch.revision {
            return Ok(None);
        }
        let mut state = self.state.clone();
        apply(&mut state, batch)?;
        self.ledger.follow(Some(sealed.head), sealed.revision, &sealed.entered, &sealed.deletes)?;
        Ok(self.advance(state, batch))
    }

    fn advance(&mut self, state: State, batch: &Batch) -> Option<Advance> {
        if state.revision() == self.state.revision() {
            return None;
        }
        if revokes(&self.state, &batch.puts, &batch.deletes) {
            self.must_anchor = batch.revision;
        }
        let changed = batch.puts.iter().map(Record::path).chain(batch.deletes.iter().copied()).collect();
        let before = std::mem::replace(&mut self.state, state);
        Some(Advance { before, after: self.state.clone(), changed })
    }
}
