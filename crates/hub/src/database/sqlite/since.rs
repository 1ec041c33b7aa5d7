//! Rows written since a place in the log, or since a time, each as it is now: what clients without a log of their own ask for.

use std::collections::HashSet;

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, Transaction, params};
use tillsync_core::change::Operation;
use tillsync_core::value::Value;
use uuid::Uuid;

use super::{devices, log, meta};
use crate::database::clients::{ChildrenQuery, Part, Since, SinceQuery, Start, Written};

/// An answer stops growing at this many bytes of rows, at the end of the transaction that they came with.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// A time that the hub did not give may be of a clock that is behind by so much, or cut off.
const OVERLAP_MS: i64 = 5_000;

macro_rules! written_columns {
    () => {
        "SELECT entry.id, entry.device_id, entry.merged, entry.operation, entry.entity_type, entry.entity_id, entry.event_id,
      entry.timestamp, entry.server_timestamp, rows.writes, entry.data, before.data
    FROM change_log AS entry JOIN rows ON rows.entity_type = entry.entity_type AND rows.entity_id = entry.entity_id
      AND rows.version = entry.id
    LEFT JOIN change_log AS before ON before.id = entry.previous AND entry.data IS NULL"
    };
}

/// Entries that are the newest of their row, with the row as it was before, for deletes.
const WRITTEN: &str = concat!(written_columns!(), " WHERE entry.id > ?1 ORDER BY entry.id");

/// The same of one row.
const NAMED: &str = concat!(written_columns!(), " WHERE rows.entity_type = ?1 AND rows.entity_id = ?2");

/// Notes when the log has come how far, later than the time before.
pub(super) fn note_arrival(tx: &Transaction, head: i64, now_ms: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO arrivals (at, upto) VALUES (max(?1, coalesce((SELECT max(at) + 1 FROM arrivals), ?1)), ?2) ON CONFLICT DO NOTHING";
    tx.prepare_cached(sql)?.execute([now_ms, head])?;
    Ok(())
}

/// The place that a time names: exactly, where the hub gave the time.
fn place_at(connection: &Connection, at_ms: i64) -> rusqlite::Result<i64> {
    let exact: Option<i64> =
        connection.prepare_cached("SELECT upto FROM arrivals WHERE at = ?1")?.query_row([at_ms], |row| row.get(0)).optional()?;
    if let Some(place) = exact {
        return Ok(place);
    }
    let before: Option<i64> = connection
        .prepare_cached("SELECT upto FROM arrivals WHERE at <= ?1 ORDER BY at DESC LIMIT 1")?
        .query_row([at_ms.saturating_sub(OVERLAP_MS)], |row| row.get(0))
        .optional()?;
    Ok(before.unwrap_or(0))
}

/// Cursors of later epochs are larger by so much each: the log gives ids again that it lost when it was restored from a backup.
const EPOCH_STEP: i64 = 1 << 40;

/// How many epochs the log has left, as a part of cursors.
fn epoch_part(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT count(*) FROM left_epochs";
    connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0)).map(|left| left * EPOCH_STEP)
}

/// The place that a cursor names: where the log has lost what came before it, the place up to which nothing is lost.
fn place_of(connection: &Connection, cursor: i64, head: i64) -> rusqlite::Result<i64> {
    let (epoch, id) = (cursor.max(0) / EPOCH_STEP, cursor.max(0) % EPOCH_STEP);
    let sql = "SELECT min(head) FROM (SELECT head FROM left_epochs ORDER BY seq LIMIT -1 OFFSET ?1)";
    let common: Option<i64> = connection.prepare_cached(sql)?.query_row([epoch], |row| row.get(0))?;
    let place = id.min(common.unwrap_or(i64::MAX));
    // Of a log that this one never was nothing is known.
    Ok(if place > head { 0 } else { place })
}

/// The end of the transaction that an entry came with, and the time that names it.
fn end_of(connection: &Connection, id: i64) -> rusqlite::Result<Option<(i64, i64)>> {
    connection
        .prepare_cached("SELECT upto, at FROM arrivals WHERE upto >= ?1 ORDER BY upto LIMIT 1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

pub(super) fn read(tx: &Transaction, query: &SinceQuery) -> rusqlite::Result<Since> {
    let head = log::head(tx)?;
    let from = match query.start {
        Start::After(cursor) => place_of(tx, cursor, head)?,
        Start::Time(at_ms) => place_at(tx, at_ms)?,
    };
    let allowed = devices::entities_of(tx, &query.device_id)?;
    let mut since = Since {
        rows: Vec::new(),
        from,
        upto: from,
        epoch_part: epoch_part(tx)?,
        at_ms: query.now_ms,
        has_more: false,
        pruned_through: meta::pruned_through(tx)?,
    };
    let mut statement = tx.prepare_cached(WRITTEN)?;
    let mut entries = statement.query([from])?;
    let (mut bytes, mut end) = (0, None);
    while let Some(entry) = entries.next()? {
        let id: i64 = entry.get(0)?;
        if end.is_some_and(|(upto, _)| id > upto) {
            since.has_more = true;
            break;
        }
        if !is_wanted(entry, query, allowed.as_ref())? {
            continue;
        }
        let written = written(entry)?;
        bytes += entry.get_ref(10)?.as_bytes_or_null()?.map_or(0, <[u8]>::len);
        since.rows.push(written);
        if end.is_none() && (since.rows.len() >= query.limit || bytes > BYTES_MAX) {
            // Where the page may end without cutting a transaction in two, which no time could tell.
            end = if query.whole { end_of(tx, id)? } else { Some((id, query.now_ms)) };
        }
    }
    let end = end.filter(|_| since.has_more).or(end_of(tx, head)?.map(|(_, at)| (head, at)));
    (since.upto, since.at_ms) = end.unwrap_or((head, query.now_ms));
    Ok(since)
}

fn is_wanted(entry: &SqlRow, query: &SinceQuery, allowed: Option<&HashSet<String>>) -> rusqlite::Result<bool> {
    let merged: bool = entry.get(2)?;
    if query.exclude_own && !merged && entry.get_ref(1)?.as_bytes()? == query.device_id.as_bytes() {
        return Ok(false);
    }
    let table = entry.get_ref(4)?.as_str()?;
    let is_in = |tables: Option<&HashSet<String>>| tables.is_none_or(|tables| tables.contains(table));
    Ok(is_in(query.tables.as_ref()) && is_in(allowed))
}

fn written(entry: &SqlRow) -> rusqlite::Result<Written> {
    let operation: String = entry.get(3)?;
    let event_id: Option<[u8; 16]> = entry.get(6)?;
    let row = log::parse(entry.get(10)?)?;
    let before = log::parse(entry.get(11)?)?;
    Ok(Written {
        version: entry.get(0)?,
        device_id: entry.get(1)?,
        operation: Operation::parse(&operation).ok_or_else(|| log::damaged(3, "operation"))?,
        table: entry.get(4)?,
        id: entry.get(5)?,
        event_id: event_id.map(Uuid::from_bytes),
        client_ms: entry.get(7)?,
        server_ms: entry.get(8)?,
        writes: entry.get(9)?,
        row,
        before,
    })
}

/// Some rows of a table, also those that are gone.
pub(super) fn named(tx: &Transaction, table: &str, ids: &[String]) -> rusqlite::Result<Vec<Written>> {
    let mut statement = tx.prepare_cached(NAMED)?;
    let mut found = Vec::new();
    for id in ids {
        found.extend(statement.query_row([table, id], written).optional()?);
    }
    Ok(found)
}

/// The rows of a table that belong to a parent, by their keys. The settings' index of this column makes it quick.
pub(super) fn children(tx: &Transaction, query: &ChildrenQuery) -> rusqlite::Result<Vec<Part>> {
    let (table, path) = (quoted(&query.table), path(&query.column));
    let sql = format!(
        "SELECT entry.entity_id, entry.data, entry.id, entry.device_id FROM change_log AS entry JOIN rows ON rows.entity_type = entry.entity_type
           AND rows.entity_id = entry.entity_id AND rows.version = entry.id
         WHERE entry.entity_type = {table} AND json_extract(entry.data, {path}) = ?1 ORDER BY rows.entity_id"
    );
    let parent = match &query.parent {
        Value::Integer(n) => SqlValue::Integer(*n),
        Value::Real(r) => SqlValue::Real(*r),
        Value::Text(text) => SqlValue::Text(text.clone()),
        Value::Null | Value::RawText(_) | Value::Blob(_) => return Ok(Vec::new()),
    };
    let mut statement = tx.prepare_cached(&sql)?;
    let part = |row: &SqlRow| {
        let found = log::parse(row.get(1)?)?.unwrap_or_default();
        Ok(Part { id: row.get(0)?, row: found, version: row.get(2)?, device_id: row.get(3)? })
    };
    statement.query_map(params![parent], part)?.collect()
}

/// Makes the index by which the children of a parent are found.
pub(super) fn index_children(tx: &Transaction, table: &str, column: &str) -> rusqlite::Result<()> {
    let name = format!("\"children {}\"", format!("{table} {column}").replace('"', "\"\""));
    let sql = format!(
        "CREATE INDEX IF NOT EXISTS {name} ON change_log(json_extract(data, {})) WHERE entity_type = {}",
        path(column),
        quoted(table)
    );
    tx.execute_batch(&sql)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn path(column: &str) -> String {
    quoted(&format!("$.\"{column}\""))
}
