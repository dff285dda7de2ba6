//! The bounds of a batch.

use strongroom_types::RecordPath;
use strongroom_types::limits::{BATCH_LEN_MAX, RECORD_LEN_MAX};

use crate::BatchError;

/// Paths in one batch, puts and deletes together: the records of the plans, and the head.
pub const BATCH_RECORDS_MAX: usize = BATCH_LEN_MAX + 1;

/// Whether a store takes the batch.
pub(crate) fn check(puts: &[(RecordPath, Vec<u8>)], deletes: &[RecordPath]) -> Result<(), BatchError> {
    let len = puts.len().saturating_add(deletes.len());
    if len > BATCH_RECORDS_MAX {
        return Err(BatchError::TooManyRecords { len });
    }
    if let Some((path, sealed)) = puts.iter().find(|(_, sealed)| sealed.len() > RECORD_LEN_MAX) {
        return Err(BatchError::RecordTooLong { path: *path, len: sealed.len() });
    }
    let mut paths: Vec<RecordPath> = puts.iter().map(|(path, _)| *path).chain(deletes.iter().copied()).collect();
    paths.sort_unstable();
    match paths.iter().zip(paths.iter().skip(1)).find(|(one, next)| one == next) {
        Some((path, _)) => Err(BatchError::PathTwice { path: *path }),
        None => Ok(()),
    }
}
