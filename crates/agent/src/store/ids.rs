//! Which pulled row has which local key, in the store itself: written with the row, and back in time with it when the POS restores a
//! backup. Rows that this store counted for itself are not here; their ids follow from its namespace.

use rusqlite::{Connection, OptionalExtension, Result};
use tillsync_core::key::next_counter;
use tillsync_core::value::Value;
use uuid::Uuid;

use crate::state::shadow::{Key, key_at};
use crate::store::marks;
use crate::store::schema::{Table, quote};

pub(super) const CREATE: &str = "
CREATE TABLE IF NOT EXISTS _tillsync_ids(t INTEGER NOT NULL, id BLOB NOT NULL, local NOT NULL, PRIMARY KEY(t, id)) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS _tillsync_ids_local ON _tillsync_ids(t, local);
CREATE TABLE IF NOT EXISTS _tillsync_namespaces(t INTEGER NOT NULL, up_to INTEGER NOT NULL, namespace TEXT NOT NULL);";

/// Whether the tables are there.
pub fn are_there(conn: &Connection) -> Result<bool> {
    conn.prepare_cached("SELECT count(*) = 2 FROM sqlite_schema WHERE name IN ('_tillsync_ids', '_tillsync_namespaces')")?
        .query_row([], |row| row.get(0))
}

/// The id of the row with a local key, if it was pulled.
pub fn id_of(conn: &Connection, table: i64, local: &str) -> Result<Option<Uuid>> {
    let mut query = conn.prepare_cached("SELECT id FROM _tillsync_ids WHERE t = ?1 AND local = ?2")?;
    let bytes: Option<[u8; 16]> = query.query_row((table, Key(local)), |row| row.get(0)).optional()?;
    Ok(bytes.map(Uuid::from_bytes))
}

/// The local key, as an entity id, of the pulled row with this id.
pub fn local_of(conn: &Connection, table: i64, id: Uuid) -> Result<Option<String>> {
    let mut query = conn.prepare_cached("SELECT local FROM _tillsync_ids WHERE t = ?1 AND id = ?2")?;
    query.query_row((table, id.as_bytes()), |row| key_at(row, 0)).optional()
}

/// Notes a pulled row. What was noted of its id or its key before is over.
pub fn put(conn: &Connection, table: i64, id: Uuid, local: &str) -> Result<()> {
    conn.prepare_cached("INSERT OR REPLACE INTO _tillsync_ids(t, id, local) VALUES (?1, ?2, ?3)")?.execute((
        table,
        id.as_bytes(),
        Key(local),
    ))?;
    Ok(())
}

/// Forgets a row.
pub fn remove(conn: &Connection, table: i64, id: Uuid) -> Result<()> {
    conn.prepare_cached("DELETE FROM _tillsync_ids WHERE t = ?1 AND id = ?2")?.execute((table, id.as_bytes()))?;
    Ok(())
}

/// Every pulled row of a table.
pub fn all(conn: &Connection, table: i64, mut each: impl FnMut(Uuid, String) -> Result<()>) -> Result<()> {
    let mut query = conn.prepare_cached("SELECT id, local FROM _tillsync_ids WHERE t = ?1")?;
    let mut rows = query.query([table])?;
    while let Some(row) = rows.next()? {
        each(Uuid::from_bytes(row.get(0)?), key_at(row, 1)?)?;
    }
    Ok(())
}

/// What ids are made from.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    now: Uuid,
    /// Per table number, up to which key another namespace holds: the store is a copy of one that counted on elsewhere.
    before: Vec<(i64, i64, Uuid)>,
}

impl Namespaces {
    /// Reads them.
    pub fn read(conn: &Connection) -> Result<Self> {
        let parse = |text: Option<String>| text.and_then(|text| Uuid::parse_str(&text).ok()).unwrap_or_default();
        let now = parse(marks::get(conn, marks::NAMESPACE)?);
        if !are_there(conn)? {
            return Ok(Self { now, before: Vec::new() });
        }
        let mut query = conn.prepare_cached("SELECT t, up_to, namespace FROM _tillsync_namespaces ORDER BY up_to")?;
        let before = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, parse(row.get(2)?))))?;
        Ok(Self { now, before: before.collect::<Result<_>>()? })
    }

    /// The namespace of a row by its local key.
    pub fn of(&self, table: &Table, key: &[Value]) -> Uuid {
        let number = counter(table, key).unwrap_or(i64::MAX);
        let before = self.before.iter().find(|(t, up_to, _)| *t == table.number && number <= *up_to);
        before.map_or(self.now, |(.., namespace)| *namespace)
    }
}

/// The number that a register counts in a key.
pub fn counter(table: &Table, key: &[Value]) -> Option<i64> {
    let fresh = table.fresh.as_ref()?;
    number_in(key.get(table.key.iter().position(|column| column == fresh)?)?)
}

fn number_in(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(n) => Some(*n),
        Value::Text(text) => {
            let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
            digits[digits.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1)..].parse().ok()
        }
        _ => None,
    }
}

/// The largest number that a register has counted in a table's keys; 0 when there is none.
pub fn largest(conn: &Connection, table: &Table) -> Result<i64> {
    let Some(fresh) = &table.fresh else { return Ok(0) };
    let (name, column) = (quote(&table.name), quote(fresh));
    if !is_text(conn, table, fresh)? {
        let last = conn.query_row(&format!("SELECT max({column}) FROM {name}"), [], |row| super::rows::value_at(row, 0))?;
        return Ok(number_in(&last).unwrap_or(0));
    }
    // Numbers in texts are not in the order of the texts.
    let mut query = conn.prepare(&format!("SELECT {column} FROM {name}"))?;
    let mut numbers = query.query_map([], |row| super::rows::value_at(row, 0).map(|value| number_in(&value).unwrap_or(0)))?;
    numbers.try_fold(0, |largest, number| Ok(largest.max(number?)))
}

/// The store is a copy: of each table, by its number, rows up to a key keep their ids, which the original has too; later ones get others.
pub fn part_from_original(conn: &Connection, tables: &[(i64, i64)], namespace: Uuid) -> Result<()> {
    let before = Namespaces::read(conn)?.now;
    for (table, up_to) in tables {
        conn.execute(
            "INSERT INTO _tillsync_namespaces(t, up_to, namespace) VALUES (?1, ?2, ?3)",
            (table, up_to, before.to_string()),
        )?;
    }
    marks::set(conn, marks::NAMESPACE, namespace.to_string())?;
    marks::set(conn, marks::COPIED, None::<bool>)
}

/// A key that no row of the table has, for the column that every register fills for itself: the one after the largest among the rows
/// that agree in the other key columns, so that the POS's next one is free as well.
pub fn fresh_value(conn: &Connection, table: &Table, fresh: &str, row_key: &[(String, Value)]) -> Result<Value> {
    let others: Vec<&(String, Value)> = row_key.iter().filter(|(column, _)| column != fresh).collect();
    let same: Vec<String> =
        others.iter().enumerate().map(|(place, (column, _))| format!("{} IS ?{}", quote(column), place + 1)).collect();
    let condition = if same.is_empty() { "1".to_owned() } else { same.join(" AND ") };
    let (name, column) = (quote(&table.name), quote(fresh));
    let values = || rusqlite::params_from_iter(others.iter().map(|(_, value)| super::rows::Bound(value)));
    let sql = format!("SELECT {column} FROM {name} WHERE {condition} ORDER BY {column} DESC LIMIT 1");
    let largest = conn.prepare_cached(&sql)?.query_row(values(), |row| super::rows::value_at(row, 0)).optional()?;
    match largest {
        Some(Value::Text(largest)) => {
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {name} WHERE {condition} AND {column} = ?{})", others.len() + 1);
            let mut query = conn.prepare_cached(&sql)?;
            let mut taken = |text: &str| -> Result<bool> {
                let last = Value::Text(text.to_owned());
                let all = others.iter().map(|(_, value)| value).chain([&last]).map(super::rows::Bound);
                query.query_row(rusqlite::params_from_iter(all), |row| row.get(0))
            };
            free_counter(&largest, &mut taken).map(Value::Text)
        }
        None if is_text(conn, table, fresh)? => Ok(Value::Text("1".to_owned())),
        largest => {
            let used = match largest {
                Some(Value::Integer(n)) => n,
                Some(Value::Real(r)) => r.floor() as i64,
                _ => 0,
            };
            after(Some(&Value::Integer(used.max(last_given(conn, table)?).max(0))))
        }
    }
}

/// The next key after one.
pub fn after(key: Option<&Value>) -> Result<Value> {
    match key {
        Some(Value::Text(text)) => Ok(Value::Text(next_counter(text, 1))),
        Some(Value::Integer(n)) if *n < i64::MAX => Ok(Value::Integer(n + 1)),
        _ => {
            let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CONSTRAINT);
            Err(rusqlite::Error::SqliteFailure(full, Some("there is no key left that counts on".to_owned())))
        }
    }
}

/// The text after the largest. Unpadded numbers are not in the order of texts, so what comes after may be taken: then twice as far is
/// tried, and the first free one between the two is found by halving.
fn free_counter(largest: &str, taken: &mut impl FnMut(&str) -> Result<bool>) -> Result<String> {
    let mut step = 1_u64;
    while taken(&next_counter(largest, step))? && step < 1 << 40 {
        step *= 2;
    }
    let (mut used, mut free) = (step / 2, step);
    while free - used > 1 {
        let middle = used + (free - used) / 2;
        if taken(&next_counter(largest, middle))? {
            used = middle;
        } else {
            free = middle;
        }
    }
    Ok(next_counter(largest, free))
}

/// The last number that SQLite gave out: with AUTOINCREMENT none is given twice.
fn last_given(conn: &Connection, table: &Table) -> Result<i64> {
    let counts: bool = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence')")?
        .query_row([], |row| row.get(0))?;
    if !counts {
        return Ok(0);
    }
    let last = conn
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = ?1 COLLATE NOCASE")?
        .query_row([&table.name], |row| row.get(0))
        .optional()?;
    Ok(last.unwrap_or(0))
}

fn is_text(conn: &Connection, table: &Table, column: &str) -> Result<bool> {
    let kind: String = conn
        .prepare_cached("SELECT upper(type) FROM pragma_table_info(?1) WHERE name = ?2")?
        .query_row((&table.name, column), |row| row.get(0))?;
    Ok(!kind.contains("INT") && ["CHAR", "CLOB", "TEXT"].iter().any(|part| kind.contains(part)))
}
