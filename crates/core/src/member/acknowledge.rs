use std::collections::BTreeMap;

use strongroom_types::{Incarnation, Revision};

use super::{Entry, LeaseKind};

/// Stands for the beginning of a read of the member table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadMark(u64);

/// What a read of the member table showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<T> {
    /// Every member has applied what these wait for, or is gone: answer them.
    pub reached: Vec<T>,
    /// Fence these: they kept a change waiting for too long.
    pub fence: Vec<Entry>,
}

/// Revoking changes that are committed and not acknowledged yet.
///
/// One is acknowledged when every entry of the member table, read after the commit, shows its revision. A member that
/// is not in the table does not count: it is dead, or will read a newer revision before it serves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acknowledgements<T> {
    pub(super) kind: LeaseKind,
    pub(super) lease_ms: u64,
    waiting: Vec<Waiting<T>>,
    /// Members that some change waits for, as last seen, and since when they are so.
    pub(super) behind: BTreeMap<Incarnation, Behind>,
    registered: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Waiting<T> {
    number: u64,
    revision: Revision,
    ticket: T,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Behind {
    pub(super) applied: Revision,
    pub(super) beat: u64,
    pub(super) since_ms: u64,
}

impl<T: PartialEq> Acknowledgements<T> {
    /// Nothing waits.
    pub fn new(kind: LeaseKind, lease_ms: u64) -> Acknowledgements<T> {
        Acknowledgements { kind, lease_ms, waiting: Vec::new(), behind: BTreeMap::new(), registered: 0 }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A change is committed: every member must apply this revision. Read the member table next.
    pub fn wait_for(&mut self, ticket: T, revision: Revision) {
        self.waiting.push(Waiting { number: self.registered, revision, ticket });
        self.registered += 1;
    }

    /// Forgets a change whose caller's deadline passed; false when it was not here.
    pub fn withdraw(&mut self, ticket: &T) -> bool {
        let len = self.waiting.len();
        self.waiting.retain(|waiting| waiting.ticket != *ticket);
        self.waiting.len() < len
    }

    /// Forgets every change, and says which: this member stops.
    pub fn take_all(&mut self) -> Vec<T> {
        self.behind.clear();
        self.waiting.drain(..).map(|waiting| waiting.ticket).collect()
    }

    /// The member table is about to be read.
    pub fn begin_read(&self) -> ReadMark {
        ReadMark(self.registered)
    }

    /// The member table, read after `mark` was taken: who came to wait later waits for the next read. `own` is never
    /// fenced; and while its entry does not show what others are waited for, nobody is: ending them would acknowledge
    /// nothing, and they may have the same trouble, such as a disk that takes no anchor.
    pub fn read(&mut self, mark: ReadMark, entries: &[Entry], own: Option<Incarnation>, now_ms: u64) -> Seen<T> {
        let shown = entries.iter().map(|entry| entry.applied).min();
        let (mut reached, mut waiting) = (Vec::new(), Vec::new());
        for one in self.waiting.drain(..) {
            if one.number < mark.0 && shown.is_none_or(|shown| shown >= one.revision) {
                reached.push(one.ticket);
            } else {
                waiting.push(one);
            }
        }
        self.waiting = waiting;
        Seen { reached, fence: self.look(entries, own, now_ms) }
    }

    /// Who has kept a change waiting for too long.
    fn look(&mut self, entries: &[Entry], own: Option<Incarnation>, now_ms: u64) -> Vec<Entry> {
        let wanted = self.waiting.iter().map(|waiting| waiting.revision).max();
        let patience_ms = self.kind.patience_ms(self.lease_ms);
        let (mut behind, mut fence) = (BTreeMap::new(), Vec::new());
        let is_behind = |entry: &Entry| wanted.is_some_and(|wanted| entry.applied < wanted);
        let may_fence = !entries.iter().any(|entry| own == Some(entry.incarnation) && is_behind(entry));
        for entry in entries {
            if !is_behind(entry) || own == Some(entry.incarnation) {
                continue;
            }
            let since_ms = match self.behind.get(&entry.incarnation) {
                Some(before) if self.is_stuck(before, entry) => before.since_ms,
                _ => now_ms,
            };
            let overdue = now_ms.saturating_sub(since_ms) > patience_ms;
            // Should fencing fail, it is tried again after as long a time.
            let since_ms = if overdue { now_ms } else { since_ms };
            behind.insert(entry.incarnation, Behind { applied: entry.applied, beat: entry.beat, since_ms });
            if overdue && may_fence {
                fence.push(entry.clone());
            }
        }
        self.behind = behind;
        fence
    }

    /// Whether a member has done nothing since that would let it live on.
    fn is_stuck(&self, before: &Behind, entry: &Entry) -> bool {
        match self.kind {
            LeaseKind::Held => before.applied == entry.applied,
            // Its lease runs anew with each renewal; only one that has surely run out may be taken away.
            LeaseKind::Timed => before.beat == entry.beat,
        }
    }
}
