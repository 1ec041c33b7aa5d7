//! What apply wrote: noted in the transaction that wrote it, until the state has taken it over. Whenever the agent ends, the next one
//! knows exactly which rows of the store the server wrote, and in which version; all else is the POS's.

use rusqlite::{Connection, Result, params};
use tillsync_core::kept::Kept;

use crate::kept::{Stored, read};

pub(super) const CREATE: &str =
    "CREATE TABLE IF NOT EXISTS _tillsync_applied(seq INTEGER PRIMARY KEY, t, key, print, version, columns, bases);";

/// A row as apply left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The table's number.
    pub table: i64,
    /// The entity id.
    pub key: String,
    /// What the shadow is to keep of it.
    pub kept: Kept,
}

/// Notes a row under the number after the last one.
pub fn note(conn: &Connection, seq: i64, table: i64, key: &str, kept: &Kept) -> Result<()> {
    let Stored { print, version, columns, bases } = kept.into();
    conn.prepare_cached(
        "INSERT INTO _tillsync_applied(seq, t, key, print, version, columns, bases) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![seq, table, key, print, version, columns, bases])?;
    Ok(())
}

/// Rows noted after this number, in order.
pub fn after(conn: &Connection, seq: i64) -> Result<Vec<Entry>> {
    let mut query =
        conn.prepare_cached("SELECT t, key, print, version, columns, bases FROM _tillsync_applied WHERE seq > ?1 ORDER BY seq")?;
    let entries = query.query_map([seq], |row| Ok(Entry { table: row.get(0)?, key: row.get(1)?, kept: read(row, 2)? }))?;
    entries.collect()
}

/// Forgets all rows, which the state has. Nothing is searched: SQLite gives the pages back as they are.
pub fn clear(conn: &Connection) -> Result<()> {
    conn.prepare_cached("DELETE FROM _tillsync_applied")?.execute([])?;
    Ok(())
}
