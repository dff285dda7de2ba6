//! The statements: what is read from the tables and written to them, inside somebody's transaction.
//!
//! A value that no version of this program wrote, such as a negative revision or a path of another length, is
//! [`FromSqlConversionFailure`](rusqlite::Error::FromSqlConversionFailure) or one of its neighbours, which
//! [`wrap`](super::open::wrap) takes for damage.

use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, Row, params};
use strongroom_types::{RecordPath, Revision};

use crate::StoredRecord;

/// SQLite's integers are signed; no cluster lives for half of them.
pub(super) fn number(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

fn revision_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Revision> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map(Revision).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn path_at(row: &Row<'_>, column: usize) -> rusqlite::Result<RecordPath> {
    let bytes: Vec<u8> = row.get(column)?;
    RecordPath::try_from(bytes.as_slice())
        .map_err(|_| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(FromSqlError::InvalidType)))
}

/// The newest revision.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<Revision> {
    let mut statement = connection.prepare_cached("SELECT revision FROM meta WHERE id = 1")?;
    statement.query_row([], |row| revision_at(row, 0))
}

/// Deletions up to this revision are forgotten.
pub(super) fn forgotten(connection: &Connection) -> rusqlite::Result<Revision> {
    let mut statement = connection.prepare_cached("SELECT forgotten FROM meta WHERE id = 1")?;
    statement.query_row([], |row| revision_at(row, 0))
}

fn record(row: &Row<'_>) -> rusqlite::Result<StoredRecord> {
    Ok(StoredRecord { path: path_at(row, 0)?, revision: revision_at(row, 1)?, sealed: row.get(2)? })
}

/// Every record, ordered by path; one whose revision is damaged is not passed over.
pub(super) fn all_records(connection: &Connection) -> rusqlite::Result<Vec<StoredRecord>> {
    let mut statement = connection.prepare_cached("SELECT path, revision, sealed FROM records ORDER BY path")?;
    statement.query_map([], record)?.collect()
}

// What follows names its index: to spare itself sorting a few rows SQLite would walk through the whole table instead, by
// the order of its paths, for every batch on every member.
const RECORDS_SINCE: &str = "SELECT path, revision, sealed FROM records INDEXED BY records_by_revision
     WHERE revision > ?1 ORDER BY path";
const DELETED_SINCE: &str =
    "SELECT path FROM deletions INDEXED BY deletions_by_revision WHERE revision > ?1 ORDER BY path";
const PRUNE: &str = "DELETE FROM deletions INDEXED BY deletions_by_revision WHERE revision <= ?1";

/// Records written after `seen`, ordered by path.
pub(super) fn records_since(connection: &Connection, seen: Revision) -> rusqlite::Result<Vec<StoredRecord>> {
    let mut statement = connection.prepare_cached(RECORDS_SINCE)?;
    statement.query_map(params![number(seen)], record)?.collect()
}

/// Paths deleted after `seen` and not written again, ordered.
pub(super) fn deleted(connection: &Connection, seen: Revision) -> rusqlite::Result<Vec<RecordPath>> {
    let mut statement = connection.prepare_cached(DELETED_SINCE)?;
    let rows = statement.query_map(params![number(seen)], |row| path_at(row, 0))?;
    rows.collect()
}

/// Writes one record into a database that is being made.
pub(super) fn write_record(writer: &Connection, record: &StoredRecord) -> rusqlite::Result<()> {
    let mut insert = writer.prepare_cached("INSERT INTO records (path, revision, sealed) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![record.path.to_bytes(), number(record.revision), record.sealed]).map(drop)
}

/// Writes a batch as `revision`, and forgets the deletions that are too old.
pub(super) fn write_batch(
    writer: &Connection,
    revision: Revision,
    puts: &[(RecordPath, Vec<u8>)],
    deletes: &[RecordPath],
    deletions_kept: u64,
) -> rusqlite::Result<()> {
    let at = number(revision);
    let mut put = writer.prepare_cached(
        "INSERT INTO records (path, revision, sealed) VALUES (?1, ?2, ?3)
         ON CONFLICT (path) DO UPDATE SET revision = excluded.revision, sealed = excluded.sealed",
    )?;
    let mut back = writer.prepare_cached("DELETE FROM deletions WHERE path = ?1")?;
    for (path, sealed) in puts {
        put.execute(params![path.to_bytes(), at, sealed])?;
        back.execute(params![path.to_bytes()])?;
    }
    let mut remove = writer.prepare_cached("DELETE FROM records WHERE path = ?1")?;
    let mut remember = writer.prepare_cached("INSERT OR REPLACE INTO deletions (path, revision) VALUES (?1, ?2)")?;
    for path in deletes {
        if remove.execute(params![path.to_bytes()])? > 0 {
            remember.execute(params![path.to_bytes(), at])?;
        }
    }
    let forget = number(Revision(revision.0.saturating_sub(deletions_kept)));
    let mut prune = writer.prepare_cached(PRUNE)?;
    let forgot = prune.execute(params![forget])? > 0;
    let mut meta = writer.prepare_cached(
        "UPDATE meta SET revision = ?1, forgotten = CASE WHEN ?2 THEN ?3 ELSE forgotten END WHERE id = 1",
    )?;
    meta.execute(params![at, forgot, forget])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one batch costs must not grow with what the store holds.
    #[test]
    fn what_every_batch_asks_for_walks_through_no_table() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(super::super::open::SCHEMA).unwrap();
        for query in [RECORDS_SINCE, DELETED_SINCE, PRUNE] {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
            let steps: Vec<String> = plan.query_map([7], |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap();
            assert!(!steps.iter().any(|step| step.starts_with("SCAN")), "{query}: {steps:?}");
            assert!(steps.iter().any(|step| step.contains("_by_revision")), "{query}: {steps:?}");
        }
    }
}
