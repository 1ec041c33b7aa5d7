//! Retention: what nobody needs any more goes, a few entries per transaction.
//!
//! An entry of the log is kept for as long as it was the newest of its row within the retention: whoever was here since then finds the
//! row that it started from. A delete is kept as long; then the row is forgotten, and cursors from before are expired. How far devices
//! have come plays no part: one that is gone for good keeps nothing. The newest entry of a row that is there stays for ever.

use rusqlite::{OptionalExtension, Transaction, params};

use super::meta;

/// Old entries in one transaction: a few milliseconds of writing.
const ENTRIES_MAX: usize = 500;

/// Entries looked at for one that is old, behind some that say they are not.
const AHEAD_MAX: usize = 20_000;

/// A mark of how far the pruning had come is made at most this often.
const MARK_EVERY_MS: i64 = 3_600_000;

/// What a transaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Entries removed from the log.
    pub entries: u64,
    /// Of them deletes, whose rows are forgotten.
    pub deletes: u64,
    /// Whether there may be more to do.
    pub more: bool,
}

/// An entry that is older than the retention.
struct Old {
    id: i64,
    previous: Option<i64>,
    /// The row is deleted by it.
    is_delete: bool,
    entity_type: String,
    entity_id: String,
}

pub(super) fn prune(tx: &Transaction, retention_ms: i64, now_ms: i64) -> rusqlite::Result<Pruned> {
    let from = meta::number(tx, meta::PRUNED_POSITION)?;
    let cutoff_ms = now_ms.saturating_sub(retention_ms);
    let (old, position, more) = old_entries(tx, from, cutoff_ms)?;
    let mut pruned = Pruned { more, ..Pruned::default() };
    for entry in &old {
        if let Some(previous) = entry.previous {
            pruned.entries += remove(tx, previous)?;
        }
        if entry.is_delete && forget(tx, entry)? {
            pruned.entries += remove(tx, entry.id)?;
            pruned.deletes += 1;
            meta::raise(tx, meta::PRUNED_THROUGH, entry.id)?;
        }
    }
    meta::raise(tx, meta::PRUNED_POSITION, position)?;
    meta::raise(tx, meta::PRUNED_COUNT, meta::number(tx, meta::PRUNED_COUNT)? + pruned.entries as i64)?;
    if !more {
        forget_events(tx, position, retention_ms, now_ms)?;
        tx.execute("DELETE FROM enroll_tokens WHERE expires_at < ?1", [cutoff_ms])?;
        tx.execute("DELETE FROM arrivals WHERE at < ?1 AND at < (SELECT max(at) FROM arrivals)", [cutoff_ms])?;
    }
    Ok(pruned)
}

/// The next entries that are older than the retention, up to which id all are, and whether there may be more. An entry is as old as any
/// later one, whatever a clock that was wrong has written into it.
fn old_entries(tx: &Transaction, from: i64, cutoff_ms: i64) -> rusqlite::Result<(Vec<Old>, i64, bool)> {
    let sql = "SELECT id, server_timestamp, previous, operation = 'delete', entity_type, entity_id FROM change_log
        WHERE id > ?1 ORDER BY id LIMIT ?2";
    let mut statement = tx.prepare_cached(sql)?;
    let mut entries = statement.query(params![from, AHEAD_MAX])?;
    let (mut found, mut old) = (Vec::new(), 0);
    while let Some(entry) = entries.next()?.filter(|_| old < ENTRIES_MAX) {
        found.push(Old {
            id: entry.get(0)?,
            previous: entry.get(2)?,
            is_delete: entry.get(3)?,
            entity_type: entry.get(4)?,
            entity_id: entry.get(5)?,
        });
        if entry.get::<_, i64>(1)? < cutoff_ms {
            old = found.len();
        }
    }
    found.truncate(old);
    let position = found.last().map_or(from, |last| last.id);
    Ok((found, position, old >= ENTRIES_MAX))
}

/// Forgets a deleted row, unless it has come back or a person has yet to decide about it.
fn forget(tx: &Transaction, entry: &Old) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM rows WHERE entity_type = ?1 AND entity_id = ?2 AND version = ?3 AND deleted AND NOT EXISTS
        (SELECT 1 FROM conflict_log WHERE entity_type = ?1 AND entity_id = ?2 AND resolution = 'pending')";
    Ok(tx.prepare_cached(sql)?.execute(params![entry.entity_type, entry.entity_id, entry.id])? == 1)
}

/// Removes an entry. Its event is remembered for a while longer: who never heard the answer sends it again.
fn remove(tx: &Transaction, id: i64) -> rusqlite::Result<u64> {
    let sql = "DELETE FROM change_log WHERE id = ?1 RETURNING event_id, merged";
    let gone: Option<(Option<Vec<u8>>, bool)> =
        tx.prepare_cached(sql)?.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    if let Some((Some(event_id), merged)) = &gone {
        tx.prepare_cached("INSERT OR IGNORE INTO repeated_events (event_id, version, merged, since) VALUES (?1, ?2, ?3, ?2)")?
            .execute(params![event_id, id, merged])?;
    }
    Ok(u64::from(gone.is_some()))
}

/// Events are remembered for twice the retention.
fn forget_events(tx: &Transaction, position: i64, retention_ms: i64, now_ms: i64) -> rusqlite::Result<()> {
    let last_ms: Option<i64> = tx.query_row("SELECT max(at) FROM retention_marks", [], |row| row.get(0))?;
    if last_ms.is_none_or(|last_ms| (now_ms - last_ms).abs() >= MARK_EVERY_MS.min(retention_ms)) {
        tx.execute("INSERT OR REPLACE INTO retention_marks (at, position) VALUES (?1, ?2)", [now_ms, position])?;
    }
    let passed: Option<i64> =
        tx.query_row("SELECT max(position) FROM retention_marks WHERE at <= ?1", [now_ms - retention_ms], |row| row.get(0))?;
    if let Some(passed) = passed {
        tx.execute("DELETE FROM repeated_events WHERE since <= ?1", [passed])?;
        tx.execute("DELETE FROM retention_marks WHERE position < ?1", [passed])?;
    }
    Ok(())
}
