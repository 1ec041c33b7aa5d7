//! Facts about the database as a whole.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tillsync_core::wire::hub::Stats;

use super::log;
use crate::key::{Key, KeyHash};

/// From now on keys get older, unless they do already: who had one for years is not locked out by the first start with a lifetime.
pub(super) fn let_keys_age(tx: &Transaction, now_ms: i64) -> rusqlite::Result<()> {
    tx.execute("INSERT INTO meta (name, value) VALUES ('keys_age_from', ?1) ON CONFLICT DO NOTHING", [now_ms])?;
    Ok(())
}

/// The epoch, made when the database is new.
pub(super) fn epoch(tx: &Transaction) -> rusqlite::Result<String> {
    tx.execute("INSERT INTO meta (name, value) VALUES ('epoch', ?1) ON CONFLICT DO NOTHING", [uuid::Uuid::new_v4().to_string()])?;
    tx.query_row("SELECT value FROM meta WHERE name = 'epoch'", [], |row| row.get(0))
}

/// Begins a new epoch: what came after the head before is lost.
pub(super) fn new_epoch(tx: &Transaction) -> rusqlite::Result<String> {
    let left = epoch(tx)?;
    tx.execute("INSERT INTO left_epochs (epoch, head) VALUES (?1, ?2)", params![left, log::head(tx)?])?;
    tx.execute("DELETE FROM meta WHERE name = 'epoch'", [])?;
    epoch(tx)
}

/// The change id up to which this log and that of an epoch it has left are the same.
pub(super) fn forked_at(connection: &Connection, left: &str) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT min(head) FROM left_epochs WHERE seq >= (SELECT max(seq) FROM left_epochs WHERE epoch = ?1)";
    connection.prepare_cached(sql)?.query_row([left], |row| row.get(0))
}

/// Deletes up to this change id may be forgotten.
pub(super) fn pruned_through(connection: &Connection) -> rusqlite::Result<i64> {
    number(connection, PRUNED_THROUGH)
}

/// Entries of the log up to this id have been looked at by the retention.
pub(super) const PRUNED_POSITION: &str = "pruned_position";

/// So many entries it has removed.
pub(super) const PRUNED_COUNT: &str = "pruned_count";

/// The largest change id of a delete that it has removed.
pub(super) const PRUNED_THROUGH: &str = "pruned_through";

/// A number; 0 when it was never written.
pub(super) fn number(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    let known =
        connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()?;
    Ok(known.unwrap_or(0))
}

/// Writes a number that never gets smaller.
pub(super) fn raise(tx: &Transaction, name: &str, value: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = max(value, excluded.value)";
    tx.prepare_cached(sql)?.execute(params![name, value])?;
    Ok(())
}

/// What access tokens are signed with, once there is one.
pub(super) fn token_secret(connection: &Connection) -> rusqlite::Result<Option<Vec<u8>>> {
    connection.prepare_cached("SELECT value FROM meta WHERE name = 'token_secret'")?.query_row([], |row| row.get(0)).optional()
}

/// The same, made when there is none.
pub(super) fn make_token_secret(tx: &Transaction) -> rusqlite::Result<Vec<u8>> {
    let made = Key::make();
    tx.execute(
        "INSERT INTO meta (name, value) VALUES ('token_secret', ?1) ON CONFLICT DO NOTHING",
        params![made.hash().as_bytes()],
    )?;
    Ok(token_secret(tx)?.unwrap_or_default())
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
