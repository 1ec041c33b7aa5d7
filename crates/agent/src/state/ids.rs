//! Which row that this store counted for itself has which id on the wire, and when it was born; and a copy of the pulled rows' ids, should
//! the POS remove them from the store.

use rusqlite::{Connection, OptionalExtension, Result, params};
use uuid::Uuid;

use crate::state::shadow::{Key, key_at};

/// `seq` and `r` are the number and the random number of the journal entry of its birth: 0 when it was there before, NULL while only other rows
/// refer to it. `ids_over` holds pulled rows that the POS has deleted, until the store forgets them too.
pub(super) const CREATE: &str = "
CREATE TABLE ids(entity INTEGER NOT NULL, local NOT NULL, id BLOB NOT NULL, seq INTEGER, r INTEGER, pulled INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(entity, local)) WITHOUT ROWID;
CREATE UNIQUE INDEX ids_id ON ids(entity, id);
CREATE TABLE ids_over(entity INTEGER NOT NULL, id BLOB NOT NULL, PRIMARY KEY(entity, id)) WITHOUT ROWID;";

/// An id that is about to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The entity's number in the shadow.
    pub entity: i64,
    /// The local key, as an entity id.
    pub local: String,
    /// The id.
    pub id: Uuid,
}

/// A birth as the journal tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth {
    /// The journal's number.
    pub seq: i64,
    /// Its random number.
    pub random: i64,
}

/// The id of the own row with this local key.
pub fn id_of(conn: &Connection, entity: i64, local: &str) -> Result<Option<Uuid>> {
    let mut query = conn.prepare_cached("SELECT id FROM ids WHERE entity = ?1 AND local = ?2 AND NOT pulled")?;
    let bytes: Option<[u8; 16]> = query.query_row(params![entity, Key(local)], |row| row.get(0)).optional()?;
    Ok(bytes.map(Uuid::from_bytes))
}

/// The local key, as an entity id, of the own row with this id.
pub fn local_of(conn: &Connection, entity: i64, id: Uuid) -> Result<Option<String>> {
    let mut query = conn.prepare_cached("SELECT local FROM ids WHERE entity = ?1 AND id = ?2 AND NOT pulled")?;
    query.query_row(params![entity, id.as_bytes()], |row| key_at(row, 0)).optional()
}

/// The local key, as an entity id, of every own row of an entity.
pub fn own(conn: &Connection, entity: i64, mut each: impl FnMut(&str)) -> Result<()> {
    let mut query = conn.prepare_cached("SELECT local FROM ids WHERE entity = ?1 AND NOT pulled")?;
    let mut rows = query.query([entity])?;
    while let Some(row) = rows.next()? {
        each(&key_at(row, 0)?);
    }
    Ok(())
}

/// Notes ids that were given to own rows.
pub fn remember(conn: &Connection, named: &[Named]) -> Result<()> {
    let mut insert = conn.prepare_cached("INSERT OR REPLACE INTO ids(entity, local, id) VALUES (?1, ?2, ?3)")?;
    for Named { entity, local, id } in named {
        insert.execute(params![entity, Key(local), id.as_bytes()])?;
    }
    Ok(())
}

/// The row with this id was seen, born then, or before anybody looked.
pub fn seen(conn: &Connection, entity: i64, id: Uuid, birth: Option<Birth>) -> Result<()> {
    conn.prepare_cached("UPDATE ids SET seq = ?3, r = ?4 WHERE entity = ?1 AND id = ?2 AND seq IS NULL AND NOT pulled")?
        .execute(params![entity, id.as_bytes(), birth.map_or(0, |birth| birth.seq), birth.map(|birth| birth.random)])?;
    Ok(())
}

/// All rows count as born before anybody looked.
pub fn forget_births(conn: &Connection) -> Result<usize> {
    conn.execute("UPDATE ids SET seq = 0, r = NULL WHERE seq > 0", [])
}

/// Keeps a copy of a pulled row's id.
pub fn copy(conn: &Connection, entity: i64, id: Uuid, local: &str) -> Result<()> {
    conn.prepare_cached("INSERT OR REPLACE INTO ids(entity, local, id, pulled) VALUES (?1, ?2, ?3, 1)")?.execute(params![
        entity,
        Key(local),
        id.as_bytes()
    ])?;
    Ok(())
}

/// The copies of an entity.
pub fn copies(conn: &Connection, entity: i64) -> Result<Vec<(Uuid, String)>> {
    let mut query = conn.prepare_cached("SELECT id, local FROM ids WHERE entity = ?1 AND pulled")?;
    query.query_map([entity], |row| Ok((Uuid::from_bytes(row.get(0)?), key_at(row, 1)?)))?.collect()
}

/// Forgets the copies of an entity.
pub fn clear_copies(conn: &Connection, entity: i64) -> Result<()> {
    conn.execute("DELETE FROM ids WHERE entity = ?1 AND pulled", [entity])?;
    Ok(())
}

/// Forgets a row.
pub fn remove(conn: &Connection, entity: i64, id: Uuid) -> Result<()> {
    conn.prepare_cached("DELETE FROM ids WHERE entity = ?1 AND id = ?2")?.execute(params![entity, id.as_bytes()])?;
    Ok(())
}

/// The POS has deleted the row.
pub fn give_up(conn: &Connection, entity: i64, id: Uuid) -> Result<()> {
    conn.prepare_cached(
        "INSERT OR IGNORE INTO ids_over(entity, id) SELECT entity, id FROM ids WHERE entity = ?1 AND id = ?2 AND pulled",
    )?
    .execute(params![entity, id.as_bytes()])?;
    remove(conn, entity, id)
}

/// Pulled rows that the store may forget.
pub fn over(conn: &Connection) -> Result<Vec<(i64, Uuid)>> {
    let mut query = conn.prepare_cached("SELECT entity, id FROM ids_over LIMIT 1000")?;
    query.query_map([], |row| Ok((row.get(0)?, Uuid::from_bytes(row.get(1)?))))?.collect()
}

/// The store has forgotten it.
pub fn settle_over(conn: &Connection, entity: i64, id: Uuid) -> Result<()> {
    conn.prepare_cached("DELETE FROM ids_over WHERE entity = ?1 AND id = ?2")?.execute(params![entity, id.as_bytes()])?;
    Ok(())
}

/// Forgets own rows that a store does not hold: rows that were never seen, rows whose birth is not in its journal any more or not yet, and of
/// rows whose birth nobody saw those that are not there. `is_born` answers for births from `first` on, `is_there` for an entity's local keys.
pub fn forget_lost(
    conn: &Connection,
    first: i64,
    is_born: impl Fn(Birth) -> bool,
    is_there: impl Fn(i64, &str) -> Result<bool>,
) -> Result<usize> {
    let mut query =
        conn.prepare("SELECT entity, id, seq, r, local FROM ids WHERE NOT pulled AND (seq IS NULL OR seq = 0 OR seq >= ?1)")?;
    let mut lost = Vec::new();
    let mut rows = query.query([first])?;
    while let Some(row) = rows.next()? {
        let (entity, seq, random) = (row.get(0)?, row.get::<_, Option<i64>>(2)?, row.get::<_, Option<i64>>(3)?);
        let is_held = match (seq, random) {
            (Some(0), _) => is_there(entity, &key_at(row, 4)?)?,
            (Some(seq), Some(random)) => is_born(Birth { seq, random }),
            _ => false,
        };
        if !is_held {
            lost.push((entity, Uuid::from_bytes(row.get(1)?)));
        }
    }
    for (entity, id) in &lost {
        remove(conn, *entity, *id)?;
    }
    Ok(lost.len())
}
