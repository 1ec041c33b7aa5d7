//! The journal: which keys were touched, in order. An entry means "look again", never "this is what happened".

use std::collections::HashMap;

use rusqlite::{Connection, Result};
use tillsync_core::value::Value;

use crate::store::rows::value_at;
use crate::store::schema::Schema;

/// One touched key.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its sequence number, never used twice.
    pub seq: i64,
    /// The table's number.
    pub table: i64,
    /// The key's values, as many as the table has key columns.
    pub key: Vec<Value>,
    /// A random number: for the insertion of a row that gets an id of its own, and for every entry of a table whose rows do not.
    pub birth: Option<i64>,
}

/// Entries after `seq`, at most `limit`, in order. Entries of tables that do not sync any more have an empty key.
pub fn after(conn: &Connection, schema: &Schema, seq: i64, limit: usize) -> Result<Vec<Entry>> {
    let keys: Vec<String> = (0..schema.key_width()).map(|place| format!("k{place}")).collect();
    let sql = format!("SELECT seq, t, r, {} FROM _tillsync_journal WHERE seq > ?1 ORDER BY seq LIMIT ?2", keys.join(", "));
    let mut query = conn.prepare_cached(&sql)?;
    let mut rows = query.query((seq, limit))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let table: Option<i64> = row.get(1)?;
        let table = table.unwrap_or(0);
        let width = schema.numbered(table).map_or(0, |table| table.key.len());
        let key = (0..width).map(|place| value_at(row, 3 + place)).collect::<Result<_>>()?;
        entries.push(Entry { seq: row.get(0)?, table, key, birth: row.get(2)? });
    }
    Ok(entries)
}

/// The last sequence number; 0 when the journal is empty.
pub fn last(conn: &Connection) -> Result<i64> {
    conn.query_row("SELECT coalesce(max(seq), 0) FROM _tillsync_journal", [], |row| row.get(0))
}

/// How many entries wait after `seq`.
pub fn waiting(conn: &Connection, seq: i64) -> Result<u64> {
    conn.query_row("SELECT count(*) FROM _tillsync_journal WHERE seq > ?1", [seq], |row| row.get(0))
}

/// The births in the journal by sequence number, and its first number; 0 when it is empty.
pub fn births(conn: &Connection) -> Result<(HashMap<i64, i64>, i64)> {
    let mut query = conn.prepare("SELECT seq, r FROM _tillsync_journal WHERE r IS NOT NULL")?;
    let births = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_>>()?;
    let first = conn.query_row("SELECT coalesce(min(seq), 0) FROM _tillsync_journal", [], |row| row.get(0))?;
    Ok((births, first))
}

/// Removes at most `limit` entries up to `seq`, and says how many. The last entry always stays: it keeps the sequence from
/// starting over.
pub fn trim(conn: &Connection, seq: i64, limit: usize) -> Result<usize> {
    conn.prepare_cached(
        "DELETE FROM _tillsync_journal WHERE seq IN (SELECT seq FROM _tillsync_journal
           WHERE seq <= ?1 AND seq < (SELECT max(seq) FROM _tillsync_journal) ORDER BY seq LIMIT ?2)",
    )?
    .execute((seq, limit))
}

/// Lifts the sequence to at least `seq` with an entry that means nothing.
pub fn lift(conn: &Connection, seq: i64) -> Result<()> {
    conn.execute(
        "INSERT INTO _tillsync_journal(seq) SELECT ?1 WHERE (SELECT coalesce(max(seq), 0) FROM _tillsync_journal) < ?1",
        [seq],
    )?;
    Ok(())
}
