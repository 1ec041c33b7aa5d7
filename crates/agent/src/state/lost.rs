//! Rows that the server had confirmed and that a restored store has lost, or has back as they were before. When the server still knows of
//! every delete, pulling tells what became of them; else these are what to ask about.

use rusqlite::{Connection, Result};

use crate::state::shadow::key_at;

pub(super) const CREATE: &str =
    "CREATE TABLE lost(entity INTEGER NOT NULL, key NOT NULL, version INTEGER NOT NULL, PRIMARY KEY(entity, key)) WITHOUT ROWID;";

/// Remembers the rows of the shadow that the server wrote after a cursor.
pub fn remember_after(conn: &Connection, cursor: i64) -> Result<()> {
    conn.execute(
        "INSERT INTO lost(entity, key, version) SELECT entity, key, version FROM shadow WHERE version > ?1
         ON CONFLICT DO UPDATE SET version = max(version, excluded.version)",
        [cursor],
    )?;
    Ok(())
}

/// An entity's rows that have not come back, with their versions.
pub fn unseen(conn: &Connection, entity: i64) -> Result<Vec<(String, i64)>> {
    let mut query = conn.prepare_cached(
        "SELECT key, version FROM lost WHERE entity = ?1 AND NOT EXISTS
           (SELECT 1 FROM shadow WHERE shadow.entity = lost.entity AND shadow.key = lost.key)",
    )?;
    let rows = query.query_map([entity], |row| Ok((key_at(row, 0)?, row.get(1)?)))?;
    rows.collect()
}

/// Everything has come back that will.
pub fn clear(conn: &Connection) -> Result<()> {
    conn.execute("DELETE FROM lost", [])?;
    Ok(())
}
