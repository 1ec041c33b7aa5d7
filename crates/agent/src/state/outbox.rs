//! The outbox: changes waiting for the server, in order, and what became of them.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Result, Row as SqlRow, params};
use serde::Serialize;
use tillsync_core::change::Operation;
use uuid::Uuid;

pub(super) const CREATE: &str = "
CREATE TABLE outbox(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id BLOB NOT NULL UNIQUE,
  entity TEXT NOT NULL,
  key TEXT NOT NULL,
  operation TEXT NOT NULL,
  state INTEGER NOT NULL DEFAULT 0,
  data TEXT,
  updated_fields TEXT,
  at_ms INTEGER NOT NULL,
  version INTEGER,
  reason TEXT,
  confirmed_ms INTEGER);
CREATE INDEX outbox_open ON outbox(state, id) WHERE state <> 3;
CREATE INDEX outbox_row ON outbox(entity, key) WHERE state <> 3;
CREATE INDEX outbox_confirmed ON outbox(confirmed_ms) WHERE state = 3;";

/// What counters and JSON columns were before the change; and the conflict that it ran into, by the server's number.
pub(super) const ADD_BEFORE: &str = "ALTER TABLE outbox ADD COLUMN before TEXT; ALTER TABLE outbox ADD COLUMN conflict_id INTEGER;";

/// Confirmed changes are kept this long, so that a server restored from a backup can be fed again.
pub const GRACE_MS: i64 = 24 * 3_600_000;

/// But never more than this many: about 20 MB.
pub const GRACE_ROWS_MAX: i64 = 100_000;

/// The time of a value that nobody wrote, such as one that a migration computed: whatever somebody wrote is later.
pub const NOBODYS_MS: i64 = 1;

/// Where a change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Not sent yet.
    Waiting = 0,
    /// On its way.
    Sent = 1,
    /// Sent, but the answer never came.
    Unknown = 2,
    /// The server has it.
    Confirmed = 3,
    /// The server refuses it.
    Parked = 4,
    /// It contradicts another register's change.
    Conflict = 5,
}

impl Standing {
    /// The word that people see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::Confirmed => "confirmed",
            Self::Parked => "parked",
            Self::Conflict => "conflict",
        }
    }

    fn from_number(number: i64) -> Self {
        match number {
            0 => Self::Waiting,
            1 => Self::Sent,
            2 => Self::Unknown,
            3 => Self::Confirmed,
            4 => Self::Parked,
            _ => Self::Conflict,
        }
    }
}

/// A change to add.
#[derive(Clone, Debug)]
pub struct NewEntry<'a> {
    /// One id for life.
    pub event_id: Uuid,
    /// The table.
    pub entity: &'a str,
    /// The row.
    pub key: &'a str,
    /// What happened.
    pub operation: Operation,
    /// The whole row as JSON; the key columns alone for a delete.
    pub data: String,
    /// The changed columns of an update.
    pub updated_fields: Option<&'a [String]>,
    /// Columns as they were before an update, as JSON, where their rule merges from there.
    pub before: Option<String>,
    /// When it was captured, by the server's clock, Unix milliseconds.
    pub at_ms: i64,
}

/// A change in the outbox.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the order.
    pub id: i64,
    /// One id for life.
    pub event_id: Uuid,
    /// The table.
    pub entity: String,
    /// The row.
    pub key: String,
    /// What happened.
    pub operation: Operation,
    /// Where it stands.
    pub standing: Standing,
    /// The whole row as JSON.
    pub data: String,
    /// The changed columns of an update.
    pub updated_fields: Option<Vec<String>>,
    /// Columns as they were before an update, as JSON, where their rule merges from there.
    pub before: Option<String>,
    /// When it was captured, by the server's clock, Unix milliseconds.
    pub at_ms: i64,
    /// Why it is parked or in conflict.
    pub reason: Option<String>,
    /// The conflict, by the server's number.
    pub conflict_id: Option<i64>,
}

/// How many changes stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting, sent or unknown.
    pub pending: u64,
    /// Parked.
    pub parked: u64,
    /// In conflict.
    pub conflicts: u64,
    /// When the oldest pending one was captured.
    pub oldest_pending_ms: Option<i64>,
}

/// Adds a change.
pub fn add(conn: &Connection, entry: &NewEntry<'_>) -> Result<()> {
    let updated = entry.updated_fields.map(|fields| serde_json::to_string(fields).expect("names encode"));
    conn.prepare_cached(
        "INSERT INTO outbox(event_id, entity, key, operation, data, updated_fields, at_ms, before)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        entry.event_id.as_bytes(),
        entry.entity,
        entry.key,
        entry.operation.as_str(),
        entry.data,
        updated,
        entry.at_ms,
        entry.before
    ])?;
    Ok(())
}

/// The number that the next change gets.
pub fn next_id(conn: &Connection) -> Result<i64> {
    conn.query_row("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0) + 1", [], |row| row.get(0))
}

/// Puts the times of changes right, from this one on.
pub fn shift_times(conn: &Connection, from: i64, shift_ms: i64) -> Result<()> {
    conn.execute(
        "UPDATE outbox SET at_ms = at_ms + ?2 WHERE id >= ?1 AND state <> 3 AND at_ms > ?3",
        (from, shift_ms, NOBODYS_MS),
    )?;
    Ok(())
}

/// Changes that may be sent, in order, from `after` on.
pub fn sendable(conn: &Connection, after: i64, limit: u32) -> Result<Vec<Entry>> {
    let sql = in_order(COLUMNS, "id > ?1", "?2");
    conn.prepare_cached(&sql)?.query_map((after, limit), read)?.collect()
}

/// The first changes that are pending. Each standing has its own part of the index, in order. Without the index every batch would be looked
/// for among all that is confirmed and kept, and in one condition all that is pending would be sorted for it.
fn in_order(columns: &str, condition: &str, limit: &str) -> String {
    let part = |state: i64| {
        format!(
            "SELECT * FROM (SELECT {columns} FROM outbox INDEXED BY outbox_open WHERE state <> 3 AND state = {state} AND {condition}
               ORDER BY id LIMIT {limit})"
        )
    };
    format!("SELECT * FROM ({} UNION ALL {} UNION ALL {}) ORDER BY id LIMIT {limit}", part(0), part(1), part(2))
}

/// Changes that wait for a person, in order.
pub fn stuck(conn: &Connection, limit: u32) -> Result<Vec<Entry>> {
    let sql =
        format!("SELECT {COLUMNS} FROM outbox INDEXED BY outbox_open WHERE state <> 3 AND state IN (4, 5) ORDER BY id LIMIT ?1");
    conn.prepare_cached(&sql)?.query_map([limit], read)?.collect()
}

/// One change.
pub fn get(conn: &Connection, id: i64) -> Result<Option<Entry>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM outbox WHERE id = ?1"))?.query_row([id], read).optional()
}

/// Whether the row has a change that the server does not have.
pub fn has_unsent(conn: &Connection, entity: &str, key: &str) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM outbox WHERE entity = ?1 AND key = ?2 AND state <> 3)")?
        .query_row((entity, key), |row| row.get(0))
}

/// Whether the server lacks any change.
pub fn is_any_unsent(conn: &Connection) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM outbox WHERE state <> 3)")?.query_row([], |row| row.get(0))
}

/// Whether any change of an entity waits for the server or for a person.
pub fn has_unsent_of(conn: &Connection, entity: &str) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM outbox WHERE entity = ?1 AND state <> 3)")?
        .query_row([entity], |row| row.get(0))
}

/// Moves a change.
pub fn set_standing(conn: &Connection, id: i64, standing: Standing, reason: Option<&str>) -> Result<()> {
    conn.prepare_cached("UPDATE outbox SET state = ?2, reason = ?3 WHERE id = ?1")?.execute(params![
        id,
        standing as i64,
        reason
    ])?;
    Ok(())
}

/// Changes go on their way; gives back when each was captured, by the server's clock as it is known now.
pub fn mark_sent(conn: &Connection, ids: &[i64]) -> Result<HashMap<i64, i64>> {
    let ids = serde_json::to_string(ids).expect("numbers encode");
    conn.prepare_cached(
        "UPDATE outbox SET state = 1, reason = NULL WHERE id IN (SELECT value FROM json_each(?1)) RETURNING id, at_ms",
    )?
    .query_map([ids], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

/// The change contradicts another register's; the server's number of the conflict, if it has one.
pub fn set_conflict(conn: &Connection, id: i64, conflict_id: Option<i64>, reason: Option<&str>) -> Result<()> {
    conn.prepare_cached("UPDATE outbox SET state = 5, reason = ?2, conflict_id = ?3 WHERE id = ?1")?.execute((
        id,
        reason,
        conflict_id,
    ))?;
    Ok(())
}

/// A person has decided: the change is not sent again. Gives back whether it waited.
pub fn end_conflict(conn: &Connection, conflict_id: i64) -> Result<bool> {
    let ended = conn.prepare_cached("DELETE FROM outbox WHERE conflict_id = ?1 AND state = 5")?.execute([conflict_id])?;
    Ok(ended > 0)
}

/// Conflicts of which the server has not said what it noted: it is asked again.
pub fn ask_about_conflicts(conn: &Connection) -> Result<usize> {
    conn.execute("UPDATE outbox SET state = 0 WHERE state = 5 AND conflict_id IS NULL", [])
}

/// The same about every conflict: how it was decided may have passed this register by.
pub fn ask_about_all_conflicts(conn: &Connection) -> Result<usize> {
    conn.execute("UPDATE outbox SET state = 0 WHERE state = 5", [])
}

/// The server has forgotten its conflicts: it judges these changes anew.
pub fn resend_conflicts(conn: &Connection) -> Result<()> {
    conn.execute("UPDATE outbox SET state = 0, reason = NULL, conflict_id = NULL WHERE state = 5", [])?;
    Ok(())
}

/// The server has it.
pub fn confirm(conn: &Connection, id: i64, version: Option<i64>, now: i64) -> Result<()> {
    conn.prepare_cached("UPDATE outbox SET state = 3, reason = NULL, version = ?2, confirmed_ms = ?3 WHERE id = ?1")?
        .execute((id, version, now))?;
    Ok(())
}

/// What was on its way when the agent ended has an unknown fate.
pub fn sent_becomes_unknown(conn: &Connection) -> Result<usize> {
    conn.execute("UPDATE outbox SET state = 2 WHERE state = 1", [])
}

/// Changes that a restored server has lost are sent again.
pub fn resend_after(conn: &Connection, version: i64) -> Result<usize> {
    conn.execute("UPDATE outbox SET state = 0, version = NULL, confirmed_ms = NULL WHERE state = 3 AND version > ?1", [version])
}

/// Removes confirmed changes whose grace is over.
pub fn prune(conn: &Connection, now: i64) -> Result<usize> {
    let old = conn.execute("DELETE FROM outbox WHERE state = 3 AND confirmed_ms < ?1", [now - GRACE_MS])?;
    let many = conn.execute(
        "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE state = 3 ORDER BY confirmed_ms DESC LIMIT -1 OFFSET ?1)",
        [GRACE_ROWS_MAX],
    )?;
    Ok(old + many)
}

/// Removes a change for good.
pub fn discard(conn: &Connection, id: i64) -> Result<()> {
    conn.execute("DELETE FROM outbox WHERE id = ?1", [id])?;
    Ok(())
}

/// Counts what is open.
pub fn counts(conn: &Connection) -> Result<Counts> {
    let count = |states: &str| {
        conn.query_row(&format!("SELECT count(*) FROM outbox WHERE state <> 3 AND state IN ({states})"), [], |row| row.get(0))
    };
    let oldest = conn
        .prepare_cached(&in_order("id, at_ms", "at_ms > ?1", "1"))?
        .query_row([NOBODYS_MS], |row| row.get("at_ms"))
        .optional()?;
    Ok(Counts { pending: count("0, 1, 2")?, parked: count("4")?, conflicts: count("5")?, oldest_pending_ms: oldest })
}

const COLUMNS: &str = "id, event_id, entity, key, operation, state, data, updated_fields, at_ms, reason, before, conflict_id";

fn read(row: &SqlRow<'_>) -> Result<Entry> {
    let event_id: [u8; 16] = row.get(1)?;
    let operation: String = row.get(4)?;
    let updated: Option<String> = row.get(7)?;
    Ok(Entry {
        id: row.get(0)?,
        event_id: Uuid::from_bytes(event_id),
        entity: row.get(2)?,
        key: row.get(3)?,
        operation: Operation::parse(&operation).unwrap_or(Operation::Update),
        standing: Standing::from_number(row.get(5)?),
        data: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
        updated_fields: updated.and_then(|json| serde_json::from_str(&json).ok()),
        at_ms: row.get(8)?,
        reason: row.get(9)?,
        before: row.get(10)?,
        conflict_id: row.get(11)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_changes_of_a_long_queue_are_found_without_sorting_it() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(&format!("{CREATE} {ADD_BEFORE}")).unwrap();
        for number in 1..=6_u8 {
            let entry = NewEntry {
                event_id: Uuid::from_bytes([number; 16]),
                entity: "sales",
                key: "1",
                operation: Operation::Create,
                data: String::new(),
                updated_fields: None,
                before: None,
                at_ms: 100 - i64::from(number),
            };
            add(&conn, &entry).unwrap();
        }
        for (id, standing) in [(1, Standing::Unknown), (2, Standing::Parked), (3, Standing::Sent), (5, Standing::Unknown)] {
            set_standing(&conn, id, standing, None).unwrap();
        }
        let ids = |after, limit| sendable(&conn, after, limit).unwrap().iter().map(|entry| entry.id).collect::<Vec<_>>();
        assert_eq!((ids(0, 9), ids(1, 2), ids(6, 9)), (vec![1, 3, 4, 5, 6], vec![3, 4], vec![]));
        assert_eq!(counts(&conn).unwrap().oldest_pending_ms, Some(99));
        let plan = format!("EXPLAIN QUERY PLAN {}", in_order(COLUMNS, "id > 0", "2000"));
        let steps: Vec<String> =
            conn.prepare(&plan).unwrap().query_map([], |row| row.get(3)).unwrap().collect::<Result<_>>().unwrap();
        let searches = steps.iter().filter(|step| step.starts_with("SEARCH outbox USING INDEX outbox_open (state=?"));
        assert_eq!(searches.count(), 3, "{steps:#?}");
    }
}
