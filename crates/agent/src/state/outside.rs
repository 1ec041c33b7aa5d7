//! Rows from the server that the register's filters, or a person, keep out. Rows that refer to them are kept out as well and do not wait for them.

use rusqlite::{Connection, Result};

pub(super) const CREATE: &str = "
CREATE TABLE outside(entity TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY(entity, key)) WITHOUT ROWID;";

/// Notes a row.
pub fn add(conn: &Connection, entity: &str, key: &str) -> Result<()> {
    conn.prepare_cached("INSERT INTO outside(entity, key) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?.execute((entity, key))?;
    Ok(())
}

/// Whether a row was kept out.
pub fn holds(conn: &Connection, entity: &str, key: &str) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM outside WHERE entity = ?1 AND key = ?2)")?
        .query_row((entity, key), |row| row.get(0))
}

/// The row is here now, or gone.
pub fn remove(conn: &Connection, entity: &str, key: &str) -> Result<()> {
    conn.prepare_cached("DELETE FROM outside WHERE entity = ?1 AND key = ?2")?.execute((entity, key))?;
    Ok(())
}

/// The filters are others now.
pub fn clear(conn: &Connection) -> Result<()> {
    conn.execute("DELETE FROM outside", [])?;
    Ok(())
}
