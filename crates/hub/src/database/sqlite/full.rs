//! Full syncs: what a client has replaced at once, and taking that back.

use rusqlite::{OptionalExtension, Transaction, params};
use tillsync_core::change::Operation;
use tillsync_core::merge::Writer;

use super::log::{self, Entry};
use super::{cursors, push};
use crate::database::clients::{Full, Undone};
use crate::database::model::{Batch, BatchOutcome};

/// Who writes what is taken back.
const UNDO: &str = "undo";

/// Ids of rows that are there and that a device has been given, of one table. Nobody can have removed what it never saw.
pub(super) fn seen_rows(tx: &Transaction, device_id: &str, table: &str) -> rusqlite::Result<Vec<(String, i64)>> {
    let seen = cursors::position(tx, device_id)?;
    let sql = "SELECT rows.entity_id, rows.version FROM rows JOIN change_log ON id = rows.version
        WHERE rows.entity_type = ?1 AND NOT deleted AND (rows.version <= ?2 OR (device_id = ?3 AND NOT merged))";
    tx.prepare_cached(sql)?.query_map(params![table, seen, device_id], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Stores what a client replaces, and what part of the log that made.
pub(super) fn store(tx: &Transaction, full: &Full) -> rusqlite::Result<(i64, BatchOutcome)> {
    let mut batch = full.batch.clone();
    for (table, kept) in &full.tables {
        for (id, version) in seen_rows(tx, &batch.device_id, table)? {
            if !kept.contains(&id) {
                batch.changes.push(Batch::delete(table, &id, version, batch.now_ms));
            }
        }
    }
    let after = log::head(tx)?;
    let outcome = push::push(tx, &batch)?;
    let id = tx.prepare_cached("INSERT INTO full_syncs (device_id, after, upto, at) VALUES (?1, ?2, ?3, ?4)")?.insert(params![
        batch.device_id,
        after,
        log::head(tx)?,
        batch.now_ms
    ])?;
    Ok((id, outcome))
}

/// Gives the rows that a full sync changed what they had before, where nobody has changed them since.
pub(super) fn undo(tx: &Transaction, id: i64, device_id: Option<&str>, now_ms: i64) -> rusqlite::Result<Undone> {
    let found = tx
        .query_row("SELECT device_id, after, upto, undone_at FROM full_syncs WHERE id = ?1", [id], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, Option<i64>>(3)?))
        })
        .optional()?;
    let Some((owner, after, upto, undone_at)) = found.filter(|(owner, ..)| device_id.is_none_or(|device| device == owner)) else {
        return Ok(Undone::Unknown);
    };
    if undone_at.is_some() {
        return Ok(Undone::Done { rows: 0, kept: 0 });
    }
    let sql = "SELECT entry.id, entry.entity_type, entry.entity_id, before.data, rows.version, entry.previous IS NOT NULL AND before.id IS NULL
        FROM change_log AS entry LEFT JOIN change_log AS before ON before.id = entry.previous
        JOIN rows ON rows.entity_type = entry.entity_type AND rows.entity_id = entry.entity_id
        WHERE entry.id > ?1 AND entry.id <= ?2 AND entry.device_id = ?3 ORDER BY entry.id DESC";
    let mut statement = tx.prepare_cached(sql)?;
    let entries: Vec<(i64, String, String, Option<String>, i64, bool)> = statement
        .query_map(params![after, upto, owner], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })?
        .collect::<Result<_, _>>()?;
    let (mut rows, mut kept) = (0, 0);
    for (entry, table, row_id, before, head, forgotten) in entries {
        if head != entry || forgotten {
            kept += 1;
            continue;
        }
        take_back(tx, &table, &row_id, before.as_deref(), entry, now_ms)?;
        rows += 1;
    }
    tx.execute("UPDATE full_syncs SET undone_at = ?2 WHERE id = ?1", [id, now_ms])?;
    Ok(Undone::Done { rows, kept })
}

fn take_back(tx: &Transaction, table: &str, row_id: &str, data: Option<&str>, previous: i64, now_ms: i64) -> rusqlite::Result<()> {
    let writer = Writer { device: UNDO.to_owned(), manager: true, at_ms: now_ms };
    let operation = if data.is_some() { Operation::Update } else { Operation::Delete };
    let entry = Entry {
        entity_type: table,
        entity_id: row_id,
        event_id: None,
        timestamp: now_ms,
        writer: &writer,
        operation,
        data,
        merged: true,
        previous: Some(previous),
        resolves: None,
        restored: None,
        now_ms,
    };
    log::append(tx, &entry).map(|_| ())
}
