//! The shadow: prints of every row as it was last seen, and its version on the server.
//!
//! Small on purpose, since a store may have ten million rows: the key in its shortest form, 8 bytes of print, the version, and
//! 8 bytes per column only where an entity merges by field.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Result, params};
use tillsync_core::kept::{COMING, Columns, Kept, while_coming};
use tillsync_core::key::parse_uuid;
use uuid::Uuid;

use crate::kept::{Stored, read};

pub(super) const CREATE: &str = "
CREATE TABLE entities(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, columns TEXT NOT NULL);
CREATE TABLE shadow(entity INTEGER NOT NULL, key NOT NULL, print INTEGER, version INTEGER NOT NULL, columns BLOB,
  PRIMARY KEY(entity, key)) WITHOUT ROWID;";

/// Values of counters and JSON columns, as a JSON object.
pub(super) const ADD_BASES: &str = "ALTER TABLE shadow ADD COLUMN bases TEXT;";

/// An entity's number in the shadow and what is kept of its columns.
#[derive(Clone, Debug)]
pub struct Entity {
    /// The number.
    pub number: i64,
    /// The columns.
    pub columns: Columns,
}

/// The entity with this name, made when it is new. Columns that came since are added at the end of the order. Of `bases` the values
/// are kept.
pub fn entity(conn: &Connection, name: &str, columns: &[String], bases: &[String]) -> Result<Entity> {
    let bases = bases.to_vec();
    let known: Option<(i64, String)> = conn
        .prepare_cached("SELECT number, columns FROM entities WHERE name = ?1")?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((number, json)) = known else {
        let json = serde_json::to_string(columns).expect("names encode");
        conn.execute("INSERT INTO entities(name, columns) VALUES (?1, ?2)", (name, json))?;
        return Ok(Entity {
            number: conn.last_insert_rowid(),
            columns: Columns { prints: columns.to_vec(), bases, added: Vec::new() },
        });
    };
    let mut order: Vec<String> = serde_json::from_str(&json).unwrap_or_default();
    let before = order.len();
    order.extend(columns.iter().filter(|column| !order.contains(column)).cloned().collect::<Vec<_>>());
    if order.len() != before {
        let json = serde_json::to_string(&order).expect("names encode");
        conn.execute("UPDATE entities SET columns = ?2 WHERE number = ?1", (number, json))?;
    }
    Ok(Entity {
        number,
        columns: Columns { prints: if columns.is_empty() { Vec::new() } else { order }, bases, added: Vec::new() },
    })
}

/// The number of the entity with this name, if it was ever seen.
pub fn entity_number(conn: &Connection, name: &str) -> Result<Option<i64>> {
    conn.prepare_cached("SELECT number FROM entities WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
}

/// These columns are new to an entity. What rows were seen with under such a name is about a column that has gone since: nobody has seen
/// anything in the new one.
pub fn retire(conn: &Connection, name: &str, columns: &[&str]) -> Result<()> {
    let known = conn.query_row("SELECT columns FROM entities WHERE name = ?1", [name], |row| row.get::<_, String>(0)).optional()?;
    let mut order: Vec<String> = known.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
    let mut retired = false;
    for column in order.iter_mut().filter(|column| columns.contains(&column.as_str())) {
        column.clear();
        retired = true;
    }
    if retired {
        let json = serde_json::to_string(&order).expect("names encode");
        conn.execute("UPDATE entities SET columns = ?2 WHERE name = ?1", (name, json))?;
    }
    Ok(())
}

/// How many entities were ever seen.
pub fn entity_count(conn: &Connection) -> Result<i64> {
    conn.query_row("SELECT count(*) FROM entities", [], |row| row.get(0))
}

/// What is kept for a key.
pub fn get(conn: &Connection, entity: i64, key: &str) -> Result<Option<Kept>> {
    conn.prepare_cached("SELECT print, version, columns, bases FROM shadow WHERE entity = ?1 AND key = ?2")?
        .query_row(params![entity, Key(key)], |row| read(row, 0))
        .optional()
}

/// Keeps a row, or that it is deleted.
pub fn put(conn: &Connection, entity: i64, key: &str, kept: &Kept) -> Result<()> {
    let Stored { print, version, columns, bases } = kept.into();
    conn.prepare_cached(
        "INSERT INTO shadow(entity, key, print, version, columns, bases) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET print = excluded.print, version = excluded.version, columns = excluded.columns,
           bases = excluded.bases",
    )?
    .execute(params![entity, Key(key), print, version, columns, bases])?;
    Ok(())
}

/// Notes the row's version on the server, told by the answer to a change of this base. Says whether the row is known at all. The version of a row
/// that the server has lost was only the latest that it could be.
pub fn set_version(conn: &Connection, entity: i64, key: &str, version: i64, base: Option<i64>) -> Result<bool> {
    let changed = conn
        .prepare_cached("UPDATE shadow SET version = iif(version IS ?4, ?3, max(version, ?3)) WHERE entity = ?1 AND key = ?2")?
        .execute(params![entity, Key(key), version, base])?;
    Ok(changed > 0)
}

/// Notes that the server has the row in this version, merged with what others changed, and that it waits in the inbox.
pub fn await_merged(conn: &Connection, entity: i64, key: &str, version: i64) -> Result<()> {
    let mut query = conn.prepare_cached("SELECT version FROM shadow WHERE entity = ?1 AND key = ?2")?;
    if let Some(known) = query.query_row(params![entity, Key(key)], |row| row.get(0)).optional()? {
        conn.prepare_cached("UPDATE shadow SET version = ?3 WHERE entity = ?1 AND key = ?2")?.execute(params![
            entity,
            Key(key),
            while_coming(known, version)
        ])?;
    }
    Ok(())
}

/// Notes that a person has decided about a row of which no version is known yet, and that the decision comes by a pull: a first full sync
/// that has yet to reach the row leaves it out.
pub fn await_decision(conn: &Connection, entity: &str, key: &str) -> Result<()> {
    let sql =
        "UPDATE shadow SET version = ?3 WHERE version = 0 AND key = ?2 AND entity = (SELECT number FROM entities WHERE name = ?1)";
    conn.prepare_cached(sql)?.execute(params![entity, Key(key), COMING])?;
    Ok(())
}

/// Forgets a row.
pub fn remove(conn: &Connection, entity: i64, key: &str) -> Result<()> {
    conn.prepare_cached("DELETE FROM shadow WHERE entity = ?1 AND key = ?2")?.execute(params![entity, Key(key)])?;
    Ok(())
}

/// Forgets every row that the server wrote after a cursor: the store has lost them.
pub fn forget_after(conn: &Connection, cursor: i64) -> Result<usize> {
    conn.execute("DELETE FROM shadow WHERE version > ?1", [cursor])
}

/// Forgets an entity with everything that is known by its number. Says whether it was known.
pub fn forget_entity(conn: &Connection, name: &str) -> Result<bool> {
    for table in ["shadow", "ids", "ids_over", "lost", "again"] {
        conn.execute(&format!("DELETE FROM {table} WHERE entity = (SELECT number FROM entities WHERE name = ?1)"), [name])?;
    }
    Ok(conn.execute("DELETE FROM entities WHERE name = ?1", [name])? > 0)
}

/// What the server wrote after a version is lost there: from now on it counts as of that version.
pub fn go_back_to(conn: &Connection, version: i64) -> Result<usize> {
    conn.execute("UPDATE shadow SET version = ?1 WHERE version > ?1", [version])
}

/// Forgets all versions: the server starts counting anew.
pub fn reset_versions(conn: &Connection) -> Result<usize> {
    conn.execute("UPDATE shadow SET version = 0", [])
}

/// Forgets the versions of one entity's rows.
pub fn reset_versions_of(conn: &Connection, name: &str) -> Result<usize> {
    conn.execute("UPDATE shadow SET version = 0 WHERE entity = (SELECT number FROM entities WHERE name = ?1)", [name])
}

/// Forgets everything.
pub fn clear(conn: &Connection) -> Result<()> {
    conn.execute_batch("DELETE FROM shadow")
}

/// How many rows are kept of an entity.
pub fn count(conn: &Connection, entity: i64) -> Result<u64> {
    conn.query_row("SELECT count(*) FROM shadow WHERE entity = ?1 AND print IS NOT NULL", [entity], |row| row.get(0))
}

/// Up to `limit` keys of rows after this one, in the shadow's order.
pub fn keys_after(conn: &Connection, entity: i64, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
    let beyond = if after.is_some() { "AND key > ?2" } else { "AND ?2 IS NULL" };
    let sql = format!("SELECT key FROM shadow WHERE entity = ?1 {beyond} AND print IS NOT NULL ORDER BY key LIMIT ?3");
    let mut query = conn.prepare_cached(&sql)?;
    let rows = query.query_map(params![entity, after.map(Key), limit], |row| key_at(row, 0))?;
    rows.collect()
}

/// An entity id in its shortest form: an integer or a UUID's bytes where it is one.
pub(crate) struct Key<'a>(pub &'a str);

impl rusqlite::ToSql for Key<'_> {
    fn to_sql(&self) -> Result<rusqlite::types::ToSqlOutput<'_>> {
        if let Some(id) = parse_uuid(self.0) {
            return Ok(id.as_bytes().to_vec().into());
        }
        Ok(match self.0.parse::<i64>() {
            Ok(n) if n.to_string() == self.0 => n.into(),
            _ => self.0.into(),
        })
    }
}

/// An entity id from its shortest form.
pub(crate) fn key_at(row: &rusqlite::Row<'_>, place: usize) -> Result<String> {
    key_from(row.get_ref(place)?)
}

/// The same from a value.
pub(crate) fn key_from(value: ValueRef<'_>) -> Result<String> {
    Ok(match value {
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Blob(bytes) => Uuid::from_slice(bytes).map_err(|_| rusqlite::types::FromSqlError::InvalidType)?.to_string(),
        other => other.as_str()?.to_owned(),
    })
}
