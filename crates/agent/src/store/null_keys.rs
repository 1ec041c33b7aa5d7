//! Rows whose key holds NULL. SQLite lets several of them share one key; nothing tells those apart, so they do not sync.

use rusqlite::{Connection, Result, params_from_iter};
use tillsync_core::key::entity_id;
use tillsync_core::row::Row;
use tillsync_core::value::Value;

use crate::store::rows::{self, and_filter, bound, collect, column_list, key_condition, value_at};
use crate::store::schema::{Table, quote};

/// Rows counted under one key, and keys that are looked up: enough to tell a person, and a look stays short.
pub const COUNTED_MAX: u64 = 1_000;

/// A key that several rows share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The key, as an id.
    pub key: String,
    /// How many of its rows would sync, up to [`COUNTED_MAX`].
    pub rows: u64,
}

/// Up to `limit` rows that sync after this key, from the start when `None`; no rows are the end. Keys without NULL come first, then keys with
/// NULL that one row has alone.
pub fn read_next(conn: &Connection, table: &Table, after: Option<&[Value]>, limit: usize) -> Result<Vec<Row>> {
    if after.is_some_and(|key| key.iter().any(Value::is_null)) {
        return read_alone(conn, table, after, limit);
    }
    let found = rows::read_after(conn, table, after, limit)?;
    if found.is_empty() { read_alone(conn, table, None, limit) } else { Ok(found) }
}

fn read_alone(conn: &Connection, table: &Table, after: Option<&[Value]>, limit: usize) -> Result<Vec<Row>> {
    let keys = column_list(&table.key);
    let sql = format!(
        "SELECT {} FROM {} WHERE {}{} GROUP BY {keys} HAVING count(*) = 1{} ORDER BY {keys} LIMIT {limit}",
        column_list(&table.columns),
        quote(&table.name),
        holds_null(table),
        after.map_or_else(String::new, |_| format!(" AND ({})", beyond(table))),
        and_filter(table),
    );
    collect(&mut conn.prepare(&sql)?, bound(after.unwrap_or_default()), table)
}

/// The key and its number of rows, when several rows share it.
pub fn shared(conn: &Connection, table: &Table, key: &[Value]) -> Result<Option<Shared>> {
    if !is_shared(conn, table, key)? {
        return Ok(None);
    }
    let (name, same) = (quote(&table.name), key_condition(table, 1));
    // Where the collation takes keys for the same that differ, the first of them stands for all.
    let own = format!("SELECT {} FROM {name} WHERE {same} LIMIT 1", column_list(&table.key));
    let own = conn.prepare_cached(&own)?.query_row(params_from_iter(bound(key)), |row| key_at(row, table))?;
    let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {name} WHERE {same}{} LIMIT {COUNTED_MAX})", and_filter(table));
    let rows: u64 = conn.prepare_cached(&sql)?.query_row(params_from_iter(bound(key)), |row| row.get(0))?;
    Ok((rows > 0).then(|| Shared { key: entity_id(&own), rows }))
}

/// Whether several rows have this key.
pub fn is_shared(conn: &Connection, table: &Table, key: &[Value]) -> Result<bool> {
    Ok(key.iter().any(Value::is_null) && rows::read(conn, table, key)?.len() > 1)
}

/// Every key of the table that several rows share, up to [`COUNTED_MAX`] of them.
pub fn all_shared(conn: &Connection, table: &Table) -> Result<Vec<Shared>> {
    let keys = column_list(&table.key);
    let sql = format!(
        "SELECT {keys} FROM {} WHERE {} GROUP BY {keys} HAVING count(*) > 1 LIMIT {COUNTED_MAX}",
        quote(&table.name),
        holds_null(table),
    );
    let mut query = conn.prepare(&sql)?;
    let found = query.query_map([], |row| key_at(row, table))?.collect::<Result<Vec<_>>>()?;
    found.iter().filter_map(|key| shared(conn, table, key).transpose()).collect()
}

fn key_at(row: &rusqlite::Row<'_>, table: &Table) -> Result<Vec<Value>> {
    (0..table.key.len()).map(|place| value_at(row, place)).collect()
}

fn holds_null(table: &Table) -> String {
    let parts: Vec<String> = table.key.iter().map(|key| format!("{} IS NULL", quote(key))).collect();
    format!("({})", parts.join(" OR "))
}

/// What comes after a key in key order, in which NULL is first.
fn beyond(table: &Table) -> String {
    let columns: Vec<String> = table.key.iter().map(|column| quote(column)).collect();
    let after = |place: usize| {
        let (column, number) = (&columns[place], place + 1);
        let same = columns[..place].iter().enumerate().map(|(place, column)| format!("{column} IS ?{}", place + 1));
        let later = format!("({column} > ?{number} OR (?{number} IS NULL AND {column} IS NOT NULL))");
        same.chain([later]).collect::<Vec<_>>().join(" AND ")
    };
    (0..columns.len()).map(after).collect::<Vec<_>>().join(" OR ")
}
