//! Facts about the database as a whole.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tillsync_core::wire::hub::Stats;

use super::log;
use crate::key::KeyHash;

/// The epoch, made when the database is new.
pub(super) fn epoch(tx: &Transaction) -> rusqlite::Result<String> {
    tx.execute("INSERT INTO meta (name, value) VALUES ('epoch', ?1) ON CONFLICT DO NOTHING", [uuid::Uuid::new_v4().to_string()])?;
    tx.query_row("SELECT value FROM meta WHERE name = 'epoch'", [], |row| row.get(0))
}

/// Deletes up to this change id may be forgotten.
pub(super) fn pruned_through(connection: &Connection) -> rusqlite::Result<i64> {
    let known = connection
        .prepare_cached("SELECT value FROM meta WHERE name = 'pruned_through'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(known.unwrap_or(0))
}

pub(super) fn admin_key_hash(connection: &Connection) -> rusqlite::Result<Option<KeyHash>> {
    let hash: Option<Vec<u8>> = connection
        .prepare_cached("SELECT value FROM meta WHERE name = 'admin_key_hash'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(hash.and_then(|hash| KeyHash::from_bytes(&hash)))
}

pub(super) fn set_admin_key(tx: &Transaction, hash: KeyHash, replace: bool) -> rusqlite::Result<bool> {
    if !replace && admin_key_hash(tx)?.is_some() {
        return Ok(false);
    }
    tx.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('admin_key_hash', ?1)", params![hash.as_bytes()])?;
    Ok(true)
}

/// Numbers for the administrator, none of which reads the whole log.
pub(super) fn stats(connection: &Connection) -> rusqlite::Result<Stats> {
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let last_ms: Option<i64> = connection
        .query_row("SELECT server_timestamp FROM change_log ORDER BY id DESC LIMIT 1", [], |row| row.get(0))
        .optional()?;
    Ok(Stats {
        active_devices: count("SELECT count(*) FROM devices WHERE status = 'active'")?,
        total_changes: log::length(connection)?,
        pending_conflicts: count("SELECT count(*) FROM conflict_log WHERE resolution = 'pending'")?,
        last_update_at: last_ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).map(|time| time.to_string()),
    })
}
