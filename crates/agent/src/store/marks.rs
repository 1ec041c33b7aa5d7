//! Marks that must travel with the store: whose it is, and how far it has pulled. They go back in time when the POS restores a backup.

use rusqlite::types::{FromSql, ToSql};
use rusqlite::{Connection, OptionalExtension, Result};

/// The agent that serves this store: the id in its state.
pub const OWNER: &str = "owner";

/// The owner's state folder, for people.
pub const OWNER_STATE_DIR: &str = "owner_state_dir";

/// The store's path when it was taken over; another one means a copy.
pub const STORE_PATH: &str = "store_path";

/// Changes with every restore or clone that is noticed.
pub const INCARNATION: &str = "incarnation";

/// What ids of rows that this store counted for itself are made from. It stays when the store is restored, copied or taken over.
pub const NAMESPACE: &str = "namespace";

/// The store was copied from another register's: rows made from now on are not the other one's.
pub const COPIED: &str = "copied";

/// The cursor up to which this store holds the server's changes.
pub const CURSOR: &str = "cursor";

/// Up to here the store holds every change of the server; between here and the cursor some may have waited in the inbox.
pub const WHOLE: &str = "whole";

/// How many rows apply has noted so far.
pub const APPLIED_SEQ: &str = "applied_seq";

/// The server's epoch that the cursor counts in.
pub const EPOCH: &str = "epoch";

/// Reads a mark; `None` when it or the whole table is missing, or when it is NULL.
pub fn get<T: FromSql>(conn: &Connection, name: &str) -> Result<Option<T>> {
    let there: bool = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_tillsync_marks')")?
        .query_row([], |row| row.get(0))?;
    if !there {
        return Ok(None);
    }
    let mut query = conn.prepare_cached("SELECT value FROM _tillsync_marks WHERE name = ?1")?;
    Ok(query.query_row([name], |row| row.get(0)).optional()?.flatten())
}

/// Writes a mark. One that has this value already costs nothing.
pub fn set(conn: &Connection, name: &str, value: impl ToSql) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO _tillsync_marks(name, value) VALUES (?1, ?2)
         ON CONFLICT(name) DO UPDATE SET value = excluded.value WHERE value IS NOT excluded.value",
    )?
    .execute((name, value))?;
    Ok(())
}
