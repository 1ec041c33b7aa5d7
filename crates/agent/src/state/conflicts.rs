//! The conflict log of this register: what the server noted about its changes, by the server's number. Pending ones wait for a
//! person; decided ones are kept to be looked up and reverted.

use rusqlite::{Connection, OptionalExtension, Result, Row as SqlRow};
use serde_json::value::RawValue;
use tillsync_core::change::Operation;
use tillsync_core::window::Happening;
use tillsync_core::wire::hub::Conflict;

use crate::remote::{Answer, Incoming, Outgoing, Resolves};
use crate::state::{activity, outbox, shadow};
use crate::window::called;

pub(super) const CREATE: &str = "
CREATE TABLE conflicts(id INTEGER PRIMARY KEY, entity TEXT NOT NULL, key TEXT NOT NULL, pending INTEGER NOT NULL, noted_ms INTEGER NOT NULL,
  conflict TEXT NOT NULL);
CREATE INDEX conflicts_pending ON conflicts(id) WHERE pending;";

/// Decided ones are kept this long.
const KEPT_MS: i64 = 90 * 86_400_000;

/// But never more than this many: about 20 MB.
const KEPT_MAX: i64 = 10_000;

/// An entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The table.
    pub entity: String,
    /// The row.
    pub key: String,
    /// When it was heard of, Unix milliseconds.
    pub noted_ms: i64,
    /// What the server says.
    pub conflict: Conflict,
}

/// Notes what the server said about a change, if it noted anything. What is there already stays: a person may have looked at it.
pub fn note(conn: &Connection, change: &Outgoing, answer: &Answer, now: i64) -> Result<()> {
    let Some(conflict) = &answer.conflict else { return Ok(()) };
    let mut conflict = conflict.as_ref().clone();
    // A long answer comes without rows that are known here anyway.
    let raw = |json: &String| RawValue::from_string(json.clone()).ok();
    if conflict.client_value.is_none() && change.operation != Operation::Delete {
        conflict.client_value = raw(&change.data);
    }
    if conflict.server_value.is_none() && conflict.is_pending() {
        conflict.server_value = answer.server_data.as_ref().and_then(raw);
    }
    let is_new = get(conn, conflict.id)?.is_none();
    if conflict.is_pending() && is_new {
        activity::note_row(conn, Happening::Conflict, &change.entity, &called(Some(&change.data), &change.key), now)?;
    }
    conn.prepare_cached(
        "INSERT INTO conflicts(id, entity, key, pending, noted_ms, conflict) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET pending = excluded.pending, conflict = excluded.conflict WHERE pending > excluded.pending",
    )?
    .execute((conflict.id, &change.entity, &change.key, conflict.is_pending(), now, encode(&conflict)))?;
    Ok(())
}

/// A person was told how things are now.
pub fn tell(conn: &Connection, conflict: &Conflict) -> Result<()> {
    conn.prepare_cached("UPDATE conflicts SET conflict = ?2 WHERE id = ?1")?.execute((conflict.id, encode(conflict)))?;
    Ok(())
}

/// One entry.
pub fn get(conn: &Connection, id: i64) -> Result<Option<Entry>> {
    conn.prepare_cached("SELECT entity, key, noted_ms, conflict FROM conflicts WHERE id = ?1")?
        .query_row([id], read)
        .optional()
        .map(Option::flatten)
}

/// Pending ones in order, then decided ones, the newest first.
pub fn list(conn: &Connection, limit: u32) -> Result<Vec<Entry>> {
    let sql = "SELECT entity, key, noted_ms, conflict FROM conflicts ORDER BY pending DESC, iif(pending, id, -id) LIMIT ?1";
    let entries: Vec<Option<Entry>> = conn.prepare_cached(sql)?.query_map([limit], read)?.collect::<Result<_>>()?;
    Ok(entries.into_iter().flatten().collect())
}

/// The pending ones of a table, in order.
pub fn pending_of(conn: &Connection, entity: &str) -> Result<Vec<i64>> {
    let mut query = conn.prepare("SELECT id FROM conflicts WHERE pending AND entity = ?1 COLLATE NOCASE ORDER BY id")?;
    query.query_map([entity], |row| row.get(0))?.collect()
}

/// A person has decided: the change that waited is done with. What it said is in the log, and the decision comes as a change of the
/// row. Gives back whether a change waited.
pub fn close(conn: &Connection, conflict: &Conflict) -> Result<bool> {
    if let Some(Entry { entity, key, .. }) = get(conn, conflict.id)? {
        shadow::await_decision(conn, &entity, &key)?;
    }
    conn.prepare_cached("UPDATE conflicts SET pending = 0, conflict = ?2 WHERE id = ?1")?
        .execute((conflict.id, encode(conflict)))?;
    outbox::end_conflict(conn, conflict.id)
}

/// The same for a decision that was made elsewhere and arrives as a change. A change does not say whose value it is.
pub fn close_by_change(conn: &Connection, resolves: &Resolves, change: &Incoming) -> Result<bool> {
    let Some(mut entry) = get(conn, resolves.conflict_id)? else { return Ok(false) };
    if entry.conflict.resolved_by.is_none() {
        "resolved".clone_into(&mut entry.conflict.resolution);
        entry.conflict.resolved_by.clone_from(&resolves.by);
        entry.conflict.resolved_value = change.data.clone().and_then(|data| RawValue::from_string(data).ok());
        entry.conflict.version = change.id;
    }
    close(conn, &entry.conflict)
}

/// The server counts anew: its conflicts have other numbers now, and what waited is sent again.
pub fn clear(conn: &Connection) -> Result<()> {
    conn.execute("DELETE FROM conflicts", [])?;
    outbox::resend_conflicts(conn)
}

/// Removes decided ones that are old or too many.
pub fn prune(conn: &Connection, now: i64) -> Result<usize> {
    let old = conn.execute("DELETE FROM conflicts WHERE NOT pending AND noted_ms < ?1", [now - KEPT_MS])?;
    let many = conn.execute(
        "DELETE FROM conflicts WHERE id IN (SELECT id FROM conflicts WHERE NOT pending ORDER BY id DESC LIMIT -1 OFFSET ?1)",
        [KEPT_MAX],
    )?;
    Ok(old + many)
}

fn encode(conflict: &Conflict) -> String {
    serde_json::to_string(conflict).expect("a conflict encodes")
}

/// `None` for an entry that another version wrote and this one cannot read.
fn read(row: &SqlRow<'_>) -> Result<Option<Entry>> {
    let json: String = row.get(3)?;
    let Ok(conflict) = serde_json::from_str(&json) else { return Ok(None) };
    Ok(Some(Entry { entity: row.get(0)?, key: row.get(1)?, noted_ms: row.get(2)?, conflict }))
}
