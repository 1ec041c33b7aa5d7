//! The inbox: rows from the server that cannot be applied yet, with the reason. A newer version of a row replaces an older one.

use rusqlite::{Connection, OptionalExtension, Result, params};
use serde::Serialize;
use tillsync_core::change::Operation;

pub(super) const CREATE: &str = "
CREATE TABLE inbox(entity TEXT NOT NULL, key TEXT NOT NULL, change_id INTEGER NOT NULL, operation TEXT NOT NULL, data TEXT,
  reason TEXT NOT NULL, detail TEXT, since_ms INTEGER NOT NULL, PRIMARY KEY(entity, key)) WITHOUT ROWID;";

/// A parent or a child should follow within this time; afterwards a person is told.
pub const FOLLOW_MS_MAX: i64 = 30_000;

/// Why a row waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// The row has a local change that the server does not have yet.
    Local,
    /// A row that it refers to is not here.
    Parent,
    /// It is to be deleted, but other rows refer to it.
    Children,
    /// The store refuses it.
    Refused,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Parent => "parent",
            Self::Children => "children",
            Self::Refused => "refused",
        }
    }

    fn parse(word: &str) -> Self {
        match word {
            "local" => Self::Local,
            "parent" => Self::Parent,
            "children" => Self::Children,
            _ => Self::Refused,
        }
    }
}

/// A row that waits.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The table.
    pub entity: String,
    /// The row.
    pub key: String,
    /// The change id, which is the row's version.
    pub change_id: i64,
    /// What happened.
    pub operation: Operation,
    /// The whole row as JSON; `None` for a delete.
    pub data: Option<String>,
    /// Why it waits.
    pub reason: Reason,
    /// What the store said.
    pub detail: Option<String>,
}

/// Keeps a row; an older version of it gives way.
pub fn hold(conn: &Connection, entry: &Entry, now: i64) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO inbox(entity, key, change_id, operation, data, reason, detail, since_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT DO UPDATE SET change_id = excluded.change_id, operation = excluded.operation, data = excluded.data,
           reason = excluded.reason, detail = excluded.detail WHERE excluded.change_id >= change_id",
    )?
    .execute(params![
        entry.entity,
        entry.key,
        entry.change_id,
        entry.operation.as_str(),
        entry.data,
        entry.reason.as_str(),
        entry.detail,
        now
    ])?;
    Ok(())
}

/// Up to `limit` rows in the order of the server, after this one. Deletes that the server has forgotten share one change id.
pub fn after(conn: &Connection, last: Option<&Entry>, limit: usize) -> Result<Vec<Entry>> {
    let mut query = conn.prepare_cached(
        "SELECT entity, key, change_id, operation, data, reason, detail FROM inbox
         WHERE (change_id, entity, key) > (?1, ?2, ?3) ORDER BY change_id, entity, key LIMIT ?4",
    )?;
    let (change_id, entity, key) = last.map_or((i64::MIN, "", ""), |last| (last.change_id, &last.entity, &last.key));
    query.query_map((change_id, entity, key, limit), entry_at)?.collect()
}

/// The rows that wait in this version.
pub fn of_version(conn: &Connection, change_id: i64) -> Result<Vec<Entry>> {
    let mut query =
        conn.prepare("SELECT entity, key, change_id, operation, data, reason, detail FROM inbox WHERE change_id = ?1")?;
    query.query_map([change_id], entry_at)?.collect()
}

fn entry_at(row: &rusqlite::Row<'_>) -> Result<Entry> {
    let operation: String = row.get(3)?;
    Ok(Entry {
        entity: row.get(0)?,
        key: row.get(1)?,
        change_id: row.get(2)?,
        operation: Operation::parse(&operation).unwrap_or(Operation::Update),
        data: row.get(4)?,
        reason: Reason::parse(&row.get::<_, String>(5)?),
        detail: row.get(6)?,
    })
}

/// The row that waits, if it does.
pub fn entry(conn: &Connection, entity: &str, key: &str) -> Result<Option<Entry>> {
    let sql = "SELECT entity, key, change_id, operation, data, reason, detail FROM inbox WHERE entity = ?1 AND key = ?2";
    conn.prepare_cached(sql)?.query_row((entity, key), entry_at).optional()
}

/// The version of a row that waits.
pub fn version(conn: &Connection, entity: &str, key: &str) -> Result<Option<i64>> {
    conn.prepare_cached("SELECT change_id FROM inbox WHERE entity = ?1 AND key = ?2")?
        .query_row((entity, key), |row| row.get(0))
        .optional()
}

/// An entity's rows that wait to be written, up to a version.
pub fn rows_up_to(conn: &Connection, entity: &str, up_to: i64) -> Result<Vec<(String, i64)>> {
    let mut query =
        conn.prepare_cached("SELECT key, change_id FROM inbox WHERE entity = ?1 AND change_id <= ?2 AND data IS NOT NULL")?;
    let rows = query.query_map((entity, up_to), |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// The oldest change that waits.
pub fn oldest(conn: &Connection) -> Result<Option<i64>> {
    conn.prepare_cached("SELECT min(change_id) FROM inbox")?.query_row([], |row| row.get(0))
}

/// Whether a row of at least this version waits.
pub fn holds(conn: &Connection, entity: &str, key: &str, version: i64) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM inbox WHERE entity = ?1 AND key = ?2 AND change_id >= ?3)")?
        .query_row((entity, key, version), |row| row.get(0))
}

/// Lets go of a row up to a version.
pub fn release(conn: &Connection, entity: &str, key: &str, up_to: i64) -> Result<()> {
    conn.prepare_cached("DELETE FROM inbox WHERE entity = ?1 AND key = ?2 AND change_id <= ?3")?.execute((entity, key, up_to))?;
    Ok(())
}

/// Lets go of every row of a later version.
pub fn release_after(conn: &Connection, version: i64) -> Result<()> {
    conn.execute("DELETE FROM inbox WHERE change_id > ?1", [version])?;
    Ok(())
}

/// Lets go of everything.
pub fn clear(conn: &Connection) -> Result<()> {
    conn.execute("DELETE FROM inbox", [])?;
    Ok(())
}

/// Whether nothing waits.
pub fn is_empty(conn: &Connection) -> Result<bool> {
    conn.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM inbox)")?.query_row([], |row| row.get(0))
}

/// Whether a row waits for the one that it refers to.
pub fn has_orphans(conn: &Connection) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM inbox WHERE reason = 'parent')")?.query_row([], |row| row.get(0))
}

/// How many rows a person should know of: refused ones, and ones whose other half does not come.
pub fn count_stuck(conn: &Connection, now: i64) -> Result<u64> {
    conn.query_row(
        "SELECT count(*) FROM inbox WHERE reason = 'refused' OR (reason IN ('parent', 'children') AND since_ms < ?1)",
        [now - FOLLOW_MS_MAX],
        |row| row.get(0),
    )
}
