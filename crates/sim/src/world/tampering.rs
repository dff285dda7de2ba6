//! A disk in other hands.

use strongroom_core::member::{AnchorConflict, CorruptLedger};
use strongroom_hsm::cluster::StateError;
use strongroom_types::{RecordKind, RecordPath};

use super::process::ProcessId;
use super::store::Records;
use super::{MS, Owner, SECOND, World};

/// What there is to put right.
#[derive(Debug, Default)]
pub(crate) struct Tampering {
    has_been: bool,
    /// What the disk held before.
    copy: Records,
    /// HSMs that saw nothing that the store lacks now: only a counter outside could tell them. They stay down.
    kept_down: Vec<usize>,
}

/// What was done to the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hands {
    Altered(RecordPath),
    Swapped(RecordPath, RecordPath),
    Dropped,
    PutBack,
    AllPutBack,
}

impl Tampering {
    /// Whether anything was done at any time: what was read then may be looked at later.
    pub(crate) fn has_been(&self) -> bool {
        self.has_been
    }

    pub(crate) fn keeps_down(&self, hsm: usize) -> bool {
        self.kept_down.contains(&hsm)
    }
}

impl Hands {
    /// Whether a starting HSM says what happened, and to which record where that can be told.
    fn is_named_by(self, error: &StateError) -> bool {
        match (self, error) {
            (Hands::Altered(at), StateError::Sealed { path, .. }) => at == *path,
            (Hands::Swapped(one, other), StateError::Sealed { path, .. }) => [one, other].contains(path),
            (Hands::Dropped, StateError::Ledger(CorruptLedger::Count { .. }))
            | (Hands::PutBack, StateError::Ledger(CorruptLedger::Sum(_)))
            | (Hands::AllPutBack, StateError::Anchor(AnchorConflict::Older { .. })) => true,
            _ => false,
        }
    }
}

impl World {
    /// All HSMs end, or go on, and somebody lays hands on the disk; in the end all of it is put right.
    pub(crate) fn tamper(&mut self) {
        let copy = self.store.records.clone();
        let Some(done) = self.lay_hands_on() else { return };
        self.counts.faults += 1;
        self.trace("TAMPERED", || format!("{done:?}"));
        let older = self.store.records.revision;
        let knows = |hsm: &super::Hsm| hsm.anchor.is_some_and(|anchor| anchor.revision > older);
        let keeps_all = !matches!(done, Hands::AllPutBack);
        let kept_down = (0..self.hsms.len()).filter(|hsm| !keeps_all && !knows(&self.hsms[*hsm])).collect();
        self.tampering = Tampering { has_been: true, copy, kept_down };
        self.store.hands = Some(done);
        let goes_on = !keeps_all && self.rng.bool();
        for hsm in 0..self.hsms.len() {
            let knows = knows(&self.hsms[hsm]);
            if !goes_on || !knows {
                let pause = self.rng.u64(10..300) * MS;
                self.end_process(hsm, pause);
            }
        }
        let until = self.rng.u64(1..3) * SECOND;
        self.after(until, Owner::World, "the disk is put right", World::put_right);
    }

    pub(crate) fn put_right(&mut self) {
        if self.store.hands.take().is_none() {
            return;
        }
        self.store.records = std::mem::take(&mut self.tampering.copy);
        self.store.moments += 1;
        let revision = self.store.records.revision;
        self.trace("PUT RIGHT", || format!("revision {revision}"));
        for hsm in std::mem::take(&mut self.tampering.kept_down) {
            self.start(hsm);
        }
        self.wake_members();
    }

    fn lay_hands_on(&mut self) -> Option<Hands> {
        // The cluster key's record is opened before all others, under the root key, which this world has none of.
        let is_apart = |path: &&RecordPath| !matches!(path.kind, RecordKind::Head | RecordKind::ClusterKey);
        let mut paths: Vec<RecordPath> = self.store.records.records.keys().filter(is_apart).copied().collect();
        self.rng.shuffle(&mut paths);
        let one = *paths.first()?;
        match self.rng.u32(0..5) {
            0 => {
                let at = if self.rng.u32(0..4) == 0 { RecordPath::HEAD } else { one };
                let place = self.rng.usize(..);
                let (_, bytes) = self.store.records.records.get_mut(&at)?;
                let len = bytes.len();
                bytes[place % len] ^= 1 << (place / len % 8);
                Some(Hands::Altered(at))
            }
            1 => {
                let other = *paths.iter().skip(1).find(|path| path.kind == one.kind)?;
                let records = &mut self.store.records.records;
                let (first, second) = (records.get(&one)?.clone(), records.get(&other)?.clone());
                records.insert(one, second);
                records.insert(other, first);
                Some(Hands::Swapped(one, other))
            }
            2 => {
                self.store.records.records.remove(&one)?;
                Some(Hands::Dropped)
            }
            3 => {
                let has_older = |path: &&RecordPath| self.truth.forms.get(path).is_some_and(|forms| forms.len() > 1);
                let at = *paths.iter().find(has_older)?;
                let forms = self.truth.forms.get(&at)?;
                let old = forms.get(self.rng.usize(..forms.len() - 1))?.clone();
                self.store.records.records.insert(at, old);
                Some(Hands::PutBack)
            }
            _ => {
                let old = self.snapshot_before_revocation()?;
                self.store.records = old;
                Some(Hands::AllPutBack)
            }
        }
    }

    /// The disk as it was when something stood that was taken away since.
    fn snapshot_before_revocation(&mut self) -> Option<Records> {
        let old = self.recorder.snapshots.iter().filter(|old| old.revision < self.truth.revoked).collect::<Vec<_>>();
        self.rng.choice(old).cloned()
    }

    /// A starting HSM refuses what it found.
    pub(crate) fn refuses_to_start(&mut self, id: ProcessId, hands: Option<Hands>, error: &StateError) {
        self.trace("refuses to start", || format!("{id:?}: {error}"));
        self.recorder.seen(error.to_string().as_bytes());
        match hands {
            None => self.broken(format!("{id:?} does not start on a store that nobody touched: {error}")),
            Some(done) if !done.is_named_by(error) => {
                self.broken(format!("{id:?} does not name what happened to the disk, {done:?}: {error}"));
            }
            Some(_) => {}
        }
        self.exit(id, 200 * MS);
    }

    /// A process starts to live on what it loaded.
    pub(crate) fn check_started(&mut self, id: ProcessId, hands: Option<Hands>) {
        if let Some(done) = hands {
            self.broken(format!("{id:?} starts on a disk in other hands: {done:?}"));
        }
    }
}
