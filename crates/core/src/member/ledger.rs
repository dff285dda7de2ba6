use std::collections::BTreeMap;

use strongroom_types::{RecordPath, Revision};
use thiserror::Error;

use crate::{CorruptHead, Head, SumOfMacs};

/// MAC of one record with its path and revision.
pub type Mac = [u8; 32];

/// One record of a store, as far as counting goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered {
    /// Where. Never the head.
    pub path: RecordPath,
    /// The batch that wrote it.
    pub revision: Revision,
    /// Its MAC.
    pub mac: Mac,
}

/// What a store holds is not what its head says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CorruptLedger {
    /// The head is another revision's.
    #[error("the head is of revision {head}, the store of revision {store}: one of them was put back")]
    Revision {
        /// The head's.
        head: Revision,
        /// The store's.
        store: Revision,
    },
    /// The head is of another life of the cluster.
    #[error("the head is of epoch {head}, the cluster of epoch {cluster}")]
    Epoch {
        /// The head's.
        head: u64,
        /// The cluster's.
        cluster: u64,
    },
    /// The head's time is before that of the head that it follows.
    #[error("the head's time lies before that of the revision it follows")]
    Time,
    /// A record claims a revision that was not committed, or was seen already.
    #[error("the record {path} has revision {revision}, which can't be")]
    RecordRevision {
        /// The record.
        path: RecordPath,
        /// What it claims.
        revision: Revision,
    },
    /// A record twice.
    #[error("the record {0} occurs twice")]
    Twice(RecordPath),
    /// Records were dropped or added.
    #[error(
        "revision {revision} of the store has {found} records, its head counts {counted}: records were dropped or added"
    )]
    Count {
        /// The head's revision.
        revision: Revision,
        /// In the store.
        found: u64,
        /// In the head.
        counted: u64,
    },
    /// As many as should be, but not the same ones.
    #[error("the records of revision {0} are not those that its head counts: one was swapped or put back")]
    Sum(Revision),
    /// Records changed and the head did not.
    #[error("records of revision {0} changed without a new head")]
    NoHead(Revision),
}

/// The head of what a member has applied, and the MAC of each record behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    head: Head,
    macs: BTreeMap<RecordPath, Mac>,
}

impl Ledger {
    /// The ledger of an empty store.
    pub fn empty(epoch: u64) -> Ledger {
        Ledger { head: Head::empty(epoch), macs: BTreeMap::new() }
    }

    /// The ledger before an epoch's first batch, which writes all of its records at once as revision `first`.
    pub fn before(epoch: u64, first: Revision, time_ms: u64) -> Ledger {
        let revision = Revision(first.0.saturating_sub(1));
        Ledger { head: Head { revision, time_ms, ..Head::empty(epoch) }, macs: BTreeMap::new() }
    }

    /// The ledger of a whole store at `revision`, if its records are those that its head counts.
    pub fn load(head: Head, epoch: u64, revision: Revision, records: &[Entered]) -> Result<Ledger, CorruptLedger> {
        check_head(&head, epoch, revision)?;
        let mut macs = BTreeMap::new();
        for record in records {
            if record.revision > revision || record.revision == Revision(0) {
                return Err(CorruptLedger::RecordRevision { path: record.path, revision: record.revision });
            }
            if macs.insert(record.path, record.mac).is_some() {
                return Err(CorruptLedger::Twice(record.path));
            }
        }
        let sum = macs.values().fold(SumOfMacs::default(), |sum, mac| sum.plus(mac));
        check_total(&head, len(&macs), sum)?;
        Ok(Ledger { head, macs })
    }

    /// The head of what was applied.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Every record and its MAC.
    pub fn macs(&self) -> &BTreeMap<RecordPath, Mac> {
        &self.macs
    }

    /// The head of the batch that follows, with these records written and removed.
    pub fn next(&self, time_ms: u64, puts: &[(RecordPath, Mac)], deletes: &[RecordPath]) -> Result<Head, CorruptHead> {
        let paths = puts.iter().map(|(path, _)| path).chain(deletes);
        let removed: Vec<Mac> = paths.filter_map(|path| self.macs.get(path)).copied().collect();
        let added: Vec<Mac> = puts.iter().map(|(_, mac)| *mac).collect();
        self.head.next(time_ms, &removed, &added)
    }

    /// Checks what leads from here to `revision` against the head found there, and enters it. All or nothing.
    ///
    /// `deletes` may name what was never here.
    pub fn follow(
        &mut self,
        head: Option<Head>,
        revision: Revision,
        puts: &[Entered],
        deletes: &[RecordPath],
    ) -> Result<(), CorruptLedger> {
        let Some(head) = head else {
            let nothing = puts.is_empty() && deletes.is_empty() && revision == self.head.revision;
            return if nothing { Ok(()) } else { Err(CorruptLedger::NoHead(revision)) };
        };
        check_head(&head, self.head.epoch, revision)?;
        if head.revision <= self.head.revision {
            return Err(CorruptLedger::Revision { head: head.revision, store: self.head.revision });
        }
        if head.time_ms < self.head.time_ms {
            return Err(CorruptLedger::Time);
        }
        let mut changed: BTreeMap<RecordPath, Option<Mac>> = BTreeMap::new();
        for record in puts {
            if record.revision > revision || record.revision <= self.head.revision {
                return Err(CorruptLedger::RecordRevision { path: record.path, revision: record.revision });
            }
            if changed.insert(record.path, Some(record.mac)).is_some() {
                return Err(CorruptLedger::Twice(record.path));
            }
        }
        for path in deletes {
            if changed.insert(*path, None).is_some() {
                return Err(CorruptLedger::Twice(*path));
            }
        }
        let (mut sum, mut count) = (self.head.sum, len(&self.macs));
        for (path, mac) in &changed {
            if let Some(old) = self.macs.get(path) {
                (sum, count) = (sum.minus(old), count.saturating_sub(1));
            }
            if let Some(new) = mac {
                (sum, count) = (sum.plus(new), count.saturating_add(1));
            }
        }
        check_total(&head, count, sum)?;
        for (path, mac) in changed {
            match mac {
                Some(mac) => self.macs.insert(path, mac),
                None => self.macs.remove(&path),
            };
        }
        self.head = head;
        Ok(())
    }
}

fn len(macs: &BTreeMap<RecordPath, Mac>) -> u64 {
    u64::try_from(macs.len()).unwrap_or(u64::MAX)
}

fn check_head(head: &Head, epoch: u64, revision: Revision) -> Result<(), CorruptLedger> {
    if head.epoch != epoch {
        return Err(CorruptLedger::Epoch { head: head.epoch, cluster: epoch });
    }
    if head.revision != revision {
        return Err(CorruptLedger::Revision { head: head.revision, store: revision });
    }
    Ok(())
}

fn check_total(head: &Head, found: u64, sum: SumOfMacs) -> Result<(), CorruptLedger> {
    if found != head.count {
        return Err(CorruptLedger::Count { revision: head.revision, found, counted: head.count });
    }
    if sum == head.sum { Ok(()) } else { Err(CorruptLedger::Sum(head.revision)) }
}
