//! Between records and what a store keeps of them.

use strongroom_core::member::{Anchor, CorruptLedger, Entered, Ledger, Mac};
use strongroom_core::{Batch, CorruptHead, Head, Record};
use strongroom_crypto::digest::digest;
use strongroom_crypto_keys::seal::{SealError, Sealer};
use strongroom_store::StoredRecord;
use strongroom_types::{HashFunction, RecordKind, RecordPath, Revision, Secret};

use super::StateError;

/// How records are sealed for a store and told apart in its head. [`Sealer`] is the one way; a simulation tries wrong
/// ones too, to see that they are noticed.
pub trait SealsRecords {
    /// As [`Sealer::seal_record`].
    fn seal_record(&self, path: RecordPath, revision: Revision, plain: &[u8]) -> Vec<u8>;
    /// As [`Sealer::open_record`].
    fn open_record(&self, path: RecordPath, revision: Revision, sealed: &[u8]) -> Result<Secret, SealError>;
    /// As [`Sealer::record_mac`].
    fn record_mac(&self, path: RecordPath, revision: Revision, sealed: &[u8]) -> Mac;
}

impl SealsRecords for Sealer {
    fn seal_record(&self, path: RecordPath, revision: Revision, plain: &[u8]) -> Vec<u8> {
        Sealer::seal_record(self, path, revision, plain)
    }

    fn open_record(&self, path: RecordPath, revision: Revision, sealed: &[u8]) -> Result<Secret, SealError> {
        Sealer::open_record(self, path, revision, sealed)
    }

    fn record_mac(&self, path: RecordPath, revision: Revision, sealed: &[u8]) -> Mac {
        Sealer::record_mac(self, path, revision, sealed)
    }
}

/// A batch as a store takes it.
pub struct Sealed {
    /// The revision that it becomes.
    pub revision: Revision,
    /// The head among them.
    pub puts: Vec<(RecordPath, Vec<u8>)>,
    /// What it removes.
    pub deletes: Vec<RecordPath>,
    /// The head that it writes.
    pub head: Head,
    /// The records without the head.
    pub entered: Vec<Entered>,
}

/// Seals a batch on top of what the ledger holds. `extra` are records that are sealed already: the cluster key.
pub fn seal(
    sealer: &impl SealsRecords,
    ledger: &Ledger,
    batch: &Batch,
    extra: Vec<(RecordPath, Vec<u8>)>,
) -> Result<Sealed, CorruptHead> {
    let revision = batch.revision;
    let mut puts = extra;
    for record in &batch.puts {
        let path = record.path();
        puts.push((path, sealer.seal_record(path, revision, record.encode().expose())));
    }
    let entered: Vec<Entered> = puts
        .iter()
        .map(|(path, sealed)| Entered { path: *path, revision, mac: sealer.record_mac(*path, revision, sealed) })
        .collect();
    let macs: Vec<(RecordPath, Mac)> = entered.iter().map(|record| (record.path, record.mac)).collect();
    let head = ledger.next(batch.time_ms, &macs, &batch.deletes)?;
    puts.push((RecordPath::HEAD, sealer.seal_record(RecordPath::HEAD, revision, &head.encode())));
    Ok(Sealed { revision, puts, deletes: batch.deletes.clone(), head, entered })
}

/// Records as a store gave them, opened. Nothing is checked between them yet.
pub(super) struct Opened {
    pub(super) head: Option<Head>,
    /// Every record besides the head, the cluster key among them.
    pub(super) entered: Vec<Entered>,
    pub(super) records: Vec<Record>,
}

/// Opens each record, or names the one that is damaged.
pub(super) fn open(sealer: &impl SealsRecords, stored: &[StoredRecord]) -> Result<Opened, StateError> {
    let mut opened = Opened { head: None, entered: Vec::new(), records: Vec::new() };
    for StoredRecord { path, revision, sealed } in stored {
        let (path, revision) = (*path, *revision);
        if path.kind != RecordKind::Head {
            opened.entered.push(Entered { path, revision, mac: sealer.record_mac(path, revision, sealed) });
        }
        if path.kind == RecordKind::ClusterKey {
            // Sealed under the root key; the ledger tells whether it is the one that belongs here.
            continue;
        }
        let plain = sealer.open_record(path, revision, sealed);
        let plain = plain.map_err(|cause| StateError::Sealed { path, revision, cause })?;
        match path.kind {
            RecordKind::Head if path == RecordPath::HEAD && opened.head.is_none() => {
                let head = Head::decode(plain.expose())?;
                if head.revision != revision {
                    return Err(CorruptLedger::Revision { head: head.revision, store: revision }.into());
                }
                opened.head = Some(head);
            }
            RecordKind::Head => return Err(CorruptLedger::Twice(path).into()),
            _ => opened.records.push(Record::decode(path, revision, plain.expose())?),
        }
    }
    Ok(opened)
}

/// Seals anew, for another epoch or cluster, what is sealed inside of a record; of the cluster itself, whose TLS key a clone
/// does not keep, see to it apart.
pub(super) fn reseal(record: &mut Record, old: &Sealer, new: &Sealer) -> Result<(), SealError> {
    match record {
        Record::Key(key) => {
            if let Some(sealed) = &mut key.sealed {
                *sealed = new.seal_material(key.reference, &old.open_material(key.reference, sealed)?).into();
            }
        }
        Record::HistoryKey(key) => {
            key.sealed = new.seal_history_key(&old.open_history_key(&key.sealed)?).into();
        }
        Record::Cluster(_)
        | Record::Hsm(_)
        | Record::User(_)
        | Record::Receipt(_)
        | Record::EndedLogin(_)
        | Record::Rollback(_)
        | Record::TrustAnchor(_)
        | Record::Certificate(_)
        | Record::QuorumToken(_)
        | Record::QuorumValues(_)
        | Record::SpentChallenge(_) => {}
    }
    Ok(())
}

/// The anchor of a head.
pub fn anchor_of(head: &Head) -> Anchor {
    let bytes = digest(HashFunction::Sha256, &head.encode());
    Anchor::of(head, bytes.try_into().expect("a SHA-256 digest has 32 bytes"))
}
