//! The change log and the heads of its rows.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tillsync_core::change::Operation;
use tillsync_core::merge::{self, Head, Writer};
use tillsync_core::row::Row;
use tillsync_core::wire::hub::PushChange;
use uuid::Uuid;

use super::meta;

/// A row's history is walked back at most this many entries for the row that a client started from; without it every column
/// counts as changed there, which is the careful answer.
const HISTORY_WALKED_MAX: usize = 1000;

/// Nor further than this many bytes of rows: a concurrent change of a huge row is rare, and memory is not.
const HISTORY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// When an entry was written, by this hub's clock, also for entries from before it was noted.
const WRITTEN_AT: &str = "coalesce(written_at, min(timestamp, server_timestamp))";

/// Who writes what no device wrote.
const HUB: &str = "hub";

/// The largest change id there ever was.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<i64> {
    let head = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'change_log'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(head.unwrap_or(0))
}

/// How many entries there are: ids have no gaps but those of pruned entries, since a rolled back one is given again.
pub(super) fn length(connection: &Connection) -> rusqlite::Result<i64> {
    Ok(head(connection)? - meta::number(connection, meta::PRUNED_COUNT)?)
}

/// An error for a cell that this program never writes.
pub(super) fn damaged(column: usize, what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("the {what} of a log entry is damaged").into())
}

/// Where a row's newest entry is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub version: i64,
    /// How often the row was written.
    pub writes: i64,
}

/// The newest entry of a row; `None` for a row that never was.
pub(super) fn place_of(tx: &Transaction, entity_type: &str, entity_id: &str) -> rusqlite::Result<Option<Place>> {
    tx.prepare_cached("SELECT version, writes FROM rows WHERE entity_type = ?1 AND entity_id = ?2")?
        .query_row([entity_type, entity_id], |row| Ok(Place { version: row.get(0)?, writes: row.get(1)? }))
        .optional()
}

/// The row's head as a device sees it that has the row at `base` and has lost what it knew up to `restored_up_to`. Its history is read
/// only where the device does not know it.
pub(super) fn head_at(
    tx: &Transaction,
    place: Place,
    device_id: &str,
    base: Option<i64>,
    restored_up_to: i64,
) -> rusqlite::Result<Head> {
    let sql = format!("SELECT data, {WRITTEN_AT} FROM change_log WHERE id = ?1");
    let (data, at_ms) = tx.prepare_cached(&sql)?.query_row([place.version], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let by_same_device = is_own_since(tx, place, device_id, base.unwrap_or(0), restored_up_to)?;
    let since = if by_same_device { Vec::new() } else { history(tx, place, base.unwrap_or(0), restored_up_to)? };
    let row = parse(data)?;
    let deleted = if row.is_none() { row_before(tx, place)? } else { None };
    Ok(Head { version: place.version, at_ms, by_same_device, row, deleted, since })
}

/// The row as it was before its last change.
fn row_before(tx: &Transaction, place: Place) -> rusqlite::Result<Option<Row>> {
    let sql = "SELECT data FROM change_log WHERE id = (SELECT previous FROM change_log WHERE id = ?1)";
    let data = tx.prepare_cached(sql)?.query_row([place.version], |row| row.get(0)).optional()?;
    parse(data.flatten())
}

/// The entries of a row after `base`, oldest first.
fn history(tx: &Transaction, place: Place, base: i64, restored_up_to: i64) -> rusqlite::Result<Vec<merge::Entry>> {
    let sql =
        format!("SELECT data, device_id, manager, {WRITTEN_AT}, previous, resolves IS NOT NULL FROM change_log WHERE id = ?1");
    let mut step = tx.prepare_cached(&sql)?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    let mut next = Some(place.version);
    while let Some(id) = next.filter(|id| *id > base && entries.len() < HISTORY_WALKED_MAX && bytes < HISTORY_BYTES_MAX) {
        let entry = step.query_row([id], |row| {
            let writer = Writer { device: row.get(1)?, manager: row.get(2)?, at_ms: row.get(3)? };
            Ok((row.get::<_, Option<String>>(0)?, writer, row.get(4)?, row.get(5)?))
        });
        // What came before is pruned.
        let Some((data, writer, previous, decides)) = entry.optional()? else { break };
        bytes += data.as_ref().map_or(0, String::len);
        entries.push(merge::Entry { writer, row: parse(data)?, by_pull: decides || id <= restored_up_to });
        next = previous;
    }
    entries.reverse();
    Ok(entries)
}

/// Whether the device knows everything that was written to the row after `base`: it wrote all of it, has lost none, and nothing was merged.
fn is_own_since(tx: &Transaction, place: Place, device_id: &str, base: i64, restored_up_to: i64) -> rusqlite::Result<bool> {
    let mut step = tx.prepare_cached("SELECT device_id = ?2 AND NOT merged, previous FROM change_log WHERE id = ?1")?;
    let mut id = place.version;
    for _ in 0..HISTORY_WALKED_MAX {
        if id <= base {
            return Ok(true);
        }
        let entry = step.query_row(params![id, device_id], |row| Ok((row.get(0)?, row.get(1)?)));
        // Whoever wrote what is pruned may have been somebody else.
        let Some((own, previous)): Option<(bool, Option<i64>)> = entry.optional()? else { return Ok(false) };
        match previous {
            _ if !own || id <= restored_up_to => return Ok(false),
            Some(previous) => id = previous,
            None => return Ok(true),
        }
    }
    Ok(false)
}

pub(super) fn parse(data: Option<String>) -> rusqlite::Result<Option<Row>> {
    data.map(|text| serde_json::from_str(&text)).transpose().map_err(|_| damaged(0, "data"))
}

/// The row as it was at a version: in the entry with that id, else in the newest one before it.
pub(super) fn row_at(tx: &Transaction, change: &PushChange, place: Place, version: i64) -> rusqlite::Result<Option<Row>> {
    let exact: Option<Option<String>> = tx
        .prepare_cached("SELECT data FROM change_log WHERE id = ?1 AND entity_type = ?2 AND entity_id = ?3")?
        .query_row(params![version, change.entity_type, change.entity_id], |row| row.get(0))
        .optional()?;
    if let Some(data) = exact {
        return parse(data);
    }
    let mut step = tx.prepare_cached("SELECT previous FROM change_log WHERE id = ?1")?;
    let mut id = place.version;
    for _ in 0..HISTORY_WALKED_MAX {
        if id <= version {
            let data =
                tx.prepare_cached("SELECT data FROM change_log WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()?;
            return parse(data.flatten());
        }
        let previous: Option<Option<i64>> = step.query_row([id], |row| row.get(0)).optional()?;
        match previous.flatten() {
            Some(previous) => id = previous,
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// Whether a row's column was written after another one of it, as far back as its history is walked; a column that it never had was not.
pub(super) fn is_written_later(tx: &Transaction, place: Place, column: &str, than: &str) -> rusqlite::Result<bool> {
    let mut step = tx.prepare_cached("SELECT data, previous FROM change_log WHERE id = ?1")?;
    let mut at = |id: i64| -> rusqlite::Result<(Row, Option<i64>)> {
        let found = step.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (data, previous) = found.unwrap_or_default();
        Ok((parse(data)?.unwrap_or_default(), previous))
    };
    let (mut row, mut previous) = at(place.version)?;
    for _ in 0..HISTORY_WALKED_MAX {
        let (before, earlier) = previous.map_or_else(|| Ok((Row::default(), None)), &mut at)?;
        if row.get(column) != before.get(column) {
            return Ok(true);
        }
        if row.get(than) != before.get(than) || previous.is_none() {
            return Ok(false);
        }
        (row, previous) = (before, earlier);
    }
    Ok(true)
}

/// Whether the row once was like this in the columns that are named, as far back as its history is walked.
pub(super) fn was_once(tx: &Transaction, place: Place, row: &Row) -> rusqlite::Result<bool> {
    let mut step = tx.prepare_cached("SELECT data, previous FROM change_log WHERE id = ?1")?;
    let mut next = Some(place.version);
    for _ in 0..HISTORY_WALKED_MAX {
        let Some(id) = next else { return Ok(false) };
        let entry = step.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((data, previous)) = entry else { return Ok(false) };
        if parse(data)?.is_some_and(|then| row.is_part_of(&then)) {
            return Ok(true);
        }
        next = previous;
    }
    Ok(false)
}

/// What has become of a row since a version that this log shares with another one.
#[derive(Default)]
pub(super) struct Since {
    /// The latest version of the other log that was given back, and the entry that did.
    pub restored: Option<(i64, i64)>,
    /// Whether the row was changed otherwise, too.
    pub is_changed: bool,
}

/// What has become of a row since `base`, as far back as its history is walked.
pub(super) fn since(tx: &Transaction, place: Place, base: i64) -> rusqlite::Result<Since> {
    let mut step = tx.prepare_cached("SELECT restored, previous FROM change_log WHERE id = ?1")?;
    let mut since = Since::default();
    let mut next = Some(place.version);
    for _ in 0..HISTORY_WALKED_MAX {
        let Some(id) = next.filter(|id| *id > base) else { break };
        let entry = step.query_row([id], |row| Ok((row.get::<_, Option<i64>>(0)?, row.get(1)?))).optional()?;
        let Some((restored, previous)) = entry else { break };
        since.is_changed |= restored.is_none();
        since.restored = since.restored.max(restored.map(|version| (version, id)));
        next = previous;
    }
    Ok(since)
}

/// A new entry of the log.
pub(super) struct Entry<'a> {
    pub entity_type: &'a str,
    pub entity_id: &'a str,
    pub event_id: Option<&'a Uuid>,
    /// As the client said.
    pub timestamp: i64,
    /// Who writes, and when by this hub's clock.
    pub writer: &'a Writer,
    pub operation: Operation,
    /// The whole row; `None` for a delete.
    pub data: Option<&'a str>,
    pub merged: bool,
    pub previous: Option<i64>,
    /// The conflict that a person decides by it.
    pub resolves: Option<i64>,
    /// The version that the row had in the epoch before, when it is given back.
    pub restored: Option<i64>,
    pub now_ms: i64,
}

/// Appends an entry and makes it the head of its row; gives its id.
pub(super) fn append(tx: &Transaction, entry: &Entry) -> rusqlite::Result<i64> {
    let Entry { entity_type, entity_id, writer, now_ms, .. } = entry;
    let deleted = entry.data.is_none();
    let sql = "INSERT INTO change_log
        (device_id, merged, operation, entity_type, entity_id, event_id, previous, timestamp, server_timestamp, deleted_at, data,
         written_at, manager, resolves, restored)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    let id = tx.prepare_cached(sql)?.insert(params![
        writer.device,
        entry.merged,
        entry.operation.as_str(),
        entity_type,
        entity_id,
        entry.event_id.map(Uuid::as_bytes),
        entry.previous,
        entry.timestamp,
        now_ms,
        deleted.then_some(now_ms),
        entry.data,
        writer.at_ms,
        writer.manager,
        entry.resolves,
        entry.restored,
    ])?;
    let sql = "INSERT INTO rows (entity_type, entity_id, version, deleted, bucket) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO UPDATE SET version = excluded.version, deleted = excluded.deleted, writes = writes + 1";
    tx.prepare_cached(sql)?.execute(params![entity_type, entity_id, id, deleted, tillsync_core::digest::bucket(entity_id)])?;
    Ok(id)
}

/// A client that counts has written a row so often.
pub(super) fn raise_writes(tx: &Transaction, entity_type: &str, entity_id: &str, writes: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE rows SET writes = max(writes, ?3) WHERE entity_type = ?1 AND entity_id = ?2";
    tx.prepare_cached(sql)?.execute(params![entity_type, entity_id, writes])?;
    Ok(())
}

/// Writes a delete down again that was forgotten, so that a change of the row from before it finds what it contradicts.
pub(super) fn recall_delete(tx: &Transaction, entity_type: &str, entity_id: &str, now_ms: i64) -> rusqlite::Result<Place> {
    let writer = Writer { device: HUB.to_owned(), manager: false, at_ms: 0 };
    let entry = Entry {
        entity_type,
        entity_id,
        event_id: None,
        timestamp: now_ms,
        writer: &writer,
        operation: Operation::Delete,
        data: None,
        merged: false,
        previous: None,
        resolves: None,
        restored: None,
        now_ms,
    };
    Ok(Place { version: append(tx, &entry)?, writes: 1 })
}

/// The entry that holds what an event said, or held it.
pub(super) struct Stored {
    pub id: i64,
    /// Kind and id of its row; `None` when the entry is pruned.
    pub row: Option<(String, String)>,
    pub merged: bool,
}

/// What became of an event before: it was logged, or the row was already as it said.
pub(super) fn find_event(tx: &Transaction, event_id: &Uuid) -> rusqlite::Result<Option<Stored>> {
    let sql = "SELECT id, entity_type, entity_id, merged FROM change_log WHERE event_id = ?1
        UNION ALL
        SELECT version, entity_type, entity_id, repeated_events.merged FROM repeated_events LEFT JOIN change_log ON id = version
        WHERE repeated_events.event_id = ?1";
    tx.prepare_cached(sql)?
        .query_row([event_id.as_bytes()], |row| {
            let entity_type: Option<String> = row.get(1)?;
            Ok(Stored { id: row.get(0)?, row: entity_type.zip(row.get(2)?), merged: row.get(3)? })
        })
        .optional()
}

/// Notes an event for which nothing is logged.
pub(super) fn note_repeated(tx: &Transaction, event_id: &Uuid, version: i64, merged: bool) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO repeated_events (event_id, version, merged, since) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![event_id.as_bytes(), version, merged, head(tx)?])?;
    Ok(())
}

/// The last id of the run of entries that starts right after `cursor` and holds nothing that the device does not know: its own
/// entries, none merged.
pub(super) fn end_of_own_run(tx: &Transaction, device_id: &str, cursor: i64, scan_max: i64) -> rusqlite::Result<i64> {
    let sql = "SELECT id FROM change_log WHERE id > ?1 AND id <= ?2 AND (device_id <> ?3 OR merged) ORDER BY id LIMIT 1";
    let end = cursor.saturating_add(scan_max).min(head(tx)?);
    let foreign: Option<i64> = tx.prepare_cached(sql)?.query_row(params![cursor, end, device_id], |row| row.get(0)).optional()?;
    Ok(foreign.map_or(end, |foreign| foreign - 1).max(cursor))
}
