//! Progress of the first full sync: how far each table has been sent.

use rusqlite::{Connection, OptionalExtension, Result};

pub(super) const CREATE: &str = "
CREATE TABLE upload(entity TEXT PRIMARY KEY, position TEXT, done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL,
  finished INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;";

/// How far a table has come.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The last key sent, as an entity id; `None` at the start.
    pub position: Option<String>,
    /// Whether the table is done.
    pub finished: bool,
}

/// Rows done and in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows looked at.
    pub done: u64,
    /// Rows in all, as counted at the start.
    pub total: u64,
    /// Whether every table is done.
    pub finished: bool,
}

/// How far a table has come; `None` when it has not started.
pub fn get(conn: &Connection, entity: &str) -> Result<Option<Progress>> {
    conn.prepare_cached("SELECT position, finished FROM upload WHERE entity = ?1")?
        .query_row([entity], |row| Ok(Progress { position: row.get(0)?, finished: row.get(1)? }))
        .optional()
}

/// Whether a table is done.
pub fn is_finished(conn: &Connection, entity: &str) -> Result<bool> {
    Ok(get(conn, entity)?.is_some_and(|progress| progress.finished))
}

/// Starts a table.
pub fn start(conn: &Connection, entity: &str, total: u64) -> Result<()> {
    conn.execute("INSERT INTO upload(entity, total) VALUES (?1, ?2) ON CONFLICT DO NOTHING", (entity, total))?;
    Ok(())
}

/// Notes that rows up to `position` are with the server.
pub fn advance(conn: &Connection, entity: &str, position: &str, rows: u64) -> Result<()> {
    conn.prepare_cached("UPDATE upload SET position = ?2, done = done + ?3 WHERE entity = ?1")?
        .execute((entity, position, rows))?;
    Ok(())
}

/// Ends a table.
pub fn finish(conn: &Connection, entity: &str) -> Result<()> {
    conn.execute("UPDATE upload SET finished = 1, done = max(done, total) WHERE entity = ?1", [entity])?;
    Ok(())
}

/// Starts a table over: rows that are with the server already are passed over.
pub fn restart(conn: &Connection, entity: &str) -> Result<()> {
    conn.execute("UPDATE upload SET finished = 0, position = NULL, done = 0 WHERE entity = ?1", [entity])?;
    Ok(())
}

/// Forgets a table.
pub fn remove(conn: &Connection, entity: &str) -> Result<()> {
    conn.execute("DELETE FROM upload WHERE entity = ?1", [entity])?;
    Ok(())
}

/// Starts all over.
pub fn reset(conn: &Connection) -> Result<()> {
    conn.execute("DELETE FROM upload", [])?;
    Ok(())
}

/// Rows done and in all.
pub fn totals(conn: &Connection) -> Result<Totals> {
    conn.query_row(
        "SELECT coalesce(sum(min(done, total)), 0), coalesce(sum(total), 0), count(*) > 0 AND min(finished) FROM upload",
        [],
        |row| Ok(Totals { done: row.get(0)?, total: row.get(1)?, finished: row.get::<_, Option<bool>>(2)?.unwrap_or(false) }),
    )
}
