//! How far each device has applied the log.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{log, meta};
use crate::database::model::Progress;

/// An idle device's last contact may be this old in the database: a write with a flush to disk per poll would cost more
/// than the news is worth.
const LAST_SYNC_AGE_MS_MAX: i64 = 60_000;

/// The exact count of pending changes reads their heads; beyond this many the difference of the ids is good enough.
const PENDING_COUNTED_MAX: i64 = 20_000;

struct Cursor {
    position: i64,
    last_sync_at: i64,
    /// Deletes up to this change id were forgotten when the device last began from 0.
    begun_after: i64,
}

fn find(connection: &Connection, device_id: &str) -> rusqlite::Result<Option<Cursor>> {
    connection
        .prepare_cached("SELECT last_change_id, last_sync_at, begun_after FROM sync_cursors WHERE device_id = ?1")?
        .query_row([device_id], |row| Ok(Cursor { position: row.get(0)?, last_sync_at: row.get(1)?, begun_after: row.get(2)? }))
        .optional()
}

/// What the device is known to have: the cursor that it last pulled from.
pub(super) fn position(connection: &Connection, device_id: &str) -> rusqlite::Result<i64> {
    Ok(find(connection, device_id)?.map_or(0, |known| known.position))
}

/// Whether the cursor is stored already and recently enough.
pub(super) fn is_noted(connection: &Connection, device_id: &str, position: i64, now_ms: i64) -> rusqlite::Result<bool> {
    let Some(known) = find(connection, device_id)? else { return Ok(false) };
    let began_before = position == 0 && known.begun_after < meta::pruned_through(connection)?;
    Ok(known.position == position && !began_before && (now_ms - known.last_sync_at).abs() < LAST_SYNC_AGE_MS_MAX)
}

/// Whether the device may have rows whose deletes after this cursor are forgotten.
pub(super) fn is_expired(connection: &Connection, device_id: &str, position: i64) -> rusqlite::Result<bool> {
    let pruned_through = meta::pruned_through(connection)?;
    if position == 0 || position >= pruned_through {
        return Ok(false);
    }
    Ok(find(connection, device_id)?.is_none_or(|known| known.begun_after < pruned_through))
}

/// Stores the cursor that a device pulls from. A device deleted meanwhile gets none.
pub(super) fn note(tx: &Transaction, device_id: &str, position: i64, now_ms: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO sync_cursors (device_id, last_change_id, last_sync_at) SELECT id, ?2, ?3 FROM devices WHERE id = ?1
        ON CONFLICT (device_id) DO UPDATE SET last_change_id = excluded.last_change_id, last_sync_at = excluded.last_sync_at";
    tx.prepare_cached(sql)?.execute(params![device_id, position, now_ms])?;
    if position == 0 {
        tx.prepare_cached("UPDATE sync_cursors SET begun_after = ?2 WHERE device_id = ?1")?
            .execute(params![device_id, meta::pruned_through(tx)?])?;
    }
    touch_device(tx, device_id, now_ms)
}

/// Stores that a device pushed; how far it has pulled does not change by that.
pub(super) fn touch(tx: &Transaction, device_id: &str, now_ms: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO sync_cursors (device_id, last_sync_at) SELECT id, ?2 FROM devices WHERE id = ?1
        ON CONFLICT (device_id) DO UPDATE SET last_sync_at = excluded.last_sync_at";
    tx.prepare_cached(sql)?.execute(params![device_id, now_ms])?;
    touch_device(tx, device_id, now_ms)
}

fn touch_device(tx: &Transaction, device_id: &str, now_ms: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE devices SET last_sync_at = ?2 WHERE id = ?1")?.execute(params![device_id, now_ms])?;
    Ok(())
}

pub(super) fn progress(connection: &Connection, device_id: &str) -> rusqlite::Result<Progress> {
    let known = find(connection, device_id)?;
    let cursor = known.as_ref().map_or(0, |known| known.position);
    let head = log::head(connection)?;
    let pending = if head - cursor <= PENDING_COUNTED_MAX {
        connection
            .prepare_cached("SELECT count(*) FROM change_log WHERE id > ?1 AND device_id <> ?2")?
            .query_row(params![cursor, device_id], |row| row.get(0))?
    } else {
        head - cursor
    };
    Ok(Progress { cursor, last_sync_at: known.map(|known| known.last_sync_at), pending, head })
}
