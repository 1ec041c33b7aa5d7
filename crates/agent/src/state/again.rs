//! Rows that a server which was restored from a backup has lost, with the version that they had there. They are sent again; who knows the
//! latest version of a row has the last word about it.

use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::state::shadow::{Key, key_at};

pub(super) const CREATE: &str =
    "CREATE TABLE again(entity INTEGER NOT NULL, key NOT NULL, version INTEGER NOT NULL, PRIMARY KEY(entity, key)) WITHOUT ROWID;";

/// Notes the rows of an entity that the server wrote after a version; gives back those that were deleted.
pub fn note_after(conn: &Connection, entity: i64, version: i64) -> Result<Vec<String>> {
    conn.execute(
        "INSERT INTO again(entity, key, version) SELECT entity, key, version FROM shadow WHERE entity = ?1 AND version > ?2
         ON CONFLICT DO UPDATE SET version = max(version, excluded.version)",
        [entity, version],
    )?;
    let mut query = conn.prepare("SELECT key FROM shadow WHERE entity = ?1 AND version > ?2 AND print IS NULL")?;
    let deleted = query.query_map([entity, version], |row| key_at(row, 0))?;
    deleted.collect()
}

/// Whether any row is to be sent again.
pub fn is_any(conn: &Connection) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM again)")?.query_row([], |row| row.get(0))
}

/// The version that a row had, if it is to be sent again.
pub fn version(conn: &Connection, entity: i64, key: &str) -> Result<Option<i64>> {
    conn.prepare_cached("SELECT version FROM again WHERE entity = ?1 AND key = ?2")?
        .query_row(params![entity, Key(key)], |row| row.get(0))
        .optional()
}

/// The server has the row again, or a later one.
pub fn remove(conn: &Connection, entity: i64, key: &str) -> Result<()> {
    conn.prepare_cached("DELETE FROM again WHERE entity = ?1 AND key = ?2")?.execute(params![entity, Key(key)])?;
    Ok(())
}

/// Nothing is to be sent again.
pub fn clear(conn: &Connection) -> Result<()> {
    conn.execute("DELETE FROM again", [])?;
    Ok(())
}
