//! The conflict log: both sides of every value that was overwritten or could not be stored.

use rusqlite::{OptionalExtension, Transaction, params};
use tillsync_core::wire::hub::PushChange;
use uuid::Uuid;

/// What happened to the two values.
pub(super) enum Outcome<'a> {
    /// Nothing is stored; a person decides, for this reason.
    Pending(&'a str),
    /// The pushed value replaced the hub's.
    ClientWins,
    /// Columns of both were kept, this is the result.
    Merged(&'a str),
}

/// An entry of the conflict log.
pub(super) struct Conflict<'a> {
    pub device_id: &'a str,
    pub change: &'a PushChange,
    pub base_version: Option<i64>,
    /// The log entry that stored the change, or the one that it contradicts.
    pub change_log_id: i64,
    pub server_value: Option<&'a str>,
    pub outcome: Outcome<'a>,
    pub now_ms: i64,
}

pub(super) fn add(tx: &Transaction, conflict: &Conflict) -> rusqlite::Result<()> {
    let Conflict { change, now_ms, .. } = conflict;
    let client_value = change.data.as_ref().map(|data| data.get());
    let (resolution, reason, resolved_value) = match conflict.outcome {
        Outcome::Pending(reason) => ("pending", Some(reason), None),
        Outcome::ClientWins => ("client-wins", None, client_value),
        Outcome::Merged(result) => ("merged", None, Some(result)),
    };
    let sql = "INSERT INTO conflict_log
        (change_log_id, device_id, event_id, operation, entity_type, entity_id, timestamp, base_version,
         client_value, server_value, reason, resolution, resolved_value, resolved_at, created_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    tx.prepare_cached(sql)?.execute(params![
        conflict.change_log_id,
        conflict.device_id,
        change.event_id.as_ref().map(Uuid::as_bytes),
        change.operation.as_str(),
        change.entity_type,
        change.entity_id,
        change.timestamp,
        conflict.base_version,
        client_value,
        conflict.server_value,
        reason,
        resolution,
        resolved_value,
        (resolution != "pending").then_some(now_ms),
        now_ms,
    ])?;
    Ok(())
}

/// The reason of a conflict that an event ran into before.
pub(super) fn find_event(tx: &Transaction, event_id: &Uuid) -> rusqlite::Result<Option<String>> {
    tx.prepare_cached("SELECT coalesce(reason, '') FROM conflict_log WHERE event_id = ?1")?
        .query_row([event_id.as_bytes()], |row| row.get(0))
        .optional()
}
