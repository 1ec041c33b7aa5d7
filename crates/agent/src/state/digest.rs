//! Digests of the rows that the server has confirmed, per bucket, kept up to date by triggers on the shadow.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};
use tillsync_core::digest::{self, Digest};

use crate::state::shadow::{key_at, key_from};

/// SQLite has no XOR: a | b without a & b.
pub(super) const CREATE: &str = "
CREATE TABLE digests(entity INTEGER NOT NULL, bucket INTEGER NOT NULL, rows INTEGER NOT NULL, hash INTEGER NOT NULL,
  PRIMARY KEY(entity, bucket)) WITHOUT ROWID;
CREATE TRIGGER shadow_comes AFTER INSERT ON shadow WHEN new.print IS NOT NULL AND new.version > 0 BEGIN
  INSERT INTO digests VALUES (new.entity, digest_bucket(new.key), 1, digest_print(new.key, new.version))
    ON CONFLICT DO UPDATE SET rows = rows + 1, hash = (hash | excluded.hash) - (hash & excluded.hash);
END;
CREATE TRIGGER shadow_changes AFTER UPDATE ON shadow
  WHEN old.version <> new.version OR (old.print IS NULL) <> (new.print IS NULL) BEGIN
  INSERT INTO digests SELECT old.entity, digest_bucket(old.key), -1, digest_print(old.key, old.version)
    WHERE old.print IS NOT NULL AND old.version > 0
    ON CONFLICT DO UPDATE SET rows = rows - 1, hash = (hash | excluded.hash) - (hash & excluded.hash);
  INSERT INTO digests SELECT new.entity, digest_bucket(new.key), 1, digest_print(new.key, new.version)
    WHERE new.print IS NOT NULL AND new.version > 0
    ON CONFLICT DO UPDATE SET rows = rows + 1, hash = (hash | excluded.hash) - (hash & excluded.hash);
END;
CREATE TRIGGER shadow_goes AFTER DELETE ON shadow WHEN old.print IS NOT NULL AND old.version > 0 BEGIN
  INSERT INTO digests VALUES (old.entity, digest_bucket(old.key), -1, digest_print(old.key, old.version))
    ON CONFLICT DO UPDATE SET rows = rows - 1, hash = (hash | excluded.hash) - (hash & excluded.hash);
END;
INSERT INTO digests SELECT entity, digest_bucket(key), 1, digest_print(key, version) FROM shadow
  WHERE print IS NOT NULL AND version > 0
  ON CONFLICT DO UPDATE SET rows = rows + 1, hash = (hash | excluded.hash) - (hash & excluded.hash);";

/// The functions that the triggers call.
pub(super) fn add_functions(conn: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    conn.create_scalar_function("digest_bucket", 1, flags, |call| with_key(call, digest::bucket))?;
    conn.create_scalar_function("digest_print", 2, flags, |call| {
        let version = call.get(1)?;
        with_key(call, |key| digest::print(key, version).cast_signed())
    })
}

/// The shadow keeps keys in their shortest form.
fn with_key<T>(call: &Context<'_>, work: impl FnOnce(&str) -> T) -> Result<T> {
    Ok(match call.get_raw(0) {
        ValueRef::Text(_) => work(call.get_raw(0).as_str()?),
        key => work(&key_from(key)?),
    })
}

/// The buckets of an entity that have rows.
pub fn buckets(conn: &Connection, entity: i64) -> Result<Vec<(u32, Digest)>> {
    let mut query = conn.prepare_cached("SELECT bucket, rows, hash FROM digests WHERE entity = ?1 AND rows > 0")?;
    let rows = query
        .query_map([entity], |row| Ok((row.get(0)?, Digest { rows: row.get(1)?, hash: row.get::<_, i64>(2)?.cast_unsigned() })))?;
    rows.collect()
}

/// The keys and versions of an entity's confirmed rows in some buckets. Reads the entity's whole shadow.
pub fn rows_in(conn: &Connection, entity: i64, wanted: impl Fn(u32) -> bool) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT key, version FROM shadow WHERE entity = ?1 AND print IS NOT NULL AND version > 0";
    let mut query = conn.prepare_cached(sql)?;
    let mut rows = query.query([entity])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let key = key_at(row, 0)?;
        if wanted(digest::bucket(&key)) {
            found.push((key, row.get(1)?));
        }
    }
    Ok(found)
}
