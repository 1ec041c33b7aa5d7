//! Operations that clients left here for later.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::database::clients::Queued;

/// So many a user may leave here.
const QUEUED_MAX: i64 = 10_000;

/// Leaves an operation here; one of the same id stays as it was. False when there are too many.
pub(super) fn add(tx: &Transaction, user: &str, queued: &Queued) -> rusqlite::Result<bool> {
    let known: Option<i64> = tx
        .query_row("SELECT seq FROM queued_operations WHERE user = ?1 AND id = ?2", params![user, queued.id], |row| row.get(0))
        .optional()?;
    if known.is_some() {
        return Ok(true);
    }
    let (count, last): (i64, i64) =
        tx.query_row("SELECT count(*), coalesce(max(seq), 0) FROM queued_operations WHERE user = ?1", [user], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    if count >= QUEUED_MAX {
        return Ok(false);
    }
    tx.execute(
        "INSERT INTO queued_operations (id, user, operation, timestamp, seq) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![queued.id, user, queued.operation, queued.at_ms, last + 1],
    )?;
    Ok(true)
}

/// What a user left here and has not marked, in its order.
pub(super) fn pending(connection: &Connection, user: &str) -> rusqlite::Result<Vec<Queued>> {
    let sql = "SELECT id, operation, timestamp FROM queued_operations WHERE user = ?1 AND NOT synced ORDER BY seq";
    connection
        .prepare_cached(sql)?
        .query_map([user], |row| Ok(Queued { id: row.get(0)?, operation: row.get(1)?, at_ms: row.get(2)? }))?
        .collect()
}

/// Marks some; says how many there were of them.
pub(super) fn mark(tx: &Transaction, user: &str, ids: &[String]) -> rusqlite::Result<usize> {
    let mut statement = tx.prepare_cached("UPDATE queued_operations SET synced = 1 WHERE user = ?1 AND id = ?2")?;
    ids.iter().map(|id| statement.execute([user, id])).sum()
}

/// Removes those that are marked.
pub(super) fn clear(tx: &Transaction, user: &str) -> rusqlite::Result<usize> {
    tx.execute("DELETE FROM queued_operations WHERE user = ?1 AND synced", [user])
}

/// How many are not marked.
pub(super) fn count(connection: &Connection, user: &str) -> rusqlite::Result<i64> {
    let sql = "SELECT count(*) FROM queued_operations WHERE user = ?1 AND NOT synced";
    connection.prepare_cached(sql)?.query_row([user], |row| row.get(0))
}
