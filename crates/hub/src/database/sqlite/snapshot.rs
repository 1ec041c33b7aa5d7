//! Rows as they are now: pages of a snapshot, and digests.

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde_json::value::RawValue;
use tillsync_core::digest::{self, Digest};
use tillsync_core::wire::hub::PAGE_BYTES_MAX;
use tillsync_core::wire::snapshot::{BucketDigest, EntityDigest, RowVersion, SnapshotRow};

use super::{log, meta};
use crate::database::model::{Compared, Place, Snapshot, SnapshotQuery, Wanted};

/// The functions that the triggers on `rows` call.
pub(super) fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("digest_bucket", 1, flags, |call| Ok(digest::bucket(call.get_raw(0).as_str()?)))?;
    connection.create_scalar_function("digest_print", 2, flags, |call| {
        Ok(digest::print(call.get_raw(0).as_str()?, call.get(1)?).cast_signed())
    })
}

/// Rows by their last write. There is one writer, so that whoever has read up to a version finds everything written since above it.
/// From the index to the log, in this order: a page costs what it holds.
const ABOVE: &str =
    "SELECT rows.entity_id, rows.version, data FROM rows INDEXED BY rows_live CROSS JOIN change_log ON id = rows.version
    WHERE rows.entity_type = ?1 AND rows.version > ?2 AND NOT deleted ORDER BY rows.version";

/// Where the log stands.
fn place(tx: &Transaction) -> rusqlite::Result<Place> {
    Ok(Place { head: log::head(tx)?, pruned_through: meta::pruned_through(tx)? })
}

pub(super) fn read(tx: &Transaction, query: &SnapshotQuery) -> rusqlite::Result<Snapshot> {
    let mut snapshot = Snapshot { rows: Vec::new(), has_more: false, place: place(tx)? };
    match &query.wanted {
        Wanted::These(ids) => {
            let sql = "SELECT rows.entity_id, rows.version, data FROM rows JOIN change_log ON id = rows.version
                WHERE rows.entity_type = ?1 AND rows.entity_id = ?2";
            let mut statement = tx.prepare_cached(sql)?;
            for id in ids {
                snapshot.rows.extend(statement.query_row(params![query.entity_type, id], row).optional()?);
            }
        }
        Wanted::Above(version) => {
            let mut statement = tx.prepare_cached(ABOVE)?;
            let mut found = statement.query(params![query.entity_type, version])?;
            let mut bytes = 0;
            while let Some(next) = found.next()? {
                bytes += next.get_ref(2)?.as_bytes_or_null()?.map_or(0, <[u8]>::len);
                if snapshot.rows.len() == query.limit || (bytes > PAGE_BYTES_MAX && !snapshot.rows.is_empty()) {
                    snapshot.has_more = true;
                    break;
                }
                snapshot.rows.push(row(next)?);
            }
        }
    }
    Ok(snapshot)
}

fn row(row: &Row) -> rusqlite::Result<SnapshotRow> {
    let data: Option<String> = row.get(2)?;
    let data = data.map(RawValue::from_string).transpose().map_err(|_| log::damaged(2, "data"))?;
    Ok(SnapshotRow { entity_id: row.get(0)?, version: row.get(1)?, data })
}

/// Per entity.
pub(super) fn entities(tx: &Transaction) -> rusqlite::Result<Compared<EntityDigest>> {
    let mut found: Vec<EntityDigest> = Vec::new();
    let mut statement = tx.prepare_cached("SELECT entity_type, rows, hash FROM digests WHERE rows > 0 ORDER BY entity_type")?;
    let mut buckets = statement.query([])?;
    while let Some(bucket) = buckets.next()? {
        let entity_type: String = bucket.get(0)?;
        if found.last().is_none_or(|last| last.entity_type != entity_type) {
            found.push(EntityDigest { entity_type, digest: Digest::default() });
        }
        if let Some(last) = found.last_mut() {
            last.digest.add(read_digest(bucket, 1)?);
        }
    }
    Ok(Compared { found, place: place(tx)? })
}

/// Per bucket of an entity.
pub(super) fn buckets(tx: &Transaction, entity_type: &str) -> rusqlite::Result<Compared<BucketDigest>> {
    let sql = "SELECT bucket, rows, hash FROM digests WHERE entity_type = ?1 AND rows > 0";
    let mut statement = tx.prepare_cached(sql)?;
    let found = statement.query_map([entity_type], |row| Ok(BucketDigest { bucket: row.get(0)?, digest: read_digest(row, 1)? }))?;
    Ok(Compared { found: found.collect::<Result<_, _>>()?, place: place(tx)? })
}

/// The rows of some buckets.
pub(super) fn rows_in(tx: &Transaction, entity_type: &str, buckets: &[u32]) -> rusqlite::Result<Compared<RowVersion>> {
    let sql = "SELECT entity_id, version FROM rows WHERE entity_type = ?1 AND bucket = ?2 AND NOT deleted";
    let mut statement = tx.prepare_cached(sql)?;
    let mut found = Vec::new();
    for bucket in buckets {
        let rows = statement
            .query_map(params![entity_type, bucket], |row| Ok(RowVersion { entity_id: row.get(0)?, version: row.get(1)? }))?;
        for row in rows {
            found.push(row?);
        }
    }
    Ok(Compared { found, place: place(tx)? })
}

fn read_digest(row: &Row, column: usize) -> rusqlite::Result<Digest> {
    Ok(Digest { rows: row.get(column)?, hash: row.get::<_, i64>(column + 1)?.cast_unsigned() })
}
