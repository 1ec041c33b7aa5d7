//! Keys with NULL that several rows of the store share: those rows do not sync, and people are told how many there are.

use rusqlite::{Connection, Result};

use crate::store::null_keys::Shared;
use crate::store::schema::Schema;

pub(super) const CREATE: &str = "
CREATE TABLE shared(entity TEXT NOT NULL, key TEXT NOT NULL, rows INTEGER NOT NULL, PRIMARY KEY(entity, key)) WITHOUT ROWID;";

/// Several rows have this key now.
pub fn put(conn: &Connection, entity: &str, shared: &Shared) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO shared(entity, key, rows) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET rows = excluded.rows",
    )?
    .execute((entity, &shared.key, shared.rows))?;
    Ok(())
}

/// One row at most has this key now. Says whether there were more.
pub fn remove(conn: &Connection, entity: &str, key: &str) -> Result<bool> {
    Ok(conn.prepare_cached("DELETE FROM shared WHERE entity = ?1 AND key = ?2")?.execute((entity, key))? > 0)
}

/// These are all that there are in a table. Says whether there were others.
pub fn replace(conn: &Connection, entity: &str, all: &[Shared]) -> Result<bool> {
    let before = conn.execute("DELETE FROM shared WHERE entity = ?1", [entity])?;
    all.iter().try_for_each(|shared| put(conn, entity, shared))?;
    Ok(before > 0)
}

/// Only what this register sends is looked at from now on.
pub fn keep(conn: &Connection, schema: &Schema) -> Result<()> {
    for (entity, _) in counts(conn)? {
        if !schema.table(&entity).is_some_and(|table| table.direction.pushes()) {
            replace(conn, &entity, &[])?;
        }
    }
    Ok(())
}

/// Rows by table.
pub fn counts(conn: &Connection) -> Result<Vec<(String, u64)>> {
    let mut query = conn.prepare_cached("SELECT entity, sum(rows) FROM shared GROUP BY entity ORDER BY entity")?;
    query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}
