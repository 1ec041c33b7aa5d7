//! What a server without row versions has told, or taken: prints of every row, under a version that this register counts itself. And where its
//! log was at each place of the register's own count, so that a restored store finds back.

use rusqlite::{Connection, OptionalExtension, Result, Row as SqlRow, params};
use tillsync_core::protocol::Object;
use tillsync_core::protocol::client::prints::Prints;

use crate::state::marks;

pub(super) const CREATE: &str = "
CREATE TABLE told(entity TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 0, prints BLOB, before BLOB,
  gone INTEGER NOT NULL DEFAULT 0, at_ms INTEGER, their_id TEXT, about TEXT, tries INTEGER NOT NULL DEFAULT 0, tried_ms INTEGER,
  PRIMARY KEY(entity, key)) WITHOUT ROWID;
CREATE INDEX told_their_id ON told(entity, their_id) WHERE their_id IS NOT NULL;
CREATE TABLE places(position INTEGER PRIMARY KEY, cursor TEXT NOT NULL, at_ms INTEGER NOT NULL);";

/// Places are kept for so many pulls that brought something; a store from before them hears everything again.
const PLACES_MAX: i64 = 10_000;

/// What is known of a row at the server.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Counted here; 0 while the server has said nothing of the row.
    pub version: i64,
    /// The row as it was last told or taken.
    pub prints: Prints,
    /// The row as it was before a change of others that is not in the store yet.
    pub before: Prints,
    /// It is deleted there.
    pub gone: bool,
    /// When it was written, as far as the server says so, Unix milliseconds.
    pub at_ms: Option<i64>,
    /// What the server calls it, where that is not its id on this side.
    pub their_id: Option<String>,
    /// What the protocol wants to be remembered.
    pub about: Object,
    /// So often the server has failed over it alone …
    pub tries: u32,
    /// … and then first, Unix milliseconds.
    pub tried_ms: Option<i64>,
}

/// What is known of a row.
pub fn get(conn: &Connection, entity: &str, key: &str) -> Result<Option<Told>> {
    let sql =
        "SELECT version, prints, before, gone, at_ms, their_id, about, tries, tried_ms FROM told WHERE entity = ?1 AND key = ?2";
    conn.prepare_cached(sql)?.query_row((entity, key), read).optional()
}

/// Keeps it.
pub fn put(conn: &Connection, entity: &str, key: &str, told: &Told) -> Result<()> {
    let about = (!told.about.is_empty()).then(|| serde_json::to_string(&told.about).expect("JSON encodes"));
    conn.prepare_cached(
        "INSERT OR REPLACE INTO told(entity, key, version, prints, before, gone, at_ms, their_id, about, tries, tried_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        entity,
        key,
        told.version,
        told.prints.as_bytes(),
        told.before.as_bytes(),
        told.gone,
        told.at_ms,
        told.their_id,
        about,
        told.tries,
        told.tried_ms
    ])?;
    Ok(())
}

/// The row that the server calls so.
pub fn key_of(conn: &Connection, entity: &str, their_id: &str) -> Result<Option<String>> {
    conn.prepare_cached("SELECT key FROM told WHERE entity = ?1 AND their_id = ?2")?
        .query_row((entity, their_id), |row| row.get(0))
        .optional()
}

/// The next version, or place.
pub fn next(conn: &Connection) -> Result<i64> {
    marks::add(conn, marks::COUNTED, 1)?;
    Ok(marks::get(conn, marks::COUNTED)?.unwrap_or(1))
}

/// The server's cursor at a place of the own count, or the last one before it; `None` for the beginning.
pub fn cursor_at(conn: &Connection, position: i64) -> Result<Option<String>> {
    conn.prepare_cached("SELECT cursor FROM places WHERE position <= ?1 ORDER BY position DESC LIMIT 1")?
        .query_row([position], |row| row.get(0))
        .optional()
}

/// The last one before a time, Unix milliseconds: what came late since then is after it.
pub fn cursor_before(conn: &Connection, position: i64, since_ms: i64) -> Result<Option<String>> {
    let sql = "SELECT cursor FROM places WHERE position <= ?1 AND at_ms <= ?2 ORDER BY position DESC LIMIT 1";
    conn.prepare_cached(sql)?.query_row((position, since_ms), |row| row.get(0)).optional()
}

/// Notes where the server's log was at a place, and when that was first so, Unix milliseconds.
pub fn set_cursor(conn: &Connection, position: i64, cursor: &str, at_ms: i64) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO places(position, cursor, at_ms) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms, cursor = excluded.cursor WHERE cursor <> excluded.cursor",
    )?
    .execute((position, cursor, at_ms))?;
    conn.prepare_cached(
        "DELETE FROM places WHERE position < (SELECT position FROM places ORDER BY position DESC LIMIT 1 OFFSET ?1)",
    )?
    .execute([PLACES_MAX])?;
    Ok(())
}

/// Forgets all of it: the server begins anew, or is another one.
pub fn clear(conn: &Connection) -> Result<()> {
    conn.execute_batch("DELETE FROM told; DELETE FROM places;")
}

fn read(row: &SqlRow<'_>) -> Result<Told> {
    let prints = |place: usize| row.get::<_, Option<Vec<u8>>>(place).map(|kept| Prints::read(kept.unwrap_or_default()));
    let about: Option<String> = row.get(6)?;
    Ok(Told {
        version: row.get(0)?,
        prints: prints(1)?,
        before: prints(2)?,
        gone: row.get(3)?,
        at_ms: row.get(4)?,
        their_id: row.get(5)?,
        about: about.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
        tries: row.get(7)?,
        tried_ms: row.get(8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_find_back_and_rows_are_known_by_their_names() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(&format!("{CREATE} {}", marks::CREATE)).unwrap();
        assert_eq!((cursor_at(&conn, 0).unwrap(), next(&conn).unwrap(), next(&conn).unwrap()), (None, 1, 2));
        for (position, cursor, at_ms) in [(1, "a", 1_000), (5, "b", 2_000), (5, "b", 9_000), (8, "c", 3_000)] {
            set_cursor(&conn, position, cursor, at_ms).unwrap();
        }
        let at = |position| cursor_at(&conn, position).unwrap();
        assert_eq!([at(0), at(4), at(5), at(9)], [None, Some("a".into()), Some("b".into()), Some("c".into())]);
        let before = |position, since_ms| cursor_before(&conn, position, since_ms).unwrap();
        assert_eq!([before(9, 2_500), before(5, 1_500), before(9, 500)], [Some("b".into()), Some("a".into()), None]);
        let told = Told { version: 3, their_id: Some("sale-7".into()), ..Told::default() };
        put(&conn, "sales", "key", &told).unwrap();
        assert_eq!(key_of(&conn, "sales", "sale-7").unwrap().as_deref(), Some("key"));
        assert_eq!(get(&conn, "sales", "key").unwrap().unwrap().version, 3);
        clear(&conn).unwrap();
        assert!(get(&conn, "sales", "key").unwrap().is_none() && at(9).is_none());
    }
}
